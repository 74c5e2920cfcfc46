"""WebSocket frames (RFC 6455) without any I/O: bytes in, messages out, bounded before they are buffered."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["CloseCode", "Frame", "FrameError", "Opcode", "Reader", "encode"]


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_BIG = 1009


MAX_CONTROL = 125
FIN, RESERVED, OPCODE, MASKED, LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F


class FrameError(Exception):
    """The peer broke the protocol; ``code`` is what its connection is closed with."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole message, its fragments joined, or a control frame. Text is checked to be UTF-8."""

    opcode: Opcode
    data: bytes


class Reader:
    """Takes a client's bytes as they come; ``max_size`` bounds a message, all fragments together."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._fragmented: Opcode | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield what is complete; raise `FrameError` on a header that promises too much or breaks a rule."""
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            whole = self._assemble(*frame)
            if whole is not None:
                yield whole

    def _next_frame(self) -> tuple[Opcode, bool, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, final = self._check_header(buffer[0], buffer[1])
        start, length = self._length(buffer)
        if start == 0:
            return None
        self._check_length(opcode, length)
        if len(buffer) < start + 4 + length:
            return None
        mask = bytes(buffer[start : start + 4])
        payload = _unmask(bytes(buffer[start + 4 : start + 4 + length]), mask)
        del buffer[: start + 4 + length]
        return opcode, final, payload

    def _check_header(self, first: int, second: int) -> tuple[Opcode, bool]:
        if first & RESERVED:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "reserved bits without an extension")
        if not second & MASKED:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a client's frames must be masked")
        try:
            opcode = Opcode(first & OPCODE)
        except ValueError:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "unknown opcode") from None
        final = bool(first & FIN)
        if opcode >= Opcode.CLOSE and (not final or second & LENGTH > MAX_CONTROL):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "control frames are short and whole")
        return opcode, final

    def _length(self, buffer: bytearray) -> tuple[int, int]:
        """Return where the mask starts and the payload's length; a start of 0 means: not there yet."""
        short = buffer[1] & LENGTH
        if short < 126:
            return 2, short
        size = 2 if short == 126 else 8
        if len(buffer) < 2 + size:
            return 0, 0
        return 2 + size, int.from_bytes(buffer[2 : 2 + size], "big")

    def _check_length(self, opcode: Opcode, length: int) -> None:
        if opcode < Opcode.CLOSE and len(self._fragments) + length > self._max_size:
            raise FrameError(CloseCode.TOO_BIG, f"a message may take {self._max_size} bytes")

    def _assemble(self, opcode: Opcode, final: bool, payload: bytes) -> Frame | None:
        if opcode >= Opcode.CLOSE:
            return Frame(opcode, payload)
        if (opcode is Opcode.CONTINUATION) != (self._fragmented is not None):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "fragments out of order")
        kind = self._fragmented or opcode
        if not final:
            self._fragmented = kind
            self._fragments += payload
            return None
        whole = bytes(self._fragments) + payload
        self._fragmented = None
        self._fragments.clear()
        return _checked(kind, whole)


def _checked(opcode: Opcode, data: bytes) -> Frame:
    if opcode is Opcode.TEXT:
        try:
            data.decode()
        except UnicodeDecodeError:
            raise FrameError(CloseCode.INVALID_DATA, "text that is not UTF-8") from None
    return Frame(opcode, data)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR as one large number: some fifty times faster than byte by byte."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """Make one whole unmasked frame, as servers send it."""
    size = len(payload)
    if size < 126:
        header = struct.pack("!BB", FIN | opcode, size)
    elif size < 65_536:
        header = struct.pack("!BBH", FIN | opcode, 126, size)
    else:
        header = struct.pack("!BBQ", FIN | opcode, 127, size)
    return header + payload
