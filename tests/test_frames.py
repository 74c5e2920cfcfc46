"""The WebSocket codec against the rules of RFC 6455, by frames made here from the RFC's own table."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vws.transport.frames import CloseCode, Frame, FrameError, Opcode, Reader, encode

LIMIT = 100_000
KEY = bytes.fromhex("37fa213d")  # of the RFC's example in section 5.7
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: int = 1, reserved: int = 0, key: bytes | None = KEY
) -> bytes:
    """Make a frame as section 5.2 draws it; without a key it is not masked."""
    return client_header(opcode, len(payload), fin=fin, reserved=reserved, key=key) + masked(payload, key)


def client_header(
    opcode: int, length: int, *, fin: int = 1, reserved: int = 0, key: bytes | None = KEY, wide: int = 0
) -> bytes:
    """Make a header; ``wide`` 16 or 64 writes the length in that many bits, also where it need not be."""
    wide = wide or (0 if length < 126 else 16 if length < 65_536 else 64)
    short = {0: length, 16: 126, 64: 127}[wide]
    first = fin << 7 | reserved << 4 | opcode
    more = length.to_bytes(wide // 8, "big") if wide else b""
    return bytes([first, (key is not None) << 7 | short]) + more + (key or b"")


def masked(payload: bytes, key: bytes | None = KEY) -> bytes:
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)) if key else payload


def read(data: bytes, *, size: int | None = None, limit: int = LIMIT) -> list[Any]:
    """Feed data in pieces; return the frames, then the code of the error that ended it, if one did."""
    reader = Reader(limit)
    found: list[Any] = []
    try:
        for start in range(0, len(data), size or max(1, len(data))):
            found.extend(reader.feed(data[start : start + (size or len(data))]))
    except FrameError as error:
        found.append(error.code)
    return found


def text(data: bytes) -> Frame:
    return Frame(Opcode.TEXT, data)


# --- what is well formed ---


def test_the_examples_of_the_rfc() -> None:
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == [text(b"Hello")]
    assert read(bytes.fromhex("898537fa213d7f9f4d5158")) == [Frame(Opcode.PING, b"Hello")]
    assert encode(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert encode(Opcode.PONG, b"Hello") == bytes.fromhex("8a0548656c6c6f")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536, LIMIT])
def test_every_form_of_length_is_read(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert read(client_frame(BINARY, payload[:size])) == [Frame(Opcode.BINARY, payload[:size])]


@pytest.mark.parametrize(
    ("size", "header"),
    [(0, "8200"), (125, "827d"), (126, "827e007e"), (65_535, "827effff"), (65_536, "827f0000000000010000")],
)
def test_every_form_of_length_is_written_in_its_shortest(size: int, header: str) -> None:
    assert encode(Opcode.BINARY, b"x" * size) == bytes.fromhex(header) + b"x" * size


@pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x01", KEY])
def test_every_key_unmasks(key: bytes) -> None:
    for size in range(9):
        assert read(client_frame(BINARY, b"\0\x01\xfe\xff" * 3 + b"x" * size, key=key)) == [
            Frame(Opcode.BINARY, b"\0\x01\xfe\xff" * 3 + b"x" * size)
        ]


def test_fragments_are_joined_and_control_frames_come_in_between() -> None:
    data = (
        client_frame(TEXT, b"one ", fin=0)
        + client_frame(PING, b"there?")
        + client_frame(CONTINUATION, b"two ", fin=0)
        + client_frame(PONG)
        + client_frame(CONTINUATION, b"", fin=0)
        + client_frame(CONTINUATION, b"three")
        + client_frame(TEXT, b"next")
    )
    control = [Frame(Opcode.PING, b"there?"), Frame(Opcode.PONG, b"")]
    assert read(data) == [*control, text(b"one two three"), text(b"next")]


def test_a_character_may_be_cut_by_fragments() -> None:
    cut = client_frame(TEXT, b"caf\xc3", fin=0) + client_frame(CONTINUATION, b"\xa9")
    assert read(cut) == [text(b"caf\xc3\xa9")]


def test_binary_fragments_stay_binary() -> None:
    cut = client_frame(BINARY, b"\xff", fin=0) + client_frame(CONTINUATION, b"\xfe")
    assert read(cut) == [Frame(Opcode.BINARY, b"\xff\xfe")]


# --- what breaks the protocol ---

BROKEN = {
    "not masked": client_frame(TEXT, b"hi", key=None),
    "not masked, empty": client_frame(PING, key=None),
    "reserved bit 1": client_frame(TEXT, b"hi", reserved=4),
    "reserved bit 2": client_frame(TEXT, b"hi", reserved=2),
    "reserved bit 3": client_frame(PING, reserved=1),
    **{f"opcode {code:#x}": client_frame(code) for code in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)},
    "a fragmented ping": client_frame(PING, fin=0),
    "a fragmented close": client_frame(CLOSE, fin=0),
    "a long ping": client_frame(PING, b"x" * 126),
    "a long close": client_frame(CLOSE, b"x" * 126),
    "a continuation of nothing": client_frame(CONTINUATION, b"hi"),
    "a continuation after the end": (
        client_frame(TEXT, fin=0) + client_frame(CONTINUATION) + client_frame(CONTINUATION)
    ),
    "a message within a message": client_frame(TEXT, b"a", fin=0) + client_frame(TEXT, b"b"),
    "a binary message within a text": client_frame(TEXT, b"a", fin=0) + client_frame(BINARY, b"b", fin=0),
    "a length with its first bit set": client_header(TEXT, 2**63, wide=64),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_ends_the_connection(data: bytes) -> None:
    too_big = len(data) > 10 and data[1] & 0x7F == 127
    expected = [Frame(Opcode.TEXT, b"")] if data.startswith(client_frame(TEXT, fin=0)) else []
    assert read(data) == [*expected, CloseCode.TOO_BIG if too_big else CloseCode.PROTOCOL_ERROR]
    assert read(data, size=1) == read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\xc3",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"ok\xff",
        b"\xe2\x82",
    ],
)
def test_text_that_is_not_utf_8_ends_the_connection(data: bytes) -> None:
    assert read(client_frame(TEXT, data)) == [CloseCode.INVALID_DATA]
    cut = client_frame(TEXT, data[:1], fin=0) + client_frame(CONTINUATION, data[1:])
    assert read(cut) == [CloseCode.INVALID_DATA]


def test_what_came_before_an_error_is_still_read() -> None:
    assert read(client_frame(TEXT, b"hi") + b"\xff\xff") == [text(b"hi"), CloseCode.PROTOCOL_ERROR]


# --- sizes ---


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31, 2**32, 2**40, 2**62])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_header_that_promises_too_much_is_refused_before_its_payload(opcode: int, length: int) -> None:
    assert read(client_header(opcode, length, key=KEY)) == [CloseCode.TOO_BIG]
    without_mask = client_header(opcode, length)[:-4]
    assert read(without_mask, size=1) == [CloseCode.TOO_BIG]


def test_fragments_count_together() -> None:
    half = b"x" * (LIMIT // 2)
    start = client_frame(TEXT, half, fin=0) + client_frame(CONTINUATION, half, fin=0)
    assert read(start + client_frame(CONTINUATION)) == [text(half + half)]
    assert read(start + client_header(CONTINUATION, 1)) == [CloseCode.TOO_BIG]


def test_the_limit_is_for_each_message_anew() -> None:
    full = client_frame(TEXT, b"x" * LIMIT)
    assert read(full + full) == [text(b"x" * LIMIT)] * 2


def test_lengths_written_longer_than_needed_do_not_get_around_a_limit() -> None:
    assert read(client_header(PING, 5, wide=16) + masked(b"Hello")) == [CloseCode.PROTOCOL_ERROR]
    assert read(client_header(TEXT, LIMIT + 1, wide=64)) == [CloseCode.TOO_BIG]


def test_endless_empty_fragments_take_no_memory() -> None:
    reader = Reader(LIMIT)
    list(reader.feed(client_frame(TEXT, fin=0)))
    empty = client_frame(CONTINUATION, fin=0) * 1000
    tracemalloc.start()
    try:
        for _ in range(20):
            assert list(reader.feed(empty)) == []
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


# --- any way of cutting ---

payloads = st.binary(max_size=300) | st.sampled_from([b"x" * 125, b"x" * 126, b"caf\xc3\xa9"])
frames = st.builds(
    client_frame,
    st.sampled_from([CONTINUATION, TEXT, TEXT, BINARY, CLOSE, PING, PONG]),
    payloads,
    fin=st.sampled_from([1, 1, 1, 0]),
    key=st.binary(min_size=4, max_size=4),
)
streams = st.lists(frames | st.binary(max_size=20), max_size=6).map(b"".join)


@given(streams, st.integers(1, 40))
@settings(max_examples=200)
def test_however_it_is_cut_the_same_is_read(data: bytes, size: int) -> None:
    assert read(data, size=1, limit=400) == read(data, limit=400) == read(data, size=size, limit=400)


@given(st.lists(st.tuples(st.text(max_size=50), st.integers(1, 9)), max_size=5))
def test_whatever_is_sent_in_fragments_arrives_whole(messages: Iterable[tuple[str, int]]) -> None:
    messages = list(messages)
    data = b"".join(fragmented(message.encode(), size) for message, size in messages)
    assert read(data, size=7) == [text(message.encode()) for message, _ in messages]


def fragmented(payload: bytes, size: int) -> bytes:
    parts = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return b"".join(
        client_frame(CONTINUATION if i else TEXT, part, fin=int(i == last)) for i, part in enumerate(parts)
    )


@given(st.binary(max_size=70_000), st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE]))
@settings(max_examples=30)
def test_what_is_written_says_its_length(payload: bytes, opcode: Opcode) -> None:
    expected = client_header(opcode, len(payload), key=None)
    assert encode(opcode, payload) == expected + payload
