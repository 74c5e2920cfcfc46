"""Signals between peers are passed on as they came: byte for byte, in order, in the sender's true name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import TOKEN
from tests.support.raw import TEXT, Raw, frame
from tests.support.server import Server

BODY = rb'"type":"candidate","target":"Bob"'


class Pair:
    """Alice, who broadcasts, and Bob, who watches, on bare sockets."""

    def __init__(self, alice: Raw, bob: Raw) -> None:
        self.alice, self.bob = alice, bob

    def relayed(self, sent: bytes, event: bytes = b"messagePeer") -> bytes:
        """Have Alice send an object; return the one that Bob gets."""
        self.alice.send(frame(TEXT, b'42["%b",%b]' % (event, sent)))
        self.bob.until(b'42["message",')
        return self.bob.until(b"}]")[:-1]


@pytest.fixture
def pair(server: Server) -> Iterator[Pair]:
    with ExitStack() as stack:
        alice, bob = (stack.enter_context(Raw.websocket(server)) for _ in range(2))
        for raw, event in ((alice, '"publish","Alice","Bytes",{}'), (bob, '"subscribe","Bob","Bytes"')):
            raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}') + frame(TEXT, f"427[{event}]"))
            raw.until(b"437[")
            raw.until(b"]")
        yield Pair(alice, bob)


@pytest.mark.parametrize(
    "kept",
    [
        rb'"n":1.0',
        rb'"n":1e5',
        rb'"n":-0.00',
        rb'"n":12345678901234567890123',
        rb'"s":"\u00e9\/"',
        rb'"o":{"b":1,  "a":[ ]}',
        b'"s":"\xc3\xa9"',
    ],
)
def test_what_the_server_does_not_know_survives_byte_for_byte(pair: Pair, kept: bytes) -> None:
    for event in (b"messagePeer", b"message"):
        got = pair.relayed(b"{%b,%b,%b}" % (BODY, kept, rb'"content":{}'), event)
        assert kept in got
        assert json.loads(got)["from"] == "Alice"


@pytest.mark.parametrize(
    "forged",
    [
        rb'{"from":"Eve",%b,"content":{}}',
        rb'{%b,"content":{},"from":"Eve"}',
        rb'{"from":"Eve",%b,"from":"Mallory","content":{}}',
        rb'{"\u0066rom":"Eve",%b,"content":{}}',
        rb'{"from":"Eve",%b,"\u0066rom":"Mallory","content":{}}',
        rb'{"from":{"from":"Eve"},%b,"content":{}}',
        rb'{ "from" : "Eve" , %b , "content" : {}}',
        rb'{%b,"content":{}}',
    ],
)
def test_the_sender_is_always_the_true_one_and_named_once(pair: Pair, forged: bytes) -> None:
    names: list[str] = []

    def members(found: list[tuple[str, object]]) -> dict[str, object]:
        names.extend(name for name, _ in found)
        return dict(found)

    got = json.loads(pair.relayed(forged % BODY), object_pairs_hook=members)
    assert got["from"] == "Alice"
    assert names.count("from") == 1


def test_order_holds_between_events_that_wait_and_events_that_do_not(pair: Pair) -> None:
    burst = b""
    for number in range(50):
        burst += frame(TEXT, '42["publish","Alice","Bytes",{}]')
        burst += frame(TEXT, b'42["messagePeer",{"type":"candidate","target":"Bob","n":%d}]' % number)
        burst += frame(TEXT, b'429["messagePeer",{"type":"candidate","target":"Bob","n":%d}]' % -number)
    pair.alice.send(burst)
    got: list[int] = []
    while len(got) < 100:
        pair.bob.until(b'"n":')
        got.append(int(pair.bob.until(b",")[:-1]))
    assert got == [sign * number for number in range(50) for sign in (1, -1)]
