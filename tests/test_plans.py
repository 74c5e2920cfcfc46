"""Plans hold exactly: each limit alone, all together, and when a hundred clients come at the same moment.

Every test here runs with the accounts in SQLite and in MariaDB, each with an account of its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import Client, ConnectRefused
from tests.support.login_site import LoginSite
from tests.support.mariadb import MariaDB
from tests.support.plans import Plans, publish, subscribe
from tests.support.server import until
from vws.db import migrate, open_database

CROWD = 100
ALL = {
    "width": 640,
    "height": 360,
    "bitrate": 500,
    "frameRate": 30,
    "audioBitrate": 64,
    "totalBitrate": 1000,
    "connections": 5,
}
FITS = {"width": 640, "height": 360, "bitrate": 500, "frameRate": 30, "audioBitrate": 64}


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def module_plans(
    request: pytest.FixtureRequest,
    start_server: MakeServer,
    session_login_site: LoginSite,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Plans]:
    if request.param == "mariadb":
        mariadb: MariaDB = request.getfixturevalue("mariadb")
        url = mariadb.new_database()
    else:
        url = f"sqlite:///{Path(tmp_path_factory.mktemp('plans')) / 'accounts.db'}"
    database = open_database(url)
    migrate(database)
    server = start_server(DATABASE_URL=url, AUTH_RATE_LIMIT="0")
    with finishing([server]):
        yield Plans(server, database, session_login_site.url("/hold"))


@pytest.fixture
def plans(module_plans: Plans) -> Iterator[Plans]:
    yield module_plans
    module_plans.server.idle()


@pytest.fixture
def enter(plans: Plans, clients: Clients) -> Callable[[str], Client]:
    """Return what connects a client with an account's token."""
    return lambda name: clients.token(f"{name}-token", server=plans.server)


Enter = Callable[[str], Client]


def refusal(clients: Clients, plans: Plans, name: str) -> str:
    with pytest.raises(ConnectRefused) as refused:
        clients.token(f"{name}-token", server=plans.server)
    return refused.value.message


# --- one stream ---


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, ""),
        ({"width": 641}, "Unfit: width."),
        ({"height": 361}, "Unfit: height."),
        ({"width": 641, "height": 361}, "Unfit: width, height."),
        ({"width": 360, "height": 640}, ""),
        ({"width": 360, "height": 641}, "Unfit: width, portrait."),
        ({"width": 361, "height": 640}, "Unfit: height, portrait."),
        ({"width": 361, "height": 641}, "Unfit: width, height, portrait."),
        ({"width": 500, "height": 500}, "Unfit: height."),
        ({"bitrate": 501}, "Unfit: bitrate."),
        ({"bitrate": 500.5}, "Unfit: bitrate."),
        ({"bitrate": "501"}, "Unfit: bitrate."),
        ({"bitrate": None, "videoBitrate": 501}, "Unfit: bitrate."),
        ({"bitrate": 1, "videoBitrate": 501}, "Unfit: bitrate."),
        ({"frameRate": 31}, "Unfit: frameRate."),
        ({"frameRate": 30.01}, "Unfit: frameRate."),
        ({"frameRate": None, "framerate": "31"}, "Unfit: frameRate."),
        ({"audioBitrate": 65}, "Unfit: audioBitrate."),
        ({"audioBitrate": "65"}, "Unfit: audioBitrate."),
        ({"bitrate": 501, "audioBitrate": 500}, "Unfit: bitrate, audioBitrate, totalBitrate."),
    ],
    ids=str,
)
def test_a_stream_fits_or_is_told_why_not(
    plans: Plans, enter: Enter, more: dict[str, Any], message: str
) -> None:
    name = plans.account(ALL)
    alice = enter(name)
    assert publish(alice, {**FITS, **more}) == message
    expected = Counter(message.removeprefix("Unfit: ").removesuffix(".").split(", ")) if message else {}
    assert plans.issues(name) == expected
    listed = plans.server.api("/channels")
    assert len(listed) == (0 if message else 1)


