"""A client below HTTP: bytes over a socket, for what no well-behaved client sends.

with Raw(server) as raw:
    raw.send(b"GET / HTTP/1.1\\r\\n")
    assert raw.status() == 400                # the answer's status; 0 when there was none
raw = Raw.websocket(server)                   # an open WebSocket without a namespace yet
raw.send(frame(TEXT, b"40"))
assert raw.close_code() == 1002
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct

from tests.support.server import Server

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "WEBSOCKET",
    "Raw",
    "frame",
    "request",
    "upgrade",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Make an HTTP/1.1 request; header names with `_` for `-`, the length given when there is a body."""
    fields = {"Host": "test", **({"Content_Length": str(len(body))} if body else {}), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def upgrade(path: str = WEBSOCKET, **headers: str) -> bytes:
    """Make the request that opens a WebSocket."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": base64.b64encode(os.urandom(16)).decode(),
        **headers,
    }
    return request("GET", path, b"", **fields)


def frame(opcode: int, payload: bytes | str = b"", *, fin: int = 1, length: int | None = None) -> bytes:
    """Make a masked frame; ``length`` is what its header says, whatever there is."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    first = bytes([fin << 7 | opcode])
    if size < 126:
        header = struct.pack("!B", 0x80 | size)
    elif size < 65_536:
        header = struct.pack("!BH", 0x80 | 126, size)
    else:
        header = struct.pack("!BQ", 0x80 | 127, size)
    return first + header + b"\0\0\0\0" + data


class Raw:
    """A TCP connection to the server; with ``tls`` None it is encrypted where the server's port is."""

    def __init__(self, server: Server, *, tls: bool | None = None, timeout: float = 15) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.ca if tls is None else tls:
            context = ssl.create_default_context(cafile=server.ca)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._read = b""

    @classmethod
    def websocket(cls, server: Server, path: str = WEBSOCKET, *, timeout: float = 15) -> Raw:
        """Open a WebSocket."""
        raw = cls(server, timeout=timeout)
        raw.send(upgrade(path))
        assert raw.status() == 101
        return raw

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def try_send(self, data: bytes) -> None:
        """Send what the server lets be sent: it may have closed already."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """Read up to and including these bytes, or to the end of the connection."""
        while end not in self._read and (more := self._more()):
            self._read += more
        head, found, self._read = self._read.partition(end)
        return head + found

    def status(self) -> int:
        """Read an answer's head; return its status, 0 when the server closed without an answer."""
        head = self.until(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0

    def all(self) -> bytes:
        """Read to the end of the connection; TimeoutError when the server does not end it."""
        while more := self._more():
            self._read += more
        data, self._read = self._read, b""
        return data

    def _more(self) -> bytes:
        try:
            return self.socket.recv(65_536)
        except ConnectionError:
            return b""

    def frames(self) -> list[tuple[int, bytes]]:
        """Read every frame up to the end of the connection, as (opcode, payload)."""
        data, found = self.all(), []
        while len(data) >= 2:
            size, start = data[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            found.append((data[0] & 0xF, data[start : start + size]))
            data = data[start + size :]
        return found

    def close_code(self) -> int | None:
        """Read to the end; return the code of the server's close frame, None when there was none."""
        codes = [int.from_bytes(data[:2], "big") for opcode, data in self.frames() if opcode == CLOSE]
        return codes[0] if codes else None

    def reset(self) -> None:
        """End the connection the way a crashed machine does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()
