"""The contract of the live state, for every implementation of it: each operation, its counters, its refusals.

A refused operation must change nothing: `refused` compares what the state shows before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.states import IMPLEMENTATIONS, account, session, snapshot
from vws.core import facts as f
from vws.core.accounts import UNLIMITED, Account, Plan
from vws.core.channels import Held
from vws.core.commands import (
    Action,
    Publish,
    RoomAction,
    RoomMessage,
    RoomPublish,
    StreamParams,
    Subscribe,
)
from vws.core.ledger import Usage
from vws.core.limits import Unfit
from vws.core.session import Role
from vws.errors import NotFound, Refused, Unavailable, VWSError
from vws.state.base import NOBODY, Gone, LiveState, StateLimits

HD = StreamParams(bitrate=500, audio_bitrate=50, raw={"bitrate": 500, "audioBitrate": 50})
LOW = StreamParams(bitrate=100, raw={"bitrate": 100})
HI = RoomMessage("Lobby", {"text": "Hi"}, size=13)


class Site:
    """A live state with its people: everybody's socket id is the name in lower case."""

    def __init__(self, state: LiveState) -> None:
        self.state = state
        self.now = 1_000
        self.accounts: dict[str, Account] = {}

    def arrive(self, *users: str, plan: Plan = UNLIMITED, label: str = "Acme", **more: Any) -> None:
        """Connect verified users."""
        for user in users:
            self.connect(user.lower(), user, account(label, plan=plan, **more))

    def connect(self, socket: str, user: str | None, owner: Account, role: Role = Role.USER) -> None:
        self.state.connect(session(socket, owner, user, role=role), owner)
        self.accounts[socket] = owner

    def publish(
        self, who: str, channel: str, params: StreamParams = HD, evict: frozenset[str] = NOBODY
    ) -> list[f.Fact]:
        command = Publish(who, channel, params)
        return self.state.publish(
            who.lower(), command, account=self.of(who), when=self.now, at=self.now, evict=evict
        )

    def subscribe(
        self, who: str, channel: str, evict: frozenset[str] = NOBODY, *, name: str = ""
    ) -> list[f.Fact]:
        command = Subscribe(name or who, channel)
        return self.state.subscribe(who.lower(), command, account=self.of(who), when=self.now, evict=evict)

    def join(self, *users: str, room: str = "Lobby") -> list[f.Fact]:
        """Let users join one after the other; return what the last one's joining led to."""
        facts: list[f.Fact] = []
        for who in users:
            facts = self.state.join_room(who.lower(), room, account=self.of(who), when=self.now, at=self.now)
        return facts

    def show(self, who: str, stream: str, params: StreamParams = HD, *, room: str = "Lobby") -> list[f.Fact]:
        command = RoomPublish(room, stream, params)
        return self.state.publish_in_room(
            who.lower(), command, account=self.of(who), when=self.now, at=self.now
        )

    def view(
        self,
        session: str,
        stream: str = "Stage",
        *,
        plan: Plan = UNLIMITED,
        label: str = "Acme",
        address: str = "192.0.2.1",
        replaces: str = "",
    ) -> None:
        owner = account(label, plan=plan)
        self.state.open_viewer(
            session, stream, account=owner, address=address, when=self.now, replaces=replaces
        )

    def keep(self, session: str, stream: str = "Stage", *, label: str = "Acme") -> None:
        self.state.keep_viewer(session, stream, account=account(label), when=self.now)

    def act(self, who: str, action: Action, user: str = "", **more: Any) -> list[f.Fact]:
        return self.state.moderate(
            who.lower(), RoomAction("Lobby", action, user, **more), when=self.now, at=self.now
        )

    def of(self, who: str) -> Account:
        return self.accounts[who.lower()]

    def leave(self, who: str) -> list[f.Fact]:
        return self.state.disconnect(who.lower(), when=self.now)

    def refused(self, error: type[VWSError], operation: Callable[[], object]) -> VWSError:
        """Expect an operation to be refused without a trace; return the error."""
        before = snapshot(self.state)
        with pytest.raises(error) as caught:
            operation()
        assert snapshot(self.state) == before
        return caught.value

    def usage(self, label: str = "Acme") -> Usage:
        return self.state.usage()[label]

    def peers(self, channel: str) -> dict[str, str]:
        found = [each for each in self.state.channels() if each.name == channel]
        return {peer.peer_id: peer.kind for each in found for peer in each.peers}

    def streams(self, room: str = "Lobby") -> tuple[str, ...]:
        return next((each.streams for each in self.state.rooms() if each.name == room), ())


