"""The WebSocket handshake as Socket.IO clients make it, without any I/O: a head in, its answer out.

Whatever is not exactly that is left to the web server, which knows HTTP better.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple
from urllib.parse import parse_qs

__all__ = ["BEGINNING", "END", "Handshake", "read"]

BEGINNING, END = b"GET /socket.io/?", b"\r\n\r\n"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_SIZE = 16
SPECIAL = frozenset({"content-length", "transfer-encoding", "expect"})
"""Headers that announce more than a head."""


class Handshake(NamedTuple):
    """A request for a new session over a WebSocket; ``environ`` has what tells its client's address."""

    answer: bytes
    origin: str
    environ: dict[str, str]


def read(head: bytes, peer: str) -> Handshake | None:
    """Read a whole head, its empty line included; None unless it is a handshake for a new session."""
    try:
        first, *lines = head.decode("ascii").split("\r\n")[:-2]
    except UnicodeDecodeError:
        return None
    headers = _headers(lines)
    if headers is None or not _asks_for_session(first) or not _asks_for_websocket(headers):
        return None
    key = headers.get("sec-websocket-key", "")
    if not _is_key(key):
        return None
    environ = {"REMOTE_ADDR": peer}
    if "x-forwarded-for" in headers:
        environ["HTTP_X_FORWARDED_FOR"] = headers["x-forwarded-for"]
    return Handshake(_answer(key), headers.get("origin", ""), environ)


def _headers(lines: list[str]) -> dict[str, str] | None:
    """Return the headers by lower-case name; None when one comes twice or is no header."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name.replace("-", "").isalnum() or name in headers or not value.isprintable():
            return None
        headers[name] = value.strip()
    return None if SPECIAL & headers.keys() else headers


def _asks_for_session(first: str) -> bool:
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    query = parse_qs(target.partition("?")[2])
    wanted = query.get("EIO") == ["4"] and query.get("transport") == ["websocket"]
    return method == "GET" and version == "HTTP/1.1" and wanted and not ({"sid", "j"} & query.keys())


def _asks_for_websocket(headers: dict[str, str]) -> bool:
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    upgrade = headers.get("upgrade", "").lower() == "websocket" and "upgrade" in options
    return upgrade and headers.get("sec-websocket-version") == "13" and "host" in headers


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def _answer(key: str) -> bytes:
    digest = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + END
    )
