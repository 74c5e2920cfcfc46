"""Packets that no client sends: each is answered or dropped, and a call beside it goes on undisturbed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TOKEN, Clients, MakeServer
from tests.support.client import Client, ConnectRefused
from tests.support.pair import Pair
from tests.support.raw import BINARY, CONTINUATION, PING, TEXT, Raw, frame
from tests.support.server import Server, until
from vws.core.wire.names import Event

DEEP = "[" * 10_000 + "]" * 10_000
WRONG_TYPES: list[Any] = [None, True, 0, 7, -1.5, [], ["a"], {}, {"a": 1}, "x" * 256, "\ud800", ""]


@pytest.fixture
def pair(clients: Clients) -> Iterator[Pair]:
    """A call of Alice and Bob, which nothing in the test disturbs."""
    pair = Pair(clients)
    yield pair
    pair.undisturbed()


@pytest.fixture
def mallory(clients: Clients, server: Server) -> Iterator[Client]:
    """A verified user up to no good, still connected and served in the end; the log stays clean."""
    before = len(server.log())
    mallory = clients.verified("Mallory")
    yield mallory
    assert mallory.is_open()
    assert refusal(mallory.call("message", {"type": "peers"})) == "reserved-type"
    log = server.log()[before:]
    assert "Traceback" not in log
    assert "failure" not in log


def call(client: Client, event: str, *args: Any) -> Any:
    """Like `Client.call`, in JSON's ASCII: a lone surrogate cannot be sent otherwise."""
    number = client._next_ack = client._next_ack + 1
    client.send_raw(f"42{number}" + json.dumps([event, *args]))
    return client.acknowledged(number)


def refusal(answer: Any) -> str:
    """Check the shape of a refusal; return its code."""
    assert set(answer) == {"ok", "error"}, answer
    assert answer["ok"] is False
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["message"]
    return str(answer["error"]["code"])


NO_NUMBERS: list[Any] = [
    *(-1, "-1", "abc", "NaN", "Infinity", "1e999", [], {}, True, 1e18, 10**300, "9" * 5000)
]
ERROR_EVENTS: dict[Event, list[str]] = {
    Event.PUBLISH: ["publishError"],
    Event.UNPUBLISH: ["publishError"],
    Event.SUBSCRIBE: ["subscribeError"],
    Event.UNSUBSCRIBE: ["subscribeError"],
    Event.MESSAGE_PEER: [],
    Event.MESSAGE: [],
    Event.ROOM_JOIN: ["roomUpdate"],
    Event.ROOM_LEAVE: ["roomUpdate"],
    Event.ROOM_PUBLISH: ["publishError", "roomUpdate"],
    Event.ROOM_UNPUBLISH: ["roomUpdate"],
    Event.ROOM_MESSAGE: ["roomUpdate"],
    Event.ROOM_ACTION: ["roomUpdate"],
}
events = pytest.mark.parametrize("event", Event)


def told(client: Client, event: Event, message: str, *, room: str = "") -> None:
    """Take the error events that belong to a refused event, and check every word of them."""
    for name in ERROR_EVENTS[event]:
        [payload] = client.wait(name)
        if name == "roomUpdate":
            assert payload == {"room": room, "error": message}
        else:
            assert set(payload) == {"from", "to", "message"}
            assert (payload["from"], payload["message"]) == ("_server_", message)


# --- events with wrong arguments ---


@events
def test_wrong_numbers_and_types_of_arguments_are_refused(mallory: Client, pair: Pair, event: Event) -> None:
    attempts: list[list[Any]] = [[], [1] * 4, ["a"] * 100, *([value] for value in WRONG_TYPES)]
    attempts += [[value, "Lobby", {}] for value in WRONG_TYPES]
    attempts += [["Mallory", "Lobby", []], *(["Mallory", "Lobby", value] for value in ("x", 1, True))]
    for args in attempts:
        answer = call(mallory, event, *args)
        assert refusal(answer) in {"bad-input", "mismatch", "not-in-channel"}, args
        told(mallory, event, answer["error"]["message"])


