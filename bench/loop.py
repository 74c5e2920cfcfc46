"""The load generator's event loop: all clients in one epoll set, and one way to wait for something."""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Callable, Iterable, Sequence

from bench.client import Client, Stage

__all__ = ["Failed", "Loop"]

AT_ONCE = 50
PATIENCE = 60.0  # seconds


class Failed(Exception):
    """A figure could not be measured; the message says why."""


class Loop:
    """Clients of one server, and what happens to them.

    ``pings`` counts the pings answered, ``losses`` holds why clients were lost that nobody closed.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.pings = 0
        self.losses: list[str] = []
        self._joining = 0
        self._clients: dict[int, Client] = {}
        self._epoll = select.epoll()

    def __len__(self) -> int:
        return len(self._clients)

    # What clients tell

    def watch(self, client: Client, mask: int) -> None:
        self._epoll.modify(client.fileno(), mask)

    def joined(self, _client: Client) -> None:
        self._joining -= 1

    def lost(self, _client: Client, reason: str, *, joining: bool) -> None:
        self._joining -= joining
        self.losses.append(reason)

    def forget(self, client: Client) -> None:
        del self._clients[client.fileno()]
        self._epoll.unregister(client.fileno())

    # Turning

    def turn(self, timeout: float = 0.0) -> None:
        """Handle what has happened, after waiting for it for up to ``timeout`` seconds."""
        clients = self._clients
        for fd, mask in self._epoll.poll(timeout, 4096):
            client = clients.get(fd)
            if client is not None:
                client.ready(mask)

    @staticmethod
    def clock() -> float:
        return time.monotonic()

    def run(self, seconds: float) -> None:
        """Keep the clients alive for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def until(self, condition: Callable[[], bool], *, what: str, timeout: float = PATIENCE) -> None:
        """Turn until the condition holds; Failed when it does not in ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            self.turn(0.02)
            if time.monotonic() > end:
                raise Failed(f"waited {timeout:.0f} s for {what}; lost clients: {self.losses[:3]}")

    # Many clients

    def connect(self, auths: Iterable[object], *, at_once: int = AT_ONCE) -> list[Client]:
        """Connect and authenticate a client for each ``auth``, ``at_once`` at a time; or raise Failed."""
        lost = len(self.losses)
        clients = []
        for auth in auths:
            self.until(lambda: self._joining < at_once, what="clients to be let in")
            clients.append(self._open(auth))
        self.until(lambda: not self._joining, what="clients to be let in")
        if len(self.losses) > lost:
            raise Failed(f"{len(self.losses) - lost} clients could not connect: {self.losses[-1]}")
        return clients

    def _open(self, auth: object) -> Client:
        client = Client(self, auth)
        self._clients[client.fileno()] = client
        self._epoll.register(client.fileno(), select.EPOLLOUT)
        self._joining += 1
        return client

    def ask(self, requests: Sequence[tuple[Client, bytes]], *, at_once: int = AT_ONCE) -> None:
        """Send each client an event that wants an acknowledgement; Failed unless each is told ``ok``."""
        for start in range(0, len(requests), at_once):
            some = requests[start : start + at_once]
            for client, data in some:
                client.inbox = []
                client.send(data)
            self.until(lambda some=some: all(map(_answered, some)), what="acknowledgements")  # type: ignore[misc]
            for client, _ in some:
                client.inbox = None

    def close(self) -> None:
        """Drop every client."""
        for client in list(self._clients.values()):
            client.close(reset=True)
        self._epoll.close()


def _answered(request: tuple[Client, bytes]) -> bool:
    client, _ = request
    if client.stage is Stage.CLOSED:
        raise Failed("a client was lost while it waited for an acknowledgement")
    answers = [packet for packet in client.inbox or () if packet.startswith(b"43")]
    refused = [answer for answer in answers if b'"ok":true' not in answer]
    if refused:
        raise Failed(f"refused: {refused[0].decode(errors='replace')}")
    return bool(answers)
