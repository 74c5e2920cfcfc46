"""Socket.IO packets as clients send them, read without trusting a character."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from socketio.packet import Packet

from vws.core import strict_json

__all__ = ["Incoming", "Kind", "TextPacket", "decode"]


class Kind(IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


class TextPacket(Packet):  # type: ignore[misc]  # python-socketio is untyped
    """Outgoing packets never have attachments: looking for some would cost a walk through each payload."""

    uses_binary_events = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """A packet. An event's ``payload`` is its JSON array as it came; a CONNECT's is decoded in ``data``.

    Of other packets nobody wants to know what they hold, and reading it could take long.

    ``event`` is the event's name, None where it could not be told.
    """

    kind: Kind
    namespace: str
    id: int | None
    event: str | None = None
    payload: bytes = b""
    data: Any = None


_PACKET = re.compile(
    r"([0-6])(?:(\d{1,4})-)?(?:(/[^,\[{]{0,100})(?:,|(?=[\[{]|\Z)))?(\d{1,15})?(?![\d/])(.*)", re.DOTALL
)
_EVENT_NAME = re.compile(r'\[\s*"(\w{1,32})"')
_ODD_NAME = re.compile(r'\[\s*("(?:[^"\\]|\\.)*+")')


def decode(text: str) -> Incoming | None:
    """Read a packet; None when it is no Socket.IO packet at all."""
    match = _PACKET.fullmatch(text)
    if match is None:
        return None
    digit, _, namespace, number, body = match.groups()
    kind, where = Kind(int(digit)), (namespace or "/").partition("?")[0]
    packet_id = int(number) if number else None
    if kind in (Kind.EVENT, Kind.BINARY_EVENT):
        return Incoming(kind, where, packet_id, _name(body), body.encode())
    return Incoming(kind, where, packet_id, data=_data(body) if kind is Kind.CONNECT else None)


def _name(body: str) -> str | None:
    """Return an event's name, without reading what follows: nobody has been charged for it yet."""
    match = _EVENT_NAME.match(body)
    if match is not None:
        return match[1]
    match = _ODD_NAME.match(body)
    name = _data(match[1]) if match is not None else None
    return name if isinstance(name, str) else None


def _data(body: str) -> Any:
    try:
        return strict_json.loads(body) if body else None
    except ValueError:
        return None
