"""WebSocket frames (RFC 6455) without any I/O: bytes in, messages out, bounded before they are buffered."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # installed without its C extension: right, but ten times slower
    from websockets.utils import apply_mask

__all__ = [
    "CloseCode",
    "Decoder",
    "Frame",
    "FrameError",
    "Opcode",
    "encode",
    "encode_close",
    "encode_text",
    "payload_of",
    "text_header",
]


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


# A header, as section 5.2 draws it: two bytes, none or 2 or 8 of a longer length, 4 of the mask.
FIN, MASKED, LENGTH = 0x80, 0x80, 0x7F
WHOLE_TEXT = FIN | Opcode.TEXT
LENGTH_16, LENGTH_64 = 126, 127
MIN_16, MIN_64 = 126, 65_536
MASK_SIZE = 4
MAX_CONTROL = 125

MADE = 1024
"""Text messages shorter than this (bytes) have their header made in advance."""

# First bytes that are allowed: no reserved bits, nothing unknown, no fragments of control frames.
_OPENINGS = {
    final | opcode: opcode for opcode in Opcode for final in (0, FIN) if final or opcode < Opcode.CLOSE
}


class Frame(NamedTuple):
    """A binary message, its fragments joined, or a control frame. A close's payload is checked."""

    opcode: Opcode
    data: bytes


class FrameError(Exception):
    """The peer broke the protocol; ``code`` is what its connection is closed with."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code


Item = bytes | Frame | FrameError


class Decoder:
    """Takes a client's bytes as they come; ``max_size`` bounds a message, all fragments together.

    ``max_size`` may be changed at any time; it counts from the next `feed` on.
    """

    __slots__ = ("_buffer", "_ended", "_fragments", "_kind", "_wanted", "max_size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._buffer: bytearray | None = None  # the start of a frame whose rest is to come
        self._wanted = 0  # bytes in the buffer before it is worth looking again
        self._fragments: bytearray | None = None
        self._kind: Opcode | None = None  # of the message whose fragments are coming
        self._ended = False

    def feed(self, data: bytes) -> list[Item]:
        """Return what is complete: text as bytes that are UTF-8, anything else as a `Frame`.

        A broken rule comes last, as a `FrameError`. Nothing is returned after it, nor after a close frame.
        """
        found: list[Item] = []
        try:
            at = 0 if self._buffer is None else self._complete(data, found)
            self._take(data, at, found)
        except FrameError as error:
            found.append(error.with_traceback(None))  # or it would hold on to everything here
            self.end()
        return found

    def _complete(self, data: bytes, found: list[Item]) -> int:
        """Take the frame whose start is in the buffer, if its end is here; return where the next starts."""
        at = 0
        while self._buffer is not None and at < len(data):
            missing = self._wanted - len(self._buffer)
            self._buffer += data[at : at + missing]
            at += missing
            if at <= len(data):
                frame, self._buffer = bytes(self._buffer), None
                self._take(frame, 0, found)
        return at

    def _take(self, data: bytes, at: int, found: list[Item]) -> None:
        while at < len(data) and not self._ended:
            if self._kind is None:
                at = self._take_texts(data, at, found)
            if at < len(data):
                at = self._take_frame(data, at, found)

    def _take_texts(self, data: bytes, at: int, found: list[Item]) -> int:
        """Take whole text messages while they follow each other; return where something else starts.

        This is the path of nearly every message. What it does not know is left to `_take_frame`.
        """
        end, max_size = len(data), self.max_size
        while at + 6 <= end and data[at] == WHOLE_TEXT:
            start, length = at + 6, data[at + 1] - MASKED
            if length == LENGTH_16:
                start, length = at + 8, data[at + 2] << 8 | data[at + 3]
                if length < MIN_16:
                    break
            elif not 0 <= length < LENGTH_16:
                break
            stop = start + length
            if stop > end or length > max_size:
                break
            text = apply_mask(data[start:stop], data[start - MASK_SIZE : start])
            found.append(text if text.isascii() else _checked_text(text))
            at = stop
        return at

    def _take_frame(self, data: bytes, at: int, found: list[Item]) -> int:
        """Take one frame of any kind, or keep what there is of it; return where the next one starts."""
        start, length = self._read_header(data, at)
        stop = start + length
        if stop > len(data):
            self._buffer, self._wanted = bytearray(data[at:]), stop - at
            return len(data)
        opcode, final = _OPENINGS[data[at]], data[at] & FIN
        payload = apply_mask(data[start:stop], data[start - MASK_SIZE : start])
        if opcode >= Opcode.CLOSE:
            found.append(self._control(opcode, payload))
        elif final:
            found.append(self._whole(opcode, payload))
        else:
            self._keep(opcode, payload)
        return stop

    def _read_header(self, data: bytes, at: int) -> tuple[int, int]:
        """Return where a frame's payload starts and its length; every rule is checked that can be by now.

        While that takes more bytes than there are, return how far they have to reach, and 0.
        """
        start = at + 2
        if len(data) < start:
            return start, 0
        opcode = _checked_opening(data[at], data[at + 1])
        length = data[at + 1] & LENGTH
        if length >= LENGTH_16:
            start += 2 if length == LENGTH_16 else 8
            if len(data) < start:
                return start, 0
            length = _checked_length(data[at + 2 : start])
        if opcode < Opcode.CLOSE:
            self._check_place(opcode, length)
        return start + MASK_SIZE, length

    def _check_place(self, opcode: Opcode, length: int) -> None:
        if (opcode is Opcode.CONTINUATION) != (self._kind is not None):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "fragments out of order")
        if length + len(self._fragments or b"") > self.max_size:
            raise FrameError(CloseCode.TOO_BIG, f"a message may take {self.max_size} bytes")

    def _control(self, opcode: Opcode, payload: bytes) -> Frame:
        if opcode is Opcode.CLOSE:
            _check_close(payload)
            self.end()
        return Frame(opcode, payload)

    def _whole(self, opcode: Opcode, payload: bytes) -> bytes | Frame:
        if self._kind is not None:
            opcode, self._kind = self._kind, None
        if self._fragments is not None:
            payload, self._fragments = bytes(self._fragments + payload), None
        return _checked_text(payload) if opcode is Opcode.TEXT else Frame(opcode, payload)

    def _keep(self, opcode: Opcode, payload: bytes) -> None:
        self._kind = self._kind or opcode
        if self._fragments is None:
            self._fragments = bytearray()
        self._fragments += payload

    def end(self) -> None:
        """Take nothing more, and keep nothing of what has come."""
        self._ended = True
        self._buffer = self._fragments = None


def _checked_opening(first: int, second: int) -> Opcode:
    """Check a header's first two bytes, which say everything but how long a longer payload is."""
    opcode = _OPENINGS.get(first)
    if opcode is None:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "unknown opcode, reserved bits or cut control frame")
    if not second & MASKED:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "a client's frames must be masked")
    if opcode >= Opcode.CLOSE and second & LENGTH > MAX_CONTROL:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "a control frame may take 125 bytes")
    return opcode


