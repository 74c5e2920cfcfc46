"""The connection under the events: transports, TLS, handshake, deadlines and limits."""

from __future__ import annotations

import itertools
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import socketio
import websocket
from engineio.payload import Payload

from tests.conftest import ACCOUNT, TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.pair import Pair
from tests.support.raw import TEXT, WEBSOCKET, Raw, frame, upgrade
from tests.support.server import Runner, Server, until

OK = {"ok": True}
TRANSPORTS = [["polling"], ["polling", "websocket"], ["websocket"]]
POLLING = "/socket.io/?EIO=4&transport=polling"
Connect = Callable[..., socketio.Client]


class Peer:
    """python-socketio's own client, with the `message` events it got."""

    def __init__(self, client: socketio.Client) -> None:
        self.messages: list[dict[str, Any]] = []
        self.closed = threading.Event()
        self._client = client
        client.on("message", self.messages.append)
        client.on("disconnect", lambda *_: self.closed.set())
        self.transport = client.transport

    def call(self, event: str, *args: Any) -> Any:
        return self._client.call(event, args, timeout=10)

    def emit(self, event: str, *args: Any) -> None:
        self._client.emit(event, args)

    def close(self) -> None:
        self._client.disconnect()

    def message(self, kind: str) -> dict[str, Any]:
        """Wait for a message of this type; return the first."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found[:] = [message for message in self.messages if message["type"] == kind]
            return bool(found)

        until(arrived, what=lambda: f"{kind} in {self.messages}")
        return found[0]


def joined(connect: Connect, server: Server, transports: list[str]) -> Peer:
    return Peer(connect(server, transports=transports, auth={"token": TOKEN}))


def open_count(server: Server) -> int:
    return sum(used["connections"] for used in server.api("/stats").values())


# --- the official protocol ---


def test_the_handshake_says_what_clients_need(server: Server, clients: Clients) -> None:
    client = clients.token()
    shown = client.handshake
    assert shown.keys() == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert (shown["pingInterval"], shown["upgrades"], shown["maxPayload"]) == (5000, [], 1_000_000)
    assert shown["pingInterval"] + shown["pingTimeout"] <= 15_000
    assert shown["sid"] != client.sid  # the transport's secret is not the id that others see
    polled = server.get(POLLING)
    assert polled.text.startswith('0{"sid":')
    assert '"upgrades":["websocket"]' in polled.text


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
def test_signaling_works_over_every_transport(
    server: Server, python_client: Connect, clients: Clients, transports: list[str]
) -> None:
    alice, bob = joined(python_client, server, transports), clients.token()
    assert alice.call("publish", "Alice", "Lobby", {"bitrate": 500}) == OK
    assert alice.message("peers")["target"] == "Alice"
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert alice.message("peer")["peerID"] == "Bob"
    offer = {"type": "offer", "target": "Bob", "content": {"sdp": "v=0\r\n" + "ä🎥" * 5000}}
    assert alice.call("messagePeer", offer) == OK
    assert bob.message("offer")["content"] == offer["content"]
    assert bob.call("messagePeer", {"type": "answer", "target": "Alice", "sdp": "x" * 50_000}) == OK
    assert len(alice.message("answer")["sdp"]) == 50_000
    assert alice.transport() == transports[-1]
    alice.close()
    assert bob.message("unpublished")["channel"] == "Lobby"  # at once, whatever the transport


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
def test_a_refused_client_hears_why_over_every_transport(server: Server, transports: list[str]) -> None:
    client = socketio.Client(reconnection=False)
    heard: list[Any] = []
    client.on("connect_error", heard.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, transports=transports, auth={"token": "wrong"}, wait_timeout=10)
    until(lambda: heard, what="connect_error")
    assert heard == [{"message": "ERROR: Authentication error"}]
    client.disconnect()


def test_a_burst_over_polling_arrives_whole_and_in_order(
    server: Server, python_client: Connect, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payload, "max_decode_packets", 1000)  # this client takes 16 at a time unless told
    alice, bob = joined(python_client, server, ["polling"]), clients.token()
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    for number in range(300):
        alice.emit("messagePeer", {"type": "candidate", "target": "Bob", "n": number})
        bob.emit("messagePeer", {"type": "candidate", "target": "Alice", "n": number})
    for number in range(300):
        assert bob.message("candidate")["n"] == number
    until(lambda: sum(message["type"] == "candidate" for message in alice.messages) == 300, timeout=15)
    # each in a thread of its own: this client does not keep the order it receives
    numbers = [each["n"] for each in alice.messages if each["type"] == "candidate"]
    assert sorted(numbers) == list(range(300))


def test_hundreds_of_events_in_one_post_are_taken_in_order(server: Server, clients: Clients) -> None:
    bob = clients.token()
    bob.call("subscribe", "Bob", "Lobby")
    with requests.Session() as browser:
        browser.trust_env = False
        address = server.url + POLLING
        handshake = browser.get(address, timeout=5)
        address += "&sid=" + handshake.text.split('"sid":"')[1].split('"')[0]
        events = ["40" + f'{{"token":"{TOKEN}"}}', '42["publish","Alice","Lobby",{}]']
        events += [
            f'42["messagePeer",{{"type":"candidate","target":"Bob","n":{number}}}]' for number in range(300)
        ]
        assert browser.post(address, data="\x1e".join(events), timeout=5).text == "OK"
        assert [bob.message("candidate")["n"] for _ in range(300)] == list(range(300))
        browser.post(address, data="1", timeout=5)
    assert bob.message("unpublished")


def test_events_sent_while_upgrading_are_not_lost(
    server: Server, python_client: Connect, clients: Clients
) -> None:
    bob = clients.token()
    bob.call("subscribe", "Bob", "Lobby")
    client = socketio.Client(reconnection=False)
    numbers = itertools.count()
    client.on("connect", lambda: client.emit("publish", ("Alice", "Lobby", {})))
    client.connect(server.url, transports=["polling", "websocket"], auth={"token": TOKEN})
    bob_sees: list[int] = []
    for _ in range(50):
        client.emit("messagePeer", {"type": "candidate", "target": "Bob", "n": next(numbers)})
    while len(bob_sees) < 50:
        bob_sees.append(bob.message("candidate")["n"])
    client.disconnect()
    assert bob_sees == list(range(50))


def test_who_upgrades_while_asked_for_a_sign_of_life_is_alive(server: Server, clients: Clients) -> None:
    bob = clients.token()
    with requests.Session() as browser, Raw(server) as raw:
        browser.trust_env = False
        address = server.url + POLLING
        sid = browser.get(address, timeout=5).text.split('"sid":"')[1].split('"')[0]
        address += f"&sid={sid}"
        events = f'40{{"token":"{TOKEN}"}}\x1e42["subscribe","Alice","Lobby"]'
        assert browser.post(address, data=events, timeout=5).text == "OK"
        assert browser.get(address, timeout=5).text.startswith("40")
        claim = bob.send("subscribe", "Alice", "Lobby")
        assert browser.get(address, timeout=5).text == "2"
        raw.send(upgrade(f"{WEBSOCKET}&sid={sid}") + frame(TEXT, "2probe") + frame(TEXT, "5"))
        assert bob.acknowledged(claim)["error"]["code"] == "held"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("EIO=3&transport=polling", 400),
        ("EIO=4&transport=smoke", 400),
        ("EIO=4&transport=polling&sid=unknown", 400),
        ("EIO=4&transport=websocket", 400),
    ],
)
def test_requests_that_make_no_sense_are_refused(server: Server, query: str, status: int) -> None:
    assert server.get(f"/socket.io/?{query}").status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 400),  # a page, and no WebSocket
        ("/nowhere", 404),
        ("/socket.io/?EIO=4&transport=websocket&sid=unknown", 400),
        ("/socket.io/?EIO=3&transport=websocket", 400),
    ],
)
def test_a_websocket_opens_only_where_there_is_one(server: Server, path: str, status: int) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        Client(server.url, path=path)
    assert refusal.value.status_code == status


def test_a_client_that_vanishes_while_it_logs_in_leaves_nothing(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    server = make_server(STATIC_LOGIN=login_site.url("/hold"))
    vanished, stays = clients(server), clients(server)
    for each in (vanished, stays):
        each.send_raw(f'40{{"account":"{ACCOUNT}","user":"Alice","pin":"1"}}')
    login_site.wait_for_waiting(2)
    vanished.drop()
    login_site.release()
    until(lambda: stays.is_open("/"))
    until(lambda: open_count(server) == 1)
    stays.close()
    until(lambda: open_count(server) == 0)


def test_events_behind_a_login_wait_in_their_order_and_others_do_not(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    server = make_server(STATIC_LOGIN=login_site.url("/hold"))
    pair, charlie = Pair(clients, server), clients(server)
    charlie.send_raw(f'40{{"account":"{ACCOUNT}","user":"Charlie","pin":"1"}}')
    charlie.emit("subscribe", "Charlie", pair.channel)
    for number in range(50):
        charlie.emit("messagePeer", {"type": "candidate", "target": "Bob", "n": number})
    login_site.wait_for_waiting(1)
    for _ in range(20):
        pair.relay()
    assert server.get("/health").ok
    assert clients.token(server=server).call("subscribe", "Dora", "Elsewhere") == OK
    pair.undisturbed()
    login_site.release()
    assert pair.alice.message("peer")["peerID"] == "Charlie"
    assert [pair.bob.message("candidate")["n"] for _ in range(50)] == list(range(50))


def test_events_behind_a_publish_wait_in_their_order_and_others_do_not(
    server: Server, clients: Clients
) -> None:
    """A channel that somebody holds can be had once its holder has left a ping unanswered."""
    pair, others, holder = Pair(clients), Pair(clients), clients.token()
    assert holder.call("publish", "Holder", "Held", {}) == OK
    holder.freeze()
    waiting = pair.alice.send("publish", "Alice", "Held", {})
    for number in range(50):
        pair.alice.emit(
            "messagePeer", {"type": "candidate", "target": "Bob", "channel": pair.channel, "n": number}
        )
    others.relay()
    pair.bob.nothing("message")
    assert pair.alice.acknowledged(waiting) == OK
    assert [pair.bob.message("candidate")["n"] for _ in range(50)] == list(range(50))
    others.undisturbed()
    holder.drop()


def test_gunicorn_serves_and_limits_in_the_same_way(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(runner=Runner.GUNICORN, MAX_CONNECTIONS="2")
    alice, bob = clients.token(server=server), clients.token(server=server)
    assert_full(server)
    alice.call("publish", "Alice", "Lobby", {})
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    assert alice.message("peer")["peerID"] == "Bob"
    server.stop()
    for each in (alice, bob):
        each.wait_closed()


def test_gunicorn_limits_each_address(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(runner=Runner.GUNICORN, MAX_CONNECTIONS_PER_ADDRESS="2")
    first, _ = (from_address(clients, server, 1) for _ in range(2))
    assert_full(server, source="127.0.1.1")
    from_address(clients, server, 2)
    first.close()
    until(lambda: open_count(server) == 2)
    from_address(clients, server, 1)


def test_small_packets_are_not_held_back(server: Server, clients: Clients) -> None:
    alice = clients.token()
    times = []
    for _ in range(21):
        started = time.monotonic()
        alice.call("publish")  # answered by two packets, error event and acknowledgement
        times.append(time.monotonic() - started)
    assert statistics.median(times) < 0.03  # held back, each takes 40 ms


# --- TLS ---


@pytest.fixture(scope="module")
def secure(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with a certificate of the tests' own authority."""
    server = request.getfixturevalue("start_server")(tls=True)
    with finishing([server]):
        yield server


