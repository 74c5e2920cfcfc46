"""The rules of channels that the old server got wrong, one test or more for each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ACCOUNT, TOKEN, Clients, finishing
from tests.support.client import Client
from tests.support.server import Server, row
from vws.core.accounts import Account
from vws.core.channels import ANNOUNCE_EVERY
from vws.core.commands import Publish, StreamParams, Subscribe, Unsubscribe
from vws.core.facts import Fact, PlayerJoined, PlayerLeft, Published
from vws.core.session import Session
from vws.state.memory import MemoryState

OK = {"ok": True}
REPLACED = "Replaced by a newer connection."
TAKEN = "Channel already has a broadcaster."
PROBE = 3.0  # seconds that a holder has to answer


def peers_in(server: Server, channel: str) -> dict[str, str]:
    """Return who is in a channel, with the socket of each."""
    listed = dict(server.api("/connections")).get(channel, {})
    return {peer_id: peer["socketId"] for peer_id, peer in listed.items()}


def error(peer_id: str, message: str) -> list[dict[str, str]]:
    return [{"from": "_server_", "to": peer_id, "message": message}]


def broadcast(client: Client, peer_id: str = "Alice", channel: str = "Lobby") -> None:
    assert client.call("publish", peer_id, channel, {"bitrate": 500}, timeout=8) == OK
    client.message("peers")


def watch(client: Client, peer_id: str = "Bob", channel: str = "Lobby") -> None:
    assert client.call("subscribe", peer_id, channel, timeout=8) == OK


def refused_name(client: Client, event: str, peer_id: str, channel: str = "Lobby") -> str:
    """Ask for a place, and be refused by acknowledgement and error event alike; return the message."""
    args: tuple[Any, ...] = ({},) if event == "publish" else ()
    answer = client.call(event, peer_id, channel, *args, timeout=8)
    assert answer["ok"] is False
    message = str(answer["error"]["message"])
    assert client.wait(f"{event}Error") == error(peer_id, message)
    return message


# --- several channels per socket ---


def test_a_socket_is_in_many_channels_and_leaves_only_the_one_it_leaves(
    server: Server, clients: Clients
) -> None:
    alice, bob = clients.token(), clients.token()
    for channel in ("One", "Two", "Three"):
        broadcast(alice, "Alice", channel)
        watch(bob, "Bob", channel)
    broadcast(bob, "Bob", "Four")
    alice.call("unpublish", "Alice", "Two")
    assert bob.message("unpublished")["channel"] == "Two"
    bob.call("unsubscribe", "Bob", "Three")
    assert sorted(name for name, _ in server.api("/channels")) == ["Four", "One", "Three"]
    assert set(peers_in(server, "One")) == {"Alice", "Bob"}
    assert set(peers_in(server, "Two")) == {"Bob"}
    assert set(peers_in(server, "Three")) == {"Alice"}


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_leaving_or_dropping_cleans_every_channel_at_once(
    server: Server, clients: Clients, leave: str
) -> None:
    alice, bob = clients.token(), clients.token()
    channels = [f"Channel {number}" for number in range(30)]
    for channel in channels[:15]:
        broadcast(alice, "Alice", channel)
        watch(bob, "Bob", channel)
    for channel in channels[15:]:
        broadcast(bob, "Bob", channel)
        watch(alice, "Alice", channel)
    getattr(alice, leave)()
    assert sorted(bob.message("unpublished")["channel"] for _ in channels[:15]) == sorted(channels[:15])
    assert sorted(bob.message("peerLeft")["target"] for _ in channels[15:]) == ["Bob"] * 15
    assert all(set(peers_in(server, channel)) == {"Bob"} for channel in channels)
    used = server.api("/stats")["_static"]
    assert (used["broadcasters"], used["players"], used["bitrate"]) == (15, 15, 15 * 500)


def test_publishing_in_a_channel_one_watches_leaves_one_place(server: Server, clients: Clients) -> None:
    bob, charlie = clients.token(), clients.token()
    watch(bob)
    watch(charlie, "Charlie")
    broadcast(bob, "Bob")
    used = server.api("/stats")["_static"]
    assert (used["broadcasters"], used["players"], used["bitrate"]) == (1, 1, 1000)


# --- repeating subscribe ---


def test_a_repeated_subscribe_is_accepted_and_not_announced_twice_in_a_row(
    server: Server, clients: Clients
) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    for _ in range(3):
        watch(bob)
    alice.message("peer")
    alice.nothing("message")


def test_a_repeated_subscribe_is_announced_at_once_to_another_broadcaster(
    server: Server, clients: Clients
) -> None:
    alice, bob, charlie = clients.token(), clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    alice.close()
    bob.message("unpublished")
    broadcast(charlie, "Charlie")  # finds Bob in `peers`: told of him just now
    watch(bob)
    charlie.nothing("message")
    assert len(charlie.received("message")) == 1


class Channel:
    """A channel of the live state, with Alice broadcasting and Bob watching; times in milliseconds."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.account = Account(1, "Acme", "Acme", "Acme", "token")
        for socket_id in ("alice", "bob"):
            self.state.connect(Session(socket_id, "Acme", "Acme"), self.account)

    def publish(self, when: int) -> list[Fact]:
        command = Publish("Alice", "Lobby", StreamParams())
        return self.state.publish("alice", command, account=self.account, when=when, at=when)

    def subscribe(self, when: int) -> list[Fact]:
        return self.state.subscribe("bob", Subscribe("Bob", "Lobby"), account=self.account, when=when)


