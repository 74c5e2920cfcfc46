"""The dedicated namespaces beside `/`: one session for all that a connection opens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ACCOUNT, TOKEN, Clients
from tests.support.client import Client, ConnectRefused
from tests.support.server import Server, until

OK = {"ok": True}
DEDICATED = ("/signaling", "/room", "/chat")
ALICE = {"account": ACCOUNT, "user": "Alice", "pin": "1234"}


def opened(clients: Clients, *namespaces: str, auth: dict[str, str] | None = None) -> Client:
    """Return a client with these namespaces open, with the static token unless told otherwise."""
    client = clients()
    for namespace in namespaces:
        client.connect(auth or {"token": TOKEN}, namespace)
    return client


def connections(server: Server) -> int:
    """Return how many connections all accounts have."""
    return sum(used["connections"] for used in server.api("/stats").values())


def where(client: Client, event: str) -> list[str]:
    """Return the namespaces on which an event has come."""
    namespaces = ("/", *DEDICATED)
    return [name for name in namespaces for _ in client.received(event, name)]


def test_all_namespaces_of_a_connection_are_one_client(server: Server, clients: Clients) -> None:
    until(lambda: connections(server) == 0)
    alice = clients()
    ids = {alice.connect(ALICE, namespace) for namespace in ("/", *DEDICATED)}
    assert ids == {alice.sid}
    assert connections(server) == 1
    assert len(server.wait_log(f"connect .*socket={alice.sid}")) == 1
    assert alice.call("publish", "Alice", "Lobby", {}, namespace="/signaling") == OK
    listed = dict(server.api("/connections"))["Lobby"]["Alice"]
    assert listed == {"socketId": alice.sid, "peerID": "Alice", "type": "broadcaster", "account": ACCOUNT}


def test_many_connections_count_each_once(server: Server, clients: Clients) -> None:
    until(lambda: connections(server) == 0)
    several = [opened(clients, "/", "/signaling", "/chat") for _ in range(3)]
    assert connections(server) == 3
    several[0].close()
    until(lambda: connections(server) == 2)
    several[1].drop()
    until(lambda: connections(server) == 1)


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        (("/",), "/"),
        (("/signaling",), "/signaling"),
        (("/", "/signaling"), "/signaling"),
        (("/signaling", "/"), "/signaling"),
        (("/", "/room", "/chat"), "/"),
    ],
)
def test_signaling_goes_out_on_its_own_namespace_where_open(
    server: Server, clients: Clients, namespaces: tuple[str, ...], expected: str
) -> None:
    alice, bob = opened(clients, *namespaces), clients.token()
    sender = "/signaling" if "/signaling" in namespaces else "/"
    assert alice.call("publish", "Alice", "Lobby", {}, namespace=sender) == OK
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert bob.call("messagePeer", {"type": "answer", "target": "Alice"}) == OK
    alice.message("answer")
    assert where(alice, "message") == [expected] * 3  # peers, peer, answer
    assert alice.call("publish", "", "", namespace=sender)["ok"] is False
    alice.wait("publishError")
    assert where(alice, "publishError") == [expected]


@pytest.mark.parametrize(
    ("namespaces", "room", "chat", "signaling"),
    [
        (("/",), "/", "/", "/"),
        (("/", *DEDICATED), "/room", "/chat", "/signaling"),
        (("/room", "/", "/signaling"), "/room", "/", "/signaling"),
        (("/", "/chat"), "/", "/chat", "/"),
    ],
)
def test_rooms_and_chat_go_out_on_their_own_namespaces_where_open(
    server: Server,
    clients: Clients,
    namespaces: tuple[str, ...],
    *,
    room: str,
    chat: str,
    signaling: str,
) -> None:
    alice, bob = opened(clients, *namespaces, auth=ALICE), clients.verified("Bob")
    for member in (alice, bob):
        joined = member.call("roomJoin", {"room": "Hall"}, namespace=room if member is alice else "/")
        assert joined == OK
    parameters = {"type": "webrtc"}
    bob.call("roomPublish", {"room": "Hall", "stream": "Show", "parameters": parameters})
    bob.call("roomMessage", {"room": "Hall", "message": "hi"})
    assert alice.wait("roomUpdate", lambda update: "streamNew" in update, namespace=room)
    assert alice.wait("roomUpdate", lambda update: "messageNew" in update, namespace=chat)
    answer = alice.call("roomMessage", {"room": "Nowhere", "message": "hi"}, namespace=chat)
    assert answer["ok"] is False
    assert alice.wait("roomUpdate", lambda update: "error" in update, namespace=chat)
    bob.close()
    assert alice.wait("message", lambda message: message["type"] == "unpublished", namespace=signaling)
    alice.update("participantLeft")
    assert sorted(where(alice, "roomUpdate")) == sorted([room] * 6 + [chat] * 2)


def test_a_client_of_one_concern_is_told_of_others_where_it_can_hear(
    server: Server, clients: Clients
) -> None:
    alice = opened(clients, "/room", auth=ALICE)
    alice.call("roomJoin", {"room": "Hall"}, namespace="/room")
    publish = {"room": "Hall", "stream": "Show", "parameters": {"type": "webrtc"}}
    assert alice.call("roomPublish", publish, namespace="/room") == OK
    assert alice.wait("message", namespace="/room")[0]["type"] == "peers"


@pytest.mark.parametrize(
    ("namespace", "event", "args"),
    [
        ("/room", "publish", ["Alice", "Lobby", {}]),
        ("/chat", "subscribe", ["Alice", "Lobby"]),
        ("/chat", "roomJoin", [{"room": "Hall"}]),
        ("/room", "roomMessage", [{"room": "Hall", "message": "hi"}]),
        ("/signaling", "roomJoin", [{"room": "Hall"}]),
        ("/signaling", "roomMessage", [{"room": "Hall", "message": "hi"}]),
        ("/signaling", "roomUpdate", [{}]),
    ],
)
def test_events_of_another_namespace_are_refused(
    server: Server, clients: Clients, namespace: str, event: str, args: list[Any]
) -> None:
    alice = opened(clients, namespace, auth=ALICE)
    answer = alice.call(event, *args, namespace=namespace)
    assert answer == {"ok": False, "error": {"code": "unknown-event", "message": "unknown event"}}
    assert server.api("/connections") == server.api("/rooms") == []


def test_events_on_a_namespace_that_is_not_open_do_nothing(server: Server, clients: Clients) -> None:
    alice = opened(clients, "/")
    for namespace in (*DEDICATED, "/nonsense"):
        alice.emit("publish", "Alice", "Lobby", {}, namespace=namespace)
    alice.nothing("message")
    assert server.api("/connections") == []


@pytest.mark.parametrize(
    "auth",
    [
        {"token": "wrong"},
        {"token": None},
        {"account": ACCOUNT, "user": "Bob", "pin": "1234"},
        {"account": ACCOUNT, "user": "Alice", "pin": "wrong"},
        ["token"],
        "token",
    ],
)
def test_other_credentials_on_a_second_namespace_are_refused(
    server: Server, clients: Clients, auth: Any
) -> None:
    alice = opened(clients, "/", auth=ALICE)
    with pytest.raises(ConnectRefused) as refusal:
        alice.connect(auth, "/signaling")
    assert refusal.value.message == "ERROR: Authentication error"
    assert not alice.is_open("/signaling")
    assert alice.call("publish", "Alice", "Lobby", {}) == OK  # the first namespace goes on
    alice.message("peers")
    assert where(alice, "message") == ["/"]
    assert alice.connect(ALICE, "/signaling") == alice.sid  # and the right ones are still welcome


def test_the_first_namespace_needs_credentials_whichever_it_is(server: Server, clients: Clients) -> None:
    for namespace in ("/", *DEDICATED):
        for auth in (None, {}, {"token": "wrong"}):
            with pytest.raises(ConnectRefused) as refusal:
                clients().connect(auth, namespace)
            assert refusal.value.message == "ERROR: Authentication error"


@pytest.mark.parametrize("namespace", ["/admin", "/__proto__", "/signaling/x", "/Signaling"])
def test_an_unknown_namespace_is_refused(server: Server, clients: Clients, namespace: str) -> None:
    client = clients()
    with pytest.raises(ConnectRefused):
        client.connect({"token": TOKEN}, namespace)
    client.connect({"token": TOKEN})
    with pytest.raises(ConnectRefused):
        client.connect({"token": TOKEN}, namespace)
    assert client.call("publish", "Alice", "Lobby", {}) == OK


def test_leaving_one_namespace_keeps_the_client_in_its_channels(server: Server, clients: Clients) -> None:
    until(lambda: connections(server) == 0)
    alice, bob = opened(clients, "/", "/signaling"), clients.token()
    alice.call("publish", "Alice", "Lobby", {}, namespace="/signaling")
    bob.call("subscribe", "Bob", "Lobby")
    alice.send_raw("41/signaling,")
    alice.nothing("publishError")  # by now the server has read it
    assert bob.call("messagePeer", {"type": "answer", "target": "Alice"}) == OK
    alice.wait("message", lambda message: message["type"] == "answer", namespace="/")
    assert connections(server) == 2
    bob.nothing("message")
    alice.send_raw("41")
    assert bob.message("unpublished")["channel"] == "Lobby"
    assert connections(server) == 1


def test_who_left_its_last_namespace_can_come_back_by_authenticating(
    server: Server, clients: Clients
) -> None:
    alice = opened(clients, "/signaling")
    alice.call("publish", "Alice", "Lobby", {}, namespace="/signaling")
    alice.send_raw("41/signaling,")
    server.idle()
    with pytest.raises(ConnectRefused):
        alice.connect({"token": "wrong"}, "/signaling")
    alice.connect({"token": TOKEN}, "/signaling")
    assert alice.call("publish", "Alice", "Lobby", {}, namespace="/signaling") == OK
