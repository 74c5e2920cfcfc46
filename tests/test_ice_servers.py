"""The STUN and TURN servers that clients are given, as they arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ACCOUNT, NO_STUN, TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.coturn import Coturn, running_coturn
from tests.support.server import ROOT, Server, row, until
from vws.config import Config
from vws.ice import IceServers

STUN = {"iceServers": [{"urls": [NO_STUN]}]}
STATIC = {
    "iceServers": [
        {"urls": ["stun:turn.example:3478"]},
        {
            "username": "turn user",
            "credential": "turn-password",
            "urls": ["turn:turn.example:3478?transport=udp", "turn:turn.example:3478?transport=tcp"],
        },
    ]
}
SECRET, LIFETIME = "north remembers", 3600


@pytest.fixture(scope="module")
def module_static(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(
        COTURN_SERVER="turn.example:3478", COTURN_USER="turn user", COTURN_PASSWORD="turn-password"
    )
    with finishing([server]):
        yield server


@pytest.fixture
def static(module_static: Server) -> Iterator[Server]:
    yield module_static
    module_static.idle()


@pytest.fixture(scope="module")
def module_expiring(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(
        COTURN_SERVER="turn.example:3478",
        COTURN_SECRET=SECRET,
        COTURN_TTL=str(LIFETIME),
        COTURN_TLS_PORT="5349",
    )
    with finishing([server]):
        yield server


@pytest.fixture
def expiring(module_expiring: Server) -> Iterator[Server]:
    yield module_expiring
    module_expiring.idle()


def call(clients: Clients, server: Server) -> tuple[Client, Client, list[dict[str, Any]]]:
    """Alice broadcasts and Bob comes to watch; return them and every peerConfig that Alice was given."""
    alice, bob = clients.token(server=server), clients.token(server=server)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    return alice, bob, [alice.message("peers")["peerConfig"], alice.message("peer")["peerConfig"]]


def relayed(sender: Client, receiver: Client, **message: Any) -> dict[str, Any]:
    """Send a signal to Bob; return it as he gets it."""
    assert sender.call("messagePeer", {"target": "Bob", **message}) == {"ok": True}
    return receiver.message(message["type"])


def test_public_stun_without_a_server_of_our_own(server: Server, clients: Clients) -> None:
    alice, bob, configs = call(clients, server)
    assert configs == [STUN, STUN]
    assert relayed(alice, bob, type="offer")["peerConfig"] == STUN


def test_static_credentials(static: Server, clients: Clients) -> None:
    alice, bob, configs = call(clients, static)
    assert configs == [STATIC, STATIC]
    assert relayed(alice, bob, type="offer")["peerConfig"] == STATIC
    assert "turn-password" not in static.log()


@pytest.mark.parametrize(
    "own", [{}, {"iceServers": []}, {"iceServers": None}, None, [], "", "none", 0], ids=repr
)
def test_an_offer_without_ice_servers_gets_ours(static: Server, clients: Clients, own: Any) -> None:
    alice, bob, _ = call(clients, static)
    assert relayed(alice, bob, type="offer", peerConfig=own)["peerConfig"] == STATIC


def test_the_rest_of_an_offers_configuration_is_kept(static: Server, clients: Clients) -> None:
    alice, bob, _ = call(clients, static)
    own = {"iceServers": [], "iceTransportPolicy": "relay", "bundlePolicy": "max-bundle"}
    assert relayed(alice, bob, type="offer", peerConfig=own)["peerConfig"] == {**own, **STATIC}


@pytest.mark.parametrize(
    "servers",
    [[{"urls": "stun:own.example"}], [{}], [{"url": "turn:old.example", "credential": "x"}]],
    ids=str,
)
def test_an_offer_with_ice_servers_keeps_them(static: Server, clients: Clients, servers: Any) -> None:
    alice, bob, _ = call(clients, static)
    offer = relayed(alice, bob, type="offer", peerConfig={"iceServers": servers}, content={"sdp": "v=0"})
    assert offer == {
        "type": "offer",
        "target": "Bob",
        "from": "Alice",
        "peerConfig": {"iceServers": servers},
        "content": {"sdp": "v=0"},
    }


@pytest.mark.parametrize("kind", ["answer", "candidate", "anything"])
def test_only_offers_get_them(static: Server, clients: Clients, kind: str) -> None:
    alice, bob, _ = call(clients, static)
    assert relayed(alice, bob, type=kind) == {"type": kind, "target": "Bob", "from": "Alice"}


def check_expiring(config: dict[str, Any], *, user: str) -> str:
    """Check credentials as coturn does; return the username."""
    stun, turn = config["iceServers"]
    assert stun == {"urls": ["stun:turn.example:3478"]}
    assert turn["urls"] == [
        "turn:turn.example:3478?transport=udp",
        "turn:turn.example:3478?transport=tcp",
        "turns:turn.example:5349?transport=tcp",
    ]
    assert set(turn) == {"urls", "username", "credential"}
    expiry, _, rest = turn["username"].partition(":")
    assert abs(int(expiry) - (time.time() + LIFETIME)) < 30
    assert rest.endswith(user)
    digest = hmac.new(SECRET.encode(), turn["username"].encode(), hashlib.sha1).digest()
    assert turn["credential"] == base64.b64encode(digest).decode()
    return str(turn["username"])


def test_expiring_credentials_are_each_clients_own(expiring: Server, clients: Clients) -> None:
    alice, bob, configs = call(clients, expiring)
    for config in configs:
        check_expiring(config, user="Alice")
    check_expiring(relayed(alice, bob, type="offer")["peerConfig"], user="Bob")
    log = expiring.log()
    assert SECRET not in log
    assert configs[0]["iceServers"][1]["credential"] not in log


def test_names_that_coturn_does_not_take_are_written_so_that_it_does(
    expiring: Server, clients: Clients
) -> None:
    alice = clients.verified('Zoë "Z" 東京', account=ACCOUNT, server=expiring)
    assert alice.call("publish", 'Zoë "Z" 東京', "Lobby", {})["ok"]
    username = check_expiring(alice.message("peers")["peerConfig"], user="")
    assert username.isascii()
    assert not set(username) & set(" \"'\\")


def test_a_rooms_publisher_gets_them_too(expiring: Server, clients: Clients) -> None:
    alice = clients.verified("Alice", server=expiring)
    assert alice.call("roomJoin", {"room": "Lobby"})["ok"]
    alice.call("roomPublish", {"room": "Lobby", "stream": "Lobby", "parameters": {"type": "webrtc"}})
    check_expiring(alice.message("peers")["peerConfig"], user="Alice")


def test_secrets_are_on_no_page(expiring: Server, static: Server) -> None:
    for server, secret in ((expiring, SECRET), (static, "turn-password")):
        for path in ("/", "/live", "/status", "/stats", "/channels", "/connections", "/ready"):
            assert secret not in server.get(path).text
            assert TOKEN not in server.get(path).text


# --- for the page at / ---


def page_servers(server: Server, **headers: str) -> Any:
    """Ask as the page does; the answer is for pages of this server alone."""
    answer = server.get("/ice-servers", headers={"Origin": "https://elsewhere.example", **headers})
    assert answer.ok
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


def test_a_developers_page_gets_the_password(static: Server) -> None:
    assert page_servers(static) == {**STATIC, "keyNeeded": False}


def test_a_visitor_of_a_production_server_never_gets_the_password(make_server: MakeServer) -> None:
    server = make_server(
        VWS_ENV="production",
        API_KEY="the-key",
        COTURN_SERVER="turn.example:3478",
        COTURN_USER="turn user",
        COTURN_PASSWORD="turn-password",
    )
    public = {"iceServers": [{"urls": ["stun:turn.example:3478"]}], "keyNeeded": True}
    for key in ("", "wrong", TOKEN):
        assert page_servers(server, **{"X-API-Key": key}) == public
    assert page_servers(server, **{"X-API-Key": "the-key"}) == {**STATIC, "keyNeeded": False}
    for path in ("/", "/live", "/ice-servers", "/health", "/ready", "/openapi.json"):
        for accept in ("text/html", "application/json"):
            answer = server.get(path, headers={"Accept": accept})
            assert "turn-password" not in answer.text + str(answer.headers)
    assert "turn-password" not in server.log()


def test_without_a_key_a_production_server_gives_its_password_to_nobody(make_server: MakeServer) -> None:
    server = make_server(
        VWS_ENV="production",
        COTURN_SERVER="turn.example:3478",
        COTURN_USER="turn user",
        COTURN_PASSWORD="turn-password",
    )
    for key in ("", "turn-password"):
        assert page_servers(server, **{"X-API-Key": key})["keyNeeded"]
    assert "turn-password" not in server.get("/ice-servers", apikey="").text


def test_every_visitor_gets_credentials_that_expire_soon(make_server: MakeServer) -> None:
    server = make_server(
        VWS_ENV="production",
        COTURN_SERVER="turn.example:3478",
        COTURN_SECRET=SECRET,
        TRUSTED_PROXIES="127.0.0.1",
    )
    config = page_servers(server, **{"X-Forwarded-For": "2001:db8::7"})
    assert not config["keyNeeded"]
    turn = config["iceServers"][1]
    expiry, _, visitor = turn["username"].partition(":")
    assert 0 < int(expiry) - time.time() <= 600
    assert visitor == "_page_/2001%3Adb8%3A%3A7", "coturn's log tells who it was"
    digest = hmac.new(SECRET.encode(), turn["username"].encode(), hashlib.sha1).digest()
    assert turn["credential"] == base64.b64encode(digest).decode()


def test_a_page_needs_no_credentials_for_stun(server: Server) -> None:
    assert page_servers(server) == {**STUN, "keyNeeded": False}


# --- at a real coturn ---


@pytest.fixture(scope="module")
def strict_coturn() -> Iterator[Coturn]:
    with running_coturn(secret=SECRET) as coturn:
        yield coturn


def try_turn(peer_config: dict[str, Any]) -> set[str]:
    """Ask a coturn to relay with what a client was given; return its errors, "" for none."""
    entry = peer_config["iceServers"][1]
    login = {"username": entry["username"], "credential": entry["credential"]}
    task = {"deadline": time.monotonic() + 10, "servers": [{"url": url, **login} for url in entry["urls"]]}
    command = [sys.executable, "-m", "vws.ice_probe"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as probe:
        assert probe.stdin is not None
        assert probe.stdout is not None
        probe.stdin.write(f"{json.dumps(task)}\n")
        probe.stdin.flush()
        errors = {json.loads(line)["error"] for line in probe.stdout}
    assert probe.returncode == 0
    return errors


def test_what_clients_are_given_opens_a_real_coturn(
    make_server: MakeServer, clients: Clients, strict_coturn: Coturn
) -> None:
    server = make_server(**strict_coturn.settings, accounts=[row("My Shop")])
    alice, bob = clients.verified("Zoë", server=server), clients.token("My Shop-token", server=server)
    assert alice.call("publish", "Zoë", "Lobby", {})["ok"]
    assert bob.call("publish", "Bob", "Lobby", {})["ok"]
    for client in (alice, bob):
        assert try_turn(client.message("peers")["peerConfig"]) == {""}
    for user in ("Test%20Account/Zo%C3%AB", "My%20Shop/Bob"):
        assert re.search(
            rf"user <\d+:{user}>: incoming packet ALLOCATE processed, success", strict_coturn.log()
        )


def test_a_real_coturn_refuses_them_afterwards(strict_coturn: Coturn) -> None:
    lifetime, left = 60, 3
    settings = Config.from_env({**strict_coturn.settings, "COTURN_TTL": str(lifetime)})
    given = IceServers(settings, clock=lambda: time.time() - lifetime + left).peer_config("Shop", "Alice")
    assert try_turn(given) == {""}
    until(lambda: try_turn(given) == {"wrong credentials"}, timeout=left + 10)
    assert time.time() > int(given["iceServers"][1]["username"].partition(":")[0])


def test_a_real_coturn_refuses_those_of_another_secret(strict_coturn: Coturn) -> None:
    settings = Config.from_env({**strict_coturn.settings, "COTURN_SECRET": "another"})
    assert try_turn(IceServers(settings).peer_config("Shop", "Alice")) == {"wrong credentials"}
