"""Socket.IO packets as clients send them, read without trusting a character."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from socketio.packet import Packet

from vws.transport import strict_json

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
    """A packet; ``valid`` is False when its payload could not be read, and ``data`` is None then.

    ``event`` is the name of the event even of an invalid one, as far as it could be told; ``size`` is the
    packet's length in characters.
    """

    kind: Kind
    namespace: str
    id: int | None
    data: Any
    valid: bool = True
    event: str = ""
    size: int = field(default=0, compare=False)


_PACKET = re.compile(
    r"([0-6])(?:(\d{1,4})-)?(?:(/[^,\[{]{0,100})(?:,|(?=[\[{]|\Z)))?(\d{1,15})?(?![\d/])(.*)", re.DOTALL
)
_EVENT_NAME = re.compile(r'\[\s*"(\w{1,32})"')


def decode(text: str) -> Incoming | None:
    """Read a packet; None when it is no Socket.IO packet at all."""
    match = _PACKET.fullmatch(text)
    if match is None:
        return None
    kind, _, namespace, packet_id, body = match.groups()
    name = _EVENT_NAME.match(body)
    frame = Incoming(
        Kind(int(kind)),
        (namespace or "/").partition("?")[0],
        int(packet_id) if packet_id else None,
        None,
        valid=False,
        size=len(text),
        event=name[1] if name else "",
    )
    return _with_payload(frame, body)


def _with_payload(frame: Incoming, body: str) -> Incoming:
    try:
        data = strict_json.loads(body) if body else None
    except ValueError:
        return frame
    if frame.kind is Kind.EVENT:
        if not (isinstance(data, list) and data and isinstance(data[0], str)):
            return frame
        return replace(frame, data=data, valid=True, event=data[0])
    return replace(frame, data=data, valid=True)
