"""The rules of RFC 6455 as a table, against the running server: what is sent, and what has to come back.

A client in a channel of its own sends messages to itself: a text message that is read comes back as an
`Echo`. Section numbers are the RFC's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.conftest import TOKEN, MakeServer
from tests.support.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Raw,
    upgrade,
)
from tests.support.raw import frame as any_frame
from tests.support.server import Runner, Server

BEFORE_CONNECT = 32_768  # bytes in a message of somebody who is not authenticated
MAX_MESSAGE_SIZE = 1_000_000  # the default

frame = partial(any_frame, key=bytes.fromhex("37fa213d"))  # of the example in section 5.7


@dataclass(frozen=True)
class Echo:
    """The content of a message that came back."""

    content: str


@dataclass(frozen=True)
class Pong:
    data: bytes


@dataclass(frozen=True)
class Closed:
    """The server's close frame, and after it the end of the connection."""

    code: int


Seen = Echo | Pong | Closed


@dataclass(frozen=True)
class Rule:
    """``sent`` by a client whose Socket.IO connection is open, or not yet; ``seen`` is all that comes back.

    Where it does not end with `Closed` the connection has to be alive still.
    """

    name: str
    section: str
    sent: bytes
    seen: tuple[Seen, ...]
    connected: bool = True

    def __str__(self) -> str:
        return f"{self.section} {self.name}"


def message(content: str | bytes) -> bytes:
    """Make the text that comes back as an `Echo`."""
    data = content if isinstance(content, bytes) else content.encode()
    return b'42["messagePeer",{"type":"note","target":"Echo","content":"' + data + b'"}]'


AROUND = len(message(""))


def text(content: str | bytes) -> bytes:
    return frame(TEXT, message(content))


def fragments(data: bytes, *sizes: int, opcode: int = TEXT, between: bytes = b"") -> bytes:
    """Cut a message into fragments of these sizes and one of the rest, with frames in between."""
    ends = [*itertools.accumulate(sizes), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise([0, *ends])]
    cut = [
        frame(CONTINUATION if number else opcode, part, fin=int(number == len(parts) - 1))
        for number, part in enumerate(parts)
    ]
    return between.join(cut)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


HI = text("hi")
ECHO = Echo("hi")


def fine(name: str, section: str, sent: bytes, *seen: Seen) -> Rule:
    """Make a rule for what is allowed: the next message is read, too."""
    return Rule(name, section, sent + HI, (*seen, ECHO))


def wrong(name: str, section: str, sent: bytes, code: int = 1002) -> Rule:
    """Make a rule for what ends the connection: messages before it count, and nothing after it."""
    return Rule(name, section, HI + sent + HI, (ECHO, Closed(code)))


# --- framing ---

FRAMING = [
    *(
        fine(f"a message of {size} bytes", "5.2", text("x" * (size - AROUND)), Echo("x" * (size - AROUND)))
        for size in (AROUND, 125, 126, 127, 128, 65_535, 65_536, 65_537, MAX_MESSAGE_SIZE)
    ),
    fine("an empty message", "5.2", frame(PONG) + frame(BINARY)),
    fine("two messages at once", "5.2", text("one") + text("two"), Echo("one"), Echo("two")),
    fine("a binary message", "5.6", frame(BINARY, bytes(range(256)) * 300)),
    fine("a binary message in fragments", "5.6", fragments(bytes(range(256)), 100, 28, opcode=BINARY)),
    wrong("16 bits for a length of 125", "5.2", frame(TEXT, b"4" * 125, bits=16)),
    wrong("64 bits for a length of 126", "5.2", frame(TEXT, b"4" * 126, bits=64)),
    wrong("64 bits for a length of 65,535", "5.2", frame(BINARY, length=65_535, bits=64)),
    wrong("the first bit of 64 set", "5.2", frame(TEXT, length=2**63)),
    wrong("all bits of 64 set", "5.2", frame(BINARY, length=2**64 - 1)),
    *(
        wrong(f"reserved bits {bits:03b} of {name}", "5.2", frame(opcode, b"hi", reserved=bits))
        for bits in range(1, 8)
        for name, opcode in {"text": TEXT, "binary": BINARY, "ping": PING, "close": CLOSE}.items()
    ),
    wrong("reserved bits of a continuation", "5.2", frame(TEXT, fin=0) + frame(CONTINUATION, reserved=4)),
    wrong(
        "a message as a deflate extension would send it",
        "5.2",
        frame(TEXT, b"\xcaH\xcd\xc9\xc9\x07\0", reserved=4),
    ),
    *(wrong(f"opcode {code:#x}", "5.2", frame(code)) for code in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)),
    *(wrong(f"opcode {code:#x} with data", "5.2", frame(code, b"hi")) for code in (3, 7, 0xB, 0xF)),
    *(
        wrong(f"{name} that is not masked", "5.1", frame(opcode, data, key=None))
        for name, opcode, data in [
            ("a text", TEXT, message("hi")),
            ("a short text", TEXT, b"3"),
            ("a binary", BINARY, b"\0" * 200),
            ("a ping", PING, b""),
            ("a close frame", CLOSE, b"\x03\xe8"),
        ]
    ),
    *(
        fine(f"the mask {key.hex()}", "5.3", any_frame(TEXT, message("hello"), key=key), Echo("hello"))
        for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", b"abcd")
    ),
]