Make = Callable[[], Site]


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request: pytest.FixtureRequest) -> Callable[..., Site]:
    """Return the maker of sites with limits of their own."""
    return lambda **limits: Site(IMPLEMENTATIONS[request.param](StateLimits(**limits)))


@pytest.fixture
def site(make: Make) -> Site:
    return make()


def kinds(facts: list[f.Fact]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


# --- connections ---


def test_connections_are_counted_and_forgotten(site: Site) -> None:
    site.arrive("Alice", "Bob")
    assert site.usage() == Usage(connections=2)
    one = site.state.session("alice")
    assert one is not None
    assert (one.user, [each.socket_id for each in site.state.sessions()]) == ("Alice", ["alice", "bob"])
    assert site.leave("Alice") == []
    assert site.state.session("alice") is None
    assert site.usage() == Usage(connections=1)
    site.leave("Bob")
    assert site.state.usage() == {}


def test_disconnecting_twice_or_a_stranger_is_nothing(site: Site) -> None:
    site.arrive("Alice")
    before = snapshot(site.state)
    assert site.leave("Bob") == []
    assert snapshot(site.state) == before
    site.leave("Alice")
    assert site.leave("Alice") == []
    assert site.state.usage() == {}


def test_an_account_has_as_many_connections_as_its_plan_allows(site: Site) -> None:
    site.arrive("Alice", "Bob", plan=Plan(connections=2))
    error = site.refused(Refused, lambda: site.arrive("Charlie", plan=Plan(connections=2)))
    assert error.message == "Account connection limit exceeded:2/2"
    site.arrive("Dora", label="Other")
    site.leave("Bob")
    site.arrive("Charlie", plan=Plan(connections=2))
    assert site.state.issues() == {"Acme": {"connections": 1}}


def test_nobody_connects_to_an_account_that_is_over_its_bitrate(site: Site) -> None:
    site.arrive("Alice")
    site.publish("Alice", "Stage")
    error = site.refused(Refused, lambda: site.arrive("Bob", plan=Plan(total_bitrate=549)))
    assert error.message == "Account bitrate limit exceeded: 549 kbps"
    site.arrive("Bob", plan=Plan(total_bitrate=550))


def test_whoever_is_gone_can_do_nothing(site: Site) -> None:
    site.arrive("Alice")
    site.leave("Alice")
    now, state = site.now, site.state
    operations: list[Callable[[], object]] = [
        lambda: site.publish("Alice", "Stage"),
        lambda: site.subscribe("Alice", "Stage"),
        lambda: site.join("Alice"),
        lambda: site.show("Alice", "Stage"),
        lambda: site.act("Alice", Action.LOCK),
        lambda: state.unpublish("alice", "Stage", when=now),
        lambda: state.unsubscribe("alice", "Stage", when=now),
        lambda: state.leave_room("alice", "Lobby", when=now),
        lambda: state.unpublish_from_room("alice", "Lobby", "Stage", when=now),
        lambda: state.post_message("alice", HI, at=now),
        lambda: state.route("alice", "Stage", "Bob"),
        lambda: state.audience("alice", None),
    ]
    for operation in operations:
        site.refused(Gone, operation)


# --- channels ---


def test_a_broadcast_and_its_players_are_counted_exactly(site: Site) -> None:
    site.arrive("Alice", "Bob", "Charlie")
    site.subscribe("Bob", "Stage")
    assert site.usage() == Usage(connections=3, players=1)
    (published,) = site.publish("Alice", "Stage")
    assert isinstance(published, f.Published)
    assert [peer.peer_id for peer in published.peers] == ["Bob", "Alice"]
    assert site.usage() == Usage(3, players=1, broadcasters=1, bitrate=1000, audio_bitrate=100)
    assert kinds(site.subscribe("Charlie", "Stage")) == ["PlayerJoined"]
    assert site.usage() == Usage(3, players=2, broadcasters=1, bitrate=1500, audio_bitrate=150)
    site.publish("Alice", "Stage", LOW)
    assert site.usage() == Usage(3, players=2, broadcasters=1, bitrate=300)
    assert kinds(site.state.unsubscribe("charlie", "Stage", when=site.now)) == ["PlayerLeft"]
    assert site.usage() == Usage(3, players=1, broadcasters=1, bitrate=200)
    assert kinds(site.state.unpublish("alice", "Stage", when=site.now)) == ["BroadcastEnded"]
    assert site.usage() == Usage(3, players=1)
    site.leave("Bob")
    assert (site.state.channels(), site.usage()) == ([], Usage(2))


def test_usage_belongs_to_the_account_of_each_peer(site: Site) -> None:
    site.arrive("Alice", label="Acme", scope="shared")
    site.arrive("Bob", label="Beta", scope="shared")
    site.publish("Alice", "Stage")
    site.subscribe("Bob", "Stage")
    assert site.usage("Acme") == Usage(1, broadcasters=1, bitrate=500, audio_bitrate=50)
    assert site.usage("Beta") == Usage(1, players=1, bitrate=500, audio_bitrate=50)
    site.leave("Alice")
    assert site.state.usage() == {"Beta": Usage(1, players=1)}


def test_scopes_do_not_see_each_other(site: Site) -> None:
    site.arrive("Alice", label="Acme")
    site.arrive("Bob", label="Beta")
    site.publish("Alice", "Stage")
    assert site.publish("Bob", "Stage")
    site.join("Alice", "Bob")
    assert sorted(len(room.participants) for room in site.state.rooms()) == [1, 1]
    site.refused(NotFound, lambda: site.state.route("alice", "Stage", "Bob"))


def test_what_was_shown_does_not_change_afterwards(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.publish("Alice", "Stage")
    site.join("Alice")
    usage, channels, rooms = site.usage(), site.state.channels(), site.state.rooms()
    copy = (usage.players, channels[0].peers, dict(rooms[0].participants))
    site.subscribe("Bob", "Stage")
    site.join("Bob")
    assert copy == (usage.players, channels[0].peers, rooms[0].participants)
    assert site.usage().players == 1


@pytest.mark.parametrize(
    ("plan", "issues"),
    [
        (Plan(bitrate=499), ["bitrate"]),
        (Plan(audio_bitrate=49), ["audioBitrate"]),
        (Plan(total_bitrate=549), ["totalBitrate"]),
        (Plan(bitrate=1, audio_bitrate=1, total_bitrate=1), ["bitrate", "audioBitrate", "totalBitrate"]),
    ],
)
def test_a_stream_over_the_plan_leaves_no_trace(site: Site, plan: Plan, issues: list[str]) -> None:
    site.arrive("Alice", plan=plan)
    site.join("Alice")
    for publish in (lambda: site.publish("Alice", "Stage"), lambda: site.show("Alice", "Stage")):
        error = site.refused(Unfit, publish)
        assert error.message == f"Unfit: {', '.join(issues)}."
    assert site.state.issues() == {"Acme": dict.fromkeys(issues, 2)}


def test_the_total_bitrate_counts_players_and_is_exact(site: Site) -> None:
    plan = Plan(total_bitrate=1100)
    site.arrive("Alice", "Bob", "Charlie", plan=plan)
    site.publish("Alice", "Stage")
    site.subscribe("Bob", "Stage")  # 1100 of 1100
    site.refused(Unfit, lambda: site.subscribe("Charlie", "Stage"))
    site.refused(Unfit, lambda: site.publish("Charlie", "Balcony", LOW))
    louder = StreamParams(bitrate=501, audio_bitrate=50)
    site.refused(Unfit, lambda: site.publish("Alice", "Stage", louder))
    site.publish("Alice", "Stage", LOW)
    site.subscribe("Charlie", "Stage")
    assert site.usage().total_bitrate == 300


def test_a_refused_takeover_leaves_the_holder_where_it_is(site: Site) -> None:
    site.arrive("Alice", "Bob", plan=Plan(bitrate=500))
    site.join("Alice", "Bob")
    site.show("Alice", "Stage")
    held = site.refused(Held, lambda: site.publish("Bob", "Stage"))
    assert isinstance(held, Held)
    assert held.holder == "alice"
    louder = StreamParams(bitrate=501)
    site.refused(Unfit, lambda: site.publish("Bob", "Stage", louder, evict=frozenset({"alice"})))
    facts = site.publish("Bob", "Stage", evict=frozenset({"alice"}))
    assert kinds(facts) == ["PeerReplaced", "StreamRemoved", "BroadcastEnded", "Published"]
    assert site.peers("Stage") == {"Bob": "broadcaster"}
    assert site.streams() == ()


def test_a_client_is_in_no_more_channels_and_rooms_than_allowed(make: Callable[..., Site]) -> None:
    site = make(channels_per_client=2, rooms_per_client=2)
    site.arrive("Alice", "Bob")
    site.publish("Alice", "One")
    site.subscribe("Alice", "Two")
    for operation in (site.publish, site.subscribe):
        error = site.refused(Refused, lambda operation=operation: operation("Alice", "Three"))  # type: ignore[misc]
        assert error.code == "too-many"
    site.publish("Alice", "One", LOW)
    site.subscribe("Alice", "Two")
    site.join("Alice", room="One")
    site.join("Alice", room="Two")
    assert site.refused(Refused, lambda: site.join("Alice", room="Three")).code == "too-many"
    site.join("Alice", room="Two")
    site.join("Bob", room="One")
    site.show("Bob", "Four", room="One")
    assert site.peers("Four") == {"Bob": "broadcaster"}  # Alice was told that it is in too many channels


def test_signals_find_their_way_only_within_a_channel(site: Site) -> None:
    site.arrive("Alice", "Bob", "Charlie")
    site.publish("Alice", "Stage")
    site.subscribe("Bob", "Stage")
    for channel in ("Stage", None):
        route = site.state.route("bob", channel, "Alice")
        assert (route.socket_id, route.channel, route.sender) == ("alice", "Stage", "Bob")
    assert [route.socket_id for route in site.state.audience("alice", None)] == ["bob"]
    site.refused(NotFound, lambda: site.state.route("bob", "Stage", "Charlie"))
    site.refused(NotFound, lambda: site.state.route("bob", "Balcony", "Alice"))
    for operation in (
        lambda: site.state.route("charlie", "Stage", "Alice"),
        lambda: site.state.route("charlie", None, "Alice"),
        lambda: site.state.audience("charlie", "Stage"),
        lambda: site.state.audience("charlie", None),
    ):
        site.refused(NotFound, operation)


def test_there_is_nothing_to_end_where_nothing_began(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.publish("Alice", "Stage")
    site.subscribe("Bob", "Stage")
    site.refused(NotFound, lambda: site.state.unpublish("bob", "Stage", when=site.now))
    site.refused(NotFound, lambda: site.state.unsubscribe("alice", "Stage", when=site.now))
    site.refused(NotFound, lambda: site.state.unpublish("alice", "Balcony", when=site.now))
    site.refused(NotFound, lambda: site.state.unsubscribe("bob", "Balcony", when=site.now))
    site.refused(Refused, lambda: site.subscribe("Alice", "Stage", name="Else"))


# --- rooms ---


def test_joining_tells_the_joiner_then_all_then_the_broadcasters(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.join("Alice")
    site.show("Alice", "Stage")
    facts = site.join("Bob")
    assert kinds(facts) == ["RoomEntered", "ParticipantJoined", "PlayerJoined"]
    assert isinstance(facts[0], f.RoomEntered)
    assert [one.name for one in facts[0].participants] == ["Alice", "Bob"]
    assert kinds(site.join("Bob")) == ["RoomEntered"]
    assert site.usage() == Usage(2, players=1, broadcasters=1, bitrate=1000, audio_bitrate=100)


def test_publishing_gathers_everybody_before_it_is_announced(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.join("Alice", "Bob")
    facts = site.show("Alice", "Stage")
    assert kinds(facts) == ["Published", "StreamAdded"]
    assert isinstance(facts[0], f.Published)
    assert [peer.peer_id for peer in facts[0].peers] == ["Bob", "Alice"]
    assert kinds(site.show("Alice", "Stage", LOW)) == ["Published"]
    assert site.usage() == Usage(2, players=1, broadcasters=1, bitrate=200)


def test_leaving_ends_the_streams_first(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.join("Alice", "Bob")
    site.show("Alice", "Stage")
    facts = site.state.leave_room("alice", "Lobby", when=site.now)
    assert kinds(facts) == ["StreamRemoved", "PublisherStopped", "BroadcastEnded", "ParticipantLeft"]
    assert (site.state.channels(), site.usage()) == ([], Usage(2))
    site.refused(Refused, lambda: site.state.leave_room("alice", "Lobby", when=site.now))


def test_a_stream_lives_as_long_as_one_room_or_its_broadcaster_itself_carries_it(site: Site) -> None:
    site.arrive("Alice", "Bob", "Charlie")
    site.join("Alice", "Bob", room="Lobby")
    site.join("Alice", "Charlie", room="Kitchen")
    for room in ("Lobby", "Kitchen"):
        site.show("Alice", "Stage", room=room)
    site.publish("Alice", "Stage")
    assert site.peers("Stage") == {"Bob": "player", "Charlie": "player", "Alice": "broadcaster"}
    facts = site.state.unpublish_from_room("alice", "Lobby", "Stage", when=site.now)
    assert kinds(facts) == ["StreamRemoved", "BroadcastEnded", "PlayerLeft"]
    site.state.leave_room("alice", "Kitchen", when=site.now)
    assert site.peers("Stage") == {"Alice": "broadcaster"}
    assert site.usage() == Usage(3, broadcasters=1, bitrate=500, audio_bitrate=50)
    assert kinds(site.state.unpublish("alice", "Stage", when=site.now)) == ["BroadcastEnded"]


def test_room_operations_that_are_refused_change_nothing(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.join("Alice")
    site.show("Alice", "Stage")
    now, state = site.now, site.state
    refusals: list[tuple[type[VWSError], Callable[[], object]]] = [
        (Refused, lambda: site.show("Bob", "Balcony")),
        (Refused, lambda: site.act("Bob", Action.LOCK)),
        (Refused, lambda: site.act("Alice", Action.LOCK)),
        (Refused, lambda: state.post_message("bob", HI, at=now)),
        (Refused, lambda: state.leave_room("bob", "Lobby", when=now)),
        (Refused, lambda: state.unpublish_from_room("bob", "Lobby", "Stage", when=now)),
        (NotFound, lambda: state.unpublish_from_room("alice", "Lobby", "Balcony", when=now)),
    ]
    for error, operation in refusals:
        site.refused(error, operation)
    site.join("Bob")
    site.refused(Held, lambda: site.show("Bob", "Stage"))
    site.refused(Refused, lambda: state.unpublish_from_room("bob", "Lobby", "Stage", when=now))


def test_who_may_not_come_in_leaves_no_trace(site: Site) -> None:
    site.arrive("Bob", "Charlie")
    site.connect("mod", "Mod", account("Acme"), Role.MODERATOR)
    site.join("Mod")
    site.show("Mod", "Stage")
    site.act("Mod", Action.BAN, "Bob", minutes=1)
    assert site.refused(Refused, lambda: site.join("Bob")).code == "banned"
    assert site.refused(Refused, lambda: site.subscribe("Bob", "Stage")).code == "banned"
    site.act("Mod", Action.LOCK)
    assert site.refused(Refused, lambda: site.join("Charlie")).code == "locked"
    assert site.refused(Refused, lambda: site.subscribe("Charlie", "Stage")).code == "locked"
    assert site.refused(NotFound, lambda: site.act("Mod", Action.KICK, "Charlie")).code == "no-such-user"
    site.act("Mod", Action.UNLOCK)
    site.now += 60_000
    site.join("Bob", "Charlie")
    assert len(site.peers("Stage")) == 3


def test_a_subscription_past_the_room_needs_one_room_that_allows_it(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.connect("mod", "Mod", account("Acme"), Role.MODERATOR)
    site.join("Mod", "Alice")
    site.join("Alice", room="Kitchen")
    site.show("Alice", "Stage")
    site.act("Mod", Action.LOCK)
    site.refused(Refused, lambda: site.subscribe("Bob", "Stage"))
    site.show("Alice", "Stage", room="Kitchen")
    site.subscribe("Bob", "Stage")
    facts = site.state.unpublish_from_room("alice", "Kitchen", "Stage", when=site.now)
    assert "SubscriptionRefused" in kinds(facts)
    assert site.peers("Stage") == {"Mod": "player", "Alice": "broadcaster"}
    site.publish("Alice", "Stage")  # for everybody, now
    site.subscribe("Bob", "Stage")


def test_who_leaves_a_locked_room_can_not_watch_on_from_outside(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.connect("mod", "Mod", account("Acme"), Role.MODERATOR)
    site.join("Mod", "Alice", "Bob")
    site.show("Alice", "Stage")
    site.subscribe("Bob", "Stage")
    site.act("Mod", Action.LOCK)
    assert site.peers("Stage")["Bob"] == "player"
    facts = site.state.leave_room("bob", "Lobby", when=site.now)
    assert kinds(facts) == ["SubscriptionRefused", "PlayerLeft", "ParticipantLeft"]
    assert site.peers("Stage") == {"Mod": "player", "Alice": "broadcaster"}


def test_empty_rooms_are_forgotten_in_time(make: Callable[..., Site]) -> None:
    site = make(history_ttl=1_000)
    site.arrive("Alice")
    site.join("Alice")
    site.state.post_message("alice", HI, at=site.now)

    def messages_after(pause: int) -> int:
        site.state.leave_room("alice", "Lobby", when=site.now)
        assert site.state.rooms() == []
        site.now += pause
        site.state.sweep(when=site.now)
        entered = site.join("Alice")[0]
        assert isinstance(entered, f.RoomEntered)
        return len(entered.messages)

    assert messages_after(999) == 1
    assert messages_after(999) == 1
    assert messages_after(1_000) == 0


def test_a_ban_is_kept_longer_than_the_chat(make: Callable[..., Site]) -> None:
    site = make(history_ttl=1_000)
    site.arrive("Bob", "Charlie")
    site.connect("mod", "Mod", account("Acme"), Role.MODERATOR)
    site.join("Mod")
    site.state.post_message("mod", HI, at=site.now)
    site.act("Mod", Action.MUTE, "Charlie")
    site.act("Mod", Action.BAN, "Bob", minutes=1)
    site.state.leave_room("mod", "Lobby", when=site.now)
    site.now += 59_999
    site.state.sweep(when=site.now)
    site.refused(Refused, lambda: site.join("Bob"))
    entered = site.join("Charlie")[0]
    assert isinstance(entered, f.RoomEntered)
    assert entered.messages == ()
    site.state.post_message("charlie", HI, at=site.now)
    site.now += 1
    site.join("Bob")


# --- viewers ---


def test_viewers_are_counted_by_account_and_stream(site: Site) -> None:
    site.view("a")
    site.view("b")
    site.view("c", "Balcony")
    site.view("d", label="Beta")
    assert site.state.viewers() == {"Acme": {"Stage": 2, "Balcony": 1}, "Beta": {"Stage": 1}}
    assert (site.usage(), site.usage("Beta")) == (Usage(players=3), Usage(players=1))


def test_a_viewer_is_gone_after_30_seconds_of_silence(site: Site) -> None:
    site.view("a")
    site.view("b")
    site.now += 20_000
    site.keep("a")
    site.now += 9_999
    site.state.sweep(when=site.now)
    assert site.usage().players == 2
    site.now += 1
    site.state.sweep(when=site.now)
    assert site.usage().players == 1
    site.refused(NotFound, lambda: site.keep("b"))
    site.now += 20_000
    with pytest.raises(NotFound):
        site.keep("a")  # noticed when it is asked for, whenever the next sweep comes
    assert (site.state.viewers(), site.state.usage()) == ({}, {})


@pytest.mark.parametrize(
    ("session", "stream", "label"),
    [("b", "Stage", "Acme"), ("", "Stage", "Acme"), ("a", "Balcony", "Acme"), ("a", "Stage", "Beta")],
)
def test_a_session_opens_one_stream_of_one_account(site: Site, session: str, stream: str, label: str) -> None:
    site.view("a")
    site.refused(NotFound, lambda: site.keep(session, stream, label=label))


def test_the_plan_limits_the_viewers_of_an_account(site: Site) -> None:
    plan = Plan(stream_players=2)
    site.view("a", plan=plan)
    site.view("b", "Balcony", plan=plan)
    error = site.refused(Unfit, lambda: site.view("c", plan=plan))
    assert str(error) == "Unfit: streamPlayers."
    assert site.state.issues() == {"Acme": {"streamPlayers": 1}}
    site.view("d", label="Beta", plan=plan)
    site.now += 30_000
    site.view("c", plan=plan)


def test_a_viewer_that_begins_again_takes_no_second_place(make: Callable[..., Site]) -> None:
    site, plan = make(viewers=1), Plan(stream_players=1)
    site.view("a", plan=plan)
    site.view("b", "Balcony", plan=plan, replaces="a")
    assert site.state.viewers() == {"Acme": {"Balcony": 1}}
    site.refused(NotFound, lambda: site.keep("a"))
    site.keep("b", "Balcony")
    site.refused(Unavailable, lambda: site.view("c", replaces="a"))


def test_nobody_takes_the_place_of_another_accounts_viewer(site: Site) -> None:
    plan = Plan(stream_players=1)
    site.view("a", plan=plan)
    site.view("b", label="Beta", replaces="a")
    site.keep("a")
    error = site.refused(Unfit, lambda: site.view("c", plan=plan, replaces="b"))
    assert str(error) == "Unfit: streamPlayers."


def test_players_of_channels_are_no_viewers(site: Site) -> None:
    site.arrive("Alice", "Bob")
    site.publish("Alice", "Stage")
    site.subscribe("Bob", "Stage")
    site.view("a", plan=Plan(stream_players=1))
    assert site.usage().players == 2


def test_the_server_has_a_bound_for_all_viewers(make: Callable[..., Site]) -> None:
    site = make(viewers=1)
    site.view("a")
    site.refused(Unavailable, lambda: site.view("b", label="Beta"))
    unbounded = make(viewers=0)
    unbounded.view("a")
    unbounded.view("b")


def test_one_address_leaves_room_for_viewers_elsewhere(make: Callable[..., Site]) -> None:
    site = make(viewers_per_address=1)
    for number, address in enumerate(("192.0.2.1", "2001:db8:0:1::1")):
        site.view(f"first-{number}", address=address)
    for same in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8:0:1:ffff::9"):
        site.refused(Unavailable, lambda: site.view("second", label="Beta", address=same))  # noqa: B023
    for number, other in enumerate(("192.0.2.2", "2001:db8:0:2::1", "", "")):
        site.view(f"other-{number}", address=other)
    site.now += 30_000
    site.view("second")
    unbounded = make(viewers_per_address=0)
    unbounded.view("a")
    unbounded.view("b")


# --- what is left ---


def test_nothing_is_left_when_everybody_has_gone(site: Site) -> None:
    site.arrive("Alice", "Bob", "Charlie")
    site.connect("second", "Bob", account("Acme"))
    site.connect("anyone", None, account("Acme"))
    site.join("Alice", "Bob", "Charlie", room="Lobby")
    site.join("Alice", "Charlie", room="Kitchen")
    site.state.join_room("second", "Lobby", account=account("Acme"), when=site.now, at=site.now)
    site.show("Alice", "Stage")
    site.show("Alice", "Stage", room="Kitchen")
    site.show("Charlie", "Balcony", room="Kitchen")
    site.publish("Bob", "Own")
    site.subscribe("Anyone", "Own")
    site.subscribe("Alice", "Own")
    assert site.usage() == Usage(5, players=5, broadcasters=3, bitrate=4000, audio_bitrate=400)
    for socket in ("Bob", "Alice", "Anyone", "Second", "Charlie"):
        site.leave(socket)
    assert snapshot(site.state) == ([], [], [], {}, {})
