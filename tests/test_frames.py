"""The WebSocket codec against the rules of RFC 6455, by frames made here from the RFC's own table."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vws.transport.frames import (
    CloseCode,
    Decoder,
    Frame,
    FrameError,
    Opcode,
    encode,
    encode_close,
    encode_text,
)

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
    """Feed data in pieces; return what it says, an error as its code."""
    decoder = Decoder(limit)
    size = size or max(1, len(data))
    return feed(decoder, *(data[start : start + size] for start in range(0, len(data), size)))


def feed(decoder: Decoder, *pieces: bytes) -> list[Any]:
    found = [item for piece in pieces for item in decoder.feed(piece)]
    return [item.code if isinstance(item, FrameError) else item for item in found]


# --- what is well formed ---


def test_the_examples_of_the_rfc() -> None:
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == [b"Hello"]
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
    assert read(data) == [*control, b"one two three", b"next"]


def test_a_character_may_be_cut_by_fragments() -> None:
    cut = client_frame(TEXT, b"caf\xc3", fin=0) + client_frame(CONTINUATION, b"\xa9")
    assert read(cut) == [b"caf\xc3\xa9"]


def test_binary_fragments_stay_binary() -> None:
    cut = client_frame(BINARY, b"\xff", fin=0) + client_frame(CONTINUATION, b"\xfe")
    assert read(cut) == [Frame(Opcode.BINARY, b"\xff\xfe")]


# --- what breaks the protocol ---

BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]

BROKEN = {
    "not masked": client_frame(TEXT, b"hi", key=None),
    "not masked, longer": client_frame(TEXT, b"a message that is not masked", key=None),
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
    "a length with its first bit set": client_header(TEXT, 2**63 + 5, wide=64),
    "16 bits for a length of 125": client_header(TEXT, 125, wide=16) + b"x" * 125,
    "64 bits for a length of 125": client_header(BINARY, 125, wide=64) + b"x" * 125,
    "64 bits for a length of 65,535": client_header(TEXT, 65_535, wide=64),
    "16 bits for a ping's length": client_header(PING, 5, wide=16) + b"Hello",
    "a close frame with half a code": client_frame(CLOSE, b"\x03"),
    **{f"a close frame with code {code}": client_frame(CLOSE, code.to_bytes(2, "big")) for code in BAD_CODES},
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_ends_the_connection(data: bytes) -> None:
    before = [b""] if data.startswith(client_frame(TEXT, fin=0) + client_frame(CONTINUATION)) else []
    assert read(data) == read(data, size=1) == [*before, CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize(
    "start", [b"\xc1\x80", b"\x01\x00", b"\x83\x80", b"\x09\x80", b"\x89\xfe", b"\x80\x80"]
)
def test_a_bad_start_is_refused_before_the_rest_of_the_header(start: bytes) -> None:
    assert read(start) == [CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize("payload", [b"", *(code.to_bytes(2, "big") + b"caf\xc3\xa9" for code in GOOD_CODES)])
def test_a_close_frame_is_handed_on_as_it_came(payload: bytes) -> None:
    assert read(client_frame(CLOSE, payload)) == [Frame(Opcode.CLOSE, payload)]


def test_a_close_frame_may_come_between_fragments() -> None:
    assert read(client_frame(TEXT, b"one ", fin=0) + client_frame(CLOSE)) == [Frame(Opcode.CLOSE, b"")]


def test_the_reason_of_a_close_frame_is_utf_8() -> None:
    assert read(client_frame(CLOSE, b"\x03\xe8caf\xc3")) == [CloseCode.INVALID_DATA]


@pytest.mark.parametrize("last", [client_frame(CLOSE), client_frame(TEXT, b"\xff"), b"\xff\xff"])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_nothing_counts_after_the_end(last: bytes, size: int) -> None:
    end = read(last)
    assert len(end) == 1
    assert read(client_frame(TEXT, b"hi") + last + client_frame(TEXT, b"more") * 9, size=size) == [
        b"hi",
        *end,
    ]


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
    assert read(client_frame(BINARY, data)) == [Frame(Opcode.BINARY, data)]
    cut = client_frame(TEXT, data[:1], fin=0) + client_frame(CONTINUATION, data[1:])
    assert read(cut) == [CloseCode.INVALID_DATA]


def test_an_error_holds_on_to_nothing() -> None:
    """What ends a thousand connections at once must not wait for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        for data in [b"\xff\xff", client_frame(TEXT, b"\xff"), client_header(TEXT, LIMIT + 1)]:
            errors = Decoder(LIMIT).feed(data)
            assert isinstance(errors[0], FrameError)
            assert errors[0].__context__ is None
            assert errors[0].__traceback__ is None
            del errors
        assert gc.collect() == 0
    finally:
        gc.enable()


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
    assert read(start + client_frame(CONTINUATION)) == [half + half]
    assert read(start + client_header(CONTINUATION, 1)) == [CloseCode.TOO_BIG]


def test_the_limit_is_for_each_message_anew() -> None:
    full = client_frame(TEXT, b"x" * LIMIT)
    assert read(full + full) == [b"x" * LIMIT] * 2


