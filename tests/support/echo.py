"""`python -m tests.support.echo PORT`: the server's own WebSockets, sending back whatever comes.

Test suites for WebSockets want that. Everything below Socket.IO is what the program runs on: web server,
handshake, connections, frames. See docs/websocket-conformance.md.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from vws.transport.clock import Clock
from vws.transport.connection import Connection, Flusher
from vws.transport.frames import CloseCode, Frame, FrameError, Opcode, encode
from vws.transport.guests import Guests
from vws.transport.handshake import Handshake
from vws.transport.session import GRACE
from vws.transport.streams import Stream
from vws.transport.wsgi import WebServer

__all__ = ["Door", "Echo", "main"]

MAX_SIZE = 16 * 2**20
MAX_WAITING = 4 * MAX_SIZE


class Echo(Connection):
    """A connection that is its own receiver, and hears of binary messages, too."""

    __slots__ = ("_timers",)

    def __init__(self, stream: Stream, flusher: Flusher, timers: Clock) -> None:
        super().__init__(stream, flusher=flusher, max_size=MAX_SIZE, max_waiting=MAX_WAITING)
        self._timers = timers
        self.receiver = self

    def text(self, message: bytes) -> None:
        self.push(encode(Opcode.TEXT, message))

    def _control(self, item: bytes | Frame | FrameError) -> None:
        if isinstance(item, Frame) and item.opcode is Opcode.BINARY:
            self.push(encode(Opcode.BINARY, item.data))
        else:
            super()._control(item)

    def lost(self, _reason: str) -> None:
        self.close(CloseCode.NORMAL)
        self._timers.after(GRACE, self.cut)

    def gone(self) -> None:
        """Remember nothing, so that there is nothing to forget."""


class Door:
    """`visitor.Entrance` that lets everybody in."""

    def __init__(self) -> None:
        self.timers = Clock()
        self._flusher = Flusher()
        self.guests = Guests(SimpleNamespace(sockets=(), addresses={}), at_once=0, per_address=0, exempt=bool)

    def welcome(self, handshake: Handshake, stream: Stream, early: bytes) -> bool:
        connection = Echo(stream, self._flusher, self.timers)
        connection.push(handshake.answer)
        connection.start(early)
        return True


def main(port: int) -> None:
    """Serve until the process is ended."""
    pages = SimpleNamespace(extensions={"socketio": SimpleNamespace(entrance=Door())})
    WebServer(("127.0.0.1", port), pages).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
