"""Everybody's network breaks and everybody comes back at once: all are let in, and nothing is counted twice.

Most connections are reset; some just go silent, as they do behind a router that has lost them, and their
owners come back while the server still has to find out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import ACCOUNT, TOKEN, MakeServer
from tests.support.raw import TEXT, Raw, frame, upgrade
from tests.support.server import Server, until

CHANNELS, IN_CHANNEL = 40, 10  # a broadcaster and its players
ROOMS, IN_ROOM = 4, 25
SILENT = 10  # one connection of so many
RATE = 500  # kbps of each broadcast, which its broadcaster and each player use
CHANNEL_CLIENTS, ROOM_CLIENTS = CHANNELS * IN_CHANNEL, ROOMS * IN_ROOM
PATIENCE = 60  # seconds; far more than it takes


@dataclass(frozen=True, slots=True)
class Person:
    """What somebody says on coming: who it is, and where it wants to be."""

    auth: dict[str, str]
    event: list[Any]

    def hello(self) -> bytes:
        connect, enter = "40" + json.dumps(self.auth), "421" + json.dumps(self.event)
        return upgrade() + frame(TEXT, connect) + frame(TEXT, enter)


def everybody() -> list[Person]:
    return [*in_channels(), *in_rooms()]


def in_channels() -> Iterator[Person]:
    for number in range(CHANNELS):
        channel = f"Channel {number}"
        yield Person({"token": TOKEN}, ["publish", "Host", channel, {"bitrate": RATE}])
        for seat in range(1, IN_CHANNEL):
            yield Person({"token": TOKEN}, ["subscribe", f"Player {seat}", channel])


def in_rooms() -> Iterator[Person]:
    for number in range(ROOM_CLIENTS):
        auth = {"account": ACCOUNT, "user": f"User {number}", "pin": "1"}
        yield Person(auth, ["roomJoin", {"room": f"Room {number % ROOMS}"}])


def come(server: Server, people: Iterable[Person], stack: ExitStack) -> list[Raw]:
    """Let people come all at once; return their connections once each is where it wants to be."""
    there = []
    for person in people:
        raw = stack.enter_context(Raw(server, timeout=PATIENCE))
        raw.send(person.hello())
        there.append(raw)
    for raw in there:
        answer = raw.until(b"431[") + raw.until(b"}]")
        assert answer.endswith(b'{"ok":true}]'), answer
    return there


def seen(server: Server) -> dict[str, Any]:
    """Return who is where and what is used, as the API tells it."""
    return {
        "use": server.api("/stats"),
        "status": server.api("/status")["stats"],
        "channels": {name: kinds(peers) for name, peers in server.api("/connections")},
        "rooms": {room["room"]: names(room) for room in server.api("/rooms")},
    }


def kinds(peers: dict[str, Any]) -> dict[str, str]:
    return {name: peer["type"] for name, peer in peers.items()}


def names(room: dict[str, Any]) -> list[str]:
    return sorted(one["name"] for one in room["participants"].values())


def use(connections: int, *, players: int = 0, broadcasters: int = 0) -> dict[str, int]:
    return {
        "connections": connections,
        "bitrate": (broadcasters + players) * RATE,
        "audioBitrate": 0,
        "players": players,
        "broadcasters": broadcasters,
    }


USE = {
    "_static": use(CHANNEL_CLIENTS, players=CHANNEL_CLIENTS - CHANNELS, broadcasters=CHANNELS),
    ACCOUNT: use(ROOM_CLIENTS),
}
ALL_IN = {
    "use": USE,
    "status": USE,
    "channels": {
        f"Channel {number}": {"Host": "broadcaster"}
        | {f"Player {seat}": "player" for seat in range(1, IN_CHANNEL)}
        for number in range(CHANNELS)
    },
    "rooms": {
        f"Room {room}": sorted(f"User {number}" for number in range(room, ROOM_CLIENTS, ROOMS))
        for room in range(ROOMS)
    },
}
NOBODY: dict[str, Any] = {"use": {}, "status": {}, "channels": {}, "rooms": {}}


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Hold every connection of the test, and close what is left of them at its end."""
    with ExitStack() as stack:
        yield stack


def test_all_who_drop_and_return_at_once_are_in_exactly_once(
    make_server: MakeServer, crowd: ExitStack
) -> None:
    server = make_server()
    before = come(server, everybody(), crowd)
    assert seen(server) == ALL_IN
    for number, raw in enumerate(before):
        if number % SILENT:
            raw.reset()
    back = come(server, everybody(), crowd)
    until(lambda: seen(server) == ALL_IN, timeout=30, what=lambda: f"the silent ones to go: {seen(server)}")
    for raw in back:
        raw.reset()
    until(lambda: empty(server), timeout=30, what=lambda: f"everybody to be gone: {seen(server)}")


def empty(server: Server) -> bool:
    """Tell whether nobody is anywhere; a room is kept a while for its chat."""
    found = seen(server)
    return found | {"rooms": {name: who for name, who in found["rooms"].items() if who}} == NOBODY
