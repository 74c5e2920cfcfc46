"""From polling to a WebSocket: the client probes the new way before it gives up the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from engineio import packet

from vws.transport.frames import CloseCode, encode_text
from vws.transport.takeover import take_over

if TYPE_CHECKING:
    from vws.transport.polling import PollingSession

__all__ = ["Probe"]

PROBE, PROBED, SWITCH = b"2probe", encode_text(b"3probe"), b"5"


class Probe:
    """A WebSocket that may become its session's: ``2probe``, ``3probe``, then ``5``."""

    def __init__(self, session: PollingSession, environ: dict[str, Any]) -> None:
        self._session = session
        stream, early = take_over(environ)
        self._connection = session.server.connection(stream)
        self._connection.receiver = self
        self._connection.start(early)

    def text(self, message: bytes) -> None:
        if message == PROBE and not self._session.upgrading:
            self._session.upgrading = True  # a poll gets nothing any more
            self._connection.push(PROBED)
            self._session.queue.put(packet.Packet(packet.NOOP))  # ends the poll that waits
        elif message == SWITCH and self._session.upgrading:
            self._session.server.switch(self._session, self._connection)
        else:
            self.give_up(CloseCode.PROTOCOL_ERROR)

    def lost(self, reason: str) -> None:  # noqa: ARG002 - the session goes on without it
        self._end()

    def gone(self) -> None:
        """Let the session be upgraded by another: no sooner, as this is in no count."""
        self._session.end_upgrade(self)

    def give_up(self, code: CloseCode = CloseCode.GOING_AWAY) -> None:
        """Close the WebSocket; the session goes on polling."""
        self._connection.close(code)
        self._end()

    def _end(self) -> None:
        """Cut the connection once its last words are written; nobody waits for its own."""
        gevent.get_hub().loop.run_callback(self._connection.cut)
