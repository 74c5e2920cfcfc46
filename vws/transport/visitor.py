"""An accepted connection until its first request is there: most are handshakes, and need no greenlet."""

from __future__ import annotations

import os
from typing import Any, Protocol

import gevent

from vws.transport import handshake
from vws.transport.clock import Clock
from vws.transport.handshake import BEGINNING, END, Handshake
from vws.transport.streams import PlainStream

__all__ = ["Entrance", "House", "Visitor"]

HEAD_SIZE = 16_384
HEAD_TIMEOUT = 10
"""Seconds that the head of a first request may take."""

READ = 1


class Entrance(Protocol):
    """Where handshakes are let in."""

    @property
    def timers(self) -> Clock: ...

    def welcome(self, handshake: Handshake, stream: PlainStream, early: bytes) -> bool:
        """Begin a session; False when it has to be refused, which is not done here."""


class House(Protocol):
    """The web server, for everybody else."""

    def hand_over(self, fd: int, address: Any, early: bytes) -> None:
        """Serve a connection of which ``early`` was read already."""


class Visitor:
    """Reads the first head of a connection on gevent's hub, and passes the connection on."""

    __slots__ = ("_address", "_entrance", "_fd", "_head", "_house", "_watcher")

    def __init__(self, fd: int, address: Any, *, entrance: Entrance, house: House) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._address = address
        self._entrance = entrance
        self._house = house
        self._head = b""
        self._watcher: Any = gevent.get_hub().loop.io(fd, READ)
        self._watcher.start(self._readable)
        entrance.timers.after(HEAD_TIMEOUT, self._late)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, HEAD_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._head += data
            self._look()
        else:
            self._done()
            os.close(self._fd)

    def _look(self) -> None:
        if not (self._head.startswith(BEGINNING) or BEGINNING.startswith(self._head)):
            self._pass_on()
            return
        end = self._head.find(END) + len(END)
        if end >= len(END):
            self._enter(self._head[:end], self._head[end:])
        elif len(self._head) > HEAD_SIZE:
            self._pass_on()

    def _enter(self, head: bytes, early: bytes) -> None:
        wanted = handshake.read(head, str(self._address[0]))
        if wanted is None:
            self._pass_on()
            return
        self._done()
        if not self._entrance.welcome(wanted, PlainStream(self._fd), early):
            self._house.hand_over(self._fd, self._address, self._head)

    def _pass_on(self) -> None:
        self._done()
        self._house.hand_over(self._fd, self._address, self._head)

    def _late(self) -> None:
        """Give up a head that trickles; who has said nothing yet may keep its connection a while."""
        if self._watcher is None:
            return
        if self._head:
            self._done()
            os.close(self._fd)
        else:
            self._pass_on()

    def _done(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._watcher = None
