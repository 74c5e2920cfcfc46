"""SIGTERM: every connection is closed, nobody delays the end, clients come back, the exit code is right."""

from __future__ import annotations

import gc
import re
import signal
import socket
import time

import pytest
import requests
import socketio

from tests.conftest import ACCOUNT, TOKEN, Clients, MakeServer
from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.raw import Raw, request
from tests.support.server import Runner, Server, until

POLLING = "/socket.io/?EIO=4&transport=polling"
FAST = 5.0  # seconds


class Poller:
    """A client by long polling, with one poll under way."""

    def __init__(self, server: Server) -> None:
        with requests.Session() as http:
            http.trust_env = False
            found = re.search('"sid":"([^"]+)"', http.get(server.url + POLLING, timeout=5).text)
            assert found
            self.address = f"{POLLING}&sid={found[1]}"
            http.post(server.url + self.address, f'40{{"token":"{TOKEN}"}}', timeout=5)
            assert "40{" in http.get(server.url + self.address, timeout=5).text
        self.raw = Raw(server)
        self.raw.send(request("GET", self.address))

    def last_words(self) -> list[str]:
        """Return the packets that the poll was answered with."""
        head = self.raw.until(b"\r\n\r\n").decode()
        length = int(re.findall(r"content-length: (\d+)", head, re.IGNORECASE)[0])
        while len(self.raw._read) < length:
            self.raw._read += self.raw.socket.recv(65_536)
        return self.raw._read[:length].decode().split("\x1e")


def clog(alice: Client, bob: Client) -> None:
    """Have Bob read nothing any more, and let more wait for him than any buffer on the way holds."""
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    alice.message("peer", peerID="Bob")
    bob.freeze()
    for _ in range(20):
        alice.emit("messagePeer", {"type": "x", "target": "Bob", "content": "x" * 500_000})
    assert alice.call("messagePeer", {"type": "x", "target": "Bob"})["ok"]


def refused(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), 1):
            return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("runner", Runner)
def test_everybody_is_told_and_nobody_delays_the_end(
    make_server: MakeServer, clients: Clients, login_site: LoginSite, runner: Runner
) -> None:
    server = make_server(
        runner=runner,
        STATIC_LOGIN=login_site.url("/hold"),
        LOGIN_TIMEOUT="60",
        MAX_SEND_BUFFER="100000000",
    )
    everybody = [clients.token(server=server) for _ in range(50)]
    pollers = [Poller(server) for _ in range(5)]
    two_namespaces = clients.token(server=server)
    two_namespaces.connect({"token": TOKEN}, "/chat")
    nameless, waiting = clients(server), clients(server)
    kept_alive = Raw(server)
    kept_alive.send(request("GET", "/health"))
    assert kept_alive.status() == 200
    waiting.send_raw(f'40{{"account":"{ACCOUNT}","user":"Alice","pin":"1"}}')
    login_site.wait_for_waiting(1)
    assert everybody[0].call("publish", "Alice", "Lobby", {})["ok"]
    clog(everybody[0], clients.token(server=server, receive_buffer=4096))

    begun = time.monotonic()
    server.ask_to_stop()
    until(lambda: refused(server), timeout=FAST, what="new connections to be refused")
    for client in [*everybody, two_namespaces]:
        client.wait_closed()
        assert client.close_code == 1000, "no goodbye"
    for poller in pollers:
        assert poller.last_words() == ["1"]
        poller.raw.close()
    nameless.wait_closed()
    waiting.wait_closed()
    kept_alive.all()  # returns when the server closes the connection
    kept_alive.close()
    assert server.stop() == 0
    assert server.wait_log(" info stop$")
    assert time.monotonic() - begun < FAST


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a socket it leaves behind
@pytest.mark.parametrize("runner", [Runner.APP, Runner.GUNICORN])
def test_clients_come_back_by_themselves(make_server: MakeServer, runner: Runner) -> None:
    server = make_server(runner=runner)
    client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.5)
    try:
        client.connect(server.url, transports=["websocket"], auth={"token": TOKEN})
        first = client.get_sid()
        server.restart()
        until(lambda: client.connected and client.get_sid() not in (None, first), what="the client")
        assert client.call("publish", ("Alice", "Lobby", {})) == {"ok": True}
    finally:
        client.disconnect()
        gc.collect()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_by_either_signal_and_says_so(make_server: MakeServer, number: signal.Signals) -> None:
    server = make_server()
    server.ask_to_stop(number)
    assert server.stop() == 0
    assert server.wait_log(" info stop$")
