"""Engine.IO connections that survive their clients: whatever arrives, whatever is not read.

Subclasses of python-engineio's server and socket, which go on serving both transports.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import engineio
import gevent
from engineio import exceptions, packet, payload, socket
from gevent.event import Event
from gevent.lock import BoundedSemaphore

__all__ = ["Connection", "Engine"]

payload.Payload.max_decode_packets = 2048
"""Packets in one POST: a client that joins a busy room by polling sends hundreds of candidates in one."""

BURST = 8
"""How many times the bound on what waits a burst may reach; from half of that on, peers are refused."""

STALLED = 5
"""Seconds without progress after which a client for whom too much waits is dropped."""

NOT_READING = "client does not read"

TURN = 16
"""Packets of one request that are handled before other clients have their turn."""

BODY_TIMEOUT = 10
"""Seconds that the body of a request may take to arrive."""

PROBE_TIMEOUT = 3.0
"""Seconds for an answer to a ping out of turn, and for the probe of an upgrade."""

SWEEP_EVERY = 0.5
GRACE = 2.0
"""Seconds that a closed connection has for its last words before it is cut."""


class Connection(socket.Socket):  # type: ignore[misc]  # python-engineio has no type information
    """One client's Engine.IO session, over long polling or a WebSocket."""

    server: Engine

    def __init__(self, server: Engine, sid: str) -> None:
        super().__init__(server, sid)
        self.public_id: str = server.generate_id()
        self.address = ""
        self.turn = BoundedSemaphore(1)
        self.deadline: float | None = None
        self.renew_deadline()
        self._unread = 0
        self._progress = time.monotonic()
        self._lost = False
        self._posting = False
        self._received = 0
        self.connects = self.refusals = 0
        self._silent = False
        self._heard = Event()
        self._ws: Any = None

    def renew_deadline(self) -> None:
        """Give the client some time to authenticate; without a deadline it needn't."""
        self.deadline = time.monotonic() + self.server.connect_timeout

    def overdrawn(self, connects: int, refusals: int) -> bool:
        """Say whether the client has tried to connect too often, or for too long."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or self.connects > connects or self.refusals >= refusals

    # --- what arrives ---

    def receive(self, pkt: Any) -> None:
        self._silent = False
        self._heard.set()
        self._received += 1
        if not self.upgraded and self._received % TURN == 0:
            gevent.sleep(0)  # a request may hold thousands of packets
        super().receive(pkt)

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        if self._posting:
            raise exceptions.EngineIOError("one request at a time")
        self._posting = True
        try:
            environ["wsgi.input"] = BytesIO(self._read_body(environ))
            super().handle_post_request(environ)
        except exceptions.EngineIOError:
            raise
        except Exception as error:  # a length, an encoding or a packet that makes no sense
            raise exceptions.EngineIOError("malformed request") from error
        finally:
            self._posting = False

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if not 0 <= length <= self.server.max_http_buffer_size:
            raise exceptions.ContentTooLongError
        with gevent.Timeout(BODY_TIMEOUT, exceptions.EngineIOError("slow body")):
            return bytes(environ["wsgi.input"].read(length))

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Upgrade once, and one at a time: sockets that wait for their probe are not in any count."""
        if self._ws is not None or self.closed:
            return self.server._bad_request("already upgrading")  # noqa: SLF001 - the server's own answer
        return super()._upgrade_websocket(environ, start_response)

    def _websocket_handler(self, ws: Any) -> Any:
        self._ws = ws._sock  # noqa: SLF001 - the driver's only handle on the connection
        gevent.spawn_later(PROBE_TIMEOUT, self._give_up_upgrade, self._ws)
        try:
            self._ws.open()
            return super()._websocket_handler(_Checked(ws, self))
        finally:
            if not self.upgraded:
                self._ws = None

    def _give_up_upgrade(self, ws: Any) -> None:
        if not self.upgraded:
            ws.cut()

    def answers(self) -> bool:
        """Ask the client for a sign of life and wait for it, three seconds at most.

        One that did not answer is not asked again until it is heard of. One whose own event waits (for such
        an answer, or a login) counts as alive: what it sends meanwhile is not read.
        """
        if self.turn.locked():
            return True
        if not (self._silent or self.closed or self.closing):
            self._heard.clear()
            self.send(packet.Packet(packet.PING))
            self._silent = not self._heard.wait(PROBE_TIMEOUT)
        return not (self._silent or self.closed or self.closing)

    # --- what is sent ---

    def send(self, pkt: Any) -> None:
        """Queue a packet, without ever giving way to another greenlet: messages keep their order.

        A client that cannot be sent a message any more is dropped: it would not know what it missed.
        """
        if self.closed or self._lost or (self.closing and pkt.packet_type != packet.CLOSE):
            return
        self._lost = self._unread > self.server.max_send_buffer * BURST
        if self._lost:  # from a greenlet of its own: this one is busy with another client's event
            gevent.spawn(self.close, abort=True, reason=NOT_READING)
        else:
            self._unread += _size(pkt)
            self.queue.put(pkt)

    @property
    def busy(self) -> bool:
        """Whether so much waits for the client that its peers must not send it more."""
        return self._unread > self.server.max_send_buffer * BURST // 2

    def is_stalled(self, now: float) -> bool:
        """Say whether too much waits for the client, and has for some time without any of it being read."""
        return self._unread > self.server.max_send_buffer and now - self._progress > STALLED

    def progressed(self) -> None:
        """Note that the client has taken something."""
        self._progress = time.monotonic()

    def poll(self) -> list[Any]:
        self.progressed()  # it asks for more, or all of what it was given has been sent
        packets: list[Any] = super().poll()
        if not packets:
            self.queue.put(None)  # the end is for everybody who waits, a second poll included
        self._unread -= sum(map(_size, packets))
        return packets

    # --- the end ---

    def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        """End the session at once; never waits for a client that may not be reading."""
        if self.closed or self.closing:
            return
        self.server.count(self, -1)
        super().close(wait=False, abort=abort, reason=reason)
        if self._ws is not None:
            gevent.spawn_later(0 if abort else GRACE, self._ws.cut)

    def is_overdue(self, now: float) -> bool:
        """Say whether the client left a ping unanswered for too long."""
        if self.turn.locked():  # its answer may lie unread behind an event that waits
            return False
        return bool(self.last_ping) and now - self.last_ping > self.server.ping_timeout