def test_wrong_types_of_channels_are_refused(mallory: Client, pair: Pair) -> None:
    for event in (Event.PUBLISH, Event.SUBSCRIBE, Event.UNPUBLISH, Event.UNSUBSCRIBE):
        for channel in WRONG_TYPES[:-1]:
            answer = call(mallory, event, "Mallory", channel)
            assert refusal(answer) == "bad-input"
            told(mallory, event, answer["error"]["message"])
            assert mallory.received(ERROR_EVENTS[event][0])[-1][0]["to"] == "Mallory"


def test_numbers_that_are_none_are_refused(mallory: Client, pair: Pair) -> None:
    for key in ("width", "height", "bitrate", "videoBitrate", "audioBitrate", "frameRate", "framerate"):
        for value in NO_NUMBERS:
            assert refusal(mallory.call("publish", "Mallory", "Numbers", {key: value})) == "bad-input"


def test_parameters_and_chat_have_a_size(mallory: Client, pair: Pair) -> None:
    huge = {"text": "x" * 20_000}
    assert refusal(mallory.call("publish", "Mallory", "Huge", huge)) == "too-large"
    assert refusal(mallory.call("roomMessage", {"room": "Huge", "message": huge})) == "too-large"
    assert mallory.wait("publishError")[0]["to"] == "Mallory"
    assert mallory.wait("roomUpdate")[0]["room"] == "Huge"


def test_odd_names_are_names_like_any_other(mallory: Client, pair: Pair) -> None:
    for name in ("__proto__", "constructor", "__init__", "../..", "a\r\nb", "\0", "💥", " "):
        assert mallory.call("roomJoin", {"room": name})["ok"]
        assert mallory.update("participants")["room"] == name
        assert mallory.call("subscribe", "Mallory", name)["ok"]
        assert mallory.call("roomLeave", {"room": name})["ok"]


@pytest.mark.parametrize("kind", ["peers", "peer", "peerLeft", "unpublished"])
def test_the_servers_own_messages_cannot_be_forged(pair: Pair, kind: str) -> None:
    forged = {"type": kind, "target": "Alice", "channel": pair.channel, "from": "_server_"}
    assert refusal(pair.bob.call("messagePeer", forged)) == "reserved-type"
    assert refusal(pair.bob.call("message", forged)) == "reserved-type"


def test_a_channel_named_like_somebodys_socket_receives_nothing_of_his(clients: Clients, pair: Pair) -> None:
    mallory = clients.token()
    for name in (pair.alice.sid, f"/#{pair.alice.sid}", pair.channel + "\0", "null"):
        assert mallory.call("subscribe", "Mallory", name)["ok"]
    pair.relay()
    mallory.nothing("message")


# --- events that do not exist ---


NO_EVENTS = [
    *("", "connect", "disconnect", "connect_error", "error", "disconnecting", "newListener", "*"),
    *("__init__", "__class__", "__proto__", "trigger_event", "on_publish", "handler", "malformed"),
    *("Publish", "publish ", "publishError", "peers", "roomUpdate", "x" * 100_000, "a\r\nb", "\ud800"),
]


def test_unknown_and_reserved_events_are_refused(mallory: Client, pair: Pair) -> None:
    for name in NO_EVENTS:
        assert refusal(call(mallory, name, {})) == "unknown-event", name[:20]
        assert refusal(call(mallory, name)) == "unknown-event", name[:20]


@pytest.mark.parametrize(
    ("namespace", "event"),
    [("/signaling", "roomJoin"), ("/room", "publish"), ("/chat", "roomJoin"), ("/room", "roomMessage")],
)
def test_a_namespace_takes_its_own_events_only(clients: Clients, namespace: str, event: str) -> None:
    client = clients.verified("Mallory", namespace=namespace)
    answer = client.call(event, {"room": "Hall"}, namespace=namespace)
    assert refusal(answer) == "unknown-event"


# --- payloads that are not JSON, or too much of it ---

