"""Whatever clients send is refused as bad input or becomes a command within the protocol's bounds."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vws.core.commands import (
    Action,
    ChannelMessage,
    PeerMessage,
    Publish,
    RoomAction,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomPublish,
    RoomUnpublish,
    StreamParams,
    Subscribe,
    Unpublish,
    Unsubscribe,
)
from vws.core.strict_json import MAX_DEPTH
from vws.core.wire import build, parse
from vws.core.wire.names import MAX_BAN_MINUTES, MAX_CHAT, MAX_NAME, MAX_NUMBER, MAX_PARAMS, Event
from vws.errors import BadInput
from vws.transport.packets import Incoming, Kind, decode


def of_event(parse_event: Callable[[bytes], Any]) -> Callable[[Sequence[Any]], Any]:
    """Let a parser of whole events take arguments, as JSON can spell them."""
    return lambda args: parse_event(json.dumps(["event", *args]).encode())


PARSERS: dict[Event, tuple[Callable[[Sequence[Any]], Any], type[Any]]] = {
    Event.PUBLISH: (parse.parse_publish, Publish),
    Event.UNPUBLISH: (parse.parse_unpublish, Unpublish),
    Event.SUBSCRIBE: (parse.parse_subscribe, Subscribe),
    Event.UNSUBSCRIBE: (parse.parse_unsubscribe, Unsubscribe),
    Event.MESSAGE_PEER: (of_event(parse.parse_peer_message), PeerMessage),
    Event.MESSAGE: (of_event(parse.parse_channel_message), ChannelMessage),
    Event.ROOM_JOIN: (parse.parse_room_join, RoomJoin),
    Event.ROOM_LEAVE: (parse.parse_room_leave, RoomLeave),
    Event.ROOM_PUBLISH: (parse.parse_room_publish, RoomPublish),
    Event.ROOM_UNPUBLISH: (parse.parse_room_unpublish, RoomUnpublish),
    Event.ROOM_MESSAGE: (parse.parse_room_message, RoomMessage),
    Event.ROOM_ACTION: (parse.parse_room_action, RoomAction),
}
events = pytest.mark.parametrize("event", PARSERS)
known = st.sampled_from(sorted(PARSERS))

KEYS = [
    *("type", "from", "target", "channel", "content", "peerConfig", "room", "roomName", "stream"),
    *(
        "parameters",
        "message",
        "action",
        "user",
        "minutes",
        "meta",
        "text",
        "allowUsers",
        "allowBroadcasters",
    ),
    *("width", "height", "bitrate", "videoBitrate", "audioBitrate", "frameRate", "framerate"),
    *("__proto__", "__init__", "constructor", ""),
]
characters = st.characters(exclude_categories=())  # lone surrogates, too: JSON can spell them
texts = st.text(characters, max_size=8) | st.sampled_from(
    ["Alice", "Lobby", "x" * 255, "x" * 256, "webrtc", "offer", "peers", "\ud800", "a\nb", "\0", *Action]
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([-1, 0, 10**9, 10**9 + 1, 10**400, "1e3", "1e999", "nan", "-1", "٣", "1_0", " 7 "])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=6)
        | st.builds("x".__mul__, st.sampled_from([16_000, 17_000])).map(lambda long: {"text": long})
    ),
    max_leaves=12,
)
arguments = st.lists(values, max_size=5)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=10)
publishes = st.tuples(texts, texts, objects)


def name_ok(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME and value.encode() is not None


def params_ok(params: StreamParams) -> bool:
    sizes = (params.width, params.height, params.bitrate, params.audio_bitrate, params.frame_rate)
    whole = isinstance(params.bitrate, int) and isinstance(params.audio_bitrate, int)
    within = all(math.isfinite(size) and 0 <= size <= MAX_NUMBER for size in sizes)
    return whole and within and len(json.dumps(params.raw, separators=(",", ":"))) <= MAX_PARAMS


def meta_ok(meta: Mapping[str, Any]) -> bool:
    rules = [meta[rule] for rule in ("allowUsers", "allowBroadcasters") if rule in meta]
    allowed = all(isinstance(rule, bool) or all(map(name_ok, rule)) for rule in rules)
    return allowed and len(json.dumps(meta, separators=(",", ":"))) <= MAX_PARAMS


def in_bounds(command: Any) -> bool:
    """Tell whether every field of a command is what the rest of the program relies on."""
    match command:
        case Publish(peer_id, channel, params):
            return name_ok(peer_id) and name_ok(channel) and params_ok(params)
        case Unpublish(peer_id, channel) | Subscribe(peer_id, channel) | Unsubscribe(peer_id, channel):
            return name_ok(peer_id) and name_ok(channel)
        case PeerMessage(kind, target, maybe_channel, body):
            named = isinstance(kind, str) and kind != "" and name_ok(target)
            return named and (maybe_channel is None or name_ok(maybe_channel)) and isinstance(body, dict)
        case ChannelMessage(maybe_channel, body):
            return (maybe_channel is None or name_ok(maybe_channel)) and isinstance(body, dict)
        case RoomJoin(room) | RoomLeave(room):
            return name_ok(room)
        case RoomPublish(room, stream, params):
            return name_ok(room) and name_ok(stream) and params_ok(params)
        case RoomUnpublish(room, stream):
            return name_ok(room) and name_ok(stream)
        case RoomMessage(room, message, size):
            return name_ok(room) and isinstance(message, dict) and message != {} and 0 < size <= MAX_CHAT
        case RoomAction(room, action, user, minutes, meta):
            on = user == "" or name_ok(user)
            return (
                name_ok(room)
                and action in Action
                and on
                and 0 <= minutes <= MAX_BAN_MINUTES
                and meta_ok(meta)
            )
    return False


def judge(event: Event, args: Sequence[Any]) -> Any:
    """Parse; return the command, None when it was refused with a message."""
    read, kind = PARSERS[event]
    try:
        command = read(args)
    except BadInput as refusal:
        refused = refusal
    else:
        assert isinstance(command, kind)
        assert in_bounds(command)
        return command
    assert refused.code
    assert refused.message
    return None


def test_every_event_is_in_the_table() -> None:
    assert set(PARSERS) == set(Event)


@given(event=known, args=arguments)
def test_any_arguments_are_refused_or_within_bounds(event: Event, args: list[Any]) -> None:
    judge(event, args)


@given(event=known, body=objects)
def test_any_object_is_refused_or_within_bounds(event: Event, body: dict[str, Any]) -> None:
    judge(event, [body])


@given(args=publishes)
def test_any_publish_is_refused_or_within_bounds(args: tuple[str, str, dict[str, Any]]) -> None:
    judge(Event.PUBLISH, args)


@given(args=arguments)
def test_the_names_for_error_answers_are_names_or_nothing(args: list[Any]) -> None:
    for named in (parse.peer_named(args), parse.room_named(args)):
        assert named == "" or name_ok(named)


@given(event=known, args=st.lists(st.none() | texts, min_size=4, max_size=9))
def test_too_many_arguments_are_refused(event: Event, args: list[Any]) -> None:
    assert judge(event, args) is None


GOOD: dict[Event, list[Any]] = {
    Event.PUBLISH: ["Alice", "Lobby", {"width": 640}],
    Event.UNPUBLISH: ["Alice", "Lobby"],
    Event.SUBSCRIBE: ["Bob", "Lobby"],
    Event.UNSUBSCRIBE: ["Bob", "Lobby"],
    Event.MESSAGE_PEER: [{"type": "offer", "target": "Bob", "channel": "Lobby"}],
    Event.MESSAGE: [{"channel": "Lobby", "hello": 1}],
    Event.ROOM_JOIN: [{"room": "Hall"}],
    Event.ROOM_LEAVE: [{"room": "Hall"}],
    Event.ROOM_PUBLISH: [{"room": "Hall", "stream": "Alice", "parameters": {"type": "webrtc", "width": 640}}],
    Event.ROOM_UNPUBLISH: [{"room": "Hall", "stream": "Alice"}],
    Event.ROOM_MESSAGE: [{"room": "Hall", "message": "Hello"}],
    Event.ROOM_ACTION: [{"room": "Hall", "action": "ban", "user": "Bob", "minutes": 5}],
}


@events
def test_what_a_client_means_is_understood(event: Event) -> None:
    assert judge(event, GOOD[event]) is not None


@settings(max_examples=300)
@given(event=known, place=st.integers(0, 30), value=values)
def test_any_value_in_any_place_of_a_good_event(event: Event, place: int, value: Any) -> None:
    judge(event, with_value(GOOD[event], place, value))


def with_value(good: list[Any], place: int, value: Any) -> list[Any]:
    """Put a value in place of an argument, of one key of an object, or of one key of its parameters."""
    args: list[Any] = json.loads(json.dumps(good))
    holders: list[tuple[Any, Any]] = [(args, index) for index in range(len(args))]
    for holder in [arg for arg in args if isinstance(arg, dict)]:
        holders += [(holder, key) for key in holder]
        inner = holder.get("parameters")
        holders += [(inner, key) for key in inner or ()]
    container, key = holders[place % len(holders)]
    container[key] = value
    return args


# --- what is relayed ---

jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def relayed(payload: bytes) -> bytes:
    return build.relayed(parse.parse_channel_message(payload).body, "Alice")


@given(body=st.dictionaries(plain, jsons, max_size=8), space=st.sampled_from(["", " ", "\n\t"]))
def test_any_object_is_relayed_as_it_is_but_for_its_sender(body: dict[str, Any], space: str) -> None:
    assume(body.get("type") is None and not body.get("channel"))
    separators = (f"{space},{space}", f"{space}:{space}")
    payload = json.dumps(["message", body], separators=separators).encode()
    assert json.loads(relayed(payload)) == {**body, "from": "Alice"}


@given(st.text(alphabet='[]{}"\\,:1e-.a \nu08dtrue') | st.text() | st.builds(json.dumps, values))
def test_what_is_relayed_of_any_text_is_what_it_says_to_python_too(text: str) -> None:
    payload = b'["message",{"x":' + text.encode("utf-8", "replace") + b"}]"
    try:
        out = relayed(payload)
    except BadInput:
        return
    [_, body] = json.loads(payload)
    assert json.loads(out) == {**body, "from": "Alice"}


@given(
    depth=st.integers(0, 200), pad=st.integers(0, 600), opening=st.sampled_from(["[", '{"a":', "[ ", '{"":'])
)
def test_nesting_is_bounded_in_short_and_long_messages(depth: int, pad: int, opening: str) -> None:
    closing = "]" if opening[0] == "[" else "}"
    nested = opening * depth + "1" + closing * depth
    payload = f'["message",{{"x":{nested},"pad":"{"x" * pad}"}}]'.encode()
    fits = depth <= MAX_DEPTH - 1
    try:
        assert relayed(payload)
        assert fits
    except BadInput:
        assert not fits


@given(digits=st.integers(3_900, 6_000), before=st.integers(0, 600), deep=st.booleans())
def test_numbers_that_python_would_not_read_are_not_relayed(digits: int, before: int, deep: bool) -> None:
    value = f'{{"a":["{"y" * 20}",-{"9" * digits}]}}' if deep else "9" * digits
    payload = f'["message",{{"pad":"{"x" * before}","x":{value}}}]'.encode()
    fits = digits <= sys.get_int_max_str_digits()
    try:
        assert json.loads(relayed(payload))
        assert fits
    except BadInput:
        assert not fits


# --- packets ---


@given(
    st.text()
    | st.text(alphabet='0123456/,-?[]{}"a \n1')
    | st.from_regex(r"[0-6](\d-)?(/[a-z]*,)?\d*(\[.*\])?", fullmatch=True)
)
def test_any_text_is_no_packet_or_one_with_everything_in_bounds(text: str) -> None:
    packet = decode(text)
    if packet is None:
        return
    assert isinstance(packet, Incoming)
    assert packet.kind == int(text[0])
    assert packet.namespace.startswith("/")
    assert len(packet.namespace) <= 101
    assert packet.id is None or 0 <= packet.id < 10**15
    if packet.kind is Kind.EVENT:
        assert packet.payload.decode() in text
        assert (packet.event or "") in text or "\\" in text


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Incoming(Kind.CONNECT, "/", None)),
        ('0{"token":"t"}', Incoming(Kind.CONNECT, "/", None, data={"token": "t"})),
        ("0/chat,", Incoming(Kind.CONNECT, "/chat", None)),
        ("0/chat", Incoming(Kind.CONNECT, "/chat", None)),
        ('0/chat?token=1,{"a":1}', Incoming(Kind.CONNECT, "/chat", None, data={"a": 1})),
        ('0"text"', Incoming(Kind.CONNECT, "/", None, data="text")),
        ("0null", Incoming(Kind.CONNECT, "/", None)),
        ("0true", Incoming(Kind.CONNECT, "/", None, data=True)),
        ("0-1", Incoming(Kind.CONNECT, "/", None, data=-1)),
        ("0[1]", Incoming(Kind.CONNECT, "/", None, data=[1])),
        ("0{", Incoming(Kind.CONNECT, "/", None)),
        ("0NaN", Incoming(Kind.CONNECT, "/", None)),
        ("1", Incoming(Kind.DISCONNECT, "/", None)),
        ("1[1]", Incoming(Kind.DISCONNECT, "/", None)),
        ("37[1]", Incoming(Kind.ACK, "/", 7)),
        ('4{"message":1}', Incoming(Kind.CONNECT_ERROR, "/", None)),
        ("1/chat,", Incoming(Kind.DISCONNECT, "/chat", None)),
        ('2["publish"]', Incoming(Kind.EVENT, "/", None, "publish", b'["publish"]')),
        ('212["publish",1]', Incoming(Kind.EVENT, "/", 12, "publish", b'["publish",1]')),
        ('2/chat,12["a"]', Incoming(Kind.EVENT, "/chat", 12, "a", b'["a"]')),
        ('2["\\u0061 b",1]', Incoming(Kind.EVENT, "/", None, "a b", b'["\\u0061 b",1]')),
        ('2["\\u0061",NaN', Incoming(Kind.EVENT, "/", None, "a", b'["\\u0061",NaN')),
        ('2["\\x",1]', Incoming(Kind.EVENT, "/", None, None, b'["\\x",1]')),
        ('27["publish",NaN]', Incoming(Kind.EVENT, "/", 7, "publish", b'["publish",NaN]')),
        ('27["publish"', Incoming(Kind.EVENT, "/", 7, "publish", b'["publish"')),
        ("27[]", Incoming(Kind.EVENT, "/", 7, None, b"[]")),
        ("27[1]", Incoming(Kind.EVENT, "/", 7, None, b"[1]")),
        ('27{"a":1}', Incoming(Kind.EVENT, "/", 7, None, b'{"a":1}')),
        ("27", Incoming(Kind.EVENT, "/", 7)),
        ('51-7["publish",{}]', Incoming(Kind.BINARY_EVENT, "/", 7, "publish", b'["publish",{}]')),
        ("", None),
        ("7", None),
        ("9[]", None),
        ("b", None),
        ("²", None),
        ("x" * 100, None),
        ("2" + "9" * 16 + "[]", None),
        ("0/" + "n" * 200, None),
    ],
    ids=str,
)
def test_packets_by_example(text: str, packet: Incoming | None) -> None:
    assert decode(text) == packet
