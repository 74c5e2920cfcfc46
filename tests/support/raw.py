"""A client below HTTP: bytes over a socket, for what no well-behaved client sends.

with Raw(server) as raw:
    raw.send(b"GET / HTTP/1.1\\r\\n")
    assert raw.status() == 400                # the answer's status; 0 when there was none
raw = Raw.websocket(server)                   # an open WebSocket without a namespace yet
raw.send(frame(TEXT, b"\\xff"))
assert raw.next_frame() == (TEXT, b'0{"sid":...}')
assert raw.close_code() == 1007
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
    "mask",
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


def frame(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: int = 1,
    reserved: int = 0,
    length: int | None = None,
    bits: int = 0,
    key: bytes | None = b"\0\0\0\0",
) -> bytes:
    """Make a client's frame; without a key it is not masked.

    ``length`` is what its header says, whatever there is; ``bits``, 7 or 16 or 64, is how long it says so, as
    short as possible unless given. ``reserved`` are the three bits after the first.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    bits = bits or (7 if size < 126 else 16 if size < 65_536 else 64)
    short = {7: size, 16: 126, 64: 127}[bits]
    more = b"" if bits == 7 else size.to_bytes(bits // 8, "big")
    header = bytes([fin << 7 | reserved << 4 | opcode, (key is not None) << 7 | short]) + more
    return header + (b"" if key is None else key) + (mask(data, key) if key else data)


def mask(data: bytes, key: bytes) -> bytes:
    """Mask data, or unmask it."""
    if not any(key):
        return data
    repeated = (key * (len(data) // 4 + 1))[: len(data)]
    return bytes(a ^ b for a, b in zip(data, repeated, strict=True))


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

    def head(self) -> str:
        """Read an answer's head; "" when the server closed without an answer."""
        return self.until(b"\r\n\r\n").decode("latin-1")

    def status(self) -> int:
        """Read an answer's head; return its status, 0 when the server closed without an answer."""
        head = self.head()
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

    def next_frame(self) -> tuple[int, bytes] | None:
        """Read a frame, as (opcode, payload); None when the connection ended before it was complete.

        AssertionError for a header that no server may send.
        """
        header = self._take(2)
        if len(header) < 2:
            return None
        assert not header[0] & 0x70, "reserved bits without an extension"
        assert not header[1] & 0x80, "a server's frames are not masked"
        size = header[1]
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        payload = self._take(size)
        return (header[0] & 0xF, payload) if len(payload) == size else None

    def _take(self, size: int) -> bytes:
        """Return this many bytes, or what there is before the end of the connection."""
        while len(self._read) < size and (more := self._more()):
            self._read += more
        data, self._read = self._read[:size], self._read[size:]
        return data

    def frames(self) -> list[tuple[int, bytes]]:
        """Read every frame up to the end of the connection, as (opcode, payload)."""
        return list(iter(self.next_frame, None))

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
