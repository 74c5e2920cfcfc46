"""JSON for Socket.IO packets: what one client sends must be JSON for every other client, too.

Python reads and writes ``NaN`` and infinities, which end a browser's connection when they are relayed to
it, and nests as deep as its stack goes. A drop-in for the ``json`` option of python-socketio.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from itertools import accumulate
from typing import Any

__all__ = ["MAX_DEPTH", "dumps", "loads"]

MAX_DEPTH = 32
"""Objects within each other, and arrays likewise: mixed they reach twice that. An offer has five levels."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""Also without its closing quote, and possessive: each character is read once, whatever comes."""

_EVERY_BYTE = bytes(range(256))


def loads(text: str) -> Any:
    """Decode JSON; raise ValueError for anything that isn't, or that nests deeper than `MAX_DEPTH`."""
    if _too_deep(text):
        raise ValueError("nested too deep")
    return _decoder.decode(text)


def dumps(value: Any, **_options: Any) -> str:
    """Encode as compact ASCII; raise ValueError for numbers that JSON does not have."""
    return _encoder.encode(value)


def _too_deep(text: str) -> bool:
    """Count what is open at each bracket: no recursion, and the same time whatever comes.

    Closing what is not open may hide something deeper behind it, where decoding never gets.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    bare = _STRING.sub("", text).encode("utf-8", "surrogatepass")
    return any(_deepest(bare, brackets) > MAX_DEPTH for brackets in (b"[]", b"{}"))


def _deepest(text: bytes, brackets: bytes) -> int:
    """Return how many brackets of a kind are open within each other at most."""
    others = _EVERY_BYTE.translate(None, brackets)
    steps = array("b", text.translate(bytes.maketrans(brackets, b"\x01\xff"), others))  # 1 and -1
    return max(accumulate(steps), default=0)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)
_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