def test_plans_may_say_framerate_and_numbers_as_text(plans: Plans, enter: Enter) -> None:
    name = plans.account({"framerate": "25", "bitrate": "500", "totalBitrate": "600"})
    alice = enter(name)
    assert publish(alice, {"frameRate": 26, "bitrate": 501}) == "Unfit: bitrate, frameRate."
    assert publish(alice, {"framerate": "25", "videoBitrate": "500", "audioBitrate": "100"}) == ""
    assert plans.stats(name) == {
        "connections": 1,
        "bitrate": 500,
        "audioBitrate": 100,
        "players": 0,
        "broadcasters": 1,
        "issues": {"bitrate": 1, "frameRate": 1},
    }


@pytest.mark.parametrize("plan", [None, {}, []], ids=["no plan", "empty plan", "PHP's empty plan"])
def test_no_plan_is_no_limit(plans: Plans, enter: Enter, plan: Any) -> None:
    name = plans.account(plan)
    alice, bob = enter(name), enter(name)
    huge = {"width": 8000, "height": 9000, "bitrate": 10**8, "frameRate": 240, "audioBitrate": 10**6}
    assert publish(alice, huge) == ""
    assert subscribe(bob, "Bob") == ""
    assert plans.issues(name) == {}


def test_every_issue_at_once_in_order(plans: Plans, enter: Enter) -> None:
    name = plans.account({"connections": 2}, restrictPublish="username")
    alice, _bob = enter(name), enter(name)
    plans.change(name, {**ALL, "connections": 1})
    too_much = {"width": 2000, "height": 3000, "bitrate": 9000, "frameRate": 60, "audioBitrate": 500}
    issues = "nameRestricted width height portrait bitrate frameRate audioBitrate totalBitrate connections"
    assert publish(alice, too_much) == f"Unfit: {', '.join(issues.split())}."
    assert plans.issues(name) == dict.fromkeys(issues.split(), 1)
    assert publish(alice, too_much) != ""
    assert plans.issues(name) == dict.fromkeys(issues.split(), 2)


@pytest.mark.parametrize("params", [None, {}, {"bitrate": None, "width": ""}, {"codec": "VP8"}], ids=str)
def test_absent_params_count_nothing_and_skip_nothing(plans: Plans, enter: Enter, params: Any) -> None:
    name = plans.account({**ALL, "connections": 2}, restrictPublish="username")
    alice, bob = enter(name), enter(name)
    assert publish(bob, FITS, peer="Bob", channel="Bob") == ""
    plans.change(name, {"totalBitrate": 500, "connections": 1})
    assert publish(alice, params) == "Unfit: nameRestricted, totalBitrate, connections."
    plans.change(name, ALL)
    assert publish(alice, params, channel="Alice") == ""


# --- names ---


@pytest.mark.parametrize(
    ("restriction", "fits", "unfit"),
    [
        ("username", ["Alice"], ["Alice2", "Lobby", "alice", ""]),
        ("prefix", ["Alice", "Alice-2"], ["2-Alice", "Lobby", "Alic"]),
        ("suffix", ["Alice", "2-Alice"], ["Alice-2", "Lobby"]),
        ("contain", ["Alice", "1-Alice-2", "Alice-2"], ["Al-ice", "Lobby"]),
        ("no", ["Lobby", ""], []),
        ("", ["Lobby"], []),
        ("something", ["Lobby"], []),
        (["username"], ["Lobby"], []),
    ],
    ids=str,
)
def test_restrict_publish_compares_channel_and_peer(
    plans: Plans, enter: Enter, restriction: Any, fits: list[str], unfit: list[str]
) -> None:
    name = plans.account(restrictPublish=restriction)
    alice = enter(name)
    for channel in unfit:
        assert publish(alice, FITS, channel=channel) == "Unfit: nameRestricted."
    for channel in fits:
        assert publish(alice, FITS, channel=channel) == ""
    # Watching is not restricted.
    assert subscribe(enter(name), "Bob", "Anywhere") == ""
    assert plans.issues(name) == ({"nameRestricted": len(unfit)} if unfit else {})


# --- totals ---