MALFORMED = {
    "deep arrays": DEEP,
    "deep objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "NaN": '{"type":"x","target":"Bob","content":NaN}',
    "Infinity": '{"type":"x","target":"Bob","content":[-Infinity]}',
    "an endless number": '{"type":"x","target":"Bob","content":' + "9" * 5000 + "}",
    "half an object": '{"type":"x"',
    "a comma too many": '{"type":"x",}',
    "single quotes": "{'type':'x'}",
    "a comment": "{}/**/",
    "a control character": '"\x01"',
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_json_is_refused(mallory: Client, payload: str) -> None:
    for event in Event:
        mallory.send_raw(f'427["{event}",{payload}]')
        answer = mallory.acknowledged(7)
        assert refusal(answer) == "bad-input"
        told(mallory, event, answer["error"]["message"])


def test_numbers_no_browser_can_read_never_reach_another_client(pair: Pair) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "9" * 5000):
        body = f'{{"type":"signal","target":"Bob","channel":"{pair.channel}","content":{number}}}'
        pair.alice.send_raw(f'427["messagePeer",{body}]')
        assert refusal(pair.alice.acknowledged(7)) == "bad-input"
        pair.alice.send_raw(f'427["message",{body}]')
        assert refusal(pair.alice.acknowledged(7)) == "bad-input"
    pair.undisturbed()


def test_what_json_can_spell_is_relayed_as_it_is(pair: Pair) -> None:
    odd: list[Any] = ["\ud800 alone", "\0\u2028\u2029</script>", {"__proto__": {"a": 1}}, [[[[[[]]]]]], 1e308]
    for content in odd:
        pair.relay(content)


def test_payloads_that_are_no_event_are_refused(mallory: Client, pair: Pair) -> None:
    for payload in (
        "",
        "[]",
        "[1]",
        "[null]",
        "{}",
        '{"0":"publish"}',
        "[[]]",
        '["publish"',
        '"publish"',
        "x",
    ):
        mallory.send_raw(f"427{payload}")
        assert refusal(mallory.acknowledged(7)) == "bad-input"


def test_binary_attachments_are_refused(mallory: Client) -> None:
    for event in Event:
        mallory.send_raw(f'451-7["{event}",{{"_placeholder":true,"num":0}}]')
        mallory.send_raw(b"attachment")
        answer = mallory.acknowledged(7)
        assert refusal(answer) == "bad-input"
        told(mallory, event, answer["error"]["message"])


def test_attachments_that_never_come_are_not_waited_for(mallory: Client, pair: Pair) -> None:
    mallory.send_raw('459999-7["publish",{"_placeholder":true,"num":0}]')
    assert refusal(mallory.acknowledged(7)) == "bad-input"
    for packet in ('451-["publish"]', '461-7["x"]', "451-", "45", "450-7[]", "461-7[]"):
        mallory.send_raw(packet)


# --- packets out of place ---

NO_PACKETS = ["", "7", "9", "b", "bAAAA", "x", "²", "\uff140", " 40", "\n"]


def test_packets_that_mean_nothing_are_dropped(mallory: Client, pair: Pair) -> None:
    for packet in ("0", "0{}", "2", "2probe", "3", "3x", "5", "6", "6x"):
        mallory.send_raw(packet)
    for packet in (
        "4",
        "47",
        "4x",
        "4null",
        '4"x"',
        "4{}",
        "4[1]",
        "4" + DEEP,
        "43",
        '437["x"]',
        '43999["x",1]',
    ):
        mallory.send_raw(packet)
    for packet in ('44{"message":"x"}', "46", '42/,7["publish"]', "42" + "9" * 30 + "[]", "4²"):
        mallory.send_raw(packet)


def test_what_is_no_packet_ends_the_connection(clients: Clients, pair: Pair) -> None:
    for packet in NO_PACKETS:
        mallory = clients.token()
        mallory.send_raw(packet)
        mallory.wait_closed()


def test_events_before_connecting_and_on_other_namespaces_are_dropped(clients: Clients, pair: Pair) -> None:
    mallory = clients()
    for namespace in ("", "/signaling,", "/room,", "/nowhere,", "/" + "x" * 200 + ","):
        mallory.send_raw(f'42{namespace}7["subscribe","Mallory","{pair.channel}"]')
        mallory.send_raw(f"41{namespace}")
    mallory.connect({"token": TOKEN})
    mallory.send_raw(f'42/signaling,7["subscribe","Mallory","{pair.channel}"]')
    mallory.nothing("message")
    assert not mallory._acks


