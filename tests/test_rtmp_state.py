"""RTMP streams in the live state, for every implementation: seats, quotas, silence, rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.states import IMPLEMENTATIONS, account, session, snapshot
from vws.core import facts as f
from vws.core.accounts import UNLIMITED, Account, Plan
from vws.core.commands import Publish, RoomPublish, StreamParams
from vws.core.ledger import Usage
from vws.core.limits import Unfit
from vws.core.rtmp import RtmpClient, RtmpKind
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
    return state.enter_rtmp(who, account=acme(plan), when=when)


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
    state.publish("a", Publish("Alice", "Lobby", params), account=acme(PLAN), when=0)
    enter(state, client(1), plan=PLAN)
    issues = refused(state, lambda: enter(state, client(2, "Balcony"), plan=PLAN))
    assert issues.message == "Unfit: totalBitrate, connections."
    assert refused(state, lambda: enter(state, player(2), plan=PLAN)).message == issues.message
    with pytest.raises(Unfit, match="totalBitrate"):
        state.publish("b", Publish("Bob", "Other", params), account=acme(PLAN), when=0)
    with pytest.raises(Refused, match="connection limit exceeded:3/3"):
        state.connect(session("c", acme(PLAN)), acme(PLAN))
    state.leave_rtmp(client(1))
    state.publish("b", Publish("Bob", "Other", params), account=acme(PLAN), when=0)


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
    assert not state.dismiss_rtmp("Acme", "Balcony", "Enough")
    assert not state.dismiss_rtmp("Shop", "Stage", "Enough")
    assert state.dismiss_rtmp("Acme", "Stage", "Enough")
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
    assert entered(state.join_room("alice", "Lobby", account=acme(), when=2)) == ["Stage"]
    assert entered(join(state, "bob", room="Kitchen")) == []
    ((_, facts),) = state.expire_rtmp(when=10 * UPDATE)
    assert facts == [f.StreamRemoved("Lobby", ("alice",), "Stage")]


def test_a_webrtc_stream_and_an_rtmp_stream_do_not_take_each_others_place(state: LiveState) -> None:
    join(state, "alice")
    publish = RoomPublish("Lobby", "Stage", ONE)
    enter(state, replace(client(1), room="Lobby"))
    taken = refused(state, lambda: state.publish_in_room("alice", publish, account=acme(), when=0))
    assert taken.code == "held"
    state.leave_rtmp(client(1))
    state.publish_in_room("alice", publish, account=acme(), when=0)
    assert enter(state, replace(client(2), room="Lobby")) == []
    assert state.leave_rtmp(client(2)) == []
    assert state.rooms()[0].streams == ("Stage",)


def join(state: LiveState, who: str, room: str = "Lobby") -> list[f.Fact]:
    state.connect(session(who, acme(), who.title()), acme())
    return state.join_room(who, room, account=acme(), when=1)


def entered(facts: list[f.Fact]) -> list[str]:
    (shown,) = [fact for fact in facts if isinstance(fact, f.RoomEntered)]
    return [stream.stream_id for stream in shown.streams]