def test_wss_and_polling_work_with_the_servers_certificate(
    secure: Server, python_client: Connect, clients: Clients
) -> None:
    assert secure.url.startswith("https://")
    alice, bob = clients.token(server=secure), joined(python_client, secure, ["polling"])
    assert alice.call("publish", "Alice", "Lobby", {}) == OK
    assert bob.call("subscribe", "Bob", "Lobby") == OK
    offer = {"type": "offer", "target": "Bob", "sdp": "x" * 200_000}
    assert alice.call("messagePeer", offer) == OK
    assert bob.message("offer")["sdp"] == offer["sdp"]
    bob.close()
    assert alice.message("peerLeft")["peerID"] == "Bob"
    alice.close()
    secure.idle()


def test_a_burst_over_wss_keeps_its_order(secure: Server, clients: Clients) -> None:
    alice, bob = clients.token(server=secure), clients.token(server=secure)
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    for number in range(500):
        alice.emit("messagePeer", {"type": "candidate", "target": "Bob", "n": number, "x": "y" * 500})
    assert [bob.message("candidate")["n"] for _ in range(500)] == list(range(500))
    for each in (alice, bob):
        each.close()
    secure.idle()


def test_clients_that_do_not_trust_the_certificate_or_speak_no_tls_bother_nobody(
    secure: Server, clients: Clients
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(secure.url)
    with pytest.raises((OSError, websocket.WebSocketException)):
        Client(secure.url.replace("https", "http"))
    assert clients.token(server=secure).call("publish")["ok"] is False


# --- those who are gone without a word ---


def test_dead_clients_are_found_in_about_fifteen_seconds(
    server: Server, python_client: Connect, clients: Clients
) -> None:
    watcher, broadcaster, player = (clients.token() for _ in range(3))
    quiet, polling = clients.token(), joined(python_client, server, ["polling"])
    broadcaster.call("publish", "Broadcaster", "One", {})
    watcher.call("subscribe", "Watcher", "One")
    watcher.call("publish", "Watcher", "Two", {})
    player.call("subscribe", "Player", "Two")
    polling.call("subscribe", "Polling", "Two")
    quiet.call("subscribe", "Quiet", "Two")
    with requests.Session() as browser:  # opens a session, authenticates, and never polls
        browser.trust_env = False
        address = server.url + POLLING
        address += "&sid=" + browser.get(address, timeout=5).text.split('"sid":"')[1].split('"')[0]
        browser.post(address, data=f'40{{"token":"{TOKEN}"}}\x1e42["subscribe","Stale","Two"]', timeout=5)
    watcher.wait("message", lambda message: message.get("peerID") == "Stale")
    dead = [broadcaster, player]
    for each in dead:
        each.freeze()
    started = time.monotonic()
    watcher.wait("message", lambda message: message["type"] == "unpublished", timeout=17)
    for name in ("Player", "Stale"):
        left = {"type": "peerLeft", "peerID": name}
        watcher.wait("message", lambda message, left=left: left.items() <= message.items(), timeout=17)
    assert 5 < time.monotonic() - started < 17
    assert {peer for _, peers in server.api("/connections") for peer in peers} == {
        "Watcher",
        "Quiet",
        "Polling",
    }  # who only says nothing stays
    assert not polling.closed.is_set()
    assert not quiet.closed.is_set()
    for each in dead:
        server.wait_log(f"disconnect .*socket={each.sid}.*reason=.*ping timeout")


# --- limits ---

PER_ADDRESS, AT_ONCE, BUFFER = 3, 8, 100_000
CHAT = 15_000  # characters; much longer messages are no chat


@pytest.fixture(scope="module")
def limited_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = request.getfixturevalue("start_server")(
        CONNECT_TIMEOUT="1",
        MAX_SEND_BUFFER=str(BUFFER),
        TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8",
        MAX_CONNECTIONS=str(AT_ONCE),
        MAX_CONNECTIONS_PER_ADDRESS=str(PER_ADDRESS),
    )
    with finishing([server]):
        yield server


@pytest.fixture
def limited(limited_server: Server, clients: Clients) -> Iterator[Server]:
    """A server with narrow limits that trusts the proxy at 127.0.0.1; nobody is connected to it."""
    yield limited_server
    clients.close()
    until(lambda: open_count(limited_server) == 0)
    limited_server.idle()


def from_address(clients: Clients, server: Server, number: int, **options: Any) -> Client:
    return clients.token(server=server, source=f"127.0.1.{number}", **options)


def assert_full(server: Server, **options: Any) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        Client(server.url, **options)
    assert refusal.value.status_code == 503


def test_connections_per_address_are_limited(limited: Server, clients: Clients) -> None:
    several = [from_address(clients, limited, 1) for _ in range(PER_ADDRESS)]
    assert_full(limited, source="127.0.1.1")
    from_address(clients, limited, 2)
    assert several[0].call("publish", "Alice", "Lobby", {}) == OK  # who is in goes on
    several[1].drop()
    until(lambda: open_count(limited) == PER_ADDRESS)
    from_address(clients, limited, 1)
    assert_full(limited, source="127.0.1.1")


def test_a_connection_counts_before_it_authenticates_and_polling_counts_too(
    limited: Server, clients: Clients
) -> None:
    clients(limited, source="127.0.1.3")
    forwarded = {"X-Forwarded-For": "127.0.1.3"}
    assert [limited.get(POLLING, headers=forwarded).status_code for _ in range(4)] == [200, 200, 503, 503]
    assert_full(limited, source="127.0.1.3")
    # all three end by the deadline
    until(lambda: limited.get(POLLING, headers=forwarded).status_code == 200, timeout=4)


def test_connections_are_limited_altogether(limited: Server, clients: Clients) -> None:
    until(lambda: limited.get(POLLING, headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 200)
    several: list[Client] = []

    def filled() -> bool:
        """Fill up as the sessions that others left behind run out."""
        while len(several) < AT_ONCE:
            try:
                several.append(from_address(clients, limited, 10 + len(several)))
            except websocket.WebSocketBadStatusException:
                return False
        return True

    until(filled)
    assert_full(limited, source="127.0.1.99")
    assert limited.get(POLLING).status_code == 503
    assert limited.get("/health").ok  # pages are no connections
    assert several[0].call("publish", "Alice", "Lobby", {}) == OK
    several[1].close()
    until(lambda: open_count(limited) == AT_ONCE - 1)
    from_address(clients, limited, 30)


def test_who_does_not_authenticate_in_time_is_disconnected(limited: Server, clients: Clients) -> None:
    idle = clients(limited, source="127.0.1.40")
    left = from_address(clients, limited, 41)
    stays = from_address(clients, limited, 42)
    left.send_raw("41")
    refused = clients(limited, source="127.0.1.43")
    refused.send_raw('40{"token":"wrong"}')
    started = time.monotonic()
    for each in (idle, left, refused):
        each.wait_closed(timeout=4)
    assert time.monotonic() - started > 0.5
    stays.nothing("message")


def test_a_login_that_fails_after_the_deadline_is_the_end(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    server = make_server(CONNECT_TIMEOUT="1", STATIC_LOGIN=login_site.url("/hold"))
    late = clients(server)
    late.send_raw(f'40{{"account":"{ACCOUNT}","user":"Alice","pin":"wrong"}}')
    login_site.wait_for_waiting(1)
    clients(server).wait_closed()  # who came later is out of time, so the other is, too
    assert not late.closed.is_set()
    login_site.release()
    late.wait_closed(timeout=4)
    assert late._answers["/"] == ("refused", {"message": "ERROR: Wrong pin"})


def test_who_says_nothing_has_ten_seconds(server: Server, clients: Clients) -> None:
    silent, wrong = clients(), clients()
    wrong.send_raw('40{"token":"wrong"}')
    started = time.monotonic()
    for each in (silent, wrong):
        each.wait_closed(timeout=13)
    assert time.monotonic() - started > 9


@pytest.mark.parametrize(
    ("source", "forwarded", "address"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.8", "203.0.113.8"),  # what the client itself claims is left
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # another trusted proxy
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.1.50", "203.0.113.7", "127.0.1.50"),  # not a trusted proxy
    ],
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    limited: Server, clients: Clients, source: str, forwarded: str, address: str
) -> None:
    client = clients.token(server=limited, source=source, headers={"X-Forwarded-For": forwarded})
    (line,) = limited.wait_log(f"connect .*socket={client.sid}")
    assert f"address={address}" in line.replace('"', "").split()


def test_the_limit_per_address_counts_the_client_and_not_its_proxy(limited: Server, clients: Clients) -> None:
    for number in range(2):
        for _ in range(PER_ADDRESS):
            clients.token(server=limited, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        assert_full(limited, headers={"X-Forwarded-For": f"203.0.113.{number}"})


def test_nobody_is_believed_without_trusted_proxies(server: Server, clients: Clients) -> None:
    client = clients.token(headers={"X-Forwarded-For": "203.0.113.7"})
    (line,) = server.wait_log(f"connect .*socket={client.sid}")
    assert "203.0.113.7" not in line


# --- clients that do not read ---


def test_a_client_that_never_reads_is_dropped_and_others_go_on(limited: Server, clients: Clients) -> None:
    alice, bob = from_address(clients, limited, 60), from_address(clients, limited, 61)
    stuck = from_address(clients, limited, 62, receive_buffer=4096)
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    stuck.call("subscribe", "Stuck", "Lobby")
    alice.message("peer", peerID="Stuck")
    stuck.freeze()
    sent = 0

    def dropped() -> bool:
        """Send until the system's own buffers are full, and ours."""
        nonlocal sent
        assert alice.call("message", {"type": "chat", "n": sent, "text": "x" * 60_000}) == OK
        sent += 1
        return any(message["type"] == "peerLeft" for (message,) in alice.received("message"))

    until(dropped, timeout=20)
    assert alice.message("peerLeft")["peerID"] == "Stuck"
    (line,) = limited.wait_log(f"disconnect .*socket={stuck.sid}")
    assert 'reason="client does not read"' in line
    assert [bob.message("chat")["n"] for _ in range(sent)] == list(range(sent))
    stuck.thaw()
    stuck.wait_closed()


def test_a_member_of_a_room_that_never_reads_costs_the_others_nothing(
    limited: Server, clients: Clients
) -> None:
    alice, bob, stuck = (
        clients.verified(name, server=limited, source=f"127.0.1.{76 + number}", receive_buffer=size)
        for number, (name, size) in enumerate({"Alice": None, "Bob": None, "Stuck": 4096}.items())
    )
    for each in (alice, bob, stuck):
        assert each.call("roomJoin", {"room": "Hall"}) == OK
    stuck.freeze()
    sent = 0

    def dropped() -> bool:
        """Talk until the system's own buffers are full, and ours."""
        nonlocal sent
        for _ in range(50):
            alice.emit("roomMessage", {"room": "Hall", "message": {"text": f"{sent} {'x' * CHAT}"}})
            sent += 1
        assert alice.call("roomMessage", {"room": "Hall", "message": {"text": f"{sent} "}}) == OK
        sent += 1
        return any("participantLeft" in update for (update,) in alice.received("roomUpdate"))

    until(dropped, timeout=30)
    (line,) = limited.wait_log(f"disconnect .*socket={stuck.sid}")
    assert 'reason="client does not read"' in line
    for each in (alice, bob):
        assert each.update("participantLeft")["participantLeft"]["name"] == "Stuck"
        said = [each.update("messageNew")["messageNew"]["text"] for _ in range(sent)]
        assert [int(text.split()[0]) for text in said] == list(range(sent))
    stuck.thaw()
    stuck.wait_closed()


def test_a_burst_does_not_drop_a_client_that_reads(limited: Server, clients: Clients) -> None:
    alice, bob = from_address(clients, limited, 70), from_address(clients, limited, 71)
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    for number in range(15):  # each as large as all that may wait
        alice.emit("message", {"type": "chat", "n": number, "text": "x" * BUFFER})
    assert [bob.message("chat")["n"] for _ in range(15)] == list(range(15))


def test_many_small_messages_at_once_do_not_drop_a_client_that_reads(
    limited: Server, clients: Clients
) -> None:
    alice, bob = from_address(clients, limited, 72), from_address(clients, limited, 73)
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    for number in range(1500):
        alice.emit("message", {"type": "chat", "n": number, "text": "x" * 1000})
    assert [bob.message("chat")["n"] for _ in range(1500)] == list(range(1500))


def test_a_message_that_grows_on_the_way_does_not_drop_its_receivers(
    limited: Server, clients: Clients
) -> None:
    alice, bob = from_address(clients, limited, 74), from_address(clients, limited, 75)
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    text = "🎥" * 200_000  # 800 KB as UTF-8, three times that with escapes
    assert alice.call("message", {"type": "chat", "text": text}) == OK
    assert bob.message("chat")["text"] == text


def test_a_message_may_be_as_large_as_the_setting_says(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(MAX_MESSAGE_SIZE="5000")
    alice, bob, charlie = (clients.token(server=server) for _ in range(3))
    assert alice.handshake["maxPayload"] == 5000
    alice.call("publish", "Alice", "Lobby", {})
    bob.call("subscribe", "Bob", "Lobby")
    charlie.call("subscribe", "Charlie", "Lobby")
    assert alice.call("message", {"type": "chat", "text": "x" * 4800}) == OK
    assert len(bob.message("chat")["text"]) == 4800
    charlie.emit("message", {"type": "chat", "text": "x" * 5000})
    charlie.wait_closed()
    assert charlie.close_code == 1009
    assert alice.message("peerLeft")["peerID"] == "Charlie"
    bob.nothing("message", lambda message: message["type"] != "chat")
