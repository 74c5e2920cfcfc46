"""Under gunicorn with gevent-websocket's own worker and no settings of ours everything works as elsewhere.

Its stop is in tests/test_stop.py, the rules of WebSockets are in tests/test_websocket_rules.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import socketio

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.pair import Pair
from tests.support.raw import TEXT, Raw, frame
from tests.support.server import Runner, Server, until

TRANSPORTS = [["polling"], ["polling", "websocket"], ["websocket"]]
PINGS = 3
PING_INTERVAL = 5  # seconds

Connect = Callable[..., socketio.Client]


@pytest.fixture(scope="module")
def module_plain(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(runner=Runner.WORKER)
    with finishing([server]):
        yield server


@pytest.fixture
def plain(module_plain: Server, clients: Clients) -> Iterator[Server]:
    """Return the server; nobody may be left in a channel or room after the test."""
    yield module_plain
    clients.close()
    module_plain.idle()


def test_pages_and_the_api_are_served(plain: Server) -> None:
    page = plain.get("/", headers={"Accept": "text/html"})
    assert page.ok
    assert page.headers["Content-Type"].startswith("text/html")
    assert plain.get("/health").json() == {"status": "ok"}
    assert plain.get("/nowhere").status_code == 404


def test_two_clients_are_in_a_call(plain: Server, clients: Clients) -> None:
    pair = Pair(clients, plain)
    for size in (10, 1000, 200_000):
        pair.relay("é" * size)
    pair.undisturbed()


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
def test_signaling_works_over_every_transport(
    plain: Server, python_client: Connect, clients: Clients, transports: list[str]
) -> None:
    alice = clients.token(server=plain)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    bob = python_client(plain, transports=transports, auth={"token": TOKEN})
    heard: list[dict[str, str]] = []
    bob.on("message", heard.append)
    assert bob.transport() == transports[-1]
    assert bob.call("subscribe", ("Bob", "Lobby"), timeout=10)["ok"]
    assert alice.message("peer")["peerID"] == "Bob"
    assert alice.call("messagePeer", {"type": "offer", "target": "Bob", "sdp": "x" * 50_000})["ok"]
    until(lambda: heard, what="the offer")
    assert (heard[0]["type"], len(heard[0]["sdp"])) == ("offer", 50_000)
    assert bob.call("messagePeer", {"type": "answer", "target": "Alice"}, timeout=10)["ok"]
    assert alice.message("answer")["from"] == "Bob"
    bob.disconnect()
    assert alice.message("peerLeft")["peerID"] == "Bob"


def test_pings_keep_clients_whatever_they_came_by(
    plain: Server, python_client: Connect, clients: Clients
) -> None:
    pair = Pair(clients, plain)
    polling, upgraded = (
        python_client(plain, transports=transports, auth={"token": TOKEN}) for transports in TRANSPORTS[:2]
    )
    with Raw.websocket(plain, timeout=3 * PING_INTERVAL) as raw:
        raw.send(frame(TEXT, f'40{{"token":"{TOKEN}"}}'))
        for _ in range(PINGS):
            while raw.next_frame() != (TEXT, b"2"):
                pass
            raw.send(frame(TEXT, "3"))
        raw.send(frame(TEXT, '421["subscribe","Raw","Pings"]'))
        assert raw.until(b'431[{"ok":true}]')
    for client in (polling, upgraded):
        assert client.call("unpublish", ("Nobody", "Nowhere"), timeout=10)["ok"] is False
    pair.undisturbed()


def test_who_leaves_any_way_is_missed_at_once(plain: Server, clients: Clients) -> None:
    pair = Pair(clients, plain)
    for number, leave in enumerate((Client.close, Client.drop)):
        charlie = clients.token(server=plain)
        assert charlie.call("subscribe", f"Charlie {number}", pair.channel)["ok"]
        pair.alice.message("peer", peerID=f"Charlie {number}")
        leave(charlie)
        pair.alice.message("peerLeft", peerID=f"Charlie {number}")
    pair.undisturbed()


def test_one_too_many_is_not_let_in(make_server: MakeServer, clients: Clients) -> None:
    """This worker shakes hands before the program is asked, so a WebSocket opens, and ends at once."""
    server = make_server(runner=Runner.WORKER, MAX_CONNECTIONS="2")
    pair = Pair(clients, server)
    with Raw.websocket(server) as raw:
        assert all(opcode != TEXT for opcode, _ in raw.frames())
    assert server.get("/socket.io/?EIO=4&transport=polling").status_code == 503
    pair.undisturbed()