def test_events_after_disconnecting_are_dropped(clients: Clients, pair: Pair, server: Server) -> None:
    mallory = clients.token()
    assert mallory.call("subscribe", "Mallory", pair.channel)["ok"]
    pair.alice.message("peer", peerID="Mallory")
    stolen = {"type": "offer", "target": "Alice", "channel": pair.channel}
    mallory.send_raw("41")
    mallory.send_raw('427["messagePeer",' + json.dumps(stolen) + "]")
    mallory.send_raw(f'428["subscribe","Mallory","{pair.channel}"]')
    mallory.send_raw("41")
    pair.alice.message("peerLeft", peerID="Mallory")
    mallory.connect({"token": TOKEN})
    assert refusal(mallory.call("messagePeer", stolen)) == "not-in-channel"
    assert not mallory._acks


def test_a_second_connect_is_refused_and_the_first_stays(mallory: Client, pair: Pair) -> None:
    for auth in ({"token": TOKEN}, {"token": "other"}, None, "x"):
        with pytest.raises(ConnectRefused, match="Unable to connect"):
            mallory.connect(auth)
        mallory._answers["/"] = ("open", {"sid": mallory.sid if mallory.is_open() else ""})
        assert mallory.call("roomJoin", {"room": "Hall"})["ok"]
    assert mallory.call("roomLeave", {"room": "Hall"})["ok"]


def test_two_connects_at_once_are_one_connection(clients: Clients, server: Server) -> None:
    mallory = clients()
    for _ in range(2):
        mallory.send_raw(f'40{{"token":"{TOKEN}"}}')
    mallory.send_raw('427["subscribe","Mallory","Twice"]')
    assert mallory.acknowledged(7)["ok"]
    assert len(server.api("/connections")) == 1
    mallory.drop()
    server.idle()


NO_PINS: list[Any] = [None, True, [], {}, "", 1.5]
AUTHS: list[Any] = [
    *(None, True, False, 0, -1, 1.5, "", TOKEN, [], [TOKEN], [{"token": TOKEN}], {}, {"token": None}),
    *({"token": [TOKEN]}, {"token": {"token": TOKEN}}, {"token": True}, {"token": 0}, {"token": ""}),
    *({"token": "x" * 256}, {"token": "\ud800"}, {"Token": TOKEN}, {"__proto__": {"token": TOKEN}}),
    *({"account": "Test Account"}, {"account": "Test Account", "user": "Alice"}),
    *({"account": ["Test Account"], "user": "Alice", "pin": "1"}, {"account": 1, "user": 2, "pin": 3}),
    *(
        {"account": "Test Account", "user": "", "pin": "1"},
        {"account": "Test Account", "user": {}, "pin": "1"},
    ),
    *({"account": "Test Account", "user": "Alice", "pin": pin} for pin in NO_PINS),
]


NO_JSON = ["{", "NaN", '{"token":NaN}', DEEP, '{"token":"' + TOKEN + '"', "x", "'"]


def test_malformed_credentials_are_refused(clients: Clients) -> None:
    client = clients()
    for auth in [json.dumps(auth) for auth in AUTHS] + NO_JSON:
        client._answers.clear()
        client.send_raw("40" + auth)
        until(lambda: "/" in client._answers, what=f"an answer to {auth[:50]}")
        assert client._answers["/"] == ("refused", {"message": "ERROR: Authentication error"}), auth[:50]
    client.connect({"token": TOKEN})


def test_namespaces_that_do_not_exist_are_refused(clients: Clients) -> None:
    client = clients()
    for namespace in ("/nowhere", "/Signaling", "/__init__", "/signaling/", "/*", "/ "):
        with pytest.raises(ConnectRefused, match="Unable to connect"):
            client.connect({"token": TOKEN}, namespace)


# --- sizes and frames ---


def test_a_message_of_a_megabyte_is_relayed_and_a_larger_one_ends_its_sender(
    clients: Clients, pair: Pair, server: Server
) -> None:
    pair.relay("x" * 900_000)
    pair.relay("é" * 450_000)  # three times as long in the ASCII that is sent
    mallory = clients.token()
    mallory.send_raw("42" + "x" * 1_000_000)
    mallory.wait_closed()


