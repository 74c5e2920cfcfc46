"""Alice and Bob, who are in a call while others misbehave.

pair = Pair(clients)              # or Pair(clients, server): their own channel
pair.relay()                      # an offer there, an answer back: exact, in order, nothing besides
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from tests.conftest import Clients
from tests.support.client import Client
from tests.support.server import Server

__all__ = ["Pair"]

_numbers = itertools.count()


class Pair:
    """Two unverified users of one channel, Alice broadcasting."""

    def __init__(self, clients: Clients, server: Server | None = None, *, channel: str = "") -> None:
        self.channel = channel or f"Call {next(_numbers)}"
        self.alice: Client = clients.token(server=server)
        self.bob: Client = clients.token(server=server)
        assert self.alice.call("publish", "Alice", self.channel, {})["ok"]
        self.alice.message("peers")
        assert self.bob.call("subscribe", "Bob", self.channel)["ok"]
        self.alice.message("peer", peerID="Bob")

    def relay(self, content: object = "sdp") -> float:
        """Send something both ways and see that it arrives as it was; return the seconds it took."""
        number, begun = next(_numbers), time.monotonic()
        body = {"type": "signal", "channel": self.channel, "content": content, "number": number}
        _emit(self.alice, {**body, "target": "Bob"})
        assert self.bob.message("signal", number=number) == {**body, "target": "Bob", "from": "Alice"}
        _emit(self.bob, {**body, "target": "Alice"})
        assert self.alice.message("signal", number=number) == {**body, "target": "Alice", "from": "Bob"}
        return time.monotonic() - begun

    def undisturbed(self) -> None:
        """See that the call goes on, and that nobody told the two of anything."""
        self.relay()
        for client in (self.alice, self.bob):
            client.nothing("message")
            client.nothing("publishError")
            client.nothing("subscribeError")


def _emit(client: Client, body: dict[str, Any]) -> None:
    """Send in JSON's ASCII, as lone surrogates cannot be sent otherwise."""
    ascii_only = not isinstance(body["content"], str) or "\ud800" in body["content"]
    client.send_raw("42" + json.dumps(["messagePeer", body], ensure_ascii=ascii_only))