# --- fragments ---

WHOLE = message("one, two, three")
WHOLE_ECHO = Echo("one, two, three")

FRAGMENTS = [
    fine("a message in two fragments", "5.4", fragments(WHOLE, 30), WHOLE_ECHO),
    fine("a message in fragments of a byte", "5.4", fragments(WHOLE, *[1] * len(WHOLE)), WHOLE_ECHO),
    fine("a message whose first fragment is empty", "5.4", fragments(WHOLE, 0), WHOLE_ECHO),
    fine("a message with empty fragments", "5.4", fragments(WHOLE, 10, 0, 0, 20, 0, 0), WHOLE_ECHO),
    fine("a message with 5,000 empty fragments", "5.4", fragments(WHOLE, 5, *[0] * 5000), WHOLE_ECHO),
    fine("a message whose last fragment is empty", "5.4", fragments(WHOLE, len(WHOLE)), WHOLE_ECHO),
    fine(
        "large fragments",
        "5.4",
        fragments(message("x" * 300_000), 100_000, 70_000, 2, 65_536),
        Echo("x" * 300_000),
    ),
    fine(
        "a ping between fragments",
        "5.4",
        fragments(WHOLE, 20, between=frame(PING, b"there?")),
        Pong(b"there?"),
        WHOLE_ECHO,
    ),
    fine(
        "pings and pongs between fragments",
        "5.4",
        fragments(WHOLE, 9, 0, 9, between=frame(PING, b"1") + frame(PONG, b"no") + frame(PING, b"2")),
        *[Pong(b"1"), Pong(b"2")] * 3,
        WHOLE_ECHO,
    ),
    wrong("a continuation of nothing", "5.4", frame(CONTINUATION, b"hi")),
    wrong("an empty continuation of nothing", "5.4", frame(CONTINUATION)),
    wrong("the start of a continuation of nothing", "5.4", frame(CONTINUATION, b"hi", fin=0)),
    wrong("a text within a message", "5.4", frame(TEXT, b"4", fin=0) + frame(TEXT, b"2")),
    wrong("a fragment of text within a message", "5.4", frame(TEXT, b"4", fin=0) + frame(TEXT, b"2", fin=0)),
    wrong("a binary within a text", "5.4", frame(TEXT, b"4", fin=0) + frame(BINARY, b"2")),
    wrong("a text within a binary", "5.4", frame(BINARY, b"4", fin=0) + frame(TEXT, b"2")),
]

# --- control frames ---

