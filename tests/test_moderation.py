"""Keeping order in rooms: who may, what it does, and that it cannot be walked around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.server import Server, row, until

SHOWN = {"type": "webrtc", "bitrate": 500}
OWNED = "Owned"  # an account whose rooms belong to who comes first


@pytest.fixture(scope="module")
def owned_server(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    login = session_login_site.url("/moderator")
    server = start_server(accounts=[row(OWNED, loginURL=login, roomOwner=True)])
    with finishing([server]):
        yield server


class Room:
    """The people of a test, in a room that no other test uses."""

    def __init__(self, name: str, clients: Clients, server: Server, account: str | None = None) -> None:
        self.name = name
        self.server = server
        self._clients = clients
        self._options: dict[str, Any] = {"server": server}
        if account is not None:
            self._options["account"] = account

    def visitor(self, user: str) -> Client:
        """Return somebody who is connected and not in the room."""
        return self._clients.verified(user, **self._options)

    def enter(self, *users: str) -> list[Client]:
        """Return these users in the room, each of whom has seen the others come."""
        present: list[Client] = []
        for user in users:
            present.append(self.visitor(user))
            assert self.join(present[-1])["ok"]
            present[-1].update("participants", room=self.name)
            for each in present:
                each.update("participantJoin", room=self.name)
        return present

    def join(self, client: Client) -> Any:
        return client.call("roomJoin", {"room": self.name})

    def show(self, client: Client, stream: str) -> Any:
        return client.call("roomPublish", {"room": self.name, "stream": stream, "parameters": SHOWN})

    def say(self, client: Client, text: str = "Hi") -> Any:
        return client.call("roomMessage", {"room": self.name, "message": text})

    def act(self, client: Client, action: str, user: str | None = None, **more: Any) -> Any:
        body = {"room": self.name, "action": action, **({} if user is None else {"user": user}), **more}
        return client.call("roomAction", body)

    def peers(self, channel: str) -> dict[str, str]:
        found = dict(self.server.api("/connections")).get(channel, {})
        return {name: peer["type"] for name, peer in found.items()}


@pytest.fixture
def room(server: Server, clients: Clients, request: pytest.FixtureRequest) -> Room:
    """Return a room of the static account; users called `mod…` are moderators."""
    return Room(request.node.name, clients, server)


@pytest.fixture
def owned(owned_server: Server, clients: Clients, request: pytest.FixtureRequest) -> Room:
    """Return a room of an account whose rooms have owners."""
    return Room(request.node.name, clients, owned_server, OWNED)


def code(answer: Any) -> str:
    assert not answer["ok"], answer
    return str(answer["error"]["code"])


# --- who may ---


def test_a_user_may_not_and_nobody_hears_of_it(room: Room) -> None:
    alice, bob = room.enter("Alice", "Bob")
    for action in ("kick", "ban", "unban", "mute", "unmute"):
        assert code(room.act(alice, action, "Bob")) == "not-moderator"
    for action in ("lock", "unlock", "clear"):
        assert code(room.act(alice, action)) == "not-moderator"
    answer = room.act(alice, "meta", meta={"topic": "Mine"})
    assert alice.wait("roomUpdate", lambda u: u.get("error") == answer["error"]["message"])
    assert answer["error"]["message"] == "Only a moderator or the owner of this room can do that."
    bob.nothing("roomUpdate")
    assert room.join(room.visitor("Charlie"))["ok"]


def test_who_is_not_in_the_room_may_not_even_as_a_moderator(room: Room) -> None:
    (alice,) = room.enter("Alice")
    assert code(room.act(room.visitor("moderator"), "lock")) == "not-in-room"
    alice.nothing("roomUpdate")


def test_the_first_in_a_room_owns_it_where_the_account_says_so(owned: Room) -> None:
    alice, bob = owned.enter("Alice", "Bob")
    assert code(owned.act(bob, "lock")) == "not-moderator"
    assert owned.act(alice, "lock")["ok"]
    taken = bob.update("action")
    action = {"action": "lock", "by": "Alice", "timestamp": taken["timestamp"]}
    assert taken == {"action": action, "room": owned.name, "timestamp": taken["timestamp"]}


def test_nobody_owns_a_room_otherwise(room: Room) -> None:
    (alice,) = room.enter("Alice")
    assert code(room.act(alice, "lock")) == "not-moderator"


def test_nobody_owns_a_room_that_a_moderator_opened(owned: Room) -> None:
    moderator, alice = owned.enter("moderator", "Alice")
    assert code(owned.act(alice, "lock")) == "not-moderator"
    assert owned.act(moderator, "lock")["ok"]


def test_an_owner_who_reloads_gets_back_into_its_locked_room(owned: Room) -> None:
    (alice,) = owned.enter("Alice")
    assert owned.act(alice, "lock")["ok"]
    alice.drop()
    owned.server.idle()
    assert code(owned.join(owned.visitor("Bob"))) == "locked"
    (again,) = owned.enter("Alice")
    assert owned.act(again, "unlock")["ok"]
    assert owned.join(owned.visitor("Bob"))["ok"]


def test_the_next_to_enter_an_empty_room_owns_it(owned: Room) -> None:
    (alice,) = owned.enter("Alice")
    assert owned.say(alice)["ok"]  # so that the room is kept
    alice.close()
    owned.server.idle()
    bob, back = owned.enter("Bob", "Alice")
    assert code(owned.act(back, "clear")) == "not-moderator"
    assert owned.act(bob, "clear")["ok"]


@pytest.mark.parametrize("action", ["kick", "ban", "mute"])
def test_an_owner_can_do_nothing_to_a_moderator(owned: Room, action: str) -> None:
    alice, moderator = owned.enter("Alice", "moderator")
    assert code(owned.act(alice, action, "moderator")) == "not-moderator"
    moderator.nothing("roomUpdate")
    assert owned.act(moderator, action, "Alice")["ok"]


def test_an_owner_can_not_prepare_for_a_moderator_who_is_to_come(owned: Room) -> None:
    (alice,) = owned.enter("Alice")
    for action in ("ban", "mute"):
        assert owned.act(alice, action, "moderator")["ok"]
    assert owned.act(alice, "lock")["ok"]
    moderator = owned.visitor("moderator")
    assert owned.join(moderator)["ok"]
    assert owned.say(moderator)["ok"]


@pytest.mark.parametrize("action", ["kick", "ban", "mute"])
def test_nobody_does_it_to_itself(room: Room, action: str) -> None:
    (moderator,) = room.enter("moderator")
    assert code(room.act(moderator, action, "moderator")) == "not-moderator"


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("explode", {}),
        (None, {}),
        (["kick"], {}),
        ("kick", {}),
        ("kick", {"user": 1}),
        ("ban", {"user": "Bob", "minutes": -1}),
        ("ban", {"user": "Bob", "minutes": "long"}),
        ("meta", {}),
        ("meta", {"meta": {"allowUsers": "Bob"}}),
        ("meta", {"meta": {"allowBroadcasters": [1]}}),
        ("meta", {"meta": {"text": "x" * 20_000}}),
    ],
)
def test_a_malformed_action_changes_nothing(room: Room, action: Any, more: dict[str, Any]) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    answer = moderator.call("roomAction", {"room": room.name, "action": action, **more})
    assert code(answer) in ("bad-input", "too-large")
    assert moderator.update("error") == {"room": room.name, "error": answer["error"]["message"]}
    bob.nothing("roomUpdate")


# --- kick ---


def test_a_kick_ends_the_users_streams_and_everybody_sees_it(room: Room) -> None:
    moderator, alice, bob = room.enter("moderator", "Alice", "Bob")
    assert room.show(alice, "Stage")["ok"]
    assert room.show(bob, "Balcony")["ok"]
    assert room.act(moderator, "kick", "Alice") == {"ok": True}
    for each in (moderator, alice, bob):
        told = each.update("action")
        at = told["timestamp"]
        assert told["action"] == {"action": "kick", "by": "moderator", "user": "Alice", "timestamp": at}
    assert alice.wait("unpublish") == ["Alice", "Stage"]
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert bob.update("participantLeft")["participantLeft"]["name"] == "Alice"
    assert bob.message("peerLeft")["peerID"] == "Alice"
    assert room.peers("Stage") == {}
    assert room.peers("Balcony") == {"Bob": "broadcaster", "moderator": "player"}
    assert code(room.say(alice)) == "not-in-room"


def test_a_kick_reaches_every_connection_of_the_user(room: Room) -> None:
    moderator, alice, first, second = room.enter("moderator", "Alice", "Bob", "Bob")
    assert room.show(alice, "Stage")["ok"]
    assert room.act(moderator, "kick", "Bob")["ok"]
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}
    assert [code(room.say(each)) for each in (first, second)] == ["not-in-room"] * 2
    alice.nothing("message", lambda message: message["type"] == "peer")


def test_nobody_by_that_name_to_kick(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert code(room.act(moderator, "kick", "Charlie")) == "no-such-user"
    assert code(room.act(moderator, "kick", "__proto__")) == "no-such-user"
    bob.nothing("roomUpdate")


def test_who_was_kicked_can_not_watch_past_the_room_and_can_come_back(room: Room) -> None:
    moderator, alice, bob = room.enter("moderator", "Alice", "Bob")
    assert room.show(alice, "Stage")["ok"]
    assert bob.call("subscribe", "Bob", "Stage")["ok"]  # of its own, too
    assert room.act(moderator, "kick", "Bob")["ok"]
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}
    refusal = bob.call("subscribe", "Bob", "Stage")
    assert code(refusal) == "kicked"
    assert bob.wait("subscribeError", lambda error: error["message"] == refusal["error"]["message"])
    other_tab = room.visitor("Bob")
    assert code(other_tab.call("subscribe", "Bob", "Stage")) == "kicked"
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}
    assert room.join(bob)["ok"]
    assert room.peers("Stage")["Bob"] == "player"


def test_who_was_kicked_from_one_room_goes_on_in_another(room: Room, clients: Clients) -> None:
    moderator, alice, bob = room.enter("moderator", "Alice", "Bob")
    kitchen = Room(f"{room.name} 2", clients, room.server)
    for each in (alice, bob):
        assert kitchen.join(each)["ok"]
    assert room.show(alice, "Stage")["ok"]
    assert kitchen.show(alice, "Stage")["ok"]
    assert room.act(moderator, "kick", "Bob")["ok"]
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player", "Bob": "player"}
    assert kitchen.say(bob)["ok"]


# --- ban ---


def test_a_ban_lasts_its_minutes_and_no_longer(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.act(moderator, "ban", "Bob", minutes=0.02)["ok"]  # 1.2 seconds
    told = bob.update("action")["action"]
    assert (told["action"], told["user"], told["minutes"]) == ("ban", "Bob", 0.02)
    assert moderator.update("participantLeft")["participantLeft"]["name"] == "Bob"
    refusal = room.join(bob)
    assert refusal["error"] == {"code": "banned", "message": "You are banned from this room."}
    assert bob.update("error") == {"room": room.name, "error": "You are banned from this room."}
    assert code(room.join(room.visitor("Bob"))) == "banned"
    until(lambda: room.join(bob)["ok"], what="the ban to end")


def test_a_ban_outlives_the_room_and_is_lifted_by_unban(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.act(moderator, "ban", "Bob")["ok"]
    assert bob.update("action")["action"]["minutes"] == 10
    moderator.close()
    room.server.idle()
    assert code(room.join(bob)) == "banned"
    (again,) = room.enter("moderator")
    assert room.act(again, "unban", "Bob")["ok"]
    assert room.join(bob)["ok"]


def test_who_is_banned_can_not_watch_past_the_room(room: Room) -> None:
    moderator, alice, bob = room.enter("moderator", "Alice", "Bob")
    outside = room.visitor("Charlie")
    assert room.show(alice, "Stage")["ok"]
    assert outside.call("subscribe", "Charlie", "Stage")["ok"]
    assert bob.call("subscribe", "Bob", "Stage")["ok"]
    for user in ("Bob", "Charlie"):  # one in the room, one who only watches
        assert room.act(moderator, "ban", user)["ok"]
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}
    banned = "You are banned from this room."
    assert outside.wait("subscribeError") == [{"from": "_server_", "to": "Charlie", "message": banned}]
    assert alice.message("peerLeft", peerID="Charlie")
    assert code(bob.call("subscribe", "Bob", "Stage")) == "banned"
    assert code(outside.call("subscribe", "Charlie", "Stage")) == "banned"


@pytest.mark.parametrize("how", ["banned", "locked", "not-allowed"])
def test_who_waits_in_the_channel_before_the_stream_starts_does_not_get_it(room: Room, how: str) -> None:
    moderator, alice = room.enter("moderator", "Alice")
    bob = room.visitor("Bob")
    assert bob.call("subscribe", "Bob", "Stage")["ok"]
    actions: dict[str, tuple[Any, ...]] = {
        "banned": ("ban", "Bob"),
        "locked": ("lock",),
        "not-allowed": ("meta", None),
    }
    more: dict[str, Any] = {"meta": {"allowUsers": ["Alice"]}} if how == "not-allowed" else {}
    assert room.act(moderator, *actions[how], **more)["ok"]
    assert room.show(alice, "Stage")["ok"]
    assert bob.wait("subscribeError")[0]["to"] == "Bob"
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}
    assert [peer["peerID"] for peer in alice.message("peers")["peers"]] == ["moderator", "Alice"]
    assert code(bob.call("subscribe", "Bob", "Stage")) == how


# --- mute ---


def test_the_muted_are_heard_again_when_unmuted(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.act(moderator, "mute", "Bob")["ok"]
    assert bob.update("action")["action"]["action"] == "mute"
    refusal = room.say(bob)["error"]
    assert refusal == {"code": "muted", "message": "You are muted in this room."}
    assert bob.update("error") == {"room": room.name, "error": refusal["message"]}
    again = room.visitor("Bob")
    assert room.join(again)["ok"]
    assert code(room.say(again)) == "muted"
    moderator.nothing("roomUpdate", lambda update: "messageNew" in update)
    assert room.show(bob, "Stage")["ok"]  # chat is what mute is about
    assert room.act(moderator, "unmute", "Bob")["ok"]
    assert room.say(bob)["ok"]
    assert moderator.update("messageNew")["messageNew"]["user"] == "Bob"


# --- lock ---


def test_a_locked_room_lets_nobody_in_but_moderators(room: Room) -> None:
    moderator, alice = room.enter("moderator", "Alice")
    bob = room.visitor("Bob")
    assert room.act(moderator, "lock")["ok"]
    assert alice.update("action")["action"]["action"] == "lock"
    assert room.server.api("/rooms")[0]["locked"] is True
    refusal = room.join(bob)["error"]
    assert refusal == {"code": "locked", "message": "This room is locked."}
    assert bob.update("error") == {"room": room.name, "error": refusal["message"]}
    assert room.join(alice)["ok"]
    room.enter("modest")
    assert room.act(moderator, "unlock")["ok"]
    assert room.join(bob)["ok"]


def test_a_locked_room_shows_its_streams_to_nobody_outside(room: Room, clients: Clients) -> None:
    moderator, alice = room.enter("moderator", "Alice")
    bob, anyone = room.visitor("Bob"), clients.token(server=room.server)
    assert room.show(alice, "Stage")["ok"]
    assert bob.call("subscribe", "Bob", "Stage")["ok"]
    assert room.act(moderator, "lock")["ok"]
    locked = {"from": "_server_", "to": "Bob", "message": "This room is locked."}
    assert bob.wait("subscribeError") == [locked]
    assert code(bob.call("subscribe", "Bob", "Stage")) == "locked"
    assert code(anyone.call("subscribe", "Anyone", "Stage")) == "locked"
    assert room.peers("Stage") == {"Alice": "broadcaster", "moderator": "player"}


# --- clear ---


def test_clear_forgets_the_chat(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.say(bob)["ok"]
    assert room.act(moderator, "clear")["ok"]
    assert bob.update("action")["action"]["action"] == "clear"
    assert room.join(bob)["ok"]
    assert bob.update("participants")["messages"] == []


# --- meta ---


def test_meta_is_shown_to_all_and_to_joiners(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    meta = {"topic": "Tea", "allowBroadcasters": True, "own": [1, {"x": None}]}
    assert room.act(moderator, "meta", meta=meta)["ok"]
    assert bob.update("action")["action"]["meta"] == meta
    charlie = room.visitor("Charlie")
    assert room.join(charlie)["ok"]
    assert charlie.update("participants")["meta"] == meta


@pytest.mark.parametrize("rule", [False, ["Alice"]])
def test_only_allowed_broadcasters_publish(room: Room, rule: Any) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.show(bob, "Balcony")["ok"]
    assert room.act(moderator, "meta", meta={"allowBroadcasters": rule})["ok"]
    assert bob.wait("unpublish") == ["Bob", "Balcony"]
    refusal = room.show(bob, "Stage")["error"]
    assert refusal == {"code": "not-allowed", "message": "You are not allowed to publish in this room."}
    assert bob.wait("publishError") == [{"from": "_server_", "to": "Bob", "message": refusal["message"]}]
    assert bob.update("error") == {"room": room.name, "error": refusal["message"]}
    assert room.show(moderator, "Stage")["ok"]
    alice = room.visitor("Alice")
    assert room.join(alice)["ok"]
    assert room.show(alice, "Own")["ok"] is (rule == ["Alice"])
    assert room.peers("Balcony") == {}


@pytest.mark.parametrize("rule", [False, ["Alice"]])
def test_only_allowed_users_are_in_the_room(room: Room, rule: Any) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    assert room.act(moderator, "meta", meta={"allowUsers": rule})["ok"]
    assert moderator.update("participantLeft")["participantLeft"]["name"] == "Bob"
    refusal = room.join(bob)["error"]
    assert refusal == {"code": "not-allowed", "message": "You are not allowed in this room."}
    assert room.show(moderator, "Stage")["ok"]
    assert code(bob.call("subscribe", "Bob", "Stage")) == "not-allowed"
    assert room.join(room.visitor("Alice"))["ok"] is (rule == ["Alice"])
    assert room.act(moderator, "meta", meta={})["ok"]
    assert room.join(bob)["ok"]


def test_a_room_remembers_no_more_names_than_it_should(room: Room) -> None:
    moderator, bob = room.enter("moderator", "Bob")
    for number in range(1000):
        moderator.emit("roomAction", {"room": room.name, "action": "mute", "user": f"user {number}"})
    assert code(room.act(moderator, "mute", "Bob")) == "too-many"
    assert room.act(moderator, "unmute", "user 7")["ok"]
    assert room.act(moderator, "mute", "Bob")["ok"]
    assert code(room.say(bob)) == "muted"