@pytest.fixture
def channel() -> Channel:
    return Channel()


def test_a_player_is_announced_again_five_seconds_after_the_last_announcement(channel: Channel) -> None:
    assert ANNOUNCE_EVERY == 5000
    channel.publish(0)
    announced = [bool(channel.subscribe(when)) for when in (1000, 1001, 5999, 6000, 10_999, 11_000)]
    assert announced == [True, False, False, True, False, True]
    (fact,) = channel.subscribe(16_000)
    assert isinstance(fact, PlayerJoined)
    assert (fact.broadcaster.socket_id, fact.player.peer_id) == ("alice", "Bob")


def test_being_listed_in_peers_counts_as_an_announcement(channel: Channel) -> None:
    channel.subscribe(0)
    (fact,) = channel.publish(1000)
    assert isinstance(fact, Published)
    assert channel.subscribe(5999) == []
    assert len(channel.subscribe(6000)) == 1


def test_a_player_that_left_is_announced_when_it_comes_back(channel: Channel) -> None:
    channel.publish(0)
    channel.subscribe(1)
    (left,) = channel.state.unsubscribe("bob", Unsubscribe("Bob", "Lobby").channel, when=2)
    assert isinstance(left, PlayerLeft)
    assert len(channel.subscribe(3)) == 1


# --- one name twice: verified users ---


def test_the_newest_socket_of_a_verified_broadcaster_wins(server: Server, clients: Clients) -> None:
    old, bob = clients.verified("Alice"), clients.token()
    broadcast(old)
    watch(bob)
    new = clients.verified("Alice")
    started = time.monotonic()
    broadcast(new)
    assert time.monotonic() - started < PROBE / 2  # nobody is probed
    assert old.wait("publishError") == error("Alice", REPLACED)
    assert peers_in(server, "Lobby") == {"Alice": new.sid, "Bob": bob.sid}
    old.close()  # what the older one does later changes nothing
    bob.nothing("message")
    assert peers_in(server, "Lobby") == {"Alice": new.sid, "Bob": bob.sid}


def test_the_newest_socket_of_a_verified_player_wins(server: Server, clients: Clients) -> None:
    alice, old = clients.token(), clients.verified("Bob")
    broadcast(alice)
    watch(old)
    alice.message("peer")
    new = clients.verified("Bob")
    watch(new)
    assert old.wait("subscribeError") == error("Bob", REPLACED)
    assert alice.message("peer")["peerID"] == "Bob"
    assert peers_in(server, "Lobby") == {"Alice": alice.sid, "Bob": new.sid}