CONTROL = [
    fine("an empty ping", "5.5.2", frame(PING), Pong(b"")),
    fine("a ping with text", "5.5.2", frame(PING, b"there?"), Pong(b"there?")),
    fine("a ping with anything", "5.5.2", frame(PING, b"\0\xff\xfe\xc3"), Pong(b"\0\xff\xfe\xc3")),
    fine("a ping of 125 bytes", "5.5.2", frame(PING, b"x" * 125), Pong(b"x" * 125)),
    fine(
        "ten pings",
        "5.5.3",
        b"".join(frame(PING, b"%d" % number) for number in range(10)),
        *(Pong(b"%d" % number) for number in range(10)),
    ),
    fine("a pong that nobody asked for", "5.5.3", frame(PONG)),
    fine(
        "such a pong with data",
        "5.5.3",
        frame(PONG, b"\xffhere"),
    ),
    fine("such a pong before a ping", "5.5.3", frame(PONG, b"no") + frame(PING, b"yes"), Pong(b"yes")),
    *(
        wrong(f"a {name} of 126 bytes", "5.5", frame(opcode, b"x" * 126))
        for name, opcode in {"ping": PING, "pong": PONG, "close frame": CLOSE}.items()
    ),
    *(
        wrong(
            f"a {name} with a longer length than a control frame has", "5.5", frame(opcode, b"hi", bits=bits)
        )
        for name, opcode in {"ping": PING, "pong": PONG, "close frame": CLOSE}.items()
        for bits in (16, 64)
    ),
    *(
        wrong(f"a fragmented {name}", "5.5", frame(opcode, fin=0))
        for name, opcode in {"ping": PING, "pong": PONG, "close frame": CLOSE}.items()
    ),
]

# --- the end ---

CLOSING = [
    wrong("a close frame without a code", "5.5.1", frame(CLOSE), 1000),
    *(
        wrong(f"closing with {code}", "7.4", close(code), code)
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
    ),
    *(
        wrong(f"closing with {code}, which nobody may send", "7.4", close(code))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ),
    wrong("half a code", "5.5.1", frame(CLOSE, b"\x03")),
    wrong("closing with a reason", "7.1.6", close(1000, b"bye"), 1000),
    wrong("closing with a reason of 123 bytes", "7.1.6", close(1000, b"x" * 123), 1000),
    wrong("closing with a reason in UTF-8", "7.1.6", close(1000, "até logo, 再见".encode()), 1000),
    wrong("closing with a reason that is not UTF-8", "7.1.6", close(1000, b"adi\xf3s"), 1007),
    wrong("closing with half a character", "7.1.6", close(1000, b"at\xc3"), 1007),
    wrong("closing twice", "5.5.1", close(1000) + close(1001), 1000),
    wrong("a ping after closing", "5.5.1", close(1000) + frame(PING), 1000),
    wrong("garbage after closing", "5.5.1", close(1000) + b"\xff" * 50, 1000),
    wrong("closing within a message", "5.4", frame(TEXT, b"42[", fin=0) + close(1000), 1000),
    Rule("closing before anything else", "7.1", close(1000), (Closed(1000),), connected=False),
    Rule("breaking a rule before anything else", "7.1.7", frame(3), (Closed(1002),), connected=False),
]

# --- text ---

CHARACTERS = [
    "é",
    "κόσμε",
    "😀",
    *(chr(each) for each in (0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10FFFF)),
]
NOT_UTF_8 = {
    "a byte that starts nothing": b"\x80",
    "two of them": b"\xbf\xbf",
    "half of two bytes": b"\xc3",
    "half of three bytes": b"\xe2\x82",
    "three of four bytes": b"\xf0\x9f\x98",
    "a start and no continuation": b"\xc3(",
    "a slash in two bytes": b"\xc0\xaf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "NUL in two bytes": b"\xc0\x80",
    "the last of two bytes in three": b"\xe0\x9f\xbf",
    "the last of three bytes in four": b"\xf0\x8f\xbf\xbf",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "what lies above U+10FFFF": b"\xf4\x90\x80\x80",
    "a start of five bytes": b"\xf8\x88\x80\x80\x80",
    "a start of six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
}


def cut_within(content: bytes) -> Iterator[bytes]:
    """Cut a message into two fragments at every place within its content."""
    start = message("").index(b'""') + 1
    return (fragments(message(content), start + cut) for cut in range(1, len(content)))