def test_the_total_counts_broadcaster_and_players_alike(plans: Plans, enter: Enter) -> None:
    name = plans.account({"totalBitrate": 1000})
    alice, bob, charlie = enter(name), enter(name), enter(name)
    assert publish(alice, {"bitrate": 400, "audioBitrate": 50}) == ""
    assert subscribe(bob, "Bob") == ""
    assert subscribe(charlie, "Charlie") == "Unfit: totalBitrate."
    assert plans.stats(name) == {
        "connections": 3,
        "bitrate": 800,
        "audioBitrate": 100,
        "players": 1,
        "broadcasters": 1,
        "issues": {"totalBitrate": 1},
    }
    assert alice.message("peer")["peerID"] == "Bob"
    alice.nothing("message", lambda message: message["type"] == "peer")
    # What Bob frees is Charlie's.
    assert bob.call("unsubscribe", "Bob", "Lobby")["ok"]
    assert subscribe(charlie, "Charlie") == ""


def test_publishing_is_refused_with_the_players_that_wait(plans: Plans, enter: Enter) -> None:
    """Players count for nothing before there is a stream, and all at once with it."""
    name = plans.account({"totalBitrate": 1000})
    alice, bob, charlie = enter(name), enter(name), enter(name)
    assert subscribe(bob, "Bob") == ""
    assert subscribe(charlie, "Charlie") == ""
    assert publish(alice, {"bitrate": 334}) == "Unfit: totalBitrate."
    (lobby,) = plans.server.api("/connections")
    assert set(lobby[1]) == {"Bob", "Charlie"}  # Alice left no trace
    assert publish(alice, {"bitrate": 333}) == ""
    assert plans.stats(name)["bitrate"] == 999


def test_a_republish_replaces_its_own_share(plans: Plans, enter: Enter) -> None:
    name = plans.account({"totalBitrate": 1000})
    alice, bob, charlie = enter(name), enter(name), enter(name)
    assert publish(alice, {"bitrate": 900}) == ""
    assert publish(alice, {"bitrate": 1000}) == ""
    assert publish(charlie, {"bitrate": 1}, peer="Charlie", channel="Other") == "Unfit: totalBitrate."
    assert publish(alice, {"bitrate": 400}) == ""
    assert subscribe(bob, "Bob") == ""
    assert publish(alice, {"bitrate": 500}) == ""
    assert publish(alice, {"bitrate": 501}) == "Unfit: totalBitrate."
    assert plans.stats(name)["bitrate"] == 1000  # refused: the stream goes on as it was
    ((channel, params),) = plans.server.api("/channels")
    assert (channel, params["bitrate"]) == ("Lobby", 500)
    assert publish(alice, {"bitrate": 300, "audioBitrate": 100}) == ""
    assert publish(charlie, {"bitrate": 200}, peer="Charlie", channel="Other") == ""
    assert publish(charlie, {"bitrate": 201}, peer="Charlie", channel="Other") == "Unfit: totalBitrate."


def test_everything_ends_at_zero(plans: Plans, enter: Enter) -> None:
    name = plans.account({"totalBitrate": 1000})
    alice, bob, charlie = enter(name), enter(name), enter(name)
    assert publish(alice, {"bitrate": 100.5, "audioBitrate": 10}) == ""
    assert subscribe(bob, "Bob") == ""
    assert subscribe(charlie, "Charlie") == ""
    charlie.drop()
    until(lambda: plans.stats(name)["players"] == 1)
    assert alice.call("unpublish", "Alice", "Lobby")["ok"]
    assert plans.stats(name) == {
        "connections": 2,
        "bitrate": 0,
        "audioBitrate": 0,
        "players": 1,
        "broadcasters": 0,
    }
    bob.close()
    alice.close()
    until(lambda: plans.stats(name) == {})


def test_accounts_do_not_count_for_each_other(plans: Plans, enter: Enter) -> None:
    one, other = plans.account({"totalBitrate": 500}), plans.account({"totalBitrate": 500})
    assert publish(enter(one), {"bitrate": 500}) == ""
    assert publish(enter(other), {"bitrate": 500}) == ""


def test_a_bitrate_over_the_limit_refuses_new_connections(
    plans: Plans, enter: Enter, clients: Clients
) -> None:
    name = plans.account({"totalBitrate": 500})
    alice = enter(name)
    assert publish(alice, {"bitrate": 500}) == ""
    enter(name).close()
    plans.change(name, {"totalBitrate": 499})
    assert refusal(clients, plans, name) == "ERROR: Account bitrate limit exceeded: 499 kbps"
    assert plans.issues(name) == {"totalBitrate": 1}
    assert alice.call("unpublish", "Alice", "Lobby")["ok"]
    assert enter(name).is_open()


# --- connections ---


