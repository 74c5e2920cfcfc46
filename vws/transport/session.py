"""An Engine.IO session over a WebSocket: pings, packets, and an end that everybody hears of once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vws.transport.clients import Client
from vws.transport.connection import Connection
from vws.transport.frames import CloseCode, encode_text
from vws.transport.pulse import Pulse

if TYPE_CHECKING:
    from vws.transport.engine import Engine

__all__ = ["GRACE", "WebSocketSession"]

GRACE = 2.0
"""Seconds that a closed connection has for its last words before it is cut."""

MESSAGE, CLOSE = b"4", b"1"
PACKETS = frozenset(b"%d" % kind for kind in range(7))
"""What a packet may begin with; most of them mean nothing from a client."""

PING_FRAME = encode_text(b"2")


class WebSocketSession(Pulse):
    """Stands in `Engine.sockets`, with the attributes that python-engineio's server asks of its sockets."""

    __slots__ = ("_connection", "_engine", "_pinged_at", "client", "closed", "push", "sid")

    connected = upgraded = True
    upgrading = closing = False

    def __init__(self, engine: Engine, sid: str, connection: Connection) -> None:
        super().__init__()
        self.sid = sid
        self.client: Client
        self.closed = False
        self._engine = engine
        self._connection = connection
        self._pinged_at: float | None = None  # None once it is heard of
        self.push = connection.push
        connection.receiver = self
        engine.timers.after(engine.ping_interval, self._beat)

    def admit(self) -> None:
        self._connection.allow(self._engine.max_http_buffer_size)

    # --- `connection.Receiver` ---

    def text(self, message: bytes) -> None:
        if self._pinged_at is not None or self._asked is not None:
            self.heard()
            self._pinged_at = None
        kind = message[:1]
        if kind == MESSAGE:
            self._engine.receive(self.client, message)
        elif kind == CLOSE:
            self.close(abort=True, reason=self._engine.reason.CLIENT_DISCONNECT)
        elif kind not in PACKETS:
            self.close(abort=True, reason="not an Engine.IO packet")

    def lost(self, reason: str) -> None:
        self.close(abort=True, reason=reason or self._engine.reason.TRANSPORT_CLOSE)

    def gone(self) -> None:
        self._engine.forget(self)

    # --- `clients.Session` ---

    @property
    def waiting(self) -> int:
        return self._connection.waiting

    def send(self, packet: Any) -> None:
        """Send one of python-engineio's packets."""
        encoded = packet.encode()
        self.push(encode_text(encoded.encode() if isinstance(encoded, str) else encoded))

    def answers(self) -> bool:
        """Ask the client for a sign of life and wait for it, three seconds at most.

        One whose own event waits (for such an answer, or a login) counts as alive.
        """
        if self.client.busy and not self.closed:
            return True
        if self.closed or self.silent:
            return False
        self.push(PING_FRAME)
        return self.wait() and not self.closed

    def pause(self) -> None:
        self._connection.pause()

    def resume(self) -> None:
        if not self.closed:
            self._connection.resume()

    # --- life and death ---

    def _beat(self) -> None:
        """Ping, or end a client that left the last ping unanswered for too long; once every few seconds."""
        if self.closed:
            return
        now = time.monotonic()
        if self._pinged_at is None or self.client.crowded:  # a crowded client's answers are not read
            self._pinged_at = now
            self.push(PING_FRAME)
            pause = self._engine.ping_interval
        else:
            pause = self._pinged_at + self._engine.ping_timeout - now
        if pause <= self._engine.timers.tick:
            self.close(reason=self._engine.reason.PING_TIMEOUT)
        else:
            self._engine.timers.after(min(pause, self._engine.ping_interval), self._beat)

    def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        """End the session at once.

        The WebSocket's own goodbye is all that is said, as by Node's server: clients that get Engine.IO's may
        take it for good, and not come back.
        """
        if self.closed:
            return
        self.closed = True
        self._connection.close(CloseCode.NORMAL)
        if not self._connection.closed:
            self._engine.timers.after(GRACE, self._connection.cut)
        self._engine.ended(self, reason or self._engine.reason.SERVER_DISCONNECT)
