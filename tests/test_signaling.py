"""Signaling as clients see it: every event, payload, message text and acknowledgement."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest

from tests.conftest import ACCOUNT, NO_STUN, Clients, MakeServer
from tests.support.client import Client
from tests.support.server import Server

OK = {"ok": True}
STUN = {"iceServers": [{"urls": [NO_STUN]}]}
OWN_ICE = {"iceServers": [{"urls": ["stun:stun.example:3478"]}], "iceTransportPolicy": "relay"}


def refused(answer: Any) -> str:
    """Return the message of a refusal; its shape is the same for all."""
    assert set(answer) == {"ok", "error"}
    assert answer["ok"] is False
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["code"]
    return str(answer["error"]["message"])


def entry(client: Client, peer_id: str, kind: str, account: str = "_static") -> dict[str, str]:
    return {"socketId": client.sid, "peerID": peer_id, "type": kind, "account": account}


def pair(clients: Clients, channel: str = "Lobby") -> tuple[Client, Client]:
    """Return Alice who broadcasts and Bob who watches, both with nothing unread."""
    alice, bob = clients.token(), clients.token()
    assert alice.call("publish", "Alice", channel, {}) == OK
    alice.message("peers")
    assert bob.call("subscribe", "Bob", channel) == OK
    alice.message("peer")
    return alice, bob


def channel_of(server: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(server.api("/channels"))[name]
    return found


# --- publish ---


def test_publishing_is_answered_with_the_peers_of_the_channel(server: Server, clients: Clients) -> None:
    alice = clients.token()
    assert alice.call("publish", "Alice", "Lobby", {"width": 640, "height": 360, "bitrate": 500}) == OK
    assert alice.message("peers") == {
        "type": "peers",
        "from": "_channel_",
        "target": "Alice",
        "peers": [entry(alice, "Alice", "broadcaster")],
        "peerConfig": STUN,
    }
    alice.nothing("publishError")


def test_peers_lists_waiting_players_and_the_broadcaster_last(server: Server, clients: Clients) -> None:
    bob, charlie, alice = clients.token(), clients.verified("Charlie"), clients.token()
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert charlie.call("subscribe", "Charlie", "Lobby") == OK
    alice.emit("publish", "Alice", "Lobby", {})
    assert alice.message("peers")["peers"] == [
        entry(bob, "Bob", "player"),
        entry(charlie, "Charlie", "player", ACCOUNT),
        entry(alice, "Alice", "broadcaster"),
    ]
    alice.nothing("message")  # nobody is announced a second time


def test_every_republish_is_answered_with_peers_and_updates_the_stream(
    server: Server, clients: Clients
) -> None:
    alice, bob = pair(clients)
    assert alice.call("publish", "Alice", "Lobby", {"bitrate": 700, "mood": {"x": [1]}}) == OK
    assert alice.message("peers")["peers"] == [
        entry(bob, "Bob", "player"),
        entry(alice, "Alice", "broadcaster"),
    ]
    shown = channel_of(server, "Lobby")
    assert (shown["bitrate"], shown["mood"], shown["publisher"]) == (700, {"x": [1]}, "Alice")
    bob.nothing("message")


@pytest.mark.parametrize(
    "params",
    [
        {"videoBitrate": "500", "audioBitrate": "64", "framerate": "30", "width": "640", "height": ""},
        {"bitrate": 500.5, "frameRate": 29.97, "width": None},
        {},
        None,
    ],
)
def test_untidy_params_are_accepted(server: Server, clients: Clients, params: Any) -> None:
    alice = clients.token()
    assert alice.call("publish", "Alice", "Lobby", params) == OK
    alice.message("peers")


def test_publishing_without_params_is_accepted(server: Server, clients: Clients) -> None:
    assert clients.token().call("publish", "Alice", "Lobby") == OK


def test_the_rate_of_a_stream_is_read_in_either_spelling(server: Server, clients: Clients) -> None:
    alice = clients.token()
    alice.call("publish", "Alice", "One", {"videoBitrate": "500", "audioBitrate": "64"})
    alice.call("publish", "Alice", "Two", {"bitrate": 300})
    used = server.api("/stats")["_static"]
    assert (used["bitrate"], used["audioBitrate"]) == (800, 64)


def test_an_empty_channel_is_the_default_one(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    assert alice.call("publish", "Alice", "", {}) == OK
    alice.message("peers")
    assert bob.call("subscribe", "Bob", "") == OK
    assert alice.message("peer")["peerID"] == "Bob"
    assert [name for name, _ in server.api("/channels")] == ["VideoWhisper"]


def test_a_verified_user_publishes_in_its_own_name_only(server: Server, clients: Clients) -> None:
    alice = clients.verified("Alice")
    message = "Authentication mismatch: Alice != Bob"
    assert refused(alice.call("publish", "Bob", "Lobby", {})) == message
    assert alice.wait("publishError") == [{"from": "_server_", "to": "Bob", "message": message}]
    assert server.api("/connections") == []


# --- subscribe ---


def test_a_new_player_is_announced_to_the_broadcaster(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    alice.call("publish", "Alice", "Lobby", {})
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert alice.message("peer") == {
        "type": "peer",
        "from": "_server_",
        "target": "Alice",
        "peerID": "Bob",
        "peerConfig": STUN,
    }
    bob.nothing("message")
    bob.nothing("subscribeError")


def test_a_verified_user_subscribes_in_its_own_name_only(server: Server, clients: Clients) -> None:
    bob = clients.verified("Bob")
    message = "You can not subscribe with different username than you are authenticated with: Bob != Charlie"
    assert refused(bob.call("subscribe", "Charlie", "Lobby")) == message
    assert bob.wait("subscribeError") == [{"from": "_server_", "to": "Charlie", "message": message}]
    assert server.api("/connections") == []


def test_a_broadcaster_cannot_subscribe_to_its_own_channel(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    message = refused(alice.call("subscribe", "Alice", "Lobby"))
    assert alice.wait("subscribeError") == [{"from": "_server_", "to": "Alice", "message": message}]
    assert channel_of(server, "Lobby")["publisher"] == "Alice"
    bob.nothing("message")


# --- unpublish and unsubscribe ---


def test_unpublishing_tells_each_player_and_they_stay(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    assert alice.call("unpublish", "Alice", "Lobby") == OK
    assert bob.message("unpublished") == {
        "type": "unpublished",
        "from": "_server_",
        "target": "Bob",
        "channel": "Lobby",
    }
    assert server.api("/connections") == [["Lobby", {"Bob": entry(bob, "Bob", "player")}]]
    assert server.api("/channels") == []


def test_unsubscribing_tells_the_broadcaster(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    assert bob.call("unsubscribe", "Bob", "Lobby") == OK
    assert alice.message("peerLeft") == {
        "type": "peerLeft",
        "from": "_server_",
        "target": "Alice",
        "peerID": "Bob",
    }
    assert server.api("/connections") == [["Lobby", {"Alice": entry(alice, "Alice", "broadcaster")}]]
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert alice.message("peer")["peerID"] == "Bob"  # and it can come back at once


def test_one_cannot_unpublish_what_one_does_not_publish(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    message = refused(bob.call("unpublish", "Alice", "Lobby"))
    assert bob.wait("publishError") == [{"from": "_server_", "to": "Alice", "message": message}]
    assert refused(alice.call("unpublish", "Alice", "Elsewhere"))
    assert channel_of(server, "Lobby")["publisher"] == "Alice"
    bob.nothing("message")


def test_one_cannot_unsubscribe_from_where_one_is_no_player(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    message = refused(alice.call("unsubscribe", "Bob", "Lobby"))
    assert alice.wait("subscribeError") == [{"from": "_server_", "to": "Bob", "message": message}]
    assert refused(bob.call("unsubscribe", "Bob", "Elsewhere"))
    alice.nothing("message")


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_those_who_leave_are_missed_at_once(server: Server, clients: Clients, leave: str) -> None:
    alice, bob = pair(clients)
    charlie = clients.token()
    charlie.call("subscribe", "Charlie", "Lobby")
    alice.message("peer")
    getattr(bob, leave)()
    assert alice.message("peerLeft")["peerID"] == "Bob"
    getattr(alice, leave)()
    assert charlie.message("unpublished")["target"] == "Charlie"


# --- messagePeer ---


def test_a_signal_reaches_its_target_whole_in_the_senders_true_name(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    offer = {
        "type": "offer",
        "from": "Mallory",
        "target": "Bob",
        "channel": "Lobby",
        "content": {"type": "offer", "sdp": "v=0\r\n"},
        "peerConfig": OWN_ICE,
        "extra": {"kept": [1, None, True, 2.5, "ä🎥"]},
    }
    assert alice.call("messagePeer", offer) == OK
    assert bob.message("offer") == {**offer, "from": "Alice"}
    answer = {"type": "answer", "target": "Alice", "channel": "Lobby", "content": {"sdp": "v=0"}}
    assert bob.call("messagePeer", answer) == OK
    assert alice.message("answer") == {**answer, "from": "Bob"}


@pytest.mark.parametrize("channel", [{}, {"channel": None}])
def test_the_common_channel_is_found_when_none_is_named(
    server: Server, clients: Clients, channel: dict[str, None]
) -> None:
    alice, bob = pair(clients, "Second")
    alice.call("publish", "Alicia", "First", {})
    candidate = {"type": "candidate", "target": "Bob", "candidate": {"sdpMid": "0"}, **channel}
    assert alice.call("messagePeer", candidate) == OK
    assert bob.message("candidate") == {**candidate, "from": "Alice"}  # its name in the common channel


@pytest.mark.parametrize("config", [{}, {"peerConfig": None}, {"peerConfig": {}}])
def test_an_offer_without_ice_servers_gets_the_servers(
    server: Server, clients: Clients, config: dict[str, Any]
) -> None:
    alice, bob = pair(clients)
    assert alice.call("messagePeer", {"type": "offer", "target": "Bob", **config}) == OK
    assert bob.message("offer")["peerConfig"] == STUN


def test_the_rest_of_an_offers_peer_config_is_kept(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    config = {"iceTransportPolicy": "relay"}
    alice.call("messagePeer", {"type": "offer", "target": "Bob", "peerConfig": config})
    assert bob.message("offer")["peerConfig"] == {**config, **STUN}


def test_only_offers_get_ice_servers(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    bob.call("messagePeer", {"type": "answer", "target": "Alice"})
    assert alice.message("answer") == {"type": "answer", "target": "Alice", "from": "Bob"}


def test_turn_credentials_are_made_for_each_client(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(COTURN_SERVER="turn.example:3478", COTURN_SECRET="s3cret", COTURN_TLS_PORT="5349")
    alice, bob = clients.token(server=server), clients.token(server=server)
    bob.call("subscribe", "Bob", "Lobby")
    alice.call("publish", "Alice", "Lobby", {})
    own = _turn(alice.message("peers")["peerConfig"])
    alice.call("messagePeer", {"type": "offer", "target": "Bob"})
    assert _turn(bob.message("offer")["peerConfig"]) != own
    alice.close()
    bob.close()
    server.idle()


def _turn(config: dict[str, Any]) -> str:
    """Check a configuration with credentials that expire in 12 hours; return the username."""
    stun, turn = config["iceServers"]
    assert stun == {"urls": ["stun:turn.example:3478"]}
    assert turn["urls"] == [
        "turn:turn.example:3478?transport=udp",
        "turn:turn.example:3478?transport=tcp",
        "turns:turn.example:5349?transport=tcp",
    ]
    username = str(turn["username"])
    assert abs(int(username.partition(":")[0]) - time.time() - 43_200) < 30
    digest = hmac.digest(b"s3cret", username.encode(), hashlib.sha1)
    assert turn["credential"] == base64.b64encode(digest).decode()
    return username


def test_a_signal_for_nobody_reaches_nobody_and_its_sender_is_told(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    stranger = clients.token()
    stranger.call("subscribe", "Charlie", "Elsewhere")
    for target, channel in (("Charlie", None), ("Nobody", "Lobby"), ("Bob", "Elsewhere"), ("Bob", "None")):
        signal = {"type": "offer", "target": target, "channel": channel}
        assert refused(alice.call("messagePeer", signal))
    for each in (alice, bob, stranger):
        each.nothing("message")


@pytest.mark.parametrize("channel", ["Lobby", None])
def test_an_outsider_cannot_signal_into_a_channel(
    server: Server, clients: Clients, channel: str | None
) -> None:
    alice, bob = pair(clients)
    outsider = clients.token()
    for target in ("Alice", "Bob", alice.sid, bob.sid):
        signal = {"type": "offer", "from": "Alice", "target": target, "channel": channel}
        assert refused(outsider.call("messagePeer", signal))
    alice.nothing("message")
    bob.nothing("message")


@pytest.mark.parametrize(
    "claimed", ['"from":"Mallory"', '"\\u0066rom":"Mallory"', '"from":1,"from":"Mallory"']
)
@pytest.mark.parametrize("event", ["messagePeer", "message"])
def test_however_a_sender_is_claimed_the_true_one_is_told(
    server: Server, clients: Clients, event: str, claimed: str
) -> None:
    alice, bob = pair(clients)
    bob.send_raw(f'429["{event}",{{"type":"note","target":"Alice",{claimed},"own":1.50}}]')
    assert bob.acknowledged(9) == OK
    assert alice.message("note") == {"type": "note", "target": "Alice", "from": "Bob", "own": 1.5}


# --- message ---


def test_a_message_reaches_everyone_else_in_the_channel_and_nobody_elsewhere(
    server: Server, clients: Clients
) -> None:
    alice, bob = pair(clients)
    charlie, outsider = clients.token(), clients.token()
    charlie.call("subscribe", "Charlie", "Lobby")
    alice.message("peer")
    outsider.call("subscribe", "Bob", "Elsewhere")
    said = {"type": "chat", "from": "Mallory", "text": "hello", "more": [{"a": None}]}
    assert bob.call("message", said) == OK
    for each in (alice, charlie):
        assert each.message("chat") == {**said, "from": "Bob"}
        each.nothing("message")
    bob.nothing("message")
    outsider.nothing("message")


def test_a_message_can_name_one_of_the_senders_channels(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients, "One")
    charlie = clients.token()
    charlie.call("subscribe", "Charlie", "Two")
    bob.call("subscribe", "Robert", "Two")
    assert bob.call("message", {"channel": "Two", "text": "hi"}) == OK
    assert charlie.wait("message") == [{"channel": "Two", "text": "hi", "from": "Robert"}]
    alice.nothing("message")


def test_a_message_needs_a_channel_its_sender_is_in(server: Server, clients: Clients) -> None:
    alice, bob = pair(clients)
    outsider = clients.token()
    assert refused(outsider.call("message", {"text": "hi"}))
    assert refused(outsider.call("message", {"text": "hi", "channel": "Lobby"}))
    alice.nothing("message")
    bob.nothing("message")


# --- malformed input ---

LONG = "x" * 256
POSITIONAL: list[list[Any]] = [
    [],
    ["Alice"],
    ["Alice", "Lobby", {}, 1],
    [None, "Lobby"],
    ["Alice", None],
    ["", "Lobby"],
    [1, "Lobby"],
    ["Alice", ["Lobby"]],
    [{"toString": 1}, "Lobby"],
    [LONG, "Lobby"],
    ["Alice", LONG],
]
PARAMS: list[Any] = [
    "text",
    7,
    [],
    {"width": -1},
    {"bitrate": "much"},
    {"frameRate": {}},
    {"audioBitrate": 1e300},
    {"bitrate": True},
    {"filler": "x" * 20_000},
]


@pytest.mark.parametrize("event", ["publish", "unpublish"])
def test_malformed_publishing_is_refused_and_changes_nothing(
    server: Server, clients: Clients, event: str
) -> None:
    alice = clients.token()
    cases = POSITIONAL + ([["Alice", "Lobby", params] for params in PARAMS] if event == "publish" else [])
    for args in cases:
        message = refused(alice.call(event, *args))
        told = alice.wait("publishError")[0]
        named = args and isinstance(args[0], str) and args[0] != LONG
        assert told == {"from": "_server_", "to": args[0] if named else "", "message": message}
    assert server.api("/connections") == []


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe"])
def test_malformed_subscribing_is_refused_and_changes_nothing(
    server: Server, clients: Clients, event: str
) -> None:
    bob = clients.token()
    for args in POSITIONAL:
        message = refused(bob.call(event, *args))
        assert bob.wait("subscribeError")[0]["message"] == message
    assert server.api("/connections") == []


@pytest.mark.parametrize("event", ["messagePeer", "message"])
@pytest.mark.parametrize("args", [[], [None], ["text"], [[]], [1], [{}, {}], [{"type": "x", "channel": 5}]])
def test_malformed_messages_reach_nobody(
    server: Server, clients: Clients, event: str, args: list[Any]
) -> None:
    alice, bob = pair(clients)
    assert refused(bob.call(event, *args))
    alice.nothing("message")
    bob.nothing("message")


@pytest.mark.parametrize(
    "signal",
    [
        {},
        {"type": "offer"},
        {"target": "Alice"},
        {"type": 1, "target": "Alice"},
        {"type": "offer", "target": ["Alice"]},
    ],
)
def test_a_signal_needs_a_type_and_a_target(server: Server, clients: Clients, signal: dict[str, Any]) -> None:
    alice, bob = pair(clients)
    assert refused(bob.call("messagePeer", signal))
    alice.nothing("message")


@pytest.mark.parametrize(
    "frame",
    [
        '429["messagePeer",{"type":"offer","target":"Alice","x":NaN}]',
        '429["messagePeer",{"type":"offer","target":"Alice","x":' + "9" * 5000 + "}]",
        '429["messagePeer",{"type":"offer","target":"Alice","x":' + "[" * 5000 + "]" * 5000 + "}]",
        '429["messagePeer",{"type":"offer","target":"Alice"',
        '451-9["messagePeer",{"type":"offer","target":"Alice","x":{"_placeholder":true,"num":0}}]',
    ],
    ids=["NaN", "endless", "deep", "unfinished", "binary"],
)
def test_what_is_no_plain_json_is_refused_and_the_connection_goes_on(
    server: Server, clients: Clients, frame: str
) -> None:
    alice, bob = pair(clients)
    bob.send_raw(frame)
    assert refused(bob.acknowledged(9))
    alice.nothing("message")
    assert bob.call("messagePeer", {"type": "answer", "target": "Alice"}) == OK


def test_refusals_without_an_acknowledgement_are_told_by_the_error_event(
    server: Server, clients: Clients
) -> None:
    alice = clients.token()
    alice.emit("publish")
    alice.emit("subscribe", "Alice")
    alice.wait("publishError")
    alice.wait("subscribeError")


def test_an_unknown_event_is_refused(server: Server, clients: Clients) -> None:
    alice = clients.token()
    for event in ("nonsense", "connect", "disconnect", "__proto__", "on_publish", "event", "peers", ""):
        assert refused(alice.call(event, {}))