def test_connections_are_open_sockets(plans: Plans, enter: Enter, clients: Clients) -> None:
    name = plans.account({"connections": 2})
    alice, bob = enter(name), enter(name)
    alice.connect({"token": f"{name}-token"}, "/room")  # the same socket
    assert plans.stats(name)["connections"] == 2
    full = "ERROR: Account connection limit exceeded:2/2"
    assert refusal(clients, plans, name) == full
    assert refusal(clients, plans, name) == full
    assert plans.issues(name) == {"connections": 2}
    bob.drop()
    until(lambda: plans.stats(name)["connections"] == 1)
    assert enter(name).is_open()
    plans.change(name, {"connections": 1})
    assert refusal(clients, plans, name) == "ERROR: Account connection limit exceeded:2/1"


def test_a_full_account_can_use_what_it_has(plans: Plans, enter: Enter) -> None:
    name = plans.account({"connections": 2})
    alice, bob = enter(name), enter(name)
    assert publish(alice, FITS) == ""
    assert subscribe(bob, "Bob") == ""


# --- all at the same moment ---


def together(actions: list[Callable[[], str]]) -> Counter[str]:
    """Run every action in a thread of its own, all released at once; count what they return."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], str]) -> str:
        barrier.wait(30)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return Counter(pool.map(run, actions))


def attempt(client: Client, auth: dict[str, str]) -> str:
    try:
        client.connect(auth, timeout=30)
    except ConnectRefused as refused:
        return refused.message
    return ""


def test_a_hundred_connections_at_once(plans: Plans, clients: Clients) -> None:
    name = plans.account({"connections": 30})
    crowd = [clients(plans.server) for _ in range(CROWD)]
    auth = {"token": f"{name}-token"}
    answers = together([lambda client=client: attempt(client, auth) for client in crowd])  # type: ignore[misc]
    assert answers == {"": 30, "ERROR: Account connection limit exceeded:30/30": 70}
    assert plans.stats(name)["connections"] == 30
    assert plans.issues(name) == {"connections": 70}


def test_a_hundred_logins_answered_at_once(plans: Plans, clients: Clients, login_site: LoginSite) -> None:
    name = plans.account({"connections": 30})
    crowd = [clients(plans.server) for _ in range(CROWD)]
    auth = {"account": name, "user": "Alice", "pin": "1"}
    with ThreadPoolExecutor(CROWD) as pool:
        answers = [pool.submit(attempt, client, auth) for client in crowd]
        login_site.wait_for_waiting(CROWD)
        login_site.release()
        counted = Counter(answer.result() for answer in answers)
    assert counted == {"": 30, "ERROR: Account connection limit exceeded:30/30": 70}


def test_a_hundred_streams_at_once(plans: Plans, enter: Enter) -> None:
    name = plans.account({"totalBitrate": 3000})
    crowd = [enter(name) for _ in range(CROWD)]

    def go(number: int) -> str:
        return publish(crowd[number], {"bitrate": 90, "audioBitrate": 10}, channel=f"Channel {number}")

    answers = together([lambda number=number: go(number) for number in range(CROWD)])  # type: ignore[misc]
    assert answers == {"": 30, "Unfit: totalBitrate.": 70}
    stats = plans.stats(name)
    assert (stats["bitrate"], stats["audioBitrate"], stats["broadcasters"]) == (2700, 300, 30)
    assert stats["issues"] == {"totalBitrate": 70}
    assert len(plans.server.api("/connections")) == 30


def test_a_hundred_players_and_broadcasters_at_once(plans: Plans, enter: Enter) -> None:
    name = plans.account({"totalBitrate": 3100})
    alice = enter(name)
    assert publish(alice, {"bitrate": 100}) == ""
    crowd = [enter(name) for _ in range(CROWD)]

    def go(number: int) -> str:
        if number % 2:
            return subscribe(crowd[number], f"Player {number}")
        return publish(crowd[number], {"bitrate": 100}, peer=f"Caster {number}", channel=f"Channel {number}")

    answers = together([lambda number=number: go(number) for number in range(CROWD)])  # type: ignore[misc]
    assert answers == {"": 30, "Unfit: totalBitrate.": 70}
    stats = plans.stats(name)
    assert stats["bitrate"] == 3100
    assert stats["players"] + stats["broadcasters"] == 31