UTF_8 = [
    *(fine(f"the character {each!a}", "8.1", text(each), Echo(each)) for each in CHARACTERS),
    *(
        fine(
            f"{each!a}, cut anywhere",
            "5.6",
            b"".join(cut_within(each.encode())),
            *[Echo(each)] * (len(each.encode()) - 1),
        )
        for each in CHARACTERS
    ),
    *(wrong(name, "8.1", text(data), 1007) for name, data in NOT_UTF_8.items()),
    *(
        wrong(f"{name}, with text around", "8.1", text(b"caf\xc3\xa9 " + data + b" ol\xc3\xa9"), 1007)
        for name, data in NOT_UTF_8.items()
    ),
    *(
        wrong(f"{name}, in fragments", "5.6", fragments(message(data), *[1] * (len(message(data)) - 1)), 1007)
        for name, data in NOT_UTF_8.items()
    ),
    wrong(
        "half a character at a message's end", "5.6", fragments(b"42caf\xc3", 3) + frame(TEXT, b"\xa9"), 1007
    ),
    fine("bytes that are no text in a binary message", "5.6", frame(BINARY, b"\xff\xfe\xc3(")),
]

# --- sizes ---


def connect_of(size: int) -> bytes:
    """Make a CONNECT packet of this many bytes."""
    start, end = b'40{"token":"%b","more":"' % TOKEN.encode(), b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def early(name: str, sent: bytes, *seen: Seen) -> Rule:
    return Rule(f"{name} before authenticating", "10.4", sent, seen, connected=False)


SIZES = [
    *(
        wrong(f"a header that promises {size:,} bytes", "10.4", frame(opcode, length=size), 1009)
        for size in (MAX_MESSAGE_SIZE + 1, 2**31, 2**32, 2**40, 2**63 - 1)
        for opcode in (TEXT, BINARY)
    ),
    wrong(
        "fragments that add up, on the header of the last",
        "10.4",
        frame(TEXT, b"4" * 600_000, fin=0) + frame(CONTINUATION, length=MAX_MESSAGE_SIZE - 600_000 + 1),
        1009,
    ),
    wrong(
        "many fragments that add up",
        "10.4",
        frame(TEXT, b"4" * 10_000, fin=0)
        + frame(CONTINUATION, b"4" * 10_000, fin=0) * 99
        + frame(CONTINUATION, b"4", fin=0),
        1009,
    ),
    early("a header that promises too much", frame(TEXT, length=BEFORE_CONNECT + 1), Closed(1009)),
    early("a binary's header that does", frame(BINARY, length=BEFORE_CONNECT + 1), Closed(1009)),
    early(
        "fragments that add up",
        frame(TEXT, b"4" * 20_000, fin=0) + frame(CONTINUATION, length=BEFORE_CONNECT - 20_000 + 1),
        Closed(1009),
    ),
    early("a ping", frame(PING, b"hi"), Pong(b"hi")),
    early("a CONNECT of all that is allowed", frame(TEXT, connect_of(BEFORE_CONNECT))),
]

RULES = [*FRAMING, *FRAGMENTS, *CONTROL, *CLOSING, *UTF_8, *SIZES]

# --- the client ---


def observe(rule: Rule, server: Server, *, piece: int | None = None) -> tuple[Seen, ...]:
    """Send what a rule says, in pieces if wanted; return what came back.

    If that leaves the connection open, say goodbye and return what came before the goodbye's answer.
    """
    with Raw.websocket(server) as raw:
        if rule.connected:
            join_channel(raw)
        size = piece or len(rule.sent)
        for start in range(0, len(rule.sent), size):
            raw.try_send(rule.sent[start : start + size])
        seen = [*itertools.islice(read(raw), len(rule.seen))]
        if Closed in map(type, seen):
            return (*seen, *read(raw))
        raw.try_send(close(4321))
        last = [*read(raw)]
        assert last[-1:] == [Closed(4321)], (seen, last)
        return (*seen, *last[:-1])


def join_channel(raw: Raw) -> None:
    raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}') + frame(TEXT, '421["subscribe","Echo","Rules"]'))
    raw.until(b'431[{"ok":true}]')


