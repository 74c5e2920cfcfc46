"""What the load generator says and hears: WebSocket, Engine.IO and Socket.IO by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["PONG", "Heard", "event", "frame", "payloads", "scan", "upgrade_request"]

MASK = bytes.fromhex("1b2d4c8e")
"""One mask for every frame: they are made once, and a server cannot tell."""

TEXT = 0x81
PING = b"2"

BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
    "Pragma: no-cache\r\nCache-Control: no-cache\r\nOrigin: https://example.com\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)
"""What a browser adds to the handshake; servers may keep it, so it belongs to the memory of a connection."""


class Heard(NamedTuple):
    """What was in a piece of a server's stream: packets that are no pings, pings, and bytes used."""

    packets: int
    pings: int
    used: int


def frame(packet: str) -> bytes:
    """Return a masked text frame."""
    payload = packet.encode()
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0xFE, size >> 8, size & 255))
    key = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return bytes((TEXT,)) + length + MASK + masked.to_bytes(size, "big")


def event(name: str, *arguments: Any, ack: int | None = None) -> bytes:
    """Return the frame of a Socket.IO event, with the number of its acknowledgement if it wants one."""
    number = "" if ack is None else str(ack)
    return frame(f"42{number}{json.dumps([name, *arguments], separators=(',', ':'))}")


PONG = frame("3")


def upgrade_request(port: int) -> bytes:
    """Return a browser's request for a WebSocket."""
    return (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{BROWSER}"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def scan(data: bytes) -> Heard:
    """Count the complete frames at the beginning of a server's stream."""
    at = used = packets = pings = 0
    end = len(data)
    while at + 2 <= end:
        size = data[at + 1]
        at += 2
        if size > 125:
            more = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + more], "big")
            at += more
        at += size
        if at > end:
            break
        if size > 1:
            packets += 1
        else:
            pings += 1
        used = at
    return Heard(packets, pings, used)


def payloads(data: bytes) -> Iterator[bytes]:
    """Give the payloads of complete frames, pings left out."""
    at = 0
    while at < len(data):
        size = data[at + 1]
        at += 2
        if size > 125:
            more = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + more], "big")
            at += more
        if size > 1:
            yield data[at : at + size]
        at += size
