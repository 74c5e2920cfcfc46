"""One WebSocket on gevent's hub, over a pair of sockets: how it ends when nobody reads at the other side."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import gevent
import pytest

from tests.support.raw import CLOSE, TEXT, frame
from vws.transport.connection import NOT_READING, Connection, Flusher
from vws.transport.streams import PlainStream

MAX_WAITING = 100_000


class Talker:
    """Answers every word with more than may wait."""

    def __init__(self, connection: Connection) -> None:
        self.heard: list[str] = []
        self._connection = connection
        connection.receiver = self

    def text(self, message: bytes) -> None:
        for part in message.split():
            self._connection.push(part * MAX_WAITING)

    def lost(self, reason: str) -> None:
        self.heard.append(f"lost: {reason}")

    def gone(self) -> None:
        self.heard.append("gone")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Talker]]:
    """Return a peer, and who talks to it through a connection."""
    peer, own = socket.socketpair()
    own.setblocking(False)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection = Connection(
        PlainStream(own.detach()), flusher=Flusher(), max_size=1000, max_waiting=MAX_WAITING
    )
    talker = Talker(connection)
    connection.start()
    with peer:
        yield peer, talker
    connection.cut()


def turn_until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0)


@pytest.mark.parametrize(
    "goodbye", [b"", frame(CLOSE, b"\x03\xe8"), b"\xff\xff"], ids=["none", "a goodbye", "garbage"]
)
def test_who_does_not_read_is_given_up_whatever_it_said_last(
    pair: tuple[socket.socket, Talker], goodbye: bytes
) -> None:
    peer, talker = pair
    peer.sendall(frame(TEXT, b"xx xx") + goodbye)
    turn_until(lambda: f"lost: {NOT_READING}" in talker.heard)
    assert talker.heard.count("gone") == 1


def test_one_large_message_is_for_who_reads_however_slowly(pair: tuple[socket.socket, Talker]) -> None:
    peer, talker = pair
    peer.setblocking(False)
    for _ in range(3):  # nothing waits before each of them
        peer.sendall(frame(TEXT, b"xx"))
        received = 0

        def arrived() -> bool:
            nonlocal received
            with suppress(BlockingIOError):
                received += len(peer.recv(5_000))
            return received == 2 * MAX_WAITING

        turn_until(arrived)
    assert talker.heard == []