def read(raw: Raw) -> Iterator[Seen]:
    """Read to the end of the connection; yield what is no matter of Engine.IO and Socket.IO."""
    for opcode, payload in iter(raw.next_frame, None):
        if opcode == PONG:
            yield Pong(payload)
        elif opcode == CLOSE:
            yield Closed(int.from_bytes(payload[:2], "big"))
        elif payload.startswith(b'42["message",'):
            yield Echo(json.loads(payload[2:])[1]["content"])


# --- the tests ---


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_of_the_rfc(server: Server, rule: Rule) -> None:
    assert observe(rule, server) == rule.seen


def test_the_rules_hold_for_bytes_that_come_one_by_one(server: Server) -> None:
    assert broken((rule for rule in RULES if len(rule.sent) < 250), server, piece=1) == {}


OTHER_WAYS = [way for way in itertools.product(Runner, [False, True]) if way != (Runner.APP, False)]


@pytest.mark.parametrize(("runner", "tls"), OTHER_WAYS, ids=str)
def test_the_rules_hold_however_the_server_is_run(make_server: MakeServer, runner: Runner, tls: bool) -> None:
    server = make_server(runner=runner, tls=tls)
    assert broken(RULES, server) == {}
    assert broken((rule for rule in FRAGMENTS if len(rule.sent) < 250), server, piece=1) == {}


def broken(rules: Iterable[Rule], server: Server, *, piece: int | None = None) -> dict[str, tuple[Seen, ...]]:
    """Return what came back where that was not what has to."""
    found = ((rule, observe(rule, server, piece=piece)) for rule in rules)
    return {str(rule): seen for rule, seen in found if seen != rule.seen}


# --- the handshake ---


def test_the_answer_to_the_handshake_of_the_rfc(server: Server) -> None:
    """Section 1.3 has the key and what becomes of it."""
    head = shake_hands(server, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")
    assert head.pop("") == "HTTP/1.1 101 Switching Protocols"
    assert head["upgrade"].lower() == "websocket"
    assert head["connection"].lower() == "upgrade"
    assert head["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"},
        {"Origin": "https://elsewhere.test"},
    ],
    ids=str,
)
def test_spellings_of_a_handshake_that_are_right(server: Server, headers: dict[str, str]) -> None:
    assert shake_hands(server, **headers)[""].split()[1] == "101"


def test_another_version_is_told_the_right_one(server: Server) -> None:
    head = shake_hands(server, Sec_WebSocket_Version="99")
    assert head[""].split()[1] in {"400", "426"}  # such as, says section 4.2.2
    assert "13" in head["sec-websocket-version"].replace(" ", "").split(",")


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=10, permessage-deflate",
        "x-webkit-deflate-frame",
        "mux; max-channels=4, permessage-bzip2",
    ],
)
def test_extensions_are_not_accepted(server: Server, offer: str) -> None:
    with Raw(server) as raw:
        raw.send(upgrade(Sec_WebSocket_Extensions=offer))
        head = fields(raw.head())
        assert head[""].split()[1] == "101"
        assert "sec-websocket-extensions" not in head
        raw.send(frame(TEXT, b"\xcaH\xcd\xc9\xc9\x07\0", reserved=4))
        assert raw.close_code() == 1002


def test_a_subprotocol_is_not_made_up(server: Server) -> None:
    assert "sec-websocket-protocol" not in shake_hands(server, Sec_WebSocket_Protocol="chat, superchat")


def test_what_comes_right_behind_the_handshake_is_read(server: Server) -> None:
    with Raw(server) as raw:
        raw.send(upgrade() + frame(TEXT, f'40{{"token":"{TOKEN}"}}') + frame(PING, b"there?") + close(1000))
        assert raw.status() == 101
        assert [*read(raw)] == [Pong(b"there?"), Closed(1000)]


def shake_hands(server: Server, **headers: str) -> dict[str, str]:
    with Raw(server) as raw:
        raw.send(upgrade(**headers))
        return fields(raw.head())


def fields(head: str) -> dict[str, str]:
    """Return an answer's header fields by their name in small letters, and its first line by ""."""
    first, *lines = head.strip().split("\r\n")
    parts = (line.split(":", 1) for line in lines)
    return {"": first, **{name.lower(): value.strip() for name, value in parts}}
