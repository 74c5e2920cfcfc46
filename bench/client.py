"""One client of the load: it connects, joins, answers pings and counts what arrives."""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from bench.wire import PONG, frame, payloads, scan, upgrade_request

if TYPE_CHECKING:
    from bench.loop import Loop

__all__ = ["Client", "Stage"]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
CHUNK = 1 << 15  # more would have the allocator map and unmap memory for each read
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Stage(IntEnum):
    """How far a client has come; the order is that of connecting."""

    CONNECTING = 0
    SECURING = 1
    UPGRADING = 2
    OPENING = 3
    JOINING = 4
    READY = 5
    CLOSED = 6


def _ignore(_client: Client, _packets: int) -> None:
    """Be the listener of a client whose packets nobody waits for."""


class Client:
    """A connection to the server under load.

    ``on_packets`` is called with the number of packets that arrived, pings left out; while ``inbox`` is a
    list they are kept there as well.
    """

    __slots__ = ("_auth", "_loop", "_out", "_rest", "_socket", "inbox", "on_packets", "sid", "stage")

    def __init__(self, loop: Loop, auth: object) -> None:
        self._loop = loop
        self._auth = auth
        self._out = b""
        self._rest = b""
        self.sid = ""
        self.stage = Stage.CONNECTING
        self.inbox: list[bytes] | None = None
        self.on_packets: Callable[[Client, int], None] = _ignore
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(("127.0.0.1", loop.port))

    def fileno(self) -> int:
        return self._socket.fileno()

    # Output

    def send(self, data: bytes) -> None:
        """Send now what the socket takes, the rest as soon as it takes more."""
        if self._out:
            self._out += data
            return
        try:
            sent = self._socket.send(data)
        except WOULD_BLOCK:
            sent = 0
        except OSError as error:
            self._lose(str(error))
            return
        if sent < len(data):
            self._out = data[sent:]
            self._loop.watch(self, READ | WRITE)

    def _flush(self) -> None:
        data, self._out = self._out, b""
        self.send(data)
        if not self._out and self.stage is not Stage.CLOSED:
            self._loop.watch(self, READ)

    # Events of the socket

    def ready(self, mask: int) -> None:
        """Do what epoll says can be done."""
        if self.stage <= Stage.SECURING:
            self._connect()
            return
        if mask & WRITE:
            self._flush()
        if mask & ~WRITE and self.stage is not Stage.CLOSED:
            self._read()

    def _connect(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._lose(f"errno {error} while connecting")
        elif self._loop.tls is None or self._secure(self._loop.tls):
            self.stage = Stage.UPGRADING
            self._loop.watch(self, READ)
            self.send(upgrade_request(self._loop.port))

    def _secure(self, context: ssl.SSLContext) -> bool:
        """Go on with the TLS handshake; True when it is done."""
        if not isinstance(self._socket, ssl.SSLSocket):
            self.stage = Stage.SECURING
            self._socket = context.wrap_socket(
                self._socket, do_handshake_on_connect=False, server_hostname="localhost"
            )
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(self, READ)
            return False
        except OSError as failure:
            self._lose(str(failure))
            return False
        return True

    def _read(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except WOULD_BLOCK:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if not data:
            self._lose("closed by the server")
            return
        if self._rest:
            data = self._rest + data
        if self.stage is Stage.UPGRADING:
            self._upgraded(data)
        else:
            self._take(data)

    def _upgraded(self, data: bytes) -> None:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._rest = data
        elif head.startswith(b"HTTP/1.1 101"):
            self._rest = b""
            self.stage = Stage.OPENING
            self._take(rest)
        else:
            self._lose(head.split(b"\r\n")[0].decode(errors="replace"))

    def _take(self, data: bytes) -> None:
        packets, pings, used = scan(data)
        self._rest = data[used:]
        if pings:
            self._loop.pings += pings
            self.send(PONG)
        if not packets:
            return
        if self.stage < Stage.READY:
            self._greet(data[:used])
        else:
            if self.inbox is not None:
                self.inbox.extend(payloads(data[:used]))
            self.on_packets(self, packets)

    def _greet(self, frames: bytes) -> None:
        for payload in payloads(frames):
            if payload.startswith(b"0"):
                self.stage = Stage.JOINING
                self.send(frame(f"40{json.dumps(self._auth)}"))
            elif payload.startswith(b"40"):
                self.stage = Stage.READY
                self.sid = json.loads(payload[2:])["sid"]
                self._loop.joined(self)
            elif payload.startswith(b"44"):
                self._lose(payload.decode(errors="replace"))

    # The end

    def close(self, *, reset: bool = False) -> None:
        """Close the socket: in order, or with ``reset`` as a network that breaks."""
        if self.stage is Stage.CLOSED:
            return
        self.stage = Stage.CLOSED
        self._loop.forget(self)
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._socket.close()

    def _lose(self, reason: str) -> None:
        joining = self.stage < Stage.READY
        if self.stage is not Stage.CLOSED:
            self.close()
            self._loop.lost(self, reason, joining=joining)
