"""The STUN and TURN servers clients are given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from vws.config import Config
from vws.ice import IceServers

TURN = {"COTURN_SERVER": "turn.example:3478"}


def ice(**variables: str) -> IceServers:
    return IceServers(Config.from_env(variables), clock=lambda: 1_000_000.5)


def test_without_a_server_of_our_own_public_stun_is_used() -> None:
    assert ice().peer_config("Shop", "Alice") == {"iceServers": [{"urls": ["stun:stun.l.google.com:19302"]}]}


def test_stun_servers_can_be_chosen() -> None:
    config = ice(STUN_SERVERS="stun:a.example:3478,stun:b.example:3478").peer_config("Shop", "Alice")
    assert config == {"iceServers": [{"urls": ["stun:a.example:3478", "stun:b.example:3478"]}]}


def test_static_credentials() -> None:
    assert ice(**TURN, COTURN_USER="vws", COTURN_PASSWORD="pw").peer_config("Shop", "Alice") == {
        "iceServers": [
            {"urls": ["stun:turn.example:3478"]},
            {
                "username": "vws",
                "credential": "pw",
                "urls": ["turn:turn.example:3478?transport=udp", "turn:turn.example:3478?transport=tcp"],
            },
        ]
    }


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("turn.example:3478", "turns:turn.example:5349?transport=tcp"),
        ("[2001:db8::1]:3478", "turns:[2001:db8::1]:5349?transport=tcp"),
    ],
)
def test_tls_is_one_more_url(server: str, expected: str) -> None:
    servers = ice(COTURN_SERVER=server, COTURN_SECRET="s", COTURN_TLS_PORT="5349").peer_config(
        "Shop", "Alice"
    )
    urls = servers["iceServers"][1]["urls"]
    assert urls == [f"turn:{server}?transport=udp", f"turn:{server}?transport=tcp", expected]


def test_without_credentials_no_turn_is_offered() -> None:
    for incomplete in ({}, {"COTURN_USER": "vws"}, {"COTURN_PASSWORD": "pw"}):
        servers = ice(**TURN, **incomplete).peer_config("Shop", "Alice")
        assert servers == {"iceServers": [{"urls": ["stun:turn.example:3478"]}]}


def test_credentials_of_ones_own_expire() -> None:
    servers = ice(**TURN, COTURN_SECRET="north", COTURN_TTL="3600", COTURN_USER="x", COTURN_PASSWORD="y")
    entry = servers.peer_config("Shop", "Alice")["iceServers"][1]
    assert entry["username"] == "1003600:Shop/Alice"
    digest = hmac.new(b"north", entry["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(entry["credential"]) == digest


def test_a_known_credential() -> None:
    """Computed with: printf '1003600:Shop/Alice' | openssl dgst -sha1 -hmac north -binary | base64"""
    entry = ice(**TURN, COTURN_SECRET="north", COTURN_TTL="3600").peer_config("Shop", "Alice")["iceServers"][
        1
    ]
    assert entry["credential"] == "jkFuaydOhzcdI3xAjeiooj1Vr+E="


def test_credentials_are_made_anew_for_each_client_and_time() -> None:
    now = 1_000_000.0
    servers = IceServers(Config.from_env({**TURN, "COTURN_SECRET": "north"}), clock=lambda: now)
    alice, bob = (servers.peer_config("Shop", user)["iceServers"][1] for user in ("Alice", "Bob"))
    now += 60
    later = servers.peer_config("Shop", "Alice")["iceServers"][1]
    assert len({entry["credential"] for entry in (alice, bob, later)}) == 3
    assert later["username"] == "1043260:Shop/Alice"


@pytest.mark.parametrize(
    ("account", "user"),
    [("My Shop", 'Alice O\'Neil "x" \\'), ("Магазин", "Алиса"), ("a" * 255, "ж" * 255), ("a\nb", "\ud800")],
)
def test_any_name_makes_a_username_coturn_takes(account: str, user: str) -> None:
    entry = ice(**TURN, COTURN_SECRET="north").peer_config(account, user)["iceServers"][1]
    username = entry["username"]
    assert username.isascii()
    assert len(username) < 508
    assert not set(username) & set(" \t\r\n'\"\\")
    assert username.partition(":")[0].isdigit()


def test_what_is_given_can_be_sent() -> None:
    servers = ice(**TURN, COTURN_SECRET="north").peer_config("Shop", "Alice")
    assert json.loads(json.dumps(servers)) == servers
    servers["iceServers"].clear()
    assert ice(**TURN, COTURN_SECRET="north").peer_config("Shop", "Alice")["iceServers"]
