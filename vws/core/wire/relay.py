"""Relayed JSON: the server reads and replaces single members, the rest stays as it came, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, Encoder

from vws.core import strict_json
from vws.core.strict_json import MAX_DEPTH
from vws.errors import BadInput

__all__ = ["Body", "arguments", "encode", "is_text", "kept", "members", "raw", "split", "value"]

Body = dict[str, Raw]
"""The members of an object, their values JSON as it came."""

_LONGEST_NUMBER: Final = 4_096
_STRIDE: Final = 256
_DIGITS: Final = re.compile(rb"[0-9]{16}")
"""Every 256th byte of a number of 4,096 digits: at 4,300 Python gives up, and with it peers written in it."""

_event = Decoder(tuple[str, dict[str, Raw]]).decode
_object = Decoder(dict[str, Raw]).decode
_any = Decoder().decode

encode = Encoder().encode
"""Encode a body, and whatever was put into it, as JSON in UTF-8."""


def arguments(payload: bytes) -> list[Any]:
    """Decode an event, a JSON array that begins with its name, to its arguments; raise `BadInput`."""
    event = _loads(payload)
    if not isinstance(event, list):
        raise BadInput("an event must be an array")
    return event[1:]


def split(payload: bytes) -> Body | None:
    """Take an event's only argument apart, an object; None where msgspec can not; raise `BadInput`."""
    size = len(payload)
    # `replace` jumps from one to the next, where `count` would look at every byte
    brackets = 2 * size - len(payload.replace(b"{", b"")) - len(payload.replace(b"[", b""))
    if brackets > MAX_DEPTH or (size > _LONGEST_NUMBER and _DIGITS.search(payload[::_STRIDE])):
        _loads(payload)  # msgspec lets deep nesting and long numbers through
    try:
        return _event(payload)[1]
    except (DecodeError, RecursionError):
        return None


def members(member: Raw | None) -> Body | None:
    """Take a member that is an object apart; None for anything else; raise `BadInput`."""
    if member is None or bytes(member)[:1] != b"{":
        return None
    try:
        return _object(member)
    except DecodeError:
        return kept(value(member))


def kept(decoded: Mapping[str, Any]) -> Body:
    """Make a body of an object that is decoded; raise `BadInput` for keys that are no text."""
    if not all(map(is_text, decoded)):
        raise BadInput("keys must be text")
    return {key: raw(member) for key, member in decoded.items()}


def value(member: Raw | None) -> Any:
    """Decode a member; one that is missing is None; raise `BadInput`."""
    if member is None:
        return None
    try:
        return _any(member)
    except DecodeError:
        return _loads(bytes(member))


def raw(decoded: Any) -> Raw:
    """Encode a member, halves of surrogate pairs included, which msgspec neither reads nor writes."""
    return Raw(strict_json.dumps(decoded).encode())


def is_text(string: str) -> bool:
    """Say whether UTF-8 can spell it: lone surrogates, which JSON can hold, are no text."""
    return string.isascii() or not any("\ud800" <= char <= "\udfff" for char in string)


def _loads(text: bytes) -> Any:
    try:
        return strict_json.loads(text.decode())
    except (ValueError, RecursionError):
        raise BadInput("payload is not JSON that this server accepts") from None