def test_one_who_floods_another_with_large_messages_does_not_end_him(pair: Pair) -> None:
    body = {"type": "signal", "target": "Bob", "channel": pair.channel, "content": "x" * 600_000}
    for number in range(5):
        pair.alice.emit("messagePeer", {**body, "number": number})
    for number in range(5):
        pair.bob.message("signal", number=number)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [1_000_001, 2**32, 2**40, 2**63 - 1])
def test_a_frame_that_declares_too_much_is_refused_on_its_header(
    server: Server, opcode: int, length: int
) -> None:
    with Raw.websocket(server) as raw:
        raw.send(frame(opcode, length=length))
        assert raw.close_code() == 1009


def test_fragments_that_add_up_are_refused(server: Server) -> None:
    with Raw.websocket(server) as raw:
        raw.try_send(frame(TEXT, b"4" * 400_000, fin=0))
        raw.try_send(frame(CONTINUATION, b"4" * 400_000, fin=0))
        raw.try_send(frame(CONTINUATION, length=200_001))
        assert raw.close_code() == 1009


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02hi", 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(PING, fin=0), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"4\xed\xa0\x80"), 1007),
    ],
    ids=str,
)
def test_broken_frames_end_the_connection(server: Server, data: bytes, code: int) -> None:
    with Raw.websocket(server) as raw:
        raw.send(data)
        assert raw.close_code() == code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", 1000),
        (b"\x03\xe8", 1000),
        (b"\x03\xe8bye", 1000),
        (b"\x0b\xb8", 3000),
        (b"\x03", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xed", 1002),
        (b"\xff\xff", 1002),
        (b"\x03\xe8\xff", 1007),
    ],
    ids=str,
)
def test_close_frames_are_answered(server: Server, payload: bytes, code: int) -> None:
    with Raw.websocket(server) as raw:
        raw.send(frame(8, payload))
        assert raw.close_code() == code


def test_binary_frames_and_pings_are_no_harm(server: Server) -> None:
    with Raw.websocket(server) as raw:
        raw.send(frame(BINARY, b"x" * 1000) * 100 + frame(PING, b"there?"))
        raw.until(b"\x8a\x06there?")
        raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}'))
        assert b"sid" in raw.until(b"}")


# --- too much of it ---


def test_those_who_send_without_end_starve_nobody(server: Server, pair: Pair) -> None:
    end = time.monotonic() + 2
    threads = [threading.Thread(target=flood, args=(server, end), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    delays = []
    while time.monotonic() < end:
        delays.append(pair.relay())
    for thread in threads:
        thread.join(20)
    assert len(delays) >= 3, delays
    assert sorted(delays)[len(delays) // 2] < 2, delays


def flood(server: Server, end: float) -> None:
    """Send the smallest packets as fast as the server takes them, and read nothing."""
    with Raw.websocket(server, timeout=5) as raw:
        raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}'))
        packets = frame(TEXT, '43["x"]') * 5000
        while time.monotonic() < end:
            raw.try_send(packets)
        raw.reset()


def test_more_events_than_allowed_are_refused_and_later_ones_are_not(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(EVENT_RATE_LIMIT="20")
    mallory = clients.token(server=server)
    pair = Pair(clients, server)
    numbers = [mallory.send("subscribe", "Mallory", "Lobby") for _ in range(100)]
    answers = [mallory.acknowledged(number) for number in numbers]
    refused = [answer for answer in answers if not answer["ok"]]
    assert 20 <= len(answers) - len(refused) <= 60
    assert all(answers[index]["ok"] for index in range(40))
    assert {answer["error"]["code"] for answer in refused} == {"too-many-events"}
    assert mallory.wait("subscribeError")[0] == {
        "from": "_server_",
        "to": "Mallory",
        "message": refused[0]["error"]["message"],
    }
    pair.undisturbed()
    until(lambda: mallory.call("subscribe", "Mallory", "Lobby")["ok"], what="the budget to refill")
