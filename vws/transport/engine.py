"""The Engine.IO server: WebSockets by `WebSocketSession`, long polling by python-engineio's own code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import parse_qs

import engineio
from engineio import packet

from vws.transport.clients import Client, Session
from vws.transport.clock import Clock
from vws.transport.connection import Connection, Flusher
from vws.transport.frames import encode_text
from vws.transport.guests import GUEST
from vws.transport.polling import PollingSession
from vws.transport.session import WebSocketSession
from vws.transport.streams import Stream
from vws.transport.takeover import take_over

__all__ = ["Engine"]

MAX_BEFORE_CONNECT = 32_768
"""Bytes of a message that are taken before its sender is connected to a namespace."""

LAST_POLL = 0.5
"""Seconds in which a poll that is under way may take the last words of a session that has ended."""

AnySession = WebSocketSession | PollingSession


class Engine(engineio.Server):  # type: ignore[misc]  # python-engineio has no type information
    """``new_client``, ``receive`` and ``on_end`` are the Socket.IO server's: it hears of sessions there.

    ``max_send_buffer`` is the bytes that may wait for a client, ``address_of`` tells a client's address from
    its request's environ. ``addresses`` counts open sessions by address; once ``closing`` no more may come.
    """

    new_client: Callable[[Session, str], Client]
    receive: Callable[[Client, bytes], None]
    on_end: Callable[[Client, str], None]

    def __init__(
        self,
        *args: Any,
        max_send_buffer: int = 1_048_576,
        address_of: Callable[[dict[str, Any]], str] = lambda environ: str(environ.get("REMOTE_ADDR", "")),
        **options: Any,
    ) -> None:
        super().__init__(*args, monitor_clients=False, **options)
        self.max_send_buffer = max_send_buffer
        self.closing = False
        self.address_of = address_of
        self.addresses: Counter[str] = Counter()
        self.flusher = Flusher()
        self.timers = Clock()

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request; a session that has ended is unknown, as the base class fails on a post to one."""
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0]
        session = self.sockets.get(sid)
        if session is not None and session.closed:
            del self.sockets[sid]
            session = None
        with _held(environ if session else {}):
            return super().handle_request(environ, start_response)

    # --- beginning ---

    def _handle_connect(
        self,
        environ: dict[str, Any],
        start_response: Any,  # noqa: ARG002 - the base class's signature
        transport: str,
        jsonp_index: int | None = None,
    ) -> Any:
        address = self.address_of(environ)
        if transport == "websocket":
            if environ.get("wsgi.websocket") is None:  # without `Connection: Upgrade` nobody shook hands
                return self._bad_request("Invalid websocket upgrade")
            stream, early = take_over(environ)
            self.open(stream, early, address=address)
            return []
        session = PollingSession(self, self.generate_id())
        self._enter(session, address)
        session.send(packet.Packet(packet.OPEN, self._greeting(session.sid, transport)))
        session.schedule_ping()
        session.connected = True
        return self._ok(session.poll(), jsonp_index=jsonp_index)

    def open(self, stream: Stream, early: bytes = b"", *, address: str, answer: bytes = b"") -> None:
        """Begin a session over a WebSocket; ``answer`` is what its handshake still waits for."""
        connection = self.connection(stream)
        session = WebSocketSession(self, self.generate_id(), connection)
        self._enter(session, address)
        if answer:
            session.push(answer)
        greeting = json.dumps(self._greeting(session.sid, "websocket"), separators=(",", ":"))
        session.push(encode_text(b"0" + greeting.encode()))
        connection.start(early)

    def connection(self, stream: Stream) -> Connection:
        """Make a connection of a stream, bounded for a client that nobody knows yet."""
        return Connection(
            stream, flusher=self.flusher, max_size=MAX_BEFORE_CONNECT, max_waiting=self.max_send_buffer
        )

    def _enter(self, session: AnySession, address: str) -> None:
        self.sockets[session.sid] = session
        self.addresses[address] += 1
        session.client = self.new_client(session, address)

    def _greeting(self, sid: str, transport: str) -> dict[str, Any]:
        return {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingInterval": int(self.ping_interval * 1000),
            "pingTimeout": int(self.ping_timeout * 1000),
            "maxPayload": self.max_http_buffer_size,
        }

    def switch(self, polled: PollingSession, connection: Connection) -> None:
        """Put a WebSocket in the place of a session that was polled for; its client does not notice."""
        session = WebSocketSession(self, polled.sid, connection)
        session.client, polled.client.session = polled.client, session
        self.sockets[polled.sid] = session
        for each in polled.waiting_packets():
            session.send(each)
        if session.client.namespaces:
            session.admit()

    # --- ending ---

    def ended(self, session: AnySession, reason: str) -> None:
        """Hear that a session is over, once; one that is polled for counts until its last poll is done."""
        if isinstance(session, PollingSession):
            self.timers.after(LAST_POLL, lambda: self.forget(session))
        address = session.client.address
        self.addresses[address] -= 1
        if not self.addresses[address]:
            del self.addresses[address]
        self.on_end(session.client, reason)

    def forget(self, session: AnySession) -> None:
        """Forget a session whose connection is no more."""
        if self.sockets.get(session.sid) is session:
            del self.sockets[session.sid]

    def shut_down(self) -> None:
        """Close every session, telling its client, and accept no more."""
        self.closing = True
        for session in list(self.sockets.values()):
            session.close(reason=self.reason.SERVER_DISCONNECT)


def _held(environ: dict[str, Any]) -> AbstractContextManager[None]:
    """Count a request's connection as its session's; under another web server nothing is counted."""
    guest = environ.get(GUEST)
    return guest.held() if guest else nullcontext()
