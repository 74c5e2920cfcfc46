"""Chat in rooms: what is passed on, in whose name, and how much of it is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.server import Server

FORGED = {"text": "Hi", "user": "Charlie", "timestamp": 1, "room": "Kitchen", "own": {"key": [1, None]}}


@pytest.fixture(scope="module")
def forgetful(start_server: MakeServer) -> Iterator[Server]:
    """Return a server that keeps the chat of an empty room for one second."""
    server = start_server(CHAT_HISTORY_TTL="1")
    with finishing([server]):
        yield server


def join(client: Client, room: str = "Lobby") -> list[dict[str, Any]]:
    """Join and return the messages that the joiner is shown."""
    assert client.call("roomJoin", {"room": room})["ok"]
    messages: list[dict[str, Any]] = client.update("participants")["messages"]
    return messages


def say(client: Client, message: Any, room: str = "Lobby") -> Any:
    return client.call("roomMessage", {"room": room, "message": message})


@pytest.fixture
def talkers(server: Server, clients: Clients) -> tuple[Client, Client]:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    join(alice)
    join(bob)
    return alice, bob


@pytest.fixture(autouse=True)
def forget(server: Server, clients: Clients) -> Iterator[None]:
    """Leave nothing behind for the next test: an empty room keeps its chat."""
    yield
    for room in ("Lobby", "Kitchen"):
        moderator = clients.verified("moderator")
        join(moderator, room)
        assert moderator.call("roomAction", {"room": room, "action": "clear"})["ok"]
    clients.close()


def test_a_text_reaches_everybody_its_sender_included(talkers: tuple[Client, Client]) -> None:
    alice, bob = talkers
    assert say(alice, "Hi") == {"ok": True}
    update = bob.update("messageNew")
    at = update["timestamp"]
    message = {"text": "Hi", "user": "Alice", "timestamp": at}
    assert update == {"messageNew": message, "room": "Lobby", "timestamp": at}
    assert isinstance(at, int)
    assert alice.update("messageNew") == update


def test_an_object_is_kept_whole_except_for_who_and_when(talkers: tuple[Client, Client]) -> None:
    alice, bob = talkers
    say(alice, FORGED)
    update = bob.update("messageNew")
    assert update["room"] == "Lobby"
    assert update["timestamp"] > 1
    assert update["messageNew"] == FORGED | {"user": "Alice", "timestamp": update["timestamp"]}


def test_messages_keep_their_order(talkers: tuple[Client, Client]) -> None:
    alice, bob = talkers
    for number in range(50):
        alice.emit("roomMessage", {"room": "Lobby", "message": str(number)})
    assert [bob.update("messageNew")["messageNew"]["text"] for _ in range(50)] == [str(n) for n in range(50)]


def test_a_joiner_is_shown_the_last_ten_of_a_hundred(server: Server, talkers: tuple[Client, Client]) -> None:
    alice, bob = talkers
    for number in range(105):
        alice.emit("roomMessage", {"room": "Lobby", "message": {"text": str(number)}})
    bob.wait("roomUpdate", lambda update: _text(update) == "104")
    shown = join(bob)
    assert [message["text"] for message in shown] == [str(number) for number in range(95, 105)]
    assert {message["user"] for message in shown} == {"Alice"}
    assert server.api("/rooms")[0]["messages"] == 100


def _text(update: dict[str, Any]) -> Any:
    return update.get("messageNew", {}).get("text")


def test_a_reload_of_the_only_participant_loses_nothing(server: Server, clients: Clients) -> None:
    alice = clients.verified("Alice")
    assert join(alice) == []
    say(alice, "Hi")
    kept = alice.update("messageNew")["messageNew"]
    alice.drop()
    server.idle()
    assert join(clients.verified("Bob")) == [kept]


def test_the_chat_of_an_empty_room_is_forgotten_in_time(forgetful: Server, clients: Clients) -> None:
    alice = clients.verified("Alice", server=forgetful)
    join(alice)
    say(alice, "Hi")
    assert len(join(alice)) == 1
    assert alice.call("roomLeave", {"room": "Lobby"})["ok"]
    time.sleep(1.05)  # the time itself is what is tested, and looking would start it anew
    assert join(alice) == []


def test_rooms_do_not_hear_each_other(server: Server, clients: Clients) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    join(alice, "Lobby")
    join(alice, "Kitchen")
    join(bob, "Kitchen")
    say(alice, "Only here", "Lobby")
    assert alice.update("messageNew")["room"] == "Lobby"
    bob.nothing("roomUpdate", lambda update: "messageNew" in update)
    assert join(bob, "Kitchen") == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 20_000, "too-large"),
        ({"text": "x" * 20_000}, "too-large"),
        (None, "bad-input"),
        (7, "bad-input"),
        (["Hi"], "bad-input"),
        ({}, "bad-input"),
    ],
)
def test_what_is_not_a_message_is_refused(talkers: tuple[Client, Client], message: Any, code: str) -> None:
    alice, bob = talkers
    error = say(alice, message)["error"]
    assert error["code"] == code
    assert alice.update("error") == {"room": "Lobby", "error": error["message"]}
    bob.nothing("roomUpdate", lambda update: "messageNew" in update)
    assert join(bob) == []


def test_long_messages_do_not_make_the_history_large(server: Server, talkers: tuple[Client, Client]) -> None:
    alice, _ = talkers
    for _number in range(40):
        alice.emit("roomMessage", {"room": "Lobby", "message": "x" * 16_000})
    alice.nothing("roomUpdate", lambda update: "error" in update)
    assert server.api("/rooms")[0]["messages"] == 16  # of 16 KB each within 256 KB


def test_chat_works_on_its_own_namespace(server: Server, clients: Clients) -> None:
    alice, bob = clients.verified("Alice"), clients.verified("Bob")
    bob.connect(None, "/chat")
    join(alice)
    join(bob)
    assert bob.call("roomMessage", {"room": "Lobby", "message": "Hi"}, namespace="/chat")["ok"]
    assert bob.wait("roomUpdate", lambda u: _text(u) == "Hi", namespace="/chat")[0]["room"] == "Lobby"
    assert alice.update("messageNew")["messageNew"]["user"] == "Bob"