def test_players_are_told_when_their_broadcaster_comes_back_as_a_player(
    server: Server, clients: Clients
) -> None:
    old, bob = clients.verified("Alice"), clients.token()
    broadcast(old)
    watch(bob)
    new = clients.verified("Alice")
    watch(new, "Alice")
    assert old.wait("publishError") == error("Alice", REPLACED)
    assert bob.message("unpublished")["target"] == "Bob"
    assert server.api("/channels") == []
    new.nothing("message")


def test_a_verified_user_takes_its_name_from_an_unverified_one(server: Server, clients: Clients) -> None:
    impostor = clients.token()
    watch(impostor, "Bob")
    bob = clients.verified("Bob")
    watch(bob)
    assert impostor.wait("subscribeError") == error("Bob", REPLACED)
    assert peers_in(server, "Lobby") == {"Bob": bob.sid}


# --- one name twice: unverified users ---


def test_a_live_holder_keeps_its_name(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    newcomer = clients.token()
    message = refused_name(newcomer, "subscribe", "Bob")
    assert message
    assert refused_name(newcomer, "subscribe", "Alice") == message.replace("Bob", "Alice")
    assert refused_name(newcomer, "publish", "Alice") == TAKEN
    assert peers_in(server, "Lobby") == {"Alice": alice.sid, "Bob": bob.sid}
    for each in (alice, bob):
        each.nothing("publishError")
        each.nothing("subscribeError")
    assert [message["type"] for (message,) in alice.received("message")] == ["peers", "peer"]


def test_an_unverified_newcomer_does_not_replace_a_verified_holder(server: Server, clients: Clients) -> None:
    alice = clients.verified("Alice")
    broadcast(alice)
    assert refused_name(clients.token(), "publish", "Alice") == TAKEN
    assert refused_name(clients.token(), "subscribe", "Alice")


def test_a_dropped_holder_loses_its_name_at_once(server: Server, clients: Clients) -> None:
    old, bob = clients.token(), clients.token()
    broadcast(old)
    watch(bob)
    old.drop()
    new = clients.token()
    started = time.monotonic()
    broadcast(new)
    assert time.monotonic() - started < PROBE / 2
    assert peers_in(server, "Lobby") == {"Alice": new.sid, "Bob": bob.sid}


def test_frozen_holders_lose_their_names_and_channel_after_the_probe(
    server: Server, clients: Clients
) -> None:
    holders = [clients.token() for _ in range(3)]
    broadcast(holders[0], "Alice", "One")
    watch(holders[1], "Bob", "Two")
    broadcast(holders[2], "Charlie", "Three")
    watcher = clients.token()
    watch(watcher, "Watcher", "Three")
    for holder in holders:
        holder.freeze()
    newcomers = [clients.token() for _ in range(3)]
    started = time.monotonic()
    waiting = [
        newcomers[0].send("publish", "Alice", "One", {}),
        newcomers[1].send("subscribe", "Bob", "Two"),
        newcomers[2].send("publish", "Dave", "Three", {}),  # another broadcaster in the channel
    ]
    assert watcher.call("message", {"text": "others go on"}) == OK
    assert time.monotonic() - started < PROBE / 2
    answers = [new.acknowledged(number, timeout=8) for new, number in zip(newcomers, waiting, strict=True)]
    assert answers == [OK] * 3
    assert PROBE - 0.5 < time.monotonic() - started < PROBE + 2
    assert peers_in(server, "One") == {"Alice": newcomers[0].sid}
    assert peers_in(server, "Two") == {"Bob": newcomers[1].sid}
    assert peers_in(server, "Three") == {"Watcher": watcher.sid, "Dave": newcomers[2].sid}
    for holder in holders:
        holder.thaw()
    assert holders[0].wait("publishError") == error("Alice", REPLACED)
    assert holders[1].wait("subscribeError") == error("Bob", REPLACED)
    assert holders[2].wait("publishError") == error("Charlie", REPLACED)


def test_a_client_that_reconnects_while_its_old_socket_lingers_waits_once_for_all_its_channels(
    server: Server, clients: Clients
) -> None:
    viewer, old = clients.token(), clients.token()
    channels = ["One", "Two", "Three"]
    watch(viewer, "Viewer")
    broadcast(old)
    for channel in channels:
        watch(old, "Alice", channel)
    old.freeze()  # the network is gone, the server does not know yet
    new = clients.token()
    started = time.monotonic()
    waiting = [new.send("subscribe", "Alice", channel) for channel in channels]
    broadcast(new)
    assert [new.acknowledged(number) for number in waiting] == [OK] * 3
    assert time.monotonic() - started < 2 * PROBE
    ((peers,),) = new.received("message")
    assert [peer["peerID"] for peer in peers["peers"]] == ["Viewer", "Alice"]
    old.drop()  # the end of the old socket does not end what the new one does
    viewer.nothing("message")
    assert peers_in(server, "Lobby") == {"Viewer": viewer.sid, "Alice": new.sid}
    assert all(peers_in(server, channel) == {"Alice": new.sid} for channel in channels)


def test_a_holder_whose_own_events_wait_is_not_taken_for_dead(server: Server, clients: Clients) -> None:
    frozen, alice, bob = [clients.token(), clients.token()], clients.token(), clients.token()
    watch(alice, "Alice")
    for number, holder in enumerate(frozen):
        broadcast(holder, "Holder", f"Frozen {number}")
        holder.freeze()
    waiting = [alice.send("publish", "Alice", f"Frozen {number}", {}) for number in range(2)]
    assert refused_name(bob, "subscribe", "Alice")  # while what Alice sends is not read
    assert [alice.acknowledged(number, timeout=10) for number in waiting] == [OK, OK]
    assert peers_in(server, "Lobby") == {"Alice": alice.sid}


# --- another broadcaster in the channel ---


def test_a_second_broadcaster_is_refused_while_the_first_is_alive(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    assert refused_name(clients.token(), "publish", "Charlie") == TAKEN
    assert refused_name(clients.verified("Dave"), "publish", "Dave") == TAKEN
    assert refused_name(bob, "publish", "Bob") == TAKEN
    assert peers_in(server, "Lobby") == {"Alice": alice.sid, "Bob": bob.sid}  # Bob still watches
    alice.nothing("publishError")


# --- a refusal leaves no trace ---


def test_a_refused_publish_leaves_no_trace(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    alice.message("peer")
    before = server.api("/connections"), server.api("/channels"), server.api("/stats")["_static"]["bitrate"]
    stranger, verified = clients.token(), clients.verified("Erin")
    refused_name(stranger, "publish", "Charlie")
    refused_name(stranger, "publish", "Bob")
    refused_name(verified, "publish", "Alice")
    refused_name(verified, "subscribe", "Frank")
    after = server.api("/connections"), server.api("/channels"), server.api("/stats")["_static"]["bitrate"]
    assert after == before
    for each in (stranger, verified):
        assert each.call("message", {"text": "am I in?"})["ok"] is False
        each.close()
    alice.nothing("message")
    bob.nothing("message")


# --- the broadcaster leaves ---


@pytest.mark.parametrize("leave", ["close", "drop", "unpublish"])
def test_players_stay_when_the_broadcaster_leaves_and_the_next_one_finds_them(
    server: Server, clients: Clients, leave: str
) -> None:
    alice, bob, charlie = clients.token(), clients.token(), clients.token()
    watch(bob)
    watch(charlie, "Charlie")
    broadcast(alice)
    if leave == "unpublish":
        alice.call("unpublish", "Alice", "Lobby")
    else:
        getattr(alice, leave)()
    for player, name in ((bob, "Bob"), (charlie, "Charlie")):
        told = {"type": "unpublished", "from": "_server_", "target": name, "channel": "Lobby"}
        assert player.message("unpublished") == told
    again = clients.token()
    assert again.call("publish", "Alice", "Lobby", {}) == OK
    assert [peer["peerID"] for peer in again.message("peers")["peers"]] == ["Bob", "Charlie", "Alice"]
    assert again.call("messagePeer", {"type": "offer", "target": "Bob"}) == OK
    bob.message("offer")


# --- accounts ---


@pytest.fixture(scope="module")
def tenants(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with two accounts beside the static ones."""
    server = request.getfixturevalue("start_server")(accounts=[row("Acme"), row("Blue")])
    with finishing([server]):
        yield server


def test_accounts_share_channel_names_and_never_see_each_other(tenants: Server, clients: Clients) -> None:
    acme = [clients.token("Acme-token", server=tenants) for _ in range(2)]
    blue = [clients.token("Blue-token", server=tenants) for _ in range(2)]
    static = clients.token(server=tenants)
    for alice, bob in (acme, blue):
        broadcast(alice)
        watch(bob)
        assert alice.message("peer")["peerID"] == "Bob"
    broadcast(static)
    assert static.received("message")[0][0]["peers"][0]["account"] == "_static"
    for alice, bob in (acme, blue):
        bob.call("message", {"text": "hi"})
        alice.wait("message", lambda message: message.get("text") == "hi")
        alice.nothing("message")
        bob.nothing("message")
    static.nothing("message")
    acme[0].close()
    acme[1].message("unpublished")
    blue[1].nothing("message")
    assert {entry["account"] for name, entry in tenants.api("/channels")} == {"Blue", "_static"}
    for each in (*acme, *blue, static):
        each.close()
    tenants.idle()


def test_the_static_token_and_the_static_account_share_their_channels(
    server: Server, clients: Clients
) -> None:
    alice, bob = clients.verified("Alice"), clients.token()
    broadcast(alice)
    watch(bob)
    assert alice.message("peer")["peerID"] == "Bob"
    assert {peer["account"] for peer in dict(server.api("/connections"))["Lobby"].values()} == {
        ACCOUNT,
        "_static",
    }


@pytest.fixture(scope="module")
def old_ways(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server told to do as the old one did."""
    server = request.getfixturevalue("start_server")(
        SHARED_CHANNELS="true", PUBLISH_TAKEOVER="true", accounts=[row("Acme")]
    )
    with finishing([server]):
        yield server


def test_shared_channels_restores_the_single_scope(old_ways: Server, clients: Clients) -> None:
    alice, bob = clients.token("Acme-token", server=old_ways), clients.token(server=old_ways)
    broadcast(alice)
    watch(bob)
    assert alice.message("peer")["peerID"] == "Bob"
    for each in (alice, bob):
        each.close()
    old_ways.idle()


def test_publish_takeover_restores_newest_wins_for_everyone(old_ways: Server, clients: Clients) -> None:
    alice, bob, charlie, again = (clients.token(server=old_ways) for _ in range(4))
    broadcast(alice)
    watch(bob)
    broadcast(charlie, "Charlie")
    assert alice.wait("publishError") == error("Alice", REPLACED)
    watch(again)
    assert bob.wait("subscribeError") == error("Bob", REPLACED)
    broadcast(alice, "Charlie")  # the same name from another socket
    assert charlie.wait("publishError") == error("Charlie", REPLACED)
    assert peers_in(old_ways, "Lobby") == {"Bob": again.sid, "Charlie": alice.sid}
    for each in (alice, bob, charlie, again):
        each.close()
    old_ways.idle()


# --- privacy of delivery ---


def test_channels_named_like_sockets_or_rooms_hear_nothing(server: Server, clients: Clients) -> None:
    alice, bob, spy = clients.token(), clients.token(), clients.token()
    member = clients.verified("Member")
    member.call("roomJoin", {"room": "Room"})
    names = [alice.sid, bob.sid, member.sid, "Room", "_static", "/", "/signaling", "None", "null"]
    names += ["__proto__", "constructor", "toString", "0", " ", "Lobby ", "lobby", '["Lobby"]']
    for name in names:
        watch(spy, name, name)
    broadcast(alice)
    watch(bob)
    alice.message("peer")
    assert alice.call("messagePeer", {"type": "offer", "target": "Bob"}) == OK
    assert bob.call("message", {"type": "chat", "text": "secret"}) == OK
    assert member.call("roomMessage", {"room": "Room", "message": "secret"}) == OK
    assert refused_name(spy, "publish", "Alice") == TAKEN  # an error of somebody's own
    bob.message("offer")
    alice.message("chat")
    member.update("messageNew")
    for event in ("message", "roomUpdate", "subscribeError", "unpublish"):
        spy.nothing(event)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "Ünï çödé 🎥", "a,b/c#d?e", "1", "x" * 255])
def test_any_name_is_just_a_name(server: Server, clients: Clients, name: str) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice, name, name)
    watch(bob, f"{name[:250]}-bob", name)
    assert alice.message("peer")["peerID"] == f"{name[:250]}-bob"
    assert bob.call("messagePeer", {"type": "answer", "target": name, "channel": name}) == OK
    assert alice.message("answer")["from"] == f"{name[:250]}-bob"
    assert set(peers_in(server, name)) == {name, f"{name[:250]}-bob"}


# --- order and forgery ---


def test_the_order_of_each_sender_is_kept_over_a_burst(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    alice.message("peer")
    for number in range(500):
        kind = "candidate" if number else "offer"
        alice.emit("messagePeer", {"type": kind, "target": "Bob", "channel": None, "n": number})
        bob.emit("messagePeer", {"type": kind, "target": "Alice", "n": number})
    for receiver in (alice, bob):
        receiver.wait("message", lambda message: message.get("n") == 499, timeout=10)
        numbers = [message["n"] for (message,) in receiver.received("message") if "n" in message]
        assert numbers == list(range(500))


@pytest.mark.parametrize("kind", ["peers", "peer", "peerLeft", "unpublished"])
def test_a_client_cannot_forge_the_servers_own_messages(server: Server, clients: Clients, kind: str) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    alice.message("peer")
    forged: dict[str, Any] = {"type": kind, "from": "_server_", "target": "Alice", "peerID": "Ghost"}
    assert bob.call("messagePeer", forged)["ok"] is False
    assert bob.call("message", forged)["ok"] is False
    alice.nothing("message")


def test_the_sender_of_a_relayed_message_is_the_servers_word(server: Server, clients: Clients) -> None:
    alice, bob = clients.token(), clients.token()
    broadcast(alice)
    watch(bob)
    alice.message("peer")
    for forged in ("_server_", "_channel_", "Alice", None, 5):
        bob.call("messagePeer", {"type": "candidate", "from": forged, "target": "Alice"})
        bob.call("message", {"type": "candidate", "from": forged})
        assert [alice.message("candidate")["from"] for _ in range(2)] == ["Bob", "Bob"]


# --- many at once ---


def test_of_many_who_publish_at_once_one_is_live(server: Server, clients: Clients) -> None:
    crowd = [clients.token() for _ in range(12)]
    waiting = [one.send("publish", f"Peer {n}", "Lobby", {}) for n, one in enumerate(crowd)]
    answers = [one.acknowledged(number) for one, number in zip(crowd, waiting, strict=True)]
    winners = [one for one, answer in zip(crowd, answers, strict=True) if answer == OK]
    assert len(winners) == 1
    messages = {answer["error"]["message"] for answer in answers if not answer["ok"]}
    assert messages == {TAKEN}
    assert list(peers_in(server, "Lobby").values()) == [winners[0].sid]


def test_the_token_is_no_name_to_hide_behind(server: Server, clients: Clients) -> None:
    alice = clients.token(TOKEN)
    broadcast(alice)
    listed = str(server.api("/connections")) + str(server.api("/channels")) + str(alice.received("message"))
    assert TOKEN not in listed
