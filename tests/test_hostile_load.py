"""What one client can make the server do, and hold: the others must not notice, and it ends by itself."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from select import select
from typing import Any

import pytest
import requests
import socketio

from tests.conftest import TOKEN, Clients, MakeServer
from tests.support.client import ConnectRefused
from tests.support.pair import Pair
from tests.support.raw import TEXT, Raw, frame, upgrade
from tests.support.server import Server, noise, row, until
from vws.core.accounts import Account
from vws.core.channels import Held
from vws.core.commands import Action, Publish, RoomAction, RoomMessage, StreamParams
from vws.core.session import Role, Session
from vws.errors import Refused
from vws.state.base import StateLimits
from vws.state.memory import MemoryState
from vws.state.room_book import MAX_EMPTY_ROOMS

POLLING = "/socket.io/?EIO=4&transport=polling"
WHEN = 1_000_000


@pytest.fixture
def pair(clients: Clients) -> Iterator[Pair]:
    pair = Pair(clients)
    yield pair
    pair.undisturbed()


def polling_session(server: Server) -> str:
    answer = requests.get(server.url + POLLING, timeout=10).text
    return str(answer.partition('"sid":"')[2].partition('"')[0])


def test_requests_that_never_end_starve_nobody(server: Server, pair: Pair) -> None:
    end = time.monotonic() + 4
    blast = threading.Thread(target=pipeline, args=(server, end), daemon=True)
    blast.start()
    trips = 0
    while time.monotonic() < end:
        pair.relay()
        trips += 1
    blast.join(20)
    assert trips >= 5


def pipeline(server: Server, end: float) -> None:
    """Send requests without waiting for answers, and read those so that they can go on."""
    with Raw(server, timeout=1) as raw:
        reader = threading.Thread(target=drain, args=(raw, end), daemon=True)
        reader.start()
        while time.monotonic() < end:
            raw.try_send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        reader.join(10)


def drain(raw: Raw, end: float) -> None:
    while time.monotonic() < end:
        try:
            if not raw.socket.recv(65536):
                return
        except OSError:
            continue


def test_requests_with_many_packets_starve_nobody(server: Server, pair: Pair) -> None:
    end = time.monotonic() + 2
    posts = threading.Thread(target=post_packets, args=(server, end), daemon=True)
    posts.start()
    trips = 0
    while time.monotonic() < end:
        pair.relay()
        trips += 1
    posts.join(30)
    assert trips >= 5


def post_packets(server: Server, end: float) -> None:
    address = f"{server.url}{POLLING}&sid={polling_session(server)}"
    requests.post(address, f'40{{"token":"{TOKEN}"}}', timeout=10)
    body = "\x1e".join(['42["subscribe","Mallory","Packets"]'] * 1500)
    while time.monotonic() < end:
        requests.post(address, body, timeout=30)
    requests.post(address, "1", timeout=10)


def test_a_session_is_upgraded_by_one_connection_only_and_not_for_ever(server: Server) -> None:
    before = server.open_files()
    sid = polling_session(server)
    with ExitStack() as stack:
        sockets = [stack.enter_context(Raw(server)) for _ in range(20)]
        for raw in sockets:
            raw.send(upgrade_request(sid))
        answers = sorted(raw.status() for raw in sockets)
        assert answers == [101] + [400] * 19
        until(lambda: server.open_files() <= before + 21, what="nothing but these sockets to be open")
    until(lambda: server.open_files() <= before + 1, what="all of it to be closed")


def upgrade_request(sid: str) -> bytes:
    return upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}")


def test_an_upgrade_without_a_probe_is_given_up(server: Server) -> None:
    sid = polling_session(server)
    with Raw(server) as raw:
        raw.send(upgrade_request(sid))
        assert raw.status() == 101
        raw.all()  # returns when the server closes the connection


def test_upgrades_that_fail_hold_nothing(server: Server) -> None:
    before = server.open_files()
    sid = polling_session(server)
    with ExitStack() as stack:
        for _ in range(30):
            raw = stack.enter_context(Raw(server))
            raw.send(upgrade_request(sid) + frame(TEXT, "rubbish"))
            assert raw.status() in (101, 400)
        until(lambda: server.open_files() <= before + 2, timeout=1, what="the sockets to be closed")


def test_a_session_may_be_upgraded_after_a_failed_attempt(server: Server) -> None:
    sid = polling_session(server)
    with Raw(server) as failed:
        failed.send(upgrade_request(sid) + frame(TEXT, "rubbish"))
        assert failed.status() == 101
        assert failed.close_code() == 1002
    with Raw(server) as raw:
        raw.send(upgrade_request(sid) + frame(TEXT, "2probe"))
        assert raw.status() == 101
        assert raw.next_frame() == (TEXT, b"3probe")


def test_a_session_has_two_polls_at_most(server: Server) -> None:
    sid = polling_session(server)
    with ExitStack() as stack:
        polls = [stack.enter_context(Raw(server)) for _ in range(20)]
        for raw in polls:
            raw.send(f"GET {POLLING}&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sockets = [raw.socket for raw in polls]
        until(lambda: len(select(sockets, [], [], 0)[0]) == 18, what="all polls but two to be answered")
        for raw in polls:  # which of them are still waiting is for the network to say
            if select([raw.socket], [], [], 0)[0]:
                assert raw.status() == 200
                assert raw.until(b"6").endswith(b"6")


def test_a_second_body_beside_a_slow_one_ends_the_session(server: Server) -> None:
    sid = polling_session(server)
    head = f"POST {POLLING}&sid={sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with Raw(server) as slow:
        slow.send(head.encode() + b"4")
        address = f"{server.url}{POLLING}&sid={sid}"
        until(lambda: requests.post(address, "6", timeout=10).status_code == 400, what="a refusal")
        assert requests.get(address, timeout=10).status_code == 400


def test_a_body_that_nobody_wants_is_not_waited_for_long(server: Server) -> None:
    with Raw(server) as raw:
        raw.send(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nx")
        assert raw.status() == 405
        raw.all()  # returns when the server closes the connection


def test_descriptors_that_are_used_up_cost_newcomers_a_while_and_the_log_a_line(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server()
    pair = Pair(clients, server)
    limit = server.open_files() + 10
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(Raw(server))
        server.wait_log(" error .*cannot accept connections: Too many open files", count=2)
        pair.undisturbed()
    assert server.get("/health").ok
    assert noise(server.log()) == []


def test_what_was_begun_is_forgotten_with_its_connection(make_server: MakeServer) -> None:
    server = make_server()
    before = server.memory()
    for _ in range(100):
        with Raw.websocket(server) as raw:
            raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}'))
            raw.until(b'40{"sid"')
            raw.send(frame(TEXT, b"x" * 900_000, length=999_999))
    until(lambda: server.memory() < before + 30_000, timeout=3, what="most of 90 MB to be given back")


def test_a_connection_that_goes_on_trying_to_get_in_is_closed(server: Server) -> None:
    with Raw.websocket(server) as raw:
        raw.try_send(frame(TEXT, '40{"token":"wrong"}') * 200)
        answers = raw.all()
    assert 60 <= answers.count(b"ERROR: Authentication error") <= 70


def test_who_does_not_read_costs_its_peers_an_answer_and_no_other(clients: Clients) -> None:
    alice, bob, stuck = clients.token(), clients.token(), clients.token(receive_buffer=4096)
    alice.call("publish", "Alice", "Busy", {})
    for name, client in (("Bob", bob), ("Stuck", stuck)):
        client.call("subscribe", name, "Busy")
    stuck.freeze()
    flood = {"type": "offer", "target": "Stuck", "peerConfig": {"iceServers": [1]}, "content": "x" * 200_000}
    codes: set[str] = set()

    def refused() -> bool:
        answer = alice.call("messagePeer", flood)
        codes.add(answer.get("error", {}).get("code", "ok"))
        return not answer["ok"]

    until(refused, timeout=20, what="the sender to be refused")
    assert codes == {"ok", "busy"}
    assert alice.call("messagePeer", {"type": "candidate", "target": "Bob"})["ok"]
    assert bob.message("candidate")["from"] == "Alice"
    assert alice.message("peerLeft")["peerID"] == "Stuck"


CROWD = 40
LONG = "\U0001f600" * 250  # 3 KB in the ASCII of a `peers`


def crowded(clients: Clients, server: Server, channel: str) -> None:
    """Put players into a channel whose names are as long as names may be."""
    for number in range(CROWD):
        assert clients.token(server=server).call("subscribe", f"{LONG}{number}", channel)["ok"]


def test_who_asks_for_much_again_and_again_is_refused(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(EVENT_RATE_LIMIT="10")
    crowded(clients, server, "Lobby")
    alice = clients.token(server=server)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    assert len(alice.message("peers")["peers"]) == CROWD + 1
    for event in ("publish", "unpublish"):
        assert alice.call(event, "Alice", "Lobby")["error"]["code"] == "too-many-events"
    until(lambda: alice.call("publish", "Alice", "Lobby", {})["ok"], timeout=20, what="it to be paid off")


def test_a_room_that_shows_much_is_not_shown_again_and_again(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(EVENT_RATE_LIMIT="20")
    alice, bob = clients.verified("Alice", server=server), clients.verified("Bob", server=server)
    alice.call("roomJoin", {"room": "Lobby"})

    def shown(stream: str) -> bool:
        params = {"type": "webrtc", "text": "x" * 16_000}
        body = {"room": "Lobby", "stream": stream, "parameters": params}
        return bool(alice.call("roomPublish", body)["ok"])

    for stream in "1234":
        until(partial(shown, stream))
    answers = [bob.call("roomJoin", {"room": "Lobby"}) for _ in range(10)]
    refused = [answer["error"]["code"] for answer in answers if not answer["ok"]]
    assert answers[0]["ok"]
    assert len(refused) > 5
    assert set(refused) == {"too-many-events"}


def test_a_crowd_with_long_names_does_not_keep_a_broadcaster_away(
    make_server: MakeServer, clients: Clients
) -> None:
    """What it is sent then is more than may wait for it, and more comes behind."""
    server = make_server(MAX_SEND_BUFFER="100000")
    crowded(clients, server, "Lobby")
    alice, bob = clients.token(server=server), clients.token(server=server)
    for name, client in (("Alice", alice), ("Bob", bob)):
        assert client.call("subscribe", name, "Side")["ok"]
    alice.freeze()
    signal = {"type": "signal", "target": "Alice", "content": "x" * 30_000}
    while bob.call("messagePeer", signal)["ok"]:  # until the system's buffers are full, and no later: the
        pass  # longer they have been, the longer TCP takes to try again
    number = alice.send("publish", "Alice", "Lobby", {})
    until(lambda: "Lobby" in dict(server.api("/channels")), what="the publishing")
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    alice.thaw()
    assert alice.acknowledged(number) == {"ok": True}
    assert len(alice.message("peers")["peers"]) == CROWD + 1
    alice.message("peer", peerID="Bob")


def test_a_crowd_with_long_names_does_not_keep_a_broadcaster_away_that_polls(
    make_server: MakeServer, clients: Clients, python_client: Callable[..., socketio.Client]
) -> None:
    server = make_server(MAX_SEND_BUFFER="2000")
    crowded(clients, server, "Lobby")
    alice = python_client(server, transports=["polling"], auth={"token": TOKEN})
    told: list[dict[str, Any]] = []
    alice.on("message", told.append)
    for _ in range(2):
        assert alice.call("publish", ("Alice", "Lobby", {}), timeout=10) == {"ok": True}
    until(lambda: [len(message["peers"]) for message in told] == [CROWD + 1] * 2)


@pytest.mark.parametrize("name", ["_server_", "_channel_"])
def test_nobody_is_called_like_the_server(clients: Clients, name: str) -> None:
    client = clients.token()
    for event in ("publish", "subscribe"):
        assert client.call(event, name, "Lobby", *([{}] if event == "publish" else []))["error"]["code"] == (
            "reserved-name"
        )
    with pytest.raises(ConnectRefused, match="ERROR: Authentication error"):
        clients.verified(name)


def test_a_type_that_only_looks_like_the_servers_is_refused(clients: Clients) -> None:
    client = clients.token()
    client.call("subscribe", "Alice", "Lobby")
    assert client.call("message", {"type": ["peers"]})["error"]["code"] == "bad-input"


def test_a_database_that_is_down_holds_nothing_against_the_clients_of_it(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(
        DATABASE_URL="mysql://user:password@127.0.0.1:1/none", AUTH_RATE_LIMIT="3", API_KEY="key"
    )
    for _ in range(5):
        with pytest.raises(ConnectRefused, match="ERROR: Authentication error"):
            clients.token("account-token", server=server)
        assert server.get("/status", token="account-token").status_code == 401
    clients.token(server=server).close()


def test_tokens_are_guessed_as_often_at_one_door_as_at_both(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(AUTH_RATE_LIMIT="4", accounts=[row("Acme")])
    for number in range(2):
        with pytest.raises(ConnectRefused, match="ERROR: Authentication error"):
            clients.token(f"guess-{number}", server=server)
        assert server.get("/status", token=f"other-{number}").status_code == 401
    with pytest.raises(ConnectRefused, match="Too many requests"):
        clients.token("guess", server=server)
    assert server.get("/status", token="guess").status_code == 429


def test_talking_in_many_rooms_does_not_lift_a_ban() -> None:
    state = MemoryState(StateLimits())
    account = Account(id=1, name="Acme", label="Acme", scope="Acme", token="t")
    for name, role in (("Mod", Role.MODERATOR), ("Eve", Role.USER)):
        state.connect(Session(name, account="Acme", scope="Acme", user=name, role=role), account)
    state.join_room("Mod", "Hall", account=account, when=WHEN, at=WHEN)
    state.moderate("Mod", RoomAction("Hall", Action.BAN, user="Eve", minutes=60), when=WHEN, at=WHEN)
    state.leave_room("Mod", "Hall", when=WHEN)
    for number in range(MAX_EMPTY_ROOMS + 10):
        room = f"Room {number}"
        state.join_room("Eve", room, account=account, when=WHEN, at=WHEN)
        state.post_message("Eve", RoomMessage(room, {"text": "hi"}, 13), at=WHEN)
        state.leave_room("Eve", room, when=WHEN)
    with pytest.raises(Refused, match="You are banned from this room"):
        state.join_room("Eve", "Hall", account=account, when=WHEN, at=WHEN)


def test_shared_channels_do_not_give_one_accounts_names_to_anothers_users() -> None:
    state = MemoryState(StateLimits())
    accounts = [
        Account(id=n, name=name, label=name, scope=name, token=name) for n, name in ((1, "A"), (2, "B"))
    ]
    for account in accounts:
        state.connect(Session(account.name, account=account.label, scope="", user="Alice"), account)
    publish = Publish("Alice", "Lobby", StreamParams())
    state.publish("A", publish, account=accounts[0], when=WHEN, at=WHEN)
    with pytest.raises(Held):
        state.publish("B", publish, account=accounts[1], when=WHEN, at=WHEN)