def test_the_limit_may_change_between_messages() -> None:
    decoder = Decoder(10)
    assert feed(decoder, client_frame(TEXT, b"x" * 10)) == [b"x" * 10]
    decoder.max_size = 200
    assert feed(decoder, client_frame(TEXT, b"x" * 200)) == [b"x" * 200]
    decoder.max_size = 5
    assert feed(decoder, client_frame(TEXT, b"x" * 6)) == [CloseCode.TOO_BIG]


def test_control_frames_do_not_count_as_parts_of_a_message() -> None:
    start = client_frame(TEXT, b"12345", fin=0) + client_frame(PING, b"x" * 125)
    assert read(start + client_frame(CONTINUATION, b"67890"), limit=10)[1:] == [b"1234567890"]


def test_endless_empty_fragments_take_no_memory() -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(client_frame(TEXT, fin=0))
    empty = client_frame(CONTINUATION, fin=0) * 1000
    held = traced(lambda: [decoder.feed(empty) for _ in range(20)] == [[]] * 20)
    assert held < 1_000


def test_an_idle_client_takes_next_to_nothing() -> None:
    decoder = Decoder(LIMIT)
    big = client_frame(TEXT, b"x" * 50_000, fin=0) + client_frame(CONTINUATION, b"x" * 50_000)
    held = traced(lambda: feed(decoder, big[:30_000], big[30_000:]) == [b"x" * 100_000])
    assert held < 1_000
    assert sys.getsizeof(decoder) <= 100


def test_nothing_is_kept_after_the_end() -> None:
    decoder = Decoder(LIMIT)
    start = client_frame(TEXT, b"x" * 90_000, fin=0)
    held = traced(lambda: feed(decoder, start, b"\xff\xff", b"x" * 90_000) == [CloseCode.PROTOCOL_ERROR])
    assert held < 1_000


def test_a_large_message_in_small_pieces_costs_no_more_than_its_pieces() -> None:
    """Four times the size takes four times as long, and not sixteen times."""
    assert min(seconds_in_pieces(800_000) / seconds_in_pieces(200_000) for _ in range(5)) < 10


def seconds_in_pieces(size: int) -> float:
    data, decoder = client_frame(BINARY, b"x" * size, key=b"\0\0\0\0"), Decoder(size)
    pieces = [data[start : start + 50] for start in range(0, len(data), 50)]
    started = time.perf_counter()
    assert sum(len(decoder.feed(piece)) for piece in pieces) == 1
    return time.perf_counter() - started


def traced(action: Callable[[], bool]) -> int:
    """Return how many bytes more there are after an action than before; it returns whether all was well."""
    gc.collect()
    tracemalloc.start()
    try:
        assert action()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
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
    assert read(data, size=7) == [message.encode() for message, _ in messages]


def fragmented(payload: bytes, size: int) -> bytes:
    parts = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return b"".join(
        client_frame(CONTINUATION if i else TEXT, part, fin=int(i == last)) for i, part in enumerate(parts)
    )


@given(streams, st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=200)
def test_it_may_be_cut_anywhere(data: bytes, cuts: list[int]) -> None:
    ends = [*sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise([0, *ends])]
    assert feed(Decoder(400), *pieces) == read(data, limit=400)


@given(st.lists(st.binary(max_size=300) | frames, max_size=20))
@settings(max_examples=200)
def test_garbage_ends_the_connection_and_nothing_more(pieces: list[bytes]) -> None:
    decoder = Decoder(100)
    found: list[bytes | Frame | FrameError] = []
    for piece in pieces:
        found += decoder.feed(piece)
        assert kept(decoder) <= 100 + 6 + 125  # a message, and a control frame in between
    assert not any(is_end(item) for item in found[:-1])
    assert all(len(item) <= 100 for item in found if isinstance(item, bytes))


def is_end(item: bytes | Frame | FrameError) -> bool:
    return isinstance(item, FrameError) or (isinstance(item, Frame) and item.opcode is Opcode.CLOSE)


def kept(decoder: Decoder) -> int:
    """Return how many bytes a decoder holds for a client: the start of a frame, and the fragments before."""
    return len(decoder._buffer or b"") + len(decoder._fragments or b"")


@given(st.binary(max_size=70_000), st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE]))
@settings(max_examples=30)
def test_what_is_written_says_its_length(payload: bytes, opcode: Opcode) -> None:
    assert encode(opcode, payload) == client_frame(opcode, payload, key=None)
    assert encode_text(payload) == client_frame(TEXT, payload, key=None)


@pytest.mark.parametrize("size", [0, 125, 126, 1023, 1024, 65_535, 65_536])
def test_text_is_written_like_anything_else(size: int) -> None:
    assert encode_text(b"x" * size) == encode(Opcode.TEXT, b"x" * size)


def test_a_close_frame_is_written_with_its_code() -> None:
    assert encode_close(CloseCode.NORMAL) == bytes.fromhex("880203e8")
    assert encode_close(CloseCode.TOO_BIG) == bytes.fromhex("880203f1")
