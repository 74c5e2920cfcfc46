"""Long polling, served by python-engineio's own session, bounded where it trusts its client."""

from __future__ import annotations

import time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import gevent
from engineio import exceptions, packet, payload, socket

from vws.transport.clients import Client
from vws.transport.connection import NOT_READING
from vws.transport.frames import CloseCode, payload_of
from vws.transport.pulse import PROBE_TIMEOUT, Pulse
from vws.transport.upgrade import Probe

if TYPE_CHECKING:
    from vws.transport.engine import Engine

__all__ = ["PollingSession"]

payload.Payload.max_decode_packets = 2048
"""Packets in one POST: a client that joins a busy room by polling sends hundreds of candidates in one."""

TURN = 16
"""Packets of one request that are handled before other clients have their turn."""

MAX_POLLS = 2
"""Polls of a session that may wait at the same time; Socket.IO's own server takes one."""

BODY_TIMEOUT = 10
"""Seconds that the body of a request may take to arrive."""


class PollingSession(socket.Socket, Pulse):  # type: ignore[misc]  # python-engineio has no type information
    """One client's session over long polling, until it is upgraded."""

    server: Engine
    closing: bool
    last_ping: float | None

    def __init__(self, server: Engine, sid: str) -> None:
        socket.Socket.__init__(self, server, sid)
        Pulse.__init__(self)
        self.client: Client
        self.waiting = self._largest = 0
        self._posting = False
        self._polls = 0
        self._received = 0
        self._probe: Probe | None = None

    # --- what arrives ---

    def receive(self, pkt: Any) -> None:
        self.heard()
        self._received += 1
        if self._received % TURN == 0:
            gevent.sleep(0)  # a request may hold thousands of packets
        if pkt.packet_type == packet.MESSAGE:
            self._take(pkt.data)
        else:
            super().receive(pkt)

    def _take(self, data: object) -> None:
        """Hand a message over; the request waits while its client's events do."""
        if isinstance(data, str) and not self.closed:
            self.server.receive(self.client, b"4" + data.encode("utf-8", "surrogatepass"))
        while self.client.worker is not None and not self.closed:
            self.client.worker.join()

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

    # --- `clients.Session` ---

    def push(self, frame: bytes) -> None:
        self.send(packet.Packet(packet.MESSAGE, payload_of(frame)[1:].decode()))

    def send(self, pkt: Any) -> None:
        """Queue a packet, without ever giving way to another greenlet: messages keep their order.

        A client that cannot be sent a message any more is dropped: it would not know what it missed.
        """
        if self.closed or (self.closing and pkt.packet_type != packet.CLOSE):
            return
        size = _size(pkt)
        self.waiting += size
        self._largest = max(self._largest, size)  # which may wait for the next poll whatever its size
        if self.waiting - self._largest > self.server.max_send_buffer:
            gevent.spawn(self.close, abort=True, reason=NOT_READING)
        else:
            self.queue.put(pkt)

    def answers(self) -> bool:
        """See `WebSocketSession.answers`."""
        if self.client.busy and not self.closed:
            return True
        if self.closed or self.silent:
            return False
        self.send(packet.Packet(packet.PING))
        return self.wait() and not self.client.session.closed  # which may be another by now

    def pause(self) -> None:
        """Leave it to `_take`: requests wait for the client's events."""

    resume = admit = pause

    def poll(self) -> list[Any]:
        self._polls += 1
        self._end_polls()
        try:
            packets: list[Any] = super().poll()
        finally:
            self._polls -= 1
            self._end_polls()
        if not packets:
            self.queue.put(None)  # the end is for everybody who waits, a second poll included
        self.waiting -= sum(map(_size, packets))
        if not self.waiting:
            self._largest = 0
        return packets

    def _end_polls(self) -> None:
        """Answer the oldest poll when there are too many: its connection may have been left."""
        if self._polls > MAX_POLLS:
            self.queue.put(packet.Packet(packet.NOOP))

    # --- becoming a WebSocket ---

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ARG002
        """Upgrade once, and one at a time: sockets that wait for their probe are not in any count."""
        if self._probe is not None or self.closed:
            return self.server._bad_request("already upgrading")  # noqa: SLF001 - the server's own answer
        self._probe = Probe(self, environ)
        self.server.timers.after(PROBE_TIMEOUT, partial(self._give_up_upgrade, self._probe))
        return []

    def _give_up_upgrade(self, probe: Probe) -> None:
        if self._probe is probe and not self.upgraded:
            probe.give_up()

    def end_upgrade(self, probe: Probe) -> None:
        """Go on polling: the WebSocket came to nothing. Another may be on its way already."""
        if self._probe is probe:
            self._probe, self.upgrading = None, False

    def waiting_packets(self) -> list[Any]:
        """Return what was not polled for, for the WebSocket to send; ends polling."""
        self.heard()  # whoever asked here for a sign of life would wait for it in vain
        self.upgraded, self.upgrading = True, False
        packets = []
        while not self.queue.empty():
            packets.append(self.queue.get(block=False))
        self.closed = True
        self.queue.put(None)
        return [each for each in packets if each is not None and each.packet_type != packet.NOOP]

    # --- life and death ---

    def schedule_ping(self) -> None:
        """Ping some seconds after the last answer, by the timer that all share."""
        if self.last_ping:
            self.last_ping = None
            self.server.timers.after(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        if not (self.closing or self.closed):
            self.last_ping = time.monotonic()
            self.send(packet.Packet(packet.PING))
            self.server.timers.after(self.server.ping_timeout, self._check)

    def _check(self) -> None:
        overdue = self.last_ping and time.monotonic() - self.last_ping >= self.server.ping_timeout - 1
        if self.closed or not overdue:
            return
        if self.client.busy:  # its answer may wait behind an event that does
            self.server.timers.after(self.server.ping_timeout, self._check)
        else:
            self.close(reason=self.server.reason.PING_TIMEOUT)

    def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        """End the session at once; never waits for a client that may not be polling."""
        if self.closed or self.closing:
            return
        self.closing = True
        if not abort:
            self.send(packet.Packet(packet.CLOSE))
        self.closed = True
        self.queue.put(None)
        if self._probe is not None:
            self._probe.give_up(CloseCode.NORMAL)
        self.server.ended(self, reason or self.server.reason.SERVER_DISCONNECT)


def _size(pkt: Any) -> int:
    return len(pkt.data) if pkt is not None and isinstance(pkt.data, str) else 0