class _Checked:
    """A WebSocket that lets only Engine.IO packets through; python-engineio trusts what it reads."""

    def __init__(self, ws: Any, connection: Connection) -> None:
        self._ws = ws
        self._connection = connection
        self.close = ws.close

    def send(self, message: str) -> None:
        self._ws.send(message)
        self._connection.progressed()

    def wait(self) -> str | None:
        while True:
            data = self._ws.wait()
            if isinstance(data, str) and data[:1] in _PACKET_TYPES and data:
                return data
            if data is None:  # in the middle of an upgrade python-engineio expects a packet
                return _NOOP if self._connection.upgrading else None
            if isinstance(data, str):
                self._ws.close()


_PACKET_TYPES = "0123456"
_NOOP = "6"


def _size(pkt: Any) -> int:
    return len(pkt.data) if isinstance(pkt.data, str) else 0


class Engine(engineio.Server):  # type: ignore[misc]  # python-engineio has no type information
    """Engine.IO server; one greenlet looks after all pings and deadlines."""

    def __init__(
        self,
        *args: Any,
        max_send_buffer: int = 1_048_576,
        connect_timeout: float = 10,
        address_of: Callable[[dict[str, Any]], str] = lambda environ: str(environ.get("REMOTE_ADDR", "")),
        **options: Any,
    ) -> None:
        super().__init__(*args, monitor_clients=False, **options)
        self.max_send_buffer = max_send_buffer
        self.connect_timeout = connect_timeout
        self.closing = False
        self.address_of = address_of
        self.addresses: Counter[str] = Counter()
        self._sweeper: gevent.Greenlet[..., None] | None = None

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request; a session that is closed, and not swept yet, is already unknown."""
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0]
        connection = self.sockets.get(sid)
        if connection is not None and connection.closed:
            del self.sockets[sid]
        return super().handle_request(environ, start_response)

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        if self._sweeper is None:  # here and not at start: gunicorn forks in between
            self._sweeper = gevent.spawn(self._sweep_for_ever)
        connection = Connection(self, self.generate_id())
        connection.address = self.address_of(environ)
        self.sockets[connection.sid] = connection
        self.count(connection, 1)
        connection.send(self._open_packet(connection.sid, transport))
        self._trigger_event("connect", connection.sid, environ, run_async=False)
        connection.schedule_ping()
        if transport == "websocket":
            return self._serve(connection, environ, start_response)
        connection.connected = True
        return self._ok(connection.poll(), jsonp_index=jsonp_index)

    def count(self, connection: Connection, change: int) -> None:
        """Keep the number of open connections of each address."""
        self.addresses[connection.address] += change
        if not self.addresses[connection.address]:
            del self.addresses[connection.address]

    def _serve(self, connection: Connection, environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return connection.handle_get_request(environ, start_response)
        finally:
            connection.close(abort=True, reason=self.reason.TRANSPORT_CLOSE)
            self.sockets.pop(connection.sid, None)

    def _open_packet(self, sid: str, transport: str) -> packet.Packet:
        return packet.Packet(
            packet.OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingInterval": int(self.ping_interval * 1000),
                "pingTimeout": int(self.ping_timeout * 1000),
                "maxPayload": self.max_http_buffer_size,
            },
        )

    def _sweep_for_ever(self) -> None:
        while True:
            gevent.sleep(SWEEP_EVERY)
            self._sweep(time.time(), time.monotonic())

    def _sweep(self, now: float, monotonic: float) -> None:
        for connection in list(self.sockets.values()):
            if connection.closed:
                self.sockets.pop(connection.sid, None)
            elif connection.is_overdue(now):
                connection.close(reason=self.reason.PING_TIMEOUT)
            elif connection.is_stalled(monotonic):
                connection.close(abort=True, reason=NOT_READING)
            elif connection.deadline is not None and monotonic > connection.deadline:
                connection.close(reason="client did not authenticate")

    def shut_down(self) -> None:
        """Close every connection, telling its client, and accept no more."""
        self.closing = True
        for connection in list(self.sockets.values()):
            connection.close(reason=self.reason.SERVER_DISCONNECT)
