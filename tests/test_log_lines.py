"""The log: one line for each thing that an operator wants to know, and nothing that is nobody's business."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.client import ConnectRefused
from tests.support.login_site import LoginSite
from tests.support.raw_site import raw_site
from tests.support.server import Server, row, until

PIN, WRONG_TOKEN, ACME_TOKEN, KEY = "pin-4711", "guessed-token", "acme-secret", "api-key-0815"
SDP = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\na=fingerprint:sha-256 AA:BB"
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) [a-z.-]+( [a-zA-Z]+=\S.*)?"
)


@pytest.fixture(scope="module")
def log_server(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    """Return a production server of this module's own: what the log holds is known."""
    server = start_server(
        VWS_ENV="production",
        API_KEY=KEY,
        AUTH_RATE_LIMIT="0",
        accounts=[row("Acme", ACME_TOKEN, loginURL=session_login_site.url("/ok"))],
    )
    with finishing([server]):
        yield server


@pytest.fixture
def lines(log_server: Server) -> Callable[..., dict[str, str]]:
    """Return a reader of the log's new lines: the fields of the only line of that kind.

    Fails when there are more of them than one, and when one is not well formed.
    """
    before = len(log_server.log())

    def only(name: str, **wanted: str) -> dict[str, str]:
        def found() -> list[dict[str, str]]:
            fields = [fields_of(line) for line in log_server.log()[before:].splitlines()]
            return [each for each in fields if each["name"] == name and wanted.items() <= each.items()]

        until(found, what=lambda: f"{name} {wanted} in:\n{log_server.log()[before:]}")
        assert len(found()) == 1, found()
        return found()[0]

    return only


def fields_of(line: str) -> dict[str, str]:
    """Read a line; every one has the same form, in ASCII."""
    assert line.isascii()
    assert line.isprintable()
    assert LINE.fullmatch(line), line
    _, level, event, *fields = shlex.split(line.replace("\\n", "/n").replace("\\u", "/u"))
    return {"level": level, "name": event, **dict(each.split("=", 1) for each in fields)}


def test_connecting_and_leaving_are_a_line_each(
    log_server: Server, clients: Clients, lines: Callable[..., dict[str, str]]
) -> None:
    client = clients.verified("Alice", pin=PIN, account="Acme", server=log_server)
    expected = {"level": "info", "account": "Acme", "user": "Alice", "socket": client.sid}
    assert lines("connect", socket=client.sid) == {**expected, "name": "connect", "address": "127.0.0.1"}
    client.close()
    left = lines("disconnect", socket=client.sid)
    assert left.pop("reason")
    assert left == {**expected, "name": "disconnect"}


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ({"token": WRONG_TOKEN}, "Authentication error"),
        ({"account": "Nobody", "user": "Refused 1", "pin": PIN}, "Account not found"),
        ({"account": "Acme", "user": "Refused 2", "pin": "wrong"}, "Wrong pin"),
    ],
    ids=["token", "account", "pin"],
)
def test_a_refusal_is_a_line_with_its_reason(
    log_server: Server,
    clients: Clients,
    lines: Callable[..., dict[str, str]],
    auth: dict[str, str],
    reason: str,
) -> None:
    client = clients(log_server)
    with pytest.raises(ConnectRefused, match=reason):
        client.connect(auth)
    line = lines("refused", reason=reason)
    assert (line["level"], line["address"]) == ("info", "127.0.0.1")
    assert line.get("user") == auth.get("user")


def test_a_broken_login_site_is_told_from_a_refusal(
    make_server: MakeServer, clients: Clients, login_site: LoginSite
) -> None:
    server = make_server(STATIC_LOGIN=login_site.url("/broken"))
    with pytest.raises(ConnectRefused, match="User authentication failed"):
        clients.verified("Alice", pin=PIN, server=server)
    [line] = server.wait_log(" login-site-failed ")
    assert fields_of(line)["level"] == "warning"
    assert "500" in fields_of(line)["reason"]
    assert not re.search(" refused ", server.log())


