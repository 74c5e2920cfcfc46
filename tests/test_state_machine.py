"""Random operations from several sockets, and what must hold after each of them.

The machine knows nothing of how the state is kept. It compares what the contract shows with what it
computes itself: from the channels alone, and from the facts alone, as the clients do that are told them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.states import IMPLEMENTATIONS, MakeState, account, session, snapshot
from vws.core import facts as f
from vws.core.accounts import Plan
from vws.core.commands import (
    Action,
    Publish,
    RoomAction,
    RoomMessage,
    RoomPublish,
    StreamParams,
    Subscribe,
)
from vws.core.session import Role, Session
from vws.errors import VWSError
from vws.state.base import NOBODY, ChannelView, LiveState, RoomView, StateLimits

SOCKETS = [f"socket-{number}" for number in range(1, 7)]
USERS = ["Alice", "Bob", "Charlie"]
CHANNELS = ["Lobby", "Stage"]
ROOMS = ["Lobby", "Kitchen"]  # a room and a channel may have the same name
CROWD = [  # socket by socket; who is None has a token only
    ("Alice", "Acme", Role.USER),
    ("Alice", "Beta", Role.USER),
    ("Bob", "Acme", Role.USER),
    ("Charlie", "Beta", Role.MODERATOR),
    ("Charlie", "Other", Role.USER),
    (None, "Beta", Role.USER),
]
ACCOUNTS = {
    "Acme": account("Acme", scope="shared", plan=Plan(connections=5, total_bitrate=2500, bitrate=900)),
    "Beta": account("Beta", scope="shared", room_owner=True),
    "Other": account("Other"),
}

sockets = st.sampled_from(SOCKETS)
names = st.sampled_from(USERS)
channels = st.sampled_from(CHANNELS)
rooms = st.sampled_from(ROOMS)
rates = st.sampled_from([0, 100, 600, 1000])
choices = st.integers(0, 99)
dead = st.frozensets(sockets, max_size=2)
metas = st.fixed_dictionaries(
    {},
    optional={
        "allowUsers": st.booleans() | st.lists(names),
        "allowBroadcasters": st.booleans() | st.lists(names),
    },
)

Key = tuple[str, str]


class Beliefs:
    """What the clients know from the facts they were told."""

    def __init__(self) -> None:
        self.participants: dict[tuple[str, str], Counter[str]] = {}
        self.streams: dict[tuple[str, str], set[str]] = {}
        self.players: dict[str, set[str]] = {}

    def hear(self, fact: f.Fact) -> None:
        match fact:
            case f.RoomEntered() | f.ParticipantJoined() | f.ParticipantLeft():
                self._hear_of_people(fact)
            case f.StreamAdded():
                for member in fact.members:
                    assert fact.stream.stream_id not in self.streams[member, fact.room], "a second streamNew"
                    self.streams[member, fact.room].add(fact.stream.stream_id)
            case f.StreamRemoved():
                for member in fact.members:
                    self.streams[member, fact.room].remove(fact.stream_id)
            case f.Published():
                players = {peer.peer_id for peer in fact.peers} - {fact.broadcaster.peer_id}
                self.players[fact.broadcaster.socket_id] = players
            case f.PlayerJoined():
                self.players.setdefault(fact.broadcaster.socket_id, set()).add(fact.player.peer_id)
            case f.PlayerLeft():
                self.players.setdefault(fact.broadcaster.socket_id, set()).discard(fact.player.peer_id)

    def _hear_of_people(self, fact: f.RoomEntered | f.ParticipantJoined | f.ParticipantLeft) -> None:
        match fact:
            case f.RoomEntered():
                key = (fact.socket_id, fact.room)
                self.participants[key] = Counter(one.name for one in fact.participants)
                self.streams[key] = {stream.stream_id for stream in fact.streams}
            case f.ParticipantJoined():
                self._count(fact.room, fact.members, fact.participant, 1)
            case f.ParticipantLeft():
                self._count(fact.room, fact.members, fact.participant, -1)
                self.participants.pop((fact.participant.socket_id, fact.room), None)
                self.streams.pop((fact.participant.socket_id, fact.room), None)

    def _count(self, room: str, members: tuple[str, ...], one: Any, change: int) -> None:
        for member in members:
            if change < 0 or member != one.socket_id:  # a joiner was shown itself already
                self.participants[member, room][one.name] += change

    def forget(self, socket_id: str) -> None:
        self.players.pop(socket_id, None)


class LiveStateMachine(RuleBasedStateMachine):
    """Drives one implementation; `make` is set by the test."""

    make: MakeState

    def __init__(self) -> None:
        super().__init__()
        self.state: LiveState = type(self).make(StateLimits(channels_per_client=3, history_ttl=5_000))
        self.now = 1_000_000
        self.sessions: dict[str, Session] = {}
        self.beliefs = Beliefs()
        self.busy: set[str] = set()  # sockets that broadcast in several channels: `peer` does not say which
        self.stayed_away: set[tuple[str, str, str]] = set()  # scope, channel, user

    # --- what clients do ---

    @initialize(kitchen=st.lists(sockets, max_size=4), rate=rates)
    def begin_in_company(self, kitchen: list[str], rate: int) -> None:
        """Most sequences would otherwise be of people who are not there, and watch nothing."""
        for socket, (user, label, role) in zip(SOCKETS, CROWD, strict=True):
            self.connect(socket, user, label, role)
            self.join_room(socket, "Lobby")
        for socket in kitchen:
            self.join_room(socket, "Kitchen")
        self.publish_in_room(2, "Stage", rate, NOBODY)
        self.subscribe("socket-6", "Anyone", "Stage", NOBODY)

    @rule(
        socket=sockets,
        user=st.none() | names,
        label=st.sampled_from(["Acme", "Acme", "Beta", "Other"]),
        role=st.sampled_from([Role.USER, Role.USER, Role.MODERATOR]),
    )
    def connect(self, socket: str, user: str | None, label: str, role: Role) -> None:
        if socket in self.sessions:
            return
        one = session(socket, ACCOUNTS[label], user, role=role if user else Role.USER)
        if self.attempt(lambda: self.state.connect(one, ACCOUNTS[label])) is not None:
            self.sessions[socket] = one

    @precondition(lambda self: len(self.sessions) > 3)
    @rule(socket=sockets)
    def disconnect(self, socket: str) -> None:
        self.attempt(lambda: self.state.disconnect(socket, when=self.now))
        self.sessions.pop(socket, None)
        self.beliefs.forget(socket)

    @rule(socket=sockets, name=names, channel=channels, rate=rates, evict=dead)
    def publish(self, socket: str, name: str, channel: str, rate: int, evict: frozenset[str]) -> None:
        command = Publish(self.peer_id(socket, name), channel, params(rate))
        account = self.account_of(socket)
        self.attempt(
            lambda: self.state.publish(
                socket, command, account=account, when=self.now, at=self.now, evict=evict
            )
        )

    @rule(choice=choices)
    def unpublish(self, choice: int) -> None:
        socket, channel = pick(choice, self.places("broadcaster"))
        self.attempt(lambda: self.state.unpublish(socket, channel, when=self.now))

    @rule(socket=sockets, name=names, channel=channels, evict=dead)
    def subscribe(self, socket: str, name: str, channel: str, evict: frozenset[str]) -> None:
        command = Subscribe(self.peer_id(socket, name), channel)
        account = self.account_of(socket)
        self.attempt(
            lambda: self.state.subscribe(socket, command, account=account, when=self.now, evict=evict)
        )

    @rule(choice=choices)
    def unsubscribe(self, choice: int) -> None:
        socket, channel = pick(choice, self.places("player"))
        done = self.attempt(lambda: self.state.unsubscribe(socket, channel, when=self.now))
        user = self.sessions[socket].user if done is not None else None
        if user is not None:
            self.stayed_away.add((self.sessions[socket].scope, channel, user))

    @rule(socket=sockets, room=rooms)
    def join_room(self, socket: str, room: str) -> None:
        if socket in self.sessions and self.sessions[socket].user is not None:
            account = self.account_of(socket)
            self.attempt(
                lambda: self.state.join_room(socket, room, account=account, when=self.now, at=self.now)
            )

    @rule(choice=choices)
    def leave_room(self, choice: int) -> None:
        socket, room = pick(choice, self.memberships())
        self.attempt(lambda: self.state.leave_room(socket, room, when=self.now))

    @rule(choice=choices, stream=channels, rate=rates, evict=dead)
    def publish_in_room(self, choice: int, stream: str, rate: int, evict: frozenset[str]) -> None:
        socket, room = pick(choice, self.memberships())
        command = RoomPublish(room, stream, params(rate))
        account = self.account_of(socket)
        self.attempt(
            lambda: self.state.publish_in_room(
                socket, command, account=account, when=self.now, at=self.now, evict=evict
            )
        )

    @rule(choice=choices, room=rooms)
    def unpublish_from_room(self, choice: int, room: str) -> None:
        socket, stream = pick(choice, self.places("broadcaster"))
        self.attempt(lambda: self.state.unpublish_from_room(socket, room, stream, when=self.now))

    @rule(choice=choices)
    def post_message(self, choice: int) -> None:
        socket, room = pick(choice, self.memberships())
        command = RoomMessage(room, {"text": "Hi"}, size=13)
        self.attempt(lambda: self.state.post_message(socket, command, at=self.now))

    @rule(choice=choices, action=st.sampled_from(Action), user=names, meta=metas)
    def moderate(self, choice: int, action: Action, user: str, meta: dict[str, Any]) -> None:
        socket, room = pick(choice, self.memberships())
        command = RoomAction(room, action, user, minutes=0.1, meta=meta)
        self.attempt(lambda: self.state.moderate(socket, command, when=self.now, at=self.now))

    @rule(milliseconds=st.integers(0, 10_000))
    def let_time_pass(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.attempt(lambda: self.state.sweep(when=self.now))

    # --- how ---

    def peer_id(self, socket: str, name: str) -> str:
        """A verified user appears under its own name only: the use cases see to that."""
        one = self.sessions.get(socket)
        return one.user if one is not None and one.user is not None else name

    def memberships(self) -> list[Key]:
        return [(socket, room.name) for room in self.state.rooms() for socket in room.participants]

    def places(self, kind: str) -> list[Key]:
        return [
            (p.socket_id, each.name) for each in self.state.channels() for p in each.peers if p.kind == kind
        ]

    def account_of(self, socket: str) -> Any:
        one = self.sessions.get(socket)
        return ACCOUNTS[one.account if one is not None else "Acme"]

    def attempt(self, operation: Callable[[], list[f.Fact] | None]) -> list[f.Fact] | None:
        """Carry out an operation and hear what came of it; None when it was refused, without a trace."""
        before = snapshot(self.state)
        try:
            told = operation() or []
        except VWSError:
            assert snapshot(self.state) == before, "a refused operation changed something"
            return None
        for fact in told:
            self.beliefs.hear(fact)
        self.note_absence(told)
        return told

    def note_absence(self, told: list[f.Fact]) -> None:
        """Remember which users miss a stream of their room because they were refused it."""
        refused = {fact.peer_id for fact in told if isinstance(fact, f.SubscriptionRefused)}
        missing = self.missing()
        self.stayed_away |= {key for key in missing if key[2] in refused}
        self.stayed_away &= missing

    def missing(self) -> set[tuple[str, str, str]]:
        """Return who is in a room and not in the channel of a stream of it: scope, channel, user."""
        return {
            (room.scope, stream, user)
            for room in self.state.rooms()
            for stream in room.streams
            for user in {name for name, _ in room.participants.values()}
            - {peer.peer_id for peer in self.channel(room, stream).peers}
        }

    # --- what must hold ---

    @invariant()
    def usage_is_what_the_channels_add_up_to(self) -> None:
        used: dict[str, Counter[str]] = {}
        for one in self.sessions.values():
            used.setdefault(one.account, Counter())["connections"] += 1
        for channel in self.state.channels():
            for peer in channel.peers:
                count = used.setdefault(peer.account, Counter())
                count[f"{peer.kind}s"] += 1
                count["bitrate"] += channel.params.get("bitrate", 0)
                count["audio_bitrate"] += channel.params.get("audioBitrate", 0)
        fields = ("connections", "players", "broadcasters", "bitrate", "audio_bitrate")
        shown = {
            label: {field: getattr(usage, field) for field in fields}
            for label, usage in self.state.usage().items()
        }
        assert shown == {label: {field: count[field] for field in fields} for label, count in used.items()}

    @invariant()
    def plans_are_kept(self) -> None:
        # Beta's broadcaster in the shared scope may raise what Acme's players cost, so the sum isn't Acme's.
        usage = self.state.usage().get("Acme")
        assert usage is None or usage.connections <= 5

    @invariant()
    def every_channel_is_in_order(self) -> None:
        for channel in self.state.channels():
            assert channel.peers
            assert len({peer.peer_id for peer in channel.peers}) == len(channel.peers)
            assert len({peer.socket_id for peer in channel.peers}) == len(channel.peers)
            assert {peer.socket_id for peer in channel.peers} <= self.sessions.keys()
            live = [peer.peer_id for peer in channel.peers if peer.kind == "broadcaster"]
            assert live == ([] if channel.publisher is None else [channel.publisher])
            assert live or not channel.params

    @invariant()
    def every_stream_of_a_room_is_live_and_its_broadcasters(self) -> None:
        for room in self.state.rooms():
            for stream in room.streams:
                assert broadcaster(self.channel(room, stream)) in room.participants

    @invariant()
    def every_participant_is_subscribed_to_every_stream(self) -> None:
        assert self.missing() <= self.stayed_away

    @invariant()
    def rooms_are_what_their_members_were_told(self) -> None:
        seen_participants, seen_streams = {}, {}
        for room in self.state.rooms():
            for member in room.participants:
                seen_participants[member, room.name] = Counter(n for n, _ in room.participants.values())
                seen_streams[member, room.name] = set(room.streams)
        assert {key: +count for key, count in self.beliefs.participants.items()} == seen_participants
        assert self.beliefs.streams == seen_streams

    @invariant()
    def broadcasters_know_their_players(self) -> None:
        live: dict[str, list[ChannelView]] = {}
        for channel in self.state.channels():
            if channel.publisher is not None:
                live.setdefault(broadcaster(channel), []).append(channel)
        self.busy = {s for s in self.busy if s in live} | {s for s, found in live.items() if len(found) > 1}
        for socket, found in live.items():
            if socket not in self.busy:
                players = {peer.peer_id for peer in found[0].peers if peer.kind == "player"}
                assert self.beliefs.players[socket] == players

    def channel(self, room: RoomView, name: str) -> ChannelView:
        found = [
            each
            for each in self.state.channels()
            if each.name == name and {self.sessions[p.socket_id].scope for p in each.peers} == {room.scope}
        ]
        assert len(found) == 1, f"{name} is shown in {room.name} and isn't live"
        return found[0]

    def teardown(self) -> None:
        for socket in SOCKETS:
            self.disconnect(socket)
        assert (self.state.sessions(), self.state.channels(), self.state.rooms()) == ([], [], [])
        assert self.state.usage() == {}


def pick(choice: int, candidates: list[Key]) -> Key:
    """Choose somebody who has something to lose, or now and then somebody who hasn't."""
    candidates = [*sorted(candidates), (SOCKETS[0], CHANNELS[0])]
    return candidates[choice % len(candidates)]


def params(rate: int) -> StreamParams:
    raw = {"bitrate": rate, "audioBitrate": rate // 10}
    return StreamParams(bitrate=rate, audio_bitrate=rate // 10, raw=raw)


def broadcaster(channel: ChannelView) -> str:
    return next(peer.socket_id for peer in channel.peers if peer.kind == "broadcaster")


@pytest.mark.timeout(600)  # to make a failing sequence short takes its time
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_no_sequence_of_operations_breaks_the_state(name: str) -> None:
    class Machine(LiveStateMachine):
        make = staticmethod(IMPLEMENTATIONS[name])

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=120,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
