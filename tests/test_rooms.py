"""Rooms: who is told what, in which order, when people join, publish, unpublish and leave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ACCOUNT, Clients, MakeServer
from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.server import Server, row, until

SHOWN = {"type": "webrtc", "width": 640, "height": 360, "bitrate": 500, "codec": "VP8"}
NOT_IN_ROOM = "You are not a participant in this room"


def join(client: Client, room: str = "Lobby") -> dict[str, Any]:
    """Join and return the room as the joiner is shown it, with its own arrival taken out of the inbox."""
    assert client.call("roomJoin", {"room": room}) == {"ok": True}
    shown = client.update("participants", room=room)
    client.update("participantJoin", room=room)
    return shown


def show(client: Client, stream: str, room: str = "Lobby", **params: Any) -> None:
    body = {"room": room, "stream": stream, "parameters": SHOWN | params}
    assert client.call("roomPublish", body) == {"ok": True}


def in_room(clients: Clients, *users: str, room: str = "Lobby") -> list[Client]:
    """Let users join one after the other, until each has seen everybody come."""
    present = [clients.verified(user) for user in users]
    for number, client in enumerate(present):
        join(client, room)
        for earlier in present[:number]:
            earlier.update("participantJoin", room=room)
    return present


def trail(client: Client) -> list[str]:
    """Return in short what came, in its order: the event, and which kind of it."""
    return [_kind(name, args) for _, name, args in client._history]


def _kind(name: str, args: list[Any]) -> str:
    body = args[0] if isinstance(args[0], dict) else {}
    keys = ("error", "participants", "participantJoin", "participantLeft", "streamNew", "streamRemove")
    kinds = [key for key in (*keys, "messageNew", "action") if key in body]
    return kinds[0] if kinds else str(body.get("type", name))


def refused(client: Client, code: str, event: str, body: dict[str, Any]) -> str:
    """Expect an event to be refused, in the acknowledgement and as a `roomUpdate`; return the message."""
    error = client.call(event, body)["error"]
    assert error["code"] == code
    room = body.get("room", body.get("roomName"))
    assert client.update("error") == {"room": room, "error": error["message"]}
    return str(error["message"])


def peers_of(server: Server, channel: str) -> dict[str, str]:
    """Return who is in a channel, and as what."""
    found = dict(server.api("/connections"))
    return {name: peer["type"] for name, peer in found.get(channel, {}).items()}


# --- joining ---


def test_a_joiner_is_shown_the_room_and_everybody_sees_it_come(server: Server, clients: Clients) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    shown = join(alice)
    came = shown["participants"][alice.sid]["joinedAt"]
    assert shown == {
        "room": "Lobby",
        "participants": {alice.sid: {"name": "Alice", "joinedAt": came}},
        "streams": {},
        "messages": [],
        "meta": {},
        "type": "roomJoin",
    }
    assert isinstance(came, int)
    bob.call("roomJoin", {"room": "Lobby"})
    assert set(bob.update("participants")["participants"]) == {alice.sid, bob.sid}
    for each in (alice, bob):
        update = each.update("participantJoin")
        joined = update["participantJoin"]["joinedAt"]
        told = {"participantJoin": {"name": "Bob", "joinedAt": joined}, "room": "Lobby"}
        assert update == told | {"timestamp": joined}


def test_a_repeated_join_shows_the_room_again_and_announces_nobody(server: Server, clients: Clients) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    for _ in range(3):
        bob.emit("roomJoin", {"room": "Lobby"})
    assert [len(bob.update("participants")["participants"]) for _ in range(3)] == [2, 2, 2]
    bob.nothing("roomUpdate")
    alice.nothing("roomUpdate")


def test_both_spellings_of_the_payload_keys_work(server: Server, clients: Clients) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    for client in (alice, bob):
        assert client.call("roomJoin", {"roomName": "Lobby"})["ok"]
    body = {"roomName": "Lobby", "channel": "Stage", "parameters": SHOWN}
    assert alice.call("roomPublish", body)["ok"]
    assert bob.update("streamNew")["streamNew"]["streamId"] == "Stage"
    assert alice.call("roomUnpublish", {"roomName": "Lobby", "channel": "Stage"})["ok"]
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert bob.call("roomMessage", {"roomName": "Lobby", "message": "Bye"})["ok"]
    assert alice.update("messageNew")["messageNew"]["text"] == "Bye"
    assert bob.call("roomLeave", {"roomName": "Lobby"})["ok"]
    assert alice.update("participantLeft")["participantLeft"]["name"] == "Bob"


def test_a_join_tells_the_joiner_then_everybody_then_the_broadcasters(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    show(bob, "Balcony")
    charlie = clients.verified("Charlie")
    assert charlie.call("roomJoin", {"room": "Lobby"})["ok"]
    assert trail(charlie) == ["participants", "participantJoin"]
    alice.message("peer", peerID="Charlie")
    bob.message("peer", peerID="Charlie")
    assert trail(alice)[-2:] == trail(bob)[-2:] == ["participantJoin", "peer"]


def test_rooms_belong_to_the_account(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    server = make_server(accounts=[row("Acme", loginURL=login_site.url("/ok"))])
    alice = clients.verified("Alice", server=server)
    stranger = clients.verified("Bob", account="Acme", server=server)
    join(alice)
    assert set(join(stranger)["participants"]) == {stranger.sid}
    show(alice, "Stage")
    stranger.nothing("roomUpdate")
    rooms = {room["account"]: list(room["participants"]) for room in server.api("/rooms")}
    assert sorted(map(tuple, rooms.values())) == sorted([(alice.sid,), (stranger.sid,)])


# --- streams ---


def test_publishing_shows_the_stream_to_all_after_the_publishers_peers(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    update = bob.update("streamNew")
    at = update["streamNew"]["publishedAt"]
    extra = {"streamId": "Stage", "socketId": alice.sid, "user": "Alice", "publishedAt": at}
    stream = SHOWN | extra | {"channel": "Stage"}
    assert update == {"streamNew": stream, "room": "Lobby", "timestamp": update["timestamp"]}
    assert isinstance(at, int)
    assert alice.update("streamNew") == update
    peers = alice.message("peers")
    account = {"account": ACCOUNT}
    assert peers == {
        "type": "peers",
        "from": "_channel_",
        "target": "Alice",
        "peers": [
            {"socketId": bob.sid, "peerID": "Bob", "type": "player"} | account,
            {"socketId": alice.sid, "peerID": "Alice", "type": "broadcaster"} | account,
        ],
        "peerConfig": peers["peerConfig"],
    }
    assert trail(alice)[-2:] == ["peers", "streamNew"]
    bob.nothing("message")


def test_what_a_publisher_says_of_itself_does_not_pass_for_the_servers_word(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    forged: dict[str, Any] = {
        "user": "Charlie",
        "streamId": "X",
        "socketId": "X",
        "channel": "X",
        "publishedAt": 1,
    }
    show(alice, "Stage", **forged)
    stream = bob.update("streamNew")["streamNew"]
    assert (stream["user"], stream["streamId"], stream["channel"]) == ("Alice", "Stage", "Stage")
    assert stream["socketId"] == alice.sid
    assert stream["publishedAt"] > 1


def test_a_late_joiner_watches_the_streams_that_are_there(server: Server, clients: Clients) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    charlie = clients.verified("Charlie")
    shown = join(charlie)
    assert shown["streams"] == {"Stage": bob.update("streamNew")["streamNew"]}
    told = alice.message("peer")
    expected = {"type": "peer", "from": "_server_", "target": "Alice", "peerID": "Charlie"}
    assert told == expected | {"peerConfig": told["peerConfig"]}
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player", "Charlie": "player"}
    alice.emit("messagePeer", {"type": "offer", "from": "Alice", "target": "Charlie", "content": {}})
    assert charlie.message("offer")["from"] == "Alice"


def test_publishing_again_updates_the_stream_without_a_second_announcement(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    first = bob.update("streamNew")["streamNew"]
    show(alice, "Stage", bitrate=700, title="Evening")
    assert [peer["peerID"] for peer in alice.wait("message")[0]["peers"]] == ["Bob", "Alice"]
    assert [peer["peerID"] for peer in alice.wait("message")[0]["peers"]] == ["Bob", "Alice"]
    bob.nothing("roomUpdate")
    shown = join(clients.verified("Charlie"))["streams"]["Stage"]
    assert shown == first | {"bitrate": 700, "title": "Evening"}
    assert dict(server.api("/channels"))["Stage"]["bitrate"] == 700


@pytest.mark.parametrize("event", ["roomPublish", "publish"])
def test_an_update_reaches_every_room_that_shows_the_stream(
    server: Server, clients: Clients, event: str
) -> None:
    alice = clients.verified("Alice")
    for room in ("Lobby", "Kitchen"):
        join(alice, room)
        show(alice, "Stage", room)
    new = SHOWN | {"bitrate": 700}
    by_event: dict[str, list[Any]] = {
        "roomPublish": [{"room": "Lobby", "stream": "Stage", "parameters": new}],
        "publish": ["Alice", "Stage", new],
    }
    assert alice.call(event, *by_event[event])["ok"]
    bob = clients.verified("Bob")
    assert [join(bob, room)["streams"]["Stage"]["bitrate"] for room in ("Lobby", "Kitchen")] == [700, 700]


def test_unpublishing_takes_the_stream_away_then_stops_the_publisher(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    assert alice.call("roomUnpublish", {"room": "Lobby", "stream": "Stage"}) == {"ok": True}
    for each in (alice, bob):
        update = each.update("streamRemove")
        assert update == {"streamRemove": "Stage", "room": "Lobby", "timestamp": update["timestamp"]}
    assert alice.wait("unpublish") == ["Alice", "Stage"]
    assert trail(alice)[-2:] == ["streamRemove", "unpublish"]
    told = {"type": "unpublished", "from": "_server_", "target": "Bob", "channel": "Stage"}
    assert bob.message("unpublished") == told
    assert server.api("/connections") == []
    assert server.api("/rooms")[0]["streams"] == []


def test_unpublish_on_the_signaling_side_takes_the_stream_out_of_its_room(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    assert alice.call("unpublish", "Alice", "Stage")["ok"]
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert server.api("/connections") == []


def test_a_stream_in_several_rooms_ends_when_the_last_drops_it(server: Server, clients: Clients) -> None:
    alice, bob, charlie = clients.verified("Alice"), clients.verified("Bob"), clients.verified("Charlie")
    join(bob, "Lobby")
    join(charlie, "Kitchen")
    for room in ("Lobby", "Kitchen"):
        join(alice, room)
        show(alice, "Stage", room)
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player", "Charlie": "player"}
    assert alice.call("roomUnpublish", {"room": "Lobby", "stream": "Stage"})["ok"]
    assert bob.update("streamRemove")["room"] == "Lobby"
    assert bob.message("unpublished")["channel"] == "Stage"
    assert alice.message("peerLeft")["peerID"] == "Bob"
    alice.nothing("unpublish")
    charlie.nothing("message")
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Charlie": "player"}
    assert alice.call("roomLeave", {"room": "Kitchen"})["ok"]
    assert charlie.update("streamRemove")["room"] == "Kitchen"
    assert alice.wait("unpublish") == ["Alice", "Stage"]
    assert server.api("/connections") == []


def test_somebody_elses_live_stream_id_is_refused(server: Server, clients: Clients) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    bob.update("streamNew")
    body = {"room": "Lobby", "stream": "Stage", "parameters": SHOWN}
    message = refused(bob, "held", "roomPublish", body)
    assert message == "Channel already has a broadcaster."
    assert bob.wait("publishError") == [{"from": "_server_", "to": "Bob", "message": message}]
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}
    alice.nothing("publishError")
    refused(bob, "not-yours", "roomUnpublish", {"room": "Lobby", "stream": "Stage"})
    refused(bob, "no-such-stream", "roomUnpublish", {"room": "Lobby", "stream": "Balcony"})
    bob.nothing("roomUpdate")


def test_room_stream_and_channel_of_one_name_published_in_one_breath(
    server: Server, clients: Clients
) -> None:
    """The official React client does this: it joins several times and does not wait for an answer."""
    bob = clients.verified("Bob")
    join(bob)
    alice = clients.verified("Alice")
    for _ in range(3):
        alice.emit("roomJoin", {"room": "Lobby"})
    show(alice, "Lobby")
    assert trail(alice) == [
        "participants",
        "participantJoin",
        "participants",
        "participants",
        "peers",
        "streamNew",
    ]
    assert bob.update("streamNew")["streamNew"]["channel"] == "Lobby"
    assert peers_of(server, "Lobby") == {"Alice": "broadcaster", "Bob": "player"}


# --- leaving ---


@pytest.mark.parametrize("way", ["roomLeave", "close", "drop"])
def test_who_leaves_takes_its_streams_along_before_itself(server: Server, clients: Clients, way: str) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    show(bob, "Balcony")
    joined = bob.received("roomUpdate")[0][0]["participants"][alice.sid]["joinedAt"]
    if way == "roomLeave":
        assert alice.call("roomLeave", {"room": "Lobby"}) == {"ok": True}
        assert alice.wait("unpublish") == ["Alice", "Stage"]
    else:
        getattr(alice, way)()
    left = bob.update("participantLeft")
    told = {"participantLeft": {"name": "Alice", "joinedAt": joined}, "room": "Lobby"}
    assert left == told | {"timestamp": left["timestamp"]}
    assert bob.message("peerLeft")["peerID"] == "Alice"
    assert bob.message("unpublished")["channel"] == "Stage"
    order = trail(bob)
    assert order.index("streamRemove") < order.index("participantLeft")
    assert peers_of(server, "Stage") == {}
    assert peers_of(server, "Balcony") == {"Bob": "broadcaster"}
    if way == "roomLeave":
        alice.nothing("roomUpdate", lambda update: "participantLeft" in update)


def test_leaving_one_room_keeps_the_streams_of_another(server: Server, clients: Clients) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    for room in ("Lobby", "Kitchen"):
        join(alice, room)
        join(bob, room)
        show(alice, "Stage", room)
    assert bob.call("roomLeave", {"room": "Lobby"})["ok"]
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}
    alice.nothing("message", lambda message: message["type"] == "peerLeft")
    assert bob.call("roomLeave", {"room": "Kitchen"})["ok"]
    assert alice.message("peerLeft")["peerID"] == "Bob"
    assert peers_of(server, "Stage") == {"Alice": "broadcaster"}


def test_one_subscription_of_ones_own_outlives_the_room(server: Server, clients: Clients) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    assert bob.call("subscribe", "Bob", "Stage")["ok"]
    assert bob.call("roomLeave", {"room": "Lobby"})["ok"]
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}
    alice.close()
    assert bob.message("unpublished")["channel"] == "Stage"
    assert peers_of(server, "Stage") == {"Bob": "player"}


# --- one user, several connections ---


def test_a_user_in_two_tabs_watches_in_the_newest_one(server: Server, clients: Clients) -> None:
    alice, old = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    new = clients.verified("Bob")
    join(new)
    replaced = {"from": "_server_", "to": "Bob", "message": "Replaced by a newer connection."}
    assert old.wait("subscribeError") == [replaced]
    assert alice.message("peer")["peerID"] == "Bob"
    alice.emit("messagePeer", {"type": "offer", "from": "Alice", "target": "Bob", "content": {}})
    new.message("offer")
    show(alice, "Stage", bitrate=700)
    show(alice, "Balcony")
    old.nothing("subscribeError")
    new.nothing("subscribeError")


def test_the_older_tab_watches_again_when_the_newer_one_is_closed(server: Server, clients: Clients) -> None:
    alice, old = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    new = clients.verified("Bob")
    join(new)
    alice.message("peer")
    new.close()
    assert alice.message("peer")["peerID"] == "Bob"
    alice.emit("messagePeer", {"type": "offer", "from": "Alice", "target": "Bob", "content": {}})
    old.message("offer")


def test_ones_own_stream_is_not_watched_in_a_second_tab(server: Server, clients: Clients) -> None:
    alice, second = in_room(clients, "Alice", "Alice")
    show(alice, "Stage")
    assert second.update("streamNew")["streamNew"]["user"] == "Alice"
    assert peers_of(server, "Stage") == {"Alice": "broadcaster"}
    join(clients.verified("Alice"))
    alice.nothing("publishError")


def test_a_broadcasters_reload_takes_the_stream_over_from_the_lingering_socket(
    server: Server, clients: Clients
) -> None:
    old, bob = in_room(clients, "Alice", "Bob")
    show(old, "Stage")
    bob.update("streamNew")
    new = clients.verified("Alice")
    join(new)
    show(new, "Stage")
    replaced = {"from": "_server_", "to": "Alice", "message": "Replaced by a newer connection."}
    assert old.wait("publishError") == [replaced]
    assert [peer["peerID"] for peer in new.message("peers")["peers"]] == ["Bob", "Alice"]
    assert bob.update("streamNew")["streamNew"]["socketId"] == new.sid
    order = trail(bob)
    assert order[order.index("streamRemove") :] == ["streamRemove", "unpublished", "streamNew"]
    old.close()
    assert bob.update("participantLeft")["participantLeft"]["name"] == "Alice"
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}
    assert trail(bob).count("streamRemove") == 1


def test_a_viewers_reload_is_announced_at_once_and_the_lingering_socket_takes_nothing_along(
    server: Server, clients: Clients
) -> None:
    alice, old = in_room(clients, "Alice", "Bob")
    show(alice, "Stage")
    new = clients.verified("Bob")
    shown = join(new)
    assert [one["name"] for one in shown["participants"].values()] == ["Alice", "Bob", "Bob"]
    assert alice.message("peer")["peerID"] == "Bob"
    old.drop()
    left = alice.update("participantLeft")
    assert left["participantLeft"]["name"] == "Bob"
    alice.nothing("message", lambda message: message["type"] == "peerLeft")
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}


# --- refusals ---


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("roomJoin", {"room": "Lobby"}),
        ("roomLeave", {"room": "Lobby"}),
        ("roomPublish", {"room": "Lobby", "stream": "Stage", "parameters": SHOWN}),
        ("roomUnpublish", {"room": "Lobby", "stream": "Stage"}),
        ("roomMessage", {"room": "Lobby", "message": "Hi"}),
        ("roomAction", {"room": "Lobby", "action": "lock"}),
    ],
)
def test_a_token_client_has_no_rooms(
    server: Server, clients: Clients, event: str, body: dict[str, Any]
) -> None:
    anyone = clients.token()
    message = refused(anyone, "needs-user", event, body)
    assert message == "Rooms need account/user/pin authentication"
    assert anyone.received("publishError") == (
        [[{"from": "_server_", "to": "", "message": message}]] if event == "roomPublish" else []
    )
    assert server.api("/rooms") == []


@pytest.mark.parametrize(
    ("event", "more"),
    [
        ("roomLeave", {}),
        ("roomPublish", {"stream": "Stage", "parameters": SHOWN}),
        ("roomUnpublish", {"stream": "Stage"}),
        ("roomMessage", {"message": "Hi"}),
        ("roomAction", {"action": "lock"}),
    ],
)
def test_who_is_not_in_the_room_can_do_nothing_in_it(
    server: Server, clients: Clients, event: str, more: dict[str, Any]
) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    join(alice)
    assert refused(bob, "not-in-room", event, {"room": "Lobby"} | more) == NOT_IN_ROOM
    assert refused(bob, "not-in-room", event, {"room": "__proto__"} | more) == NOT_IN_ROOM
    alice.nothing("roomUpdate")
    errors = [error[0]["message"] for error in bob.received("publishError")]
    assert errors == ([NOT_IN_ROOM] * 2 if event == "roomPublish" else [])


@pytest.mark.parametrize("parameters", [None, "webrtc", [], {"type": "rtmp"}])
def test_stream_parameters_that_cannot_be_published(
    server: Server, clients: Clients, parameters: Any
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    body = {"room": "Lobby", "stream": "Stage", "parameters": parameters}
    message = refused(alice, "invalid-parameters", "roomPublish", body)
    assert message == "Invalid stream parameters for publishing."
    assert alice.wait("publishError") == [{"from": "_server_", "to": "Alice", "message": message}]
    bob.nothing("roomUpdate")
    assert server.api("/connections") == []


@pytest.mark.parametrize("args", [[], [None], ["Lobby"], [{}], [{"room": 1}], [{"room": ""}], [{}, {}]])
def test_a_malformed_room_event_changes_nothing(server: Server, clients: Clients, args: list[Any]) -> None:
    alice = clients.verified("Alice")
    for event in ("roomJoin", "roomLeave", "roomPublish", "roomUnpublish", "roomMessage", "roomAction"):
        assert alice.call(event, *args)["error"]["code"] in ("bad-input", "invalid-parameters")
        assert alice.update("error")["room"] == ""
    assert server.api("/rooms") == []


# --- space ---

LARGE = {"type": "webrtc", "text": "x" * 16_000}


def fill(alice: Client) -> tuple[int, dict[str, Any]]:
    """Show as many large streams in Lobby as it takes; return how many, and the error that ends it."""
    for number in range(100):
        answer = alice.call("roomPublish", {"room": "Lobby", "stream": str(number), "parameters": LARGE})
        if not answer["ok"]:
            return number, answer["error"]
    raise AssertionError("a room takes as much as anybody likes")


def test_a_full_room_takes_no_more_streams_and_still_lets_everybody_in(
    server: Server, clients: Clients
) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    number, error = fill(alice)
    assert number > 20
    assert error == {"code": "too-many", "message": "No space is left for this stream in room Lobby."}
    assert alice.update("error") == {"room": "Lobby", "error": error["message"]}
    assert alice.wait("publishError")[0] == {"from": "_server_", "to": "Alice", "message": error["message"]}
    assert list(peers_of(server, str(number))) == []
    show(bob, "Bob's")  # a small one
    charlie = clients.verified("Charlie")
    assert len(join(charlie)["streams"]) == number + 1
    assert alice.call("roomUnpublish", {"room": "Lobby", "stream": "0"})["ok"]
    show(alice, "again", text="x" * 15_000)


@pytest.mark.parametrize("room", ["Lobby", "Foyer", ""])
def test_a_stream_does_not_grow_in_a_full_room_from_wherever(
    server: Server, clients: Clients, room: str
) -> None:
    """Lobby is full, and Foyer shows the stream, too; "" stands for the stream itself."""
    alice, bob = in_room(clients, "Alice", "Bob")
    show(alice, "Small")
    join(bob, "Foyer")
    join(alice, "Foyer")
    show(alice, "Small", "Foyer")
    bob.update("streamNew", room="Foyer")
    fill(bob)

    def update(params: dict[str, Any]) -> Any:
        if not room:
            return alice.call("publish", "Alice", "Small", params)
        return alice.call("roomPublish", {"room": room, "stream": "Small", "parameters": params})

    before = server.api("/channels")
    assert update(LARGE)["error"]["code"] == "too-many"
    assert server.api("/channels") == before
    assert update(SHOWN | {"bitrate": 600}) == {"ok": True}
    assert [shown_small(bob, each)["bitrate"] for each in ("Lobby", "Foyer")] == [600, 600]


def test_a_room_shows_hundreds_of_ordinary_streams(server: Server, clients: Clients) -> None:
    alice, bob = in_room(clients, "Alice", "Bob")
    more = {"audioBitrate": 64, "frameRate": 30, "title": "x" * 100}
    for number in range(600):
        alice.emit("roomPublish", {"room": "Lobby", "stream": f"Stage {number}", "parameters": SHOWN | more})
    alice.call("roomMessage", {"room": "Lobby", "message": "Done"})
    bob.update("messageNew", room="Lobby")
    charlie = clients.verified("Charlie")
    assert len(join(charlie)["streams"]) == 600


def shown_small(client: Client, room: str) -> dict[str, Any]:
    """Return how a room shows the stream Small."""
    assert client.call("roomJoin", {"room": room})["ok"]
    shown: dict[str, Any] = client.update("participants", room=room)["streams"]["Small"]
    return shown


# --- the plan ---


def test_a_refused_room_publish_leaves_no_trace(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    plan = {"bitrate": 600, "totalBitrate": 1100}
    server = make_server(accounts=[row("Acme", loginURL=login_site.url("/ok"), plan=plan)])
    alice, bob = (clients.verified(user, account="Acme", server=server) for user in ("Alice", "Bob"))
    join(alice)
    join(bob)
    body = {"room": "Lobby", "stream": "Stage", "parameters": SHOWN | {"bitrate": 700}}
    assert refused(alice, "unfit", "roomPublish", body) == "Unfit: bitrate."
    assert alice.wait("publishError")[0]["message"] == "Unfit: bitrate."
    assert (server.api("/channels"), server.api("/rooms")[0]["streams"]) == ([], [])
    show(alice, "Stage")  # 500 of its broadcaster, 500 of its player: 100 kbps are left
    charlie = clients.verified("Charlie", account="Acme", server=server)
    join(charlie)
    unfit = {"from": "_server_", "to": "Charlie", "message": "Unfit: totalBitrate."}
    assert charlie.wait("subscribeError") == [unfit]
    assert peers_of(server, "Stage") == {"Alice": "broadcaster", "Bob": "player"}
    stats = server.api("/stats")["Acme"]
    assert (stats["bitrate"], stats["issues"]) == (1000, {"bitrate": 1, "totalBitrate": 1})
    for each in (alice, bob, charlie):
        each.close()
    until(lambda: server.api("/connections") == [] and server.api("/rooms") == [])