def _checked_length(data: bytes) -> int:
    """Return a longer length, of 16 or 64 bits; it must have needed them and leave the first of 64 unset."""
    length = int.from_bytes(data, "big")
    if length < (MIN_16 if len(data) == 2 else MIN_64) or length >> 63:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "a length that is not in its shortest form")
    return length


def _checked_text(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        pass  # raising from here would keep the data as the error's context
    else:
        return data
    raise FrameError(CloseCode.INVALID_DATA, "text that is not UTF-8")


def _check_close(payload: bytes) -> None:
    """Check a close frame's code and reason, if it brings any (section 7.4, and IANA's registry of codes)."""
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise FrameError(CloseCode.PROTOCOL_ERROR, "no code to close with")
    _checked_text(payload[2:])


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """Make one whole unmasked frame, as servers send it."""
    return _header(FIN | opcode, len(payload)) + payload


def encode_text(payload: bytes) -> bytes:
    """Make a text message's frame: `encode`, with the usual headers made in advance."""
    return text_header(len(payload)) + payload


def text_header(size: int) -> bytes:
    """Return what comes before a text message of ``size`` bytes."""
    return _TEXT_HEADERS[size] if size < MADE else _header(WHOLE_TEXT, size)


def encode_close(code: CloseCode) -> bytes:
    """Make a close frame, without a reason in words."""
    return encode(Opcode.CLOSE, code.to_bytes(2, "big"))


def _header(first: int, size: int) -> bytes:
    if size < MIN_16:
        return bytes((first, size))
    if size < MIN_64:
        return bytes((first, LENGTH_16, size >> 8, size & 0xFF))
    return bytes((first, LENGTH_64)) + size.to_bytes(8, "big")


_TEXT_HEADERS = [_header(WHOLE_TEXT, size) for size in range(MADE)]


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a frame that `encode` made."""
    extended = {LENGTH_16: 4, LENGTH_64: 10}
    return frame[extended.get(frame[1], 2) :]
