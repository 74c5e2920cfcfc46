"""RTMP streams in the live state, for every implementation: seats, quotas, silence, rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.states import IMPLEMENTATIONS, account, session, snapshot
from vws.core import facts as f
from vws.core.accounts import UNLIMITED, Account, Plan
from vws.core.channels import SHARED
from vws.core.commands import Action, Publish, RoomAction, RoomPublish, StreamParams
from vws.core.ledger import Usage
from vws.core.limits import Unfit
from vws.core.rooms import STREAMS_SIZE
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.core.session import Role
from vws.errors import NotFound, Refused, VWSError
from vws.state.base import LiveState, StateLimits

UPDATE = 10_000
PLAN = Plan(connections=3, total_bitrate=1000, bitrate=400, audio_bitrate=50)
ONE = StreamParams(bitrate=100, audio_bitrate=10, width=640, height=360, frame_rate=25)


@pytest.fixture(params=IMPLEMENTATIONS)
def state(request: pytest.FixtureRequest) -> LiveState:
    return IMPLEMENTATIONS[request.param](StateLimits(rtmp_update=UPDATE))


def client(number: int, stream: str = "Stage", *, kind: RtmpKind = RtmpKind.PUBLISH) -> RtmpClient:
    return RtmpClient("Acme", "Acme", stream, kind, str(number), token="T", shown={"type": "rtmp"})


def player(number: int, stream: str = "Stage") -> RtmpClient:
    return client(number, stream, kind=RtmpKind.PLAY)


def acme(plan: Plan = UNLIMITED) -> Account:
    return account("Acme", plan=plan)


def enter(state: LiveState, who: RtmpClient, *, plan: Plan = UNLIMITED, when: int = 0) -> list[f.Fact]:
    return state.enter_rtmp(who, account=acme(plan), when=when, at=when)


def refused(state: LiveState, act: Callable[[], object]) -> VWSError:
    """Check that an operation is refused and leaves no trace; return the refusal."""
    before = (snapshot(state), state.rtmp_streams())
    with pytest.raises(VWSError) as refusal:
        act()
    assert (snapshot(state), state.rtmp_streams()) == before
    return refusal.value


def test_a_stream_counts_with_the_most_its_plan_allows(state: LiveState) -> None:
    enter(state, client(1), plan=PLAN, when=5)
    assert state.usage() == {"Acme": Usage(connections=1, broadcasters=1, bitrate=400, audio_bitrate=50)}
    (view,) = state.rtmp_streams()
    assert (view.name, view.account, view.players, view.published_at) == ("Stage", "Acme", 0, 5)
    enter(state, player(2), plan=PLAN)
    assert state.usage()["Acme"] == Usage(2, 1, 1, 800, 100)
    state.leave_rtmp(client(1))
    assert state.usage()["Acme"] == Usage(connections=1, players=1)
    assert state.rtmp_streams() == []
    state.leave_rtmp(player(2))
    assert state.usage() == {}


def test_who_was_never_in_cannot_leave(state: LiveState) -> None:
    enter(state, client(1))
    for stranger in (client(2), player(1), client(1, "Balcony"), replace(client(1), account="Shop")):
        with pytest.raises(NotFound):
            state.leave_rtmp(stranger)
    assert len(state.rtmp_streams()) == 1


def test_the_quota_is_one_for_both(state: LiveState) -> None:
    for name in ("a", "b"):
        state.connect(session(name, acme(PLAN)), acme(PLAN))
    params = StreamParams(bitrate=400, audio_bitrate=50)
    state.publish("a", Publish("Alice", "Lobby", params), account=acme(PLAN), when=0, at=0)
    enter(state, client(1), plan=PLAN)
    issues = refused(state, lambda: enter(state, client(2, "Balcony"), plan=PLAN))
    assert issues.message == "Unfit: totalBitrate, connections."
    assert refused(state, lambda: enter(state, player(2), plan=PLAN)).message == issues.message
    with pytest.raises(Unfit, match="totalBitrate"):
        state.publish("b", Publish("Bob", "Other", params), account=acme(PLAN), when=0, at=0)
    with pytest.raises(Refused, match="connection limit exceeded:3/3"):
        state.connect(session("c", acme(PLAN)), acme(PLAN))
    state.leave_rtmp(client(1))
    state.publish("b", Publish("Bob", "Other", params), account=acme(PLAN), when=0, at=0)


def test_a_stream_that_is_live_cannot_be_published_again(state: LiveState) -> None:
    enter(state, client(1))
    assert refused(state, lambda: enter(state, client(2), when=UPDATE)).code == "held"
    enter(state, client(1), when=UPDATE)  # nginx may repeat itself
    assert state.usage()["Acme"].connections == 1


def test_a_publisher_that_owes_updates_can_be_replaced(state: LiveState) -> None:
    enter(state, client(1), plan=replace(PLAN, connections=1))
    enter(state, client(2), plan=replace(PLAN, connections=1), when=2 * UPDATE)
    assert state.rtmp_streams()[0].client_id == "2"
    assert state.usage()["Acme"] == Usage(connections=1, broadcasters=1, bitrate=400, audio_bitrate=50)
    with pytest.raises(NotFound):
        state.renew_rtmp(client(1), when=2 * UPDATE)


def test_a_connection_carries_one_stream(state: LiveState) -> None:
    """Nginx speaks of the newest only: the other would count no more, and go on."""
    enter(state, player(1))
    for second in (client(1), client(1, "Balcony"), player(1, "Balcony")):
        assert refused(state, lambda: enter(state, second, when=UPDATE)).code == "one-stream"  # noqa: B023
    elsewhere = replace(player(1, "Balcony"), address="192.0.2.1")  # nginx was restarted, and counts anew
    enter(state, elsewhere, when=UPDATE)
    enter(state, client(1, "Cellar"), when=2 * UPDATE)  # the first has been silent since
    state.leave_rtmp(player(1))
    enter(state, player(1), when=20 * UPDATE)


def test_clients_go_with_the_third_update_they_miss(state: LiveState) -> None:
    enter(state, client(1))
    enter(state, player(2))
    state.renew_rtmp(client(1), when=UPDATE)
    assert state.expire_rtmp(when=3 * UPDATE) == []
    assert [who for who, _ in state.expire_rtmp(when=4 * UPDATE)] == [player(2)]
    assert [who for who, _ in state.expire_rtmp(when=5 * UPDATE)] == [client(1)]
    assert state.usage() == {}


def test_what_is_measured_counts_for_everybody_on_the_stream(state: LiveState) -> None:
    enter(state, client(1), plan=PLAN)
    enter(state, player(2), plan=PLAN)
    assert state.measure_rtmp("Stage", ONE, account=acme(PLAN)) == []
    assert state.measure_rtmp("Balcony", ONE, account=acme(PLAN)) == []
    assert state.usage()["Acme"] == Usage(2, 1, 1, 200, 20)
    state.renew_rtmp(client(1), when=1)


@pytest.mark.parametrize(
    ("params", "issues"),
    [
        (replace(ONE, bitrate=500), []),
        (replace(ONE, bitrate=501), ["bitrate"]),
        (replace(ONE, audio_bitrate=63), ["audioBitrate"]),
    ],
)
def test_what_is_measured_is_held_against_the_plan(
    state: LiveState, params: StreamParams, issues: list[str]
) -> None:
    enter(state, client(1), plan=PLAN)
    assert state.measure_rtmp("Stage", params, account=acme(PLAN)) == issues
    assert state.measure_rtmp("Stage", params, account=acme(PLAN)) == []  # said and counted once
    assert state.issues() == ({"Acme": {issues[0]: 1}} if issues else {})
    if issues:
        assert refused(state, lambda: state.renew_rtmp(client(1), when=1)).code == "dismissed"


def test_a_dismissed_publisher_may_not_stay_and_its_players_may(state: LiveState) -> None:
    enter(state, client(1))
    enter(state, player(2))
    assert not state.dismiss_rtmp("Acme", "Balcony", "Enough", client_id="1")
    assert not state.dismiss_rtmp("Shop", "Stage", "Enough", client_id="1")
    assert not state.dismiss_rtmp("Acme", "Stage", "Enough", client_id="2")
    assert state.dismiss_rtmp("Acme", "Stage", "Enough", client_id="1")
    assert not state.dismiss_rtmp("Acme", "Stage", "Enough", client_id="1")
    assert refused(state, lambda: state.renew_rtmp(client(1), when=1)).message == "Enough"
    state.renew_rtmp(player(2), when=1)
    state.leave_rtmp(client(1))
    enter(state, client(3))
    state.renew_rtmp(client(3), when=1)


def test_who_came_with_another_token_may_not_stay(state: LiveState) -> None:
    enter(state, client(1))
    changed = replace(client(1), token="T2")
    assert refused(state, lambda: state.renew_rtmp(changed, when=1)).code == "token-changed"


# --- rooms ---


def test_a_room_shows_the_stream_to_who_is_in_it_and_who_comes(state: LiveState) -> None:
    join(state, "alice")
    (added,) = enter(state, replace(client(1), room="Lobby"), when=7)
    assert isinstance(added, f.StreamAdded)
    assert (added.room, added.members, added.stream.stream_id) == ("Lobby", ("alice",), "Stage")
    assert added.stream.params == {"type": "rtmp"}
    assert entered(join(state, "bob")) == ["Stage"]
    (removed,) = state.leave_rtmp(client(1))
    assert removed == f.StreamRemoved("Lobby", ("alice", "bob"), "Stage")
    assert state.rooms()[0].streams == ()


def test_a_room_that_opens_later_shows_the_stream(state: LiveState) -> None:
    assert enter(state, replace(client(1), room="Lobby")) == []
    assert entered(join(state, "alice")) == ["Stage"]
    state.leave_room("alice", "Lobby", when=1)
    assert entered(state.join_room("alice", "Lobby", account=acme(), when=2, at=2)) == ["Stage"]
    assert entered(join(state, "bob", room="Kitchen")) == []
    ((_, facts),) = state.expire_rtmp(when=10 * UPDATE)
    assert facts == [f.StreamRemoved("Lobby", ("alice",), "Stage")]


def test_a_webrtc_stream_and_an_rtmp_stream_do_not_take_each_others_place(state: LiveState) -> None:
    join(state, "alice")
    publish = RoomPublish("Lobby", "Stage", ONE)
    enter(state, replace(client(1), room="Lobby"))
    taken = refused(state, lambda: state.publish_in_room("alice", publish, account=acme(), when=0, at=0))
    assert taken.code == "held"
    state.leave_rtmp(client(1))
    state.publish_in_room("alice", publish, account=acme(), when=0, at=0)
    assert enter(state, replace(client(2), room="Lobby")) == []
    assert state.leave_rtmp(client(2)) == []
    assert state.rooms()[0].streams == ("Stage",)


def test_a_room_shows_the_streams_that_its_meta_names(state: LiveState) -> None:
    moderator(state)
    join(state, "bob")
    enter(state, client(1))
    facts = act(state, Action.META, rtmp=["Stage", "Balcony"])
    assert [fact.stream.stream_id for fact in facts if isinstance(fact, f.StreamAdded)] == ["Stage"]
    (added,) = enter(state, client(2, "Balcony"))
    assert isinstance(added, f.StreamAdded)
    assert added.members == ("mod", "bob")
    assert entered(join(state, "charlie")) == ["Stage", "Balcony"]
    facts = act(state, Action.META, rtmp=["Balcony"])
    assert [fact for fact in facts if isinstance(fact, f.StreamRemoved)] == [
        f.StreamRemoved("Lobby", ("mod", "bob", "charlie"), "Stage")
    ]
    assert state.leave_rtmp(client(1)) == []
    assert state.leave_rtmp(client(2, "Balcony")) == [
        f.StreamRemoved("Lobby", ("mod", "bob", "charlie"), "Balcony")
    ]


def test_a_stream_is_shown_in_every_room_that_is_for_it(state: LiveState) -> None:
    for room in ("Lobby", "Kitchen", "Cellar"):
        moderator(state, room)
    act(state, Action.META, "Kitchen", rtmp=["Stage"])
    facts = enter(state, replace(client(1), room="Lobby"))
    assert [fact.room for fact in facts if isinstance(fact, f.StreamAdded)] == ["Lobby", "Kitchen"]
    act(state, Action.META, "Lobby", rtmp=["Stage"])
    facts = state.leave_rtmp(client(1))
    assert [fact.room for fact in facts if isinstance(fact, f.StreamRemoved)] == ["Lobby", "Kitchen"]


def test_what_a_room_names_comes_when_it_was_empty_for_a_while(state: LiveState) -> None:
    moderator(state)
    act(state, Action.META, rtmp=["Stage"])
    state.leave_room("mod", "Lobby", when=2)
    (added,) = enter(state, client(1))
    assert isinstance(added, f.StreamAdded)
    assert added.members == ()
    assert entered(join(state, "bob")) == ["Stage"]


@pytest.mark.parametrize("scope", ["", SHARED])
def test_a_room_names_no_stream_of_another_account(state: LiveState, scope: str) -> None:
    shop = replace(client(1), account="Shop", scope=scope or "Shop")
    moderator(state, scope=scope)
    state.enter_rtmp(shop, account=account("Shop"), when=0, at=0)
    facts = act(state, Action.META, rtmp=["Stage"])
    assert not any(isinstance(fact, f.StreamAdded) for fact in facts)
    own = replace(client(2), scope=scope or "Acme")
    (added,) = enter(state, own)
    assert isinstance(added, f.StreamAdded)
    assert state.leave_rtmp(shop) == []
    assert state.rooms()[0].streams == ("Stage",)
    assert len(state.leave_rtmp(own)) == 1


def test_streams_of_one_name_do_not_end_each_other_in_a_shared_room(state: LiveState) -> None:
    state.connect(replace(session("alice", acme(), "Alice"), scope=SHARED), acme())
    state.join_room("alice", "Lobby", account=acme(), when=0, at=0)
    own = replace(client(1), scope=SHARED, room="Lobby")
    shop = replace(own, account="Shop", client_id="2")
    assert len(enter(state, own)) == 1
    assert state.enter_rtmp(shop, account=account("Shop"), when=0, at=0) == []
    assert state.leave_rtmp(shop) == []
    assert state.rooms()[0].streams == ("Stage",)


def test_rooms_whose_rules_allow_not_everybody_show_only_what_they_name(state: LiveState) -> None:
    moderator(state)
    in_room = replace(client(1), room="Lobby")
    for rule in (False, ["Alice"]):
        act(state, Action.META, allowBroadcasters=rule)
        assert enter(state, in_room) == []
        assert len(act(state, Action.META, allowBroadcasters=rule, rtmp=["Stage"])) == 2
        state.leave_rtmp(in_room)
    act(state, Action.META)
    enter(state, in_room)
    (_, removed) = act(state, Action.META, allowBroadcasters=False)
    assert removed == f.StreamRemoved("Lobby", ("mod",), "Stage")


def test_a_locked_room_keeps_its_streams_and_takes_no_others(state: LiveState) -> None:
    moderator(state)
    enter(state, replace(client(1), room="Lobby"))
    act(state, Action.LOCK)
    assert enter(state, replace(client(2, "Balcony"), room="Lobby")) == []
    act(state, Action.META)
    assert state.rooms()[0].streams == ("Stage",)
    _, added = act(state, Action.UNLOCK)
    assert isinstance(added, f.StreamAdded)
    assert added.stream.stream_id == "Balcony"


def test_who_keeps_order_takes_a_stream_out_of_a_room(state: LiveState) -> None:
    moderator(state)
    join(state, "bob")
    in_room = replace(client(1), room="Lobby")
    enter(state, in_room)
    refusal = refused(state, lambda: state.unpublish_from_room("bob", "Lobby", "Stage", when=1))
    assert refusal.code == "not-yours"
    removed = state.unpublish_from_room("mod", "Lobby", "Stage", when=1)
    assert removed == [f.StreamRemoved("Lobby", ("mod", "bob"), "Stage")]
    assert len(state.rtmp_streams()) == 1
    for who in ("mod", "bob"):
        state.leave_room(who, "Lobby", when=2)
    assert entered(state.join_room("mod", "Lobby", account=acme(), when=3, at=3)) == []
    assert act(state, Action.META, rtmp=["Stage"])[1:] != []  # named again, it is back
    state.unpublish_from_room("mod", "Lobby", "Stage", when=4)
    assert state.leave_rtmp(in_room) == []
    assert len(enter(state, in_room)) == 1


def test_streams_that_a_room_has_no_space_for_are_not_shown_in_it(state: LiveState) -> None:
    join(state, "alice")
    shown = {"type": "rtmp", "hls": "x" * (STREAMS_SIZE // 3)}
    for number in range(1, 5):
        enter(state, replace(client(number, f"Stage {number}"), room="Lobby", shown=shown))
    assert state.rooms()[0].streams == ("Stage 1", "Stage 2")
    assert len(state.rtmp_streams()) == 4


def test_nobody_who_joins_is_shown_what_the_others_are_not(state: LiveState) -> None:
    join(state, "alice")
    publish = RoomPublish("Lobby", "Stage", ONE)
    state.publish_in_room("alice", publish, account=acme(), when=0, at=0)
    enter(state, replace(client(1), room="Lobby"))
    state.unpublish_from_room("alice", "Lobby", "Stage", when=1)
    assert entered(join(state, "bob")) == []


def join(state: LiveState, who: str, room: str = "Lobby") -> list[f.Fact]:
    state.connect(session(who, acme(), who.title()), acme())
    return state.join_room(who, room, account=acme(), when=1, at=1)


def moderator(state: LiveState, room: str = "Lobby", *, scope: str = "") -> None:
    """Have a moderator in the room."""
    if state.session("mod") is None:
        mod = session("mod", acme(), "Mod", role=Role.MODERATOR)
        state.connect(replace(mod, scope=scope or mod.scope), acme())
    state.join_room("mod", room, account=acme(), when=0, at=0)


def act(state: LiveState, action: Action, room: str = "Lobby", **meta: object) -> list[f.Fact]:
    return state.moderate("mod", RoomAction(room, action, meta=meta), when=1, at=1)


def entered(facts: list[f.Fact]) -> list[str]:
    (shown,) = [fact for fact in facts if isinstance(fact, f.RoomEntered)]
    return [stream.stream_id for stream in shown.streams]
