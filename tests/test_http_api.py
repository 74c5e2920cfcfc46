"""The HTTP API as plugins and operators call it: what it shows, to whom, and what it says to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client, ConnectRefused
from tests.support.server import Server, free_port, row, until
from vws import __version__
from vws.http.access import Access
from vws.http.routes import ROUTES

KEY = "key-é-1"
STREAM = {"width": 640, "height": 360, "bitrate": 500, "audioBitrate": 32, "frameRate": 30, "codec": "VP8"}
IDLE = {"connections": 0, "bitrate": 0, "audioBitrate": 0, "players": 0, "broadcasters": 0}

CLOSED = [route.path for route in ROUTES if route.access is Access.OPERATOR]
ALL_OPEN = [route.path for route in ROUTES if route.access is Access.OPEN]


def ok(client: Client, *call: Any) -> None:
    answer = client.call(*call)
    assert answer["ok"], answer


def go_live(clients: Clients, server: Server, token: str = TOKEN) -> tuple[Client, Client]:
    """Alice broadcasts in Lobby, Bob watches."""
    alice, bob = clients.token(token, server=server), clients.token(token, server=server)
    ok(alice, "publish", "Alice", "Lobby", STREAM)
    ok(bob, "subscribe", "Bob", "Lobby")
    return alice, bob


# --- what is going on ---


def test_the_server_introduces_itself_to_programs(server: Server) -> None:
    answer = server.get("/")
    features, age = answer.json()["features"], answer.json()["webrtcTestAge"]
    assert answer.json() == {
        "server": "VWS",
        "version": __version__,
        "features": features,
        "nginx-module": False,
        "webrtc-test": "Error: STUN 127.0.0.1:9: unreachable",
        "stun": False,
        "turn": None,
        "webrtcTestAge": age,
    }
    assert 0 <= age < 300_000
    assert {"signaling", "rooms", "chat"} <= set(features)
    assert all(isinstance(feature, str) for feature in features)


def test_what_is_configured_shows(make_server: MakeServer) -> None:
    info = make_server(NGINX_HOST="http://nginx.example:8080", ENFORCE_SDP="1").api("/")
    assert info["nginx-module"] is True
    assert "enforce-sdp" in info["features"]


def test_connections_lists_every_channel_with_its_peers(server: Server, clients: Clients) -> None:
    alice, bob = go_live(clients, server)
    charlie = clients.token(server=server)
    ok(charlie, "subscribe", "Charlie", "Waiting")

    assert sorted(server.api("/connections")) == [
        [
            "Lobby",
            {
                "Alice": {
                    "socketId": alice.sid,
                    "peerID": "Alice",
                    "type": "broadcaster",
                    "account": "_static",
                },
                "Bob": {"socketId": bob.sid, "peerID": "Bob", "type": "player", "account": "_static"},
            },
        ],
        [
            "Waiting",
            {
                "Charlie": {
                    "socketId": charlie.sid,
                    "peerID": "Charlie",
                    "type": "player",
                    "account": "_static",
                }
            },
        ],
    ]


def test_channels_lists_only_those_with_a_broadcaster(server: Server, clients: Clients) -> None:
    before = time.time_ns() // 1_000_000
    alice, _ = go_live(clients, server)
    ok(clients.token(server=server), "subscribe", "Charlie", "Waiting")

    ((name, channel),) = server.api("/channels")
    assert name == "Lobby"
    assert before <= channel.pop("time") <= time.time_ns() // 1_000_000
    assert channel == {**STREAM, "publisher": "Alice", "peers": 2, "account": "_static"}

    ok(alice, "unpublish", "Alice", "Lobby")
    assert server.api("/channels") == []
    assert len(server.api("/connections")) == 2


def test_what_the_server_knows_of_a_channel_cannot_be_forged(server: Server, clients: Clients) -> None:
    alice = clients.token(server=server)
    ok(alice, "publish", "Alice", "Lobby", {"publisher": "Bob", "account": "Shop", "peers": 99, "time": 1})
    ((_, channel),) = server.api("/channels")
    assert (channel["publisher"], channel["account"], channel["peers"]) == ("Alice", "_static", 1)
    assert channel["time"] > 1


def test_two_accounts_may_have_a_channel_of_one_name(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(accounts=[row("Acme"), row("Shop")])
    go_live(clients, server, "Acme-token")
    go_live(clients, server, "Shop-token")
    assert [name for name, _ in server.api("/connections")] == ["Lobby", "Lobby"]
    assert {channel["account"] for _, channel in server.api("/channels")} == {"Acme", "Shop"}


def test_stats_sum_up_each_account(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(accounts=[row("Acme"), row("Shop", plan={"width": 320})])
    alice, _ = go_live(clients, server, "Acme-token")
    charlie = clients.token("Shop-token", server=server)
    assert not charlie.call("publish", "Charlie", "Lobby", STREAM)["ok"]

    assert server.api("/stats") == {
        "Acme": {"connections": 2, "bitrate": 1000, "audioBitrate": 64, "players": 1, "broadcasters": 1},
        "Shop": {**IDLE, "connections": 1, "issues": {"width": 1}},
    }
    alice.close()
    until(lambda: server.api("/stats")["Acme"] == {**IDLE, "connections": 1, "players": 1})


def test_an_account_that_was_only_refused_is_listed(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(accounts=[row("Acme", plan={"connections": 1}), row("Shop")])
    alice = clients.token("Acme-token", server=server)
    with pytest.raises(ConnectRefused):
        clients.token("Acme-token", server=server)
    alice.close()
    until(lambda: server.api("/stats") == {"Acme": {**IDLE, "issues": {"connections": 1}}})


def test_rooms_are_listed_while_somebody_is_in_them(server: Server, clients: Clients) -> None:
    before = time.time_ns() // 1_000_000
    alice, bob = clients.verified("mod Alice", server=server), clients.verified("Bob", server=server)
    for each in (alice, bob):
        ok(each, "roomJoin", {"room": "Vault"})
    ok(alice, "roomPublish", {"room": "Vault", "stream": "Stage", "parameters": {"type": "webrtc", **STREAM}})
    ok(bob, "roomMessage", {"room": "Vault", "message": "hello"})
    ok(alice, "roomAction", {"room": "Vault", "action": "lock"})

    (room,) = server.api("/rooms")
    joined = [participant.pop("joinedAt") for participant in room["participants"].values()]
    assert room == {
        "room": "Vault",
        "account": "_static",
        "participants": {alice.sid: {"name": "mod Alice"}, bob.sid: {"name": "Bob"}},
        "streams": ["Stage"],
        "messages": 1,
        "locked": True,
    }
    assert all(before <= when <= time.time_ns() // 1_000_000 for when in joined)

    for each in (alice, bob):
        ok(each, "roomLeave", {"room": "Vault"})
    assert server.api("/rooms") == []


def test_names_that_mean_something_elsewhere_are_only_names(server: Server, clients: Clients) -> None:
    name = '__proto__ "é\n</script>'
    alice = clients.token(server=server)
    ok(alice, "publish", name, name, {})
    ((channel, peers),) = server.api("/connections")
    assert channel == name
    assert list(peers) == [name]
    assert server.get("/connections").headers["Content-Type"] == "application/json"


# --- status ---


def test_status_shows_the_operator_everything(server: Server, clients: Clients) -> None:
    go_live(clients, server)
    status = server.api("/status")
    assert status == {
        "connections": server.api("/connections"),
        "stats": server.api("/stats"),
        "webrtc": server.api("/channels"),
        "rtmp": [],
    }
    assert status["webrtc"][0][0] == "Lobby"


def test_status_shows_an_account_to_its_owner(make_server: MakeServer, clients: Clients) -> None:
    plan = {"connections": 5, "totalBitrate": "5000", "framerate": 30, "width": 1280, "streamPlayers": 2.5}
    server = make_server(accounts=[row("Acme", plan=plan), row("Shop"), row("Old", suspended=True)])
    go_live(clients, server, "Acme-token")

    assert server.api("/status", token="Acme-token") == {
        "account": "Acme",
        "status": "Active",
        "stats": {
            "connections": 2,
            "bitrate": 1000,
            "audioBitrate": 64,
            "players": 1,
            "broadcasters": 1,
        },
        "webrtc": {"Lobby": STREAM},
        "rtmp": {},
        "plan": {
            "connections": 5,
            "totalBitrate": 5000,
            "frameRate": 30,
            "width": 1280,
            "streamPlayers": 2.5,
        },
    }
    nothing: dict[str, Any] = {"webrtc": {}, "rtmp": {}, "plan": {}}
    assert server.api("/status", token="Shop-token") == {"account": "Shop", "status": "Active", **nothing}
    assert server.api("/status", token="Old-token") == {"account": "Old", "status": "Inactive", **nothing}


def test_the_static_token_has_a_status(server: Server, clients: Clients) -> None:
    go_live(clients, server)
    status = server.api("/status", token=TOKEN)
    assert (status["account"], status["status"], status["plan"]) == ("_static", "Active", {})
    assert status["webrtc"] == {"Lobby": STREAM}
    assert status["stats"]["connections"] == 2


@pytest.mark.parametrize("token", ["", "x" * 256])
def test_what_cannot_be_a_token_is_told_apart(server: Server, token: str) -> None:
    answer = server.get("/status", token=token)
    assert (answer.status_code, answer.text) == (400, "Invalid token format")


def test_a_wrong_token_is_refused_and_not_logged(server: Server) -> None:
    answer = server.get("/status", token="guess-work")
    assert (answer.status_code, answer.text) == (401, "Invalid account token")
    server.wait_log('api-refused path=/status .*"Invalid account token"')
    assert "guess-work" not in server.log()


def test_a_right_key_wins_over_a_token(make_server: MakeServer) -> None:
    server = make_server(API_KEY=KEY)
    everything, own = (
        {"connections", "stats", "webrtc", "rtmp"},
        {"account", "status", "webrtc", "rtmp", "plan"},
    )
    assert set(server.get("/status", apikey=KEY, token=TOKEN).json()) == everything
    assert set(server.get("/status", apikey=KEY, token="wrong").json()) == everything
    assert set(server.get("/status", apikey="wrong", token=TOKEN).json()) == own


def test_guessing_tokens_is_limited(make_server: MakeServer) -> None:
    server = make_server(AUTH_RATE_LIMIT="3")
    assert [server.get("/status", token=f"guess-{n}").status_code for n in range(4)] == [401, 401, 401, 429]
    answer = server.get("/status", token=TOKEN)
    assert answer.status_code == 429
    assert answer.text.startswith("Too many requests: try again in ")
    assert server.get("/status").ok, "who needs no token is not concerned"


def test_guesses_count_for_the_address_behind_a_trusted_proxy(make_server: MakeServer) -> None:
    server = make_server(AUTH_RATE_LIMIT="1", TRUSTED_PROXIES="127.0.0.1")

    def guess(address: str) -> int:
        return server.get("/status", token="guess", headers={"X-Forwarded-For": address}).status_code

    assert [guess("192.0.2.1"), guess("192.0.2.1"), guess("192.0.2.2")] == [401, 429, 401]


# --- the key ---


@pytest.fixture(scope="module")
def production(start_server: MakeServer) -> Iterator[Server]:
    """Return a production server with an API key; nobody connects to it."""
    server = start_server(VWS_ENV="production", API_KEY=KEY, AUTH_RATE_LIMIT="0", DEMO="true")
    with finishing([server]):
        yield server


@pytest.mark.parametrize("path", [*CLOSED, "/status"])
@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({}, {"apikey": KEY}),
        ({"X-API-Key": KEY}, {}),
        ({"Authorization": f"Bearer {KEY}"}, {}),
        ({"Authorization": f"bearer  {KEY}", "X-API-Key": "wrong"}, {"apikey": "wrong"}),
    ],
)
def test_the_key_opens_every_path(
    production: Server, path: str, headers: Mapping[str, str], params: Mapping[str, str]
) -> None:
    sent = {name: value.encode() for name, value in headers.items()}
    for spelling in (path, path + "/"):
        assert requests.get(production.url + spelling, headers=sent, params=params, timeout=10).ok


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({}, {}),
        ({}, {"apikey": ""}),
        ({}, {"apikey": "wrong"}),
        ({}, {"apikey": KEY[:-1]}),
        ({}, {"token": TOKEN}),
        ({"X-API-Key": ""}, {}),
        ({"Authorization": "Bearer"}, {}),
        ({"Authorization": f"Basic {KEY}"}, {}),
    ],
)
def test_nothing_else_does(
    production: Server, path: str, headers: Mapping[str, str], params: Mapping[str, str]
) -> None:
    sent = {name: value.encode() for name, value in headers.items()}
    answer = requests.get(production.url + path, headers=sent, params=params, timeout=10)
    assert (answer.status_code, answer.text) == (401, "Invalid API key")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ALL_OPEN)
def test_some_paths_are_for_everybody(production: Server, path: str) -> None:
    assert production.get(path).ok


def test_status_without_key_or_token_is_refused(production: Server) -> None:
    answer = production.get("/status")
    assert (answer.status_code, answer.text) == (401, "Invalid API key and no account token")
    assert production.get("/status", token=TOKEN).json()["account"] == "_static"


def test_production_without_a_key_is_closed(make_server: MakeServer) -> None:
    server = make_server(VWS_ENV="production")
    for query in ("", "?apikey=", "?apikey=anything"):
        for path in CLOSED:
            answer = server.get(path + query)
            assert (answer.status_code, answer.text) == (401, "Invalid API key")
        assert server.get("/status" + query).status_code == 401


def test_a_key_never_shows(production: Server) -> None:
    production.get("/connections", apikey=KEY)
    production.get("/connections", apikey="another-key")
    production.wait_log("api-refused path=/connections")
    assert KEY not in production.log()
    assert "another-key" not in production.log()
    assert all(KEY not in production.get(path).text for path in ALL_OPEN)


def test_in_development_no_key_is_needed_and_a_wrong_one_does_no_harm(make_server: MakeServer) -> None:
    server = make_server(API_KEY=KEY)
    for path in CLOSED:
        assert server.get(path).ok
        assert server.get(path, apikey="wrong").ok


# --- accounts ---


def test_a_reload_says_what_it_brought(make_server: MakeServer) -> None:
    server = make_server(accounts=[row("Acme", plan={"width": 640})])
    server.add_accounts(row("Shop"), row("Blank", " "), row("Odd", loginURL="ftp://example"))
    server.sql("INSERT INTO accounts (name, token, properties, created) VALUES ('Broken', 'b', '{', 0)")

    assert server.api("/update-accounts") == {
        "status": "Updating Accounts",
        "accounts": 3,
        "plans": 1,
        "skipped": [
            {"row": "account 3 'Blank'", "why": "skipped: the token is empty"},
            {"row": "account 5 'Broken'", "why": "skipped: properties are not a JSON object"},
        ],
        "warnings": [
            {
                "row": "account 4 'Odd'",
                "why": "loginURL is not an http:// or https:// address: it is ignored",
            }
        ],
        "disconnected": 0,
    }
    assert server.api("/status", token="Shop-token")["account"] == "Shop"


def test_a_reload_ends_the_connections_of_suspended_accounts(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(accounts=[row("Acme"), row("Shop")])
    alice, bob = clients.token("Acme-token", server=server), clients.token("Shop-token", server=server)
    server.sql("""UPDATE accounts SET properties = '{"suspended": true}' WHERE name = 'Acme'""")
    assert server.api("/update-accounts")["disconnected"] == 1
    alice.wait_disconnected()
    assert bob.is_open()
    assert server.api("/status", token="Acme-token")["status"] == "Inactive"


def test_a_failing_reload_says_so_and_keeps_the_accounts(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(accounts=[row("Acme")])
    server.sql("ALTER TABLE accounts RENAME TO elsewhere")
    answer = server.get("/update-accounts")
    assert answer.status_code == 503
    assert answer.json()["status"] == "Update failed"
    assert answer.json()["error"]
    ok(clients.token("Acme-token", server=server), "publish", "Alice", "Lobby", {})


def test_reloads_at_the_same_time_all_succeed(make_server: MakeServer) -> None:
    server = make_server(accounts=[row("Acme")])
    answers: list[Any] = []

    def reload() -> None:
        answers.append(requests.get(server.url + "/update-accounts", timeout=10).json()["accounts"])

    threads = [threading.Thread(target=reload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 8


# --- health ---


def test_a_server_whose_database_answers_is_ready(server: Server) -> None:
    assert server.api("/health") == {"status": "ok"}
    assert server.api("/ready") == {"status": "ok", "components": {"database": "ok", "accounts": "ok"}}


def test_a_server_whose_database_is_down_lives_but_is_not_ready(make_server: MakeServer) -> None:
    url = f"mysql://alice:secret-password@127.0.0.1:{free_port()}/vws"
    server = make_server(VWS_ENV="production", API_KEY=KEY, DATABASE_URL=url)
    assert server.api("/health") == {"status": "ok"}

    answer = server.get("/ready")
    assert answer.status_code == 503
    failed = {"database": "failed", "accounts": "failed"}
    assert answer.json() == {"status": "failed", "components": failed}

    told = server.get("/ready", apikey=KEY)
    assert told.status_code == 503
    assert told.json()["components"]["accounts"] == "not loaded yet"
    assert told.json()["components"]["database"] not in ("ok", "failed")
    assert "secret-password" not in told.text


# --- HTTP ---


@pytest.mark.parametrize("path", [route.path for route in ROUTES])
def test_only_get_and_head(server: Server, path: str) -> None:
    assert requests.head(server.url + path, timeout=10).status_code == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = requests.request(method, server.url + path, timeout=10)
        assert (answer.status_code, answer.text) == (405, "Method Not Allowed")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/nothing", "/connections/Lobby", "/static/../vws/http/api.py", "/.env"])
def test_an_unknown_path_is_not_found(server: Server, path: str) -> None:
    answer = server.get(path)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", [*(route.path for route in ROUTES), "/nothing", "/static/vws.css"])
def test_every_answer_is_safe_to_show(server: Server, path: str) -> None:
    headers = server.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_what_is_going_on_is_never_cached(server: Server) -> None:
    for path in (*CLOSED, "/status", "/health", "/ready", "/"):
        assert server.get(path).headers["Cache-Control"] == "no-store"


def test_scripts_of_any_origin_may_read_answers_by_default(make_server: MakeServer) -> None:
    server = make_server(API_KEY=KEY, accounts=[row("Acme")])
    for path in ("/live", "/stats?apikey=key-%C3%A9-1", "/status?token=Acme-token"):
        headers = server.get(path, headers={"Origin": "https://shop.example"}).headers
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("path", [*CLOSED, "/status"])
def test_what_development_shows_without_a_key_is_for_no_other_sites_scripts(
    server: Server, path: str
) -> None:
    for key in ("", "wrong"):
        headers = server.get(path, headers={"Origin": "https://shop.example"}, apikey=key).headers
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_token_opens_to_them_what_is_not_for_tokens(server: Server) -> None:
    headers = server.get("/stats", headers={"Origin": "https://shop.example"}, token="x").headers
    assert "Access-Control-Allow-Origin" not in headers


def test_scripts_of_other_origins_may_not_when_origins_are_listed(make_server: MakeServer) -> None:
    server = make_server(ALLOWED_ORIGINS="https://shop.example,https://acme.example")

    def allowed(origin: str | None) -> str | None:
        answer = server.get("/live", headers={"Origin": origin} if origin else None)
        assert "Origin" in answer.headers["Vary"]
        return answer.headers.get("Access-Control-Allow-Origin")

    assert allowed("https://acme.example") == "https://acme.example"
    assert allowed("https://evil.example") is None
    assert allowed(None) is None