FLOODS = {
    "of a suspended account": ("/hls/Gone/Stage/index.m3u8", {"pin": "1"}, "hls-refused", "1"),
    "that a site would decide": ("/hls/Site/Stage/index.m3u8", {"pin": "1"}, "stream-site-failed", "0"),
    "that nginx would answer": ("/hls/Acme/Stage/index.m3u8", {"token": ACME_TOKEN}, "api-failed", "1"),
    "after too many guesses": ("/nginx/on_publish", {"apikey": KEY}, "rtmp-refused", "1"),
}


@pytest.mark.parametrize(("path", "key", "name", "limit"), FLOODS.values(), ids=FLOODS)
def test_requests_cannot_flood_the_log(
    make_server: MakeServer, unused_port: int, path: str, key: dict[str, Any], name: str, limit: str
) -> None:
    server = make_server(
        API_KEY=KEY,
        NGINX_HOST=f"http://127.0.0.1:{unused_port}",
        AUTH_RATE_LIMIT=limit,
        accounts=[
            row("Acme", ACME_TOKEN),
            row("Gone", suspended=True),
            row("Site", streamUrl=f"http://127.0.0.1:{unused_port}"),
        ],
    )
    for _ in range(200):
        if path.startswith("/nginx"):
            server.post(path, b"clientid=1&name=Acme/Stage&pin=wrong", **key)
        else:
            server.get(path, **key)
    lines = server.log().count(f" {name} ")
    assert 0 < lines < 150


def test_viewers_that_come_again_and_again_are_not_a_line_each(make_server: MakeServer) -> None:
    with raw_site() as nginx:
        nginx.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n#EXTM3U\n"
        host = nginx.url.removesuffix("/login")
        server = make_server(NGINX_HOST=host, accounts=[row("Acme", ACME_TOKEN)])
        for _ in range(200):
            assert server.get("/hls/Acme/Stage/index.m3u8", token=ACME_TOKEN).ok
    assert 50 <= server.log().count(" hls-viewer ") < 150


def test_what_clients_do_is_a_line_each(
    log_server: Server, clients: Clients, lines: Callable[..., dict[str, str]]
) -> None:
    alice = clients.verified("Alice", pin=PIN, account="Acme", server=log_server)
    who = {"level": "info", "socket": alice.sid, "account": "Acme"}
    assert alice.call("publish", "Alice", "Lobby", {"bitrate": 500, "audioBitrate": 32})["ok"]
    published = {"name": "publish", "peer": "Alice", "channel": "Lobby", "bitrate": "532"}
    assert who.items() | published.items() <= lines("publish").items()
    assert alice.call("unpublish", "Alice", "Lobby")["ok"]
    assert lines("unpublish")["channel"] == "Lobby"
    assert alice.call("subscribe", "Alice", "Other")["ok"]
    subscribed = {"name": "subscribe", "peer": "Alice", "channel": "Other"}
    assert who.items() | subscribed.items() <= lines("subscribe").items()
    assert alice.call("unsubscribe", "Alice", "Other")["ok"]
    assert lines("unsubscribe")["channel"] == "Other"
    assert alice.call("roomJoin", {"room": "Hall"})["ok"]
    assert alice.call("roomJoin", {"room": "Hall"})["ok"]
    assert who.items() | {"room": "Hall", "user": "Alice"}.items() <= lines("room-join").items()
    assert alice.call("roomLeave", {"room": "Hall"})["ok"]
    assert lines("room-leave")["room"] == "Hall"


def test_a_refused_event_is_a_line_with_its_reason(
    log_server: Server, clients: Clients, lines: Callable[..., dict[str, str]]
) -> None:
    alice = clients.verified("Alice", pin=PIN, account="Acme", server=log_server)
    assert not alice.call("publish", "Bob", "Lobby", {})["ok"]
    line = lines("refused", socket=alice.sid)
    assert line["reason"] == "Authentication mismatch: Alice != Bob"
    assert line["event"] == "publish"


def test_events_over_and_over_are_not_a_line_each(log_server: Server, clients: Clients) -> None:
    alice = clients.verified("Alice", pin=PIN, account="Acme", server=log_server)
    for number in range(100):
        alice.emit("subscribe", "Alice", f"Channel {number}")
        alice.emit("unsubscribe", "Alice", f"Channel {number}")
    for _ in range(100):
        alice.emit("roomJoin", {"room": "Hall"})
        alice.emit("roomLeave", {"room": "Hall"})
    alice.emit("unsubscribe", "Alice", "Channel 0")
    alice.nothing("message")
    assert alice.call("message", {"type": "x"}) is not None  # all that came before is done
    found = [fields_of(line) for line in log_server.log().splitlines() if f"socket={alice.sid}" in line]
    names = [each["name"] for each in found]
    assert names[:4] == ["connect", "subscribe", "unsubscribe", "subscribe"]
    assert 100 <= len(names) <= 130


