"""An accepted connection until its first request is there: most are handshakes, and need no greenlet."""

from __future__ import annotations

from typing import Any, Protocol

import gevent

from vws.transport import handshake
from vws.transport.clock import Clock
from vws.transport.guests import Guests, host_of
from vws.transport.handshake import BEGINNING, END, Handshake
from vws.transport.streams import READ, WRITE, Stream, WriteFirst

__all__ = ["Entrance", "House", "Visitor"]

HEAD_SIZE = 16_384
"""Bytes within which a head has to end that is read here; longer ones are left to the web server."""

HEAD_TIMEOUT = 10
"""Seconds that the head of a first request may take, and over TLS the handshake before it."""


class Entrance(Protocol):
    """Where handshakes are let in."""

    guests: Guests

    @property
    def timers(self) -> Clock: ...

    def welcome(self, handshake: Handshake, stream: Stream, early: bytes) -> bool:
        """Begin a session; False when it has to be refused, which is not done here."""


class House(Protocol):
    """The web server, for everybody else."""

    def hand_over(self, stream: Stream, address: Any, early: bytes) -> None:
        """Serve a connection of which ``early`` was read already."""


class Visitor:
    """Reads the first head of a connection on gevent's hub, and passes the connection on."""

    __slots__ = ("_address", "_entrance", "_head", "_house", "_stream", "_watcher", "host")

    def __init__(self, stream: Stream, address: Any, *, entrance: Entrance, house: House) -> None:
        self._stream = stream
        self._address = address
        self.host = host_of(address)
        self._entrance = entrance
        self._house = house
        self._head = b""
        self._watcher: Any = None
        self._wait_for(READ)
        entrance.timers.after(HEAD_TIMEOUT, self._late)
        entrance.guests.enter(self)

    def _wait_for(self, event: int) -> None:
        self._stop()
        self._watcher = gevent.get_hub().loop.io(self._stream.fd, event)
        self._watcher.start(self._read)

    def _read(self) -> None:
        try:
            data = self._stream.read()
        except BlockingIOError as reason:
            self._go_on_after(reason)
        except OSError:
            self._leave()
        else:
            self._hear(data)

    def _go_on_after(self, reason: BlockingIOError) -> None:
        wanted = WRITE if isinstance(reason, WriteFirst) else READ
        if wanted != self._watcher.events:
            self._wait_for(wanted)

    def _hear(self, data: bytes) -> None:
        if data:
            self._head += data
            self._look()
        else:
            self._leave()

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
        wanted = handshake.read(head, self.host)
        if wanted is None:
            self._pass_on()
            return
        stream, address, head = self._let_go()
        if not self._entrance.welcome(wanted, stream, early):
            self._house.hand_over(stream, address, head)

    def _pass_on(self) -> None:
        self._house.hand_over(*self._let_go())

    def _late(self) -> None:
        """Give up a head that trickles; who has said nothing yet may keep its connection a while."""
        if self._watcher is None:
            return
        if self._head or not self._stream.ready:
            self._leave()
        else:
            self._pass_on()

    def turn_out(self) -> None:
        """`guests.Guest`: go, others need the room."""
        self._leave()

    def _leave(self) -> None:
        stream, _, _ = self._let_go()
        stream.close()

    def _let_go(self) -> tuple[Stream, Any, bytes]:
        """End here, and hold nothing: the timer still has this for a while."""
        self._stop()
        self._entrance.guests.leave(self)
        held = self._stream, self._address, self._head
        del self._stream, self._address, self._head
        return held

    def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