def test_requests_that_make_no_sense_are_few_lines(log_server: Server) -> None:
    before = log_server.log().count("\n")
    for number in range(60):
        requests.head(f"{log_server.url}/socket.io/?EIO=4&transport=polling", timeout=10)
        log_server.get("/socket.io/?EIO=4&transport=websocket", headers={"Upgrade": "websocket"})
        log_server.get("/socket.io/?EIO=3", headers={"Origin": f"http://{number}"})
    assert 1 <= log_server.log().count("\n") - before <= 30


def test_an_address_that_guesses_on_is_a_line_and_then_none(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(AUTH_RATE_LIMIT="3")
    for number in range(20):
        with pytest.raises(ConnectRefused):
            clients.token(f"guess {number}", server=server)
    refused = [line for line in server.log().splitlines() if " refused " in line]
    assert len(refused) == 4
    assert "Too many requests" in refused[3]


def test_api_keys_that_are_guessed_are_not_a_line_each(make_server: MakeServer) -> None:
    server = make_server(VWS_ENV="production", API_KEY=KEY)
    for _ in range(200):
        assert server.get("/connections", apikey="x").status_code in (401, 403)
    assert 50 <= server.log().count(" api-refused ") <= 150


def test_a_reload_is_a_line(log_server: Server, lines: Callable[..., dict[str, str]]) -> None:
    log_server.api("/update-accounts")
    line = lines("reload")
    assert line["level"] == "info"
    assert int(line["accounts"]) >= 1


def test_names_cannot_forge_lines(
    log_server: Server, clients: Clients, lines: Callable[..., dict[str, str]]
) -> None:
    forged = '\r\n2026-01-01T00:00:00.000Z info connect socket=forged account="x'
    alice = clients.token(ACME_TOKEN, server=log_server)
    for name in (forged, f'"{forged}"', "\u2028" + forged, "\x1b[2J" + forged, "\x85" + forged):
        assert alice.call("subscribe", name, name)["ok"]
        alice.emit(name)
        with pytest.raises(ConnectRefused):
            clients(log_server).connect({"account": name, "user": name, "pin": PIN})
    assert not re.search("^[^ ]+ info connect socket=forged", log_server.log(), re.MULTILINE)
    for line in log_server.log().splitlines():
        if re.match(r"\d{4}-", line):
            assert LINE.fullmatch(line), line
            assert line.isascii()


def test_signals_and_secrets_are_not_in_the_log(log_server: Server, clients: Clients) -> None:
    alice = clients.verified("Alice", pin=PIN, account="Acme", server=log_server)
    bob = clients.token(ACME_TOKEN, server=log_server)
    assert alice.call("publish", "Alice", "Lobby", {"secret": "params-secret"})["ok"]
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    offer = {"type": "offer", "target": "Bob", "channel": "Lobby", "content": {"type": "offer", "sdp": SDP}}
    assert alice.call("messagePeer", offer)["ok"]
    bob.message("offer")
    assert not alice.call("messagePeer", {**offer, "target": "Nobody"})["ok"]
    assert not alice.call("messagePeer", {"type": "offer", "content": SDP})["ok"]
    alice.send_raw('42["messagePeer",{"content":"' + "v=0 a=fingerprint" + '",NaN}]')
    for auth in ({"token": WRONG_TOKEN}, {"account": "Acme", "user": "Bob", "pin": ["wrong", PIN]}):
        with pytest.raises(ConnectRefused):
            clients(log_server).connect(auth)
    log_server.get("/status", token=WRONG_TOKEN)
    log_server.get("/connections", apikey=KEY)
    log_server.get("/connections", apikey=WRONG_TOKEN)
    bob.nothing("message")
    alice.close()
    log = log_server.log()
    for secret in (PIN, WRONG_TOKEN, ACME_TOKEN, TOKEN, KEY, "fingerprint", "v=0", "params-secret"):
        assert secret not in log
