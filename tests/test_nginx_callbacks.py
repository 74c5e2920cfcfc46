"""nginx's callbacks as requests: what they must hold, whom sites let in, and who waits for whom."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from tests.conftest import Clients, MakeServer, finishing
from tests.support.raw import Raw, request
from tests.support.raw_site import RawSite, json_answer, raw_site
from tests.support.server import Server, row, until
from vws.http.routes import CALLBACKS

PATHS = [route.path for route in CALLBACKS]
KEY = "key"
UPDATES = "60"


@pytest.fixture(scope="module")
def module_site() -> Iterator[RawSite]:
    with raw_site() as site:
        yield site


@pytest.fixture
def site(module_site: RawSite) -> RawSite:
    """Return a site for `streamUrl` and `notifyUrl` that knows nothing yet."""
    module_site.reset()
    module_site.answer = json_answer(200, {})
    return module_site


@pytest.fixture(scope="module")
def module_server(
    start_server: MakeServer, module_site: RawSite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    accounts = [
        row("Acme", broadcastPin=1234, playbackPin="out"),
        row("Fresh paint"),
        row("Site", streamUrl=f"{module_site.url}?shop=1"),
        row("Misspelt", broadcastPin="in", streamUrl="http://a..b/", notifyUrl="http://a..b/"),
        row("Told", broadcastPin="in", notifyUrl=f"{module_site.url}?shop=2"),
    ]
    server = start_server(
        NGINX_HOST="http://127.0.0.1:9",
        NGINX_HLS_PATH=str(tmp_path_factory.mktemp("hls")),
        NGINX_UPDATE_INTERVAL=UPDATES,
        AUTH_RATE_LIMIT="0",
        accounts=accounts,
    )
    with finishing([server]):
        yield server


@pytest.fixture
def server(module_server: Server) -> Iterator[Server]:
    yield module_server
    for name, shown in module_server.api("/channels"):
        for client in (3, 4):
            call(module_server, "on_publish_done", f"{shown['account']}/{name}", client=client)
    module_server.idle()


def call(server: Server, what: str, name: str, arguments: str = "", *, client: int = 3) -> requests.Response:
    """Post what nginx would."""
    kind = {"on_publish": "publish", "on_play": "play", "on_update": "update_publish"}.get(what, what[3:])
    head = "app=live&flashver=&swfurl=&tcurl=&pageurl=&addr=127.0.0.1"
    form = f"{head}&clientid={client}&call={kind}&name={name}&type=live&{arguments}"
    return server.post(f"/nginx/{what}", form.encode(), apikey=KEY)


def streams(server: Server) -> list[str]:
    return [name for name, _ in server.api("/channels")]


# --- the door ---


def test_callbacks_need_the_key(make_server: MakeServer) -> None:
    server = make_server(VWS_ENV="production", API_KEY=KEY, NGINX_HOST="http://127.0.0.1:9")
    assert len(PATHS) == 5
    for path in PATHS:
        assert server.post(path, b"name=Acme/Stage").status_code == 401
        for key in ("", "wrong"):
            assert server.post(path, f"name=Acme/Stage&apikey={KEY}", apikey=key).status_code == 401
        assert server.post(path, b"", apikey=KEY).status_code == 403


def test_without_nginx_nothing_is_there(make_server: MakeServer) -> None:
    server = make_server()
    for path in PATHS:
        for answer in (server.post(path, b"clientid=1&name=Acme/Stage"), server.get(path)):
            assert (answer.status_code, answer.text) == (404, "Not Found")


NAMES = [
    "", "/", "Acme", "Acme/", "//", "/Stage", "Acme/..", "Acme/.", "../Stage", "..%2fStage", "Acme/a/b",
    "Acme/a%2fb", "Acme%2f..%2f..%2fetc", "Acme/.hidden", ".git/Stage", "Acme/a%00b", "Acme/a%0ab",
    "Acme/a%5cb", "Acme/%ff%fe", "Acme/" + "x" * 256, "Acme/" + "%c3%a4" * 128, "A" * 256 + "/Stage",
    "__proto__/Stage", "Nobody/Stage",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_streams_are_refused(server: Server, name: str) -> None:
    folder = Path(server.settings["NGINX_HLS_PATH"])
    before = sorted(folder.parent.rglob("*"))
    assert call(server, "on_publish", name, "token=static-token&pin=1234").status_code == 403
    assert call(server, "on_update", name, "token=static-token").status_code == 403
    assert streams(server) == []
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("client", ["", "-1", "x", "1" * 21, "1%0a"])
def test_a_client_needs_a_number(server: Server, client: str) -> None:
    form = f"name=Acme/Stage&pin=1234&clientid={client}"
    assert server.post("/nginx/on_publish", form.encode()).status_code == 403


def test_the_accounts_folder_is_made_once_somebody_is_let_in(server: Server) -> None:
    folder = Path(server.settings["NGINX_HLS_PATH"]) / "Fresh paint"
    assert call(server, "on_publish", "Fresh paint/Stage", "pin=wrong").status_code == 403
    assert not folder.exists()
    for _ in range(2):
        assert call(server, "on_publish", "Fresh paint/Stage", "token=Fresh paint-token").ok
        assert folder.is_dir()
        assert call(server, "on_publish_done", "Fresh paint/Stage").ok


def test_a_folder_that_cannot_be_made_is_told(make_server: MakeServer) -> None:
    server = make_server(NGINX_HOST="http://127.0.0.1:9", NGINX_HLS_PATH="/nowhere/hls")
    assert call(server, "on_publish", "_static/Stage", "token=static-token").status_code == 403
    server.wait_log("warning rtmp-failed .*No such file or directory")
    assert streams(server) == []


def test_of_repeated_fields_the_first_counts(server: Server) -> None:
    tail = "name=Site/Stage&clientid=9&addr=9.9.9.9&pin=wrong&token=static-token"
    assert call(server, "on_publish", "Acme/Stage", f"pin=1234&{tail}").ok
    assert streams(server) == ["Stage"]
    assert call(server, "on_publish_done", "Acme/Stage", "pin=1234&" + tail, client=9).ok
    assert streams(server) == ["Stage"]
    assert call(server, "on_publish_done", "Acme/Stage").ok
    assert call(server, "on_publish", "Acme/Stage", "pin=wrong&pin=1234").status_code == 403


def test_a_form_of_too_many_fields_is_refused(server: Server) -> None:
    answer = call(server, "on_publish", "Acme/Stage", "pin=1234" + "&a=b" * 500)
    assert (answer.status_code, answer.text) == (403, "the form has too many fields")


def test_an_update_of_somebody_who_does_nothing_changes_nothing(server: Server) -> None:
    form = b"clientid=3&call=update&name=Acme/Stage&pin=1234"
    assert server.post("/nginx/on_update", form).ok
    assert streams(server) == []


def test_callbacks_in_http_1_0_are_answered(server: Server) -> None:
    body = b"clientid=3&name=//Acme/Stage&pin=1234"
    for path in ("on_publish", "on_publish_done"):
        head = (
            f"POST /nginx/{path}?apikey={KEY} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: Close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with Raw(server) as raw:
            raw.send(head.encode() + body)
            assert raw.status() == 200
            raw.all()


def test_who_plays_cannot_publish_on_the_same_connection(server: Server) -> None:
    assert call(server, "on_play", "Acme/Stage", "pin=out").ok
    refusal = call(server, "on_publish", "Acme/Balcony", "pin=1234")
    assert (refusal.status_code, refusal.text) == (403, "One connection carries one stream.")
    assert server.api("/stats")["Acme"]["connections"] == 1
    assert call(server, "on_play_done", "Acme/Stage").ok
    assert call(server, "on_publish", "Acme/Balcony", "pin=1234").ok


PASSES = [
    ("on_publish", "pin=1234"),
    ("on_publish", "token=Acme-token"),
    ("on_publish", "token=static-token"),
    ("on_publish", "token=Acme-token/stream"),
    ("on_publish", "token=wrong&pin=1234"),
    ("on_publish", "token=Acme-token&pin=wrong"),
    ("on_play", "pin=out"),
    ("on_update", "pin=1234"),
]
FAILS = [
    ("on_publish", ""),
    ("on_publish", "pin=&token="),
    ("on_publish", "pin=out"),
    ("on_publish", "pin=1234.0"),
    ("on_publish", "token=Site-token"),
    ("on_publish", "token=/stream"),
    ("on_publish", "token=Acme-token/stream/stream"),
    ("on_play", "pin=1234"),
    ("on_update", "pin=out"),
]


@pytest.mark.parametrize(("what", "arguments"), PASSES)
def test_a_right_token_or_pin_lets_in(server: Server, what: str, arguments: str) -> None:
    assert call(server, what, "Acme/Stage", arguments).ok
    kind = "on_play_done" if what == "on_play" else "on_publish_done"
    assert call(server, kind, "Acme/Stage").ok


@pytest.mark.parametrize(("what", "arguments"), FAILS)
def test_nothing_else_does(server: Server, what: str, arguments: str) -> None:
    assert call(server, what, "Acme/Stage", arguments).status_code == 403


def test_guessing_pins_is_limited(make_server: MakeServer) -> None:
    server = make_server(
        NGINX_HOST="http://127.0.0.1:9", AUTH_RATE_LIMIT="2", accounts=[row("Acme", broadcastPin="in")]
    )
    for _ in range(2):
        assert "neither" in call(server, "on_publish", "Acme/Stage", "pin=guess").text
    answer = call(server, "on_publish", "Acme/Stage", "pin=in")
    assert (answer.status_code, answer.text[:17]) == (403, "Too many requests")


# --- after a restart ---


@contextlib.contextmanager
def database_away(server: Server) -> Iterator[None]:
    """Restart the server without its database, which is back after the block."""
    server.stop()
    path, away = server.folder / "vws.db", server.folder / "away.db"
    path.rename(away)
    path.mkdir()
    server.start()
    yield
    path.rmdir()
    away.rename(path)


def test_streams_outlive_a_restart_while_the_database_is_away(make_server: MakeServer) -> None:
    server = make_server(
        NGINX_HOST="http://127.0.0.1:9",
        AUTH_RATE_LIMIT="1",
        ACCOUNT_RETRY="1",
        accounts=[row("Acme", broadcastPin="in", playbackPin="out")],
    )
    assert call(server, "on_publish", "Acme/Stage", "pin=in").ok
    with database_away(server):
        assert call(server, "on_update", "Acme/Stage", "pin=in").ok
        assert call(server, "on_publish", "Acme/Stage", "pin=in").status_code == 403
        for key in ("pin=out", "session=of-before"):
            answer = server.get(f"/hls/Acme/Stage/index.m3u8?{key}")
            assert (answer.status_code, answer.text) == (503, "the accounts are not loaded yet")
        assert streams(server) == []
    until(lambda: server.get("/ready").ok, what="the accounts to be loaded")
    assert call(server, "on_update", "Acme/Stage", "pin=in").ok  # no guess was held against the address
    assert streams(server) == ["Stage"]
    assert call(server, "on_publish_done", "Acme/Stage").ok


def test_streams_outlive_a_restart_while_their_site_fails(make_server: MakeServer, site: RawSite) -> None:
    site.answer = json_answer(200, {"broadcastPin": "in"})
    server = make_server(NGINX_HOST="http://127.0.0.1:9", accounts=[row("Site", streamUrl=site.url)])
    assert call(server, "on_publish", "Site/Stage", "pin=in").ok
    server.restart()
    site.answer = json_answer(500, {})
    assert call(server, "on_update", "Site/Stage", "pin=in").ok
    server.wait_log("warning rtmp-failed call=publish account=Site .*answered 500")
    assert streams(server) == []
    site.answer = json_answer(200, {"broadcastPin": "in"})
    assert call(server, "on_update", "Site/Stage", "pin=in").ok
    assert streams(server) == ["Stage"]
    assert call(server, "on_publish_done", "Site/Stage").ok


# --- streamUrl ---


def test_the_stream_site_is_asked_for_pins(server: Server, site: RawSite) -> None:
    site.answer = json_answer(200, {"broadcastPin": 77, "playbackPin": "88"})
    assert call(server, "on_publish", "Site/Stage", "pin=77").ok
    assert call(server, "on_play", "Site/Stage", "pin=88", client=4).ok
    assert call(server, "on_play", "Site/Stage", "pin=77", client=5).status_code == 403
    assert call(server, "on_play_done", "Site/Stage", client=4).ok
    head, form = site.calls[0][1], parse_qs(site.bodies[0].decode())
    assert head.startswith("POST /login?shop=1 HTTP/1.1")
    assert form == {"token": ["Site-token"], "stream": ["Stage"], "type": ["broadcast"]}
    assert parse_qs(site.bodies[1].decode())["type"] == ["playback"]


BROKEN: dict[str, tuple[bytes, str]] = {
    "denied": (json_answer(200, {"deny": 1, "info": "Not today", "broadcastPin": "1"}), "Not today"),
    "status 500": (json_answer(500, {"broadcastPin": "1"}), "the stream site answered 500"),
    "a redirect": (json_answer(302, {}, "Location: /ok"), "the stream site answered 302"),
    "a redirect of odd bytes": (
        b"HTTP/1.1 302 Found\r\nLocation: \xff\r\nContent-Length: 0\r\n\r\n",
        "UnicodeDecodeError from the stream site",
    ),
    "no JSON": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "is not a JSON object"),
    "an empty pin": (json_answer(200, {"broadcastPin": ""}), "neither the token nor the pin"),
}


@pytest.mark.parametrize(("answer", "why"), BROKEN.values(), ids=BROKEN)
def test_a_stream_site_that_does_not_say_yes(server: Server, site: RawSite, answer: bytes, why: str) -> None:
    site.answer = answer
    refusal = call(server, "on_publish", "Site/Stage", "pin=1")
    assert refusal.status_code == 403
    server.wait_log(f"rtmp-(refused|failed) .*{why}")
    assert streams(server) == []


def test_a_site_of_a_name_that_cannot_be_is_told(server: Server) -> None:
    assert call(server, "on_publish", "Misspelt/Stage", "pin=1").status_code == 403
    server.wait_log("warning rtmp-failed .*account=Misspelt .*LocationParseError from the stream site")
    assert call(server, "on_publish", "Misspelt/Stage", "pin=in").ok
    server.wait_log("warning notify-site-failed account=Misspelt .*LocationParseError")


def test_questions_to_a_site_that_denies_are_limited(make_server: MakeServer, site: RawSite) -> None:
    site.answer = json_answer(200, {"deny": 1})
    server = make_server(
        NGINX_HOST="http://127.0.0.1:9",
        AUTH_RATE_LIMIT="3",
        accounts=[row("Site", streamUrl=site.url), row("Acme", broadcastPin="in")],
    )
    texts = [call(server, "on_publish", "Site/Stage", "pin=1").text for _ in range(6)]
    assert ["Too many requests" in text for text in texts] == [False] * 3 + [True] * 3
    assert len(site.calls) == 3
    assert call(server, "on_publish", "Acme/Stage", "pin=in").ok  # that was no guess at any key
    assert call(server, "on_publish_done", "Acme/Stage").ok


def test_slow_sites_refuse_after_5_seconds_or_stop_nothing_and_keep_nobody_else_waiting(
    server: Server, site: RawSite, clients: Clients
) -> None:
    site.pace = 1  # a byte a second
    began = time.monotonic()
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    with Raw(server) as waiting:
        body = b"clientid=3&name=Site/Stage&pin=1"
        head = (
            f"POST /nginx/on_publish HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        waiting.send(head.encode() + body)
        until(lambda: len(site.calls) == 2, what="the sites to be asked")
        started = time.monotonic()
        assert started - began < 2
        alice = clients.token(server=server)
        assert alice.call("subscribe", "Alice", "Lobby")["ok"]
        assert call(server, "on_publish", "Acme/Stage", "pin=1234", client=4).ok
        assert call(server, "on_update", "Told/Stage", "pin=in").ok
        assert time.monotonic() - started < 2
        assert waiting.status() == 403
        assert time.monotonic() - started < 6
    why = 'reason="no answer in 5 seconds"'
    server.wait_log(f"warning rtmp-failed .*account=Site .*{why}")
    server.wait_log(f"warning notify-site-failed account=Told {why}")
    assert sorted(streams(server)) == ["Stage", "Stage"]
    alice.close()
    site.pace = 0
    site.bodies.clear()
    end_told(server, site)


@pytest.mark.parametrize("kind", ["publish", "play"])
def test_who_leaves_while_the_site_answers_is_not_let_in(server: Server, site: RawSite, kind: str) -> None:
    site.answer, site.pace = json_answer(200, {"broadcastPin": "in", "playbackPin": "in"}), 0.02
    with Raw(server) as entering:
        entering.send(request("POST", "/nginx/on_" + kind, b"clientid=3&name=Site/Stage&pin=in"))
        until(lambda: site.calls, what="the site to be asked")
        assert call(server, f"on_{kind}_done", "Site/Stage").ok
        assert entering.status() == 403
    assert "Site" not in server.api("/stats")
    site.pace = 0
    assert call(server, f"on_{kind}", "Site/Stage", "pin=in").ok  # the same one, once more
    assert call(server, f"on_{kind}_done", "Site/Stage").ok


def test_a_site_that_hangs_leaves_places_to_other_accounts(make_server: MakeServer, site: RawSite) -> None:
    with raw_site() as hanging:
        hanging.answer = b""
        site.answer = json_answer(200, {"broadcastPin": "in"})
        server = make_server(
            NGINX_HOST="http://127.0.0.1:9",
            MAX_LOGINS="8",
            accounts=[row("Hanging", streamUrl=hanging.url), row("Site", streamUrl=site.url)],
        )
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                asker = stack.enter_context(Raw(server))
                asker.send(request("GET", "/hls/Hanging/Stage/index.m3u8?pin=guess"))
            until(lambda: len(hanging.calls) == 6, what="the site to be asked")
            assert call(server, "on_publish", "Site/Stage", "pin=in").ok
        assert len(hanging.calls) == 6


# --- notifyUrl ---


def told(site: RawSite) -> list[dict[str, Any]]:
    forms = [parse_qs(body.decode()) for body in site.bodies]
    assert all(form["token"] == ["Told-token"] for form in forms)
    return [json.loads(form["streams"][0]) for form in forms]


def end_told(server: Server, site: RawSite, stream: str = "Stage", *, client: int = 3) -> None:
    """End a stream; return when its site knows, or the next test would hear of it."""
    assert call(server, "on_publish_done", f"Told/{stream}", client=client).ok
    until(lambda: site.bodies and told(site)[-1] == {}, what="the last notice")


def test_the_notify_site_hears_of_streams_that_begin_and_end(server: Server, site: RawSite) -> None:
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    until(lambda: site.bodies, what="the first notice")
    begun = told(site)[0]
    assert list(begun) == ["Stage"]
    assert begun["Stage"]["type"] == "rtmp"
    end_told(server, site)
    assert site.calls[0][1].startswith("POST /login?shop=2 HTTP/1.1")


def test_what_the_notify_site_disconnects_has_to_go(server: Server, site: RawSite) -> None:
    site.answer = json_answer(
        200, {"streams": {"Stage": {"disconnect": "Enough"}, "Other": {"disconnect": 1}}}
    )
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    assert call(server, "on_publish", "Told/Balcony", "pin=in", client=4).ok
    server.wait_log("rtmp-dismissed .*stream=Stage reason=Enough")
    assert call(server, "on_update", "Told/Balcony", "pin=in", client=4).ok
    refusal = call(server, "on_update", "Told/Stage", "pin=in")
    assert refusal.status_code == 403
    assert "Enough" in refusal.text
    assert streams(server) == ["Balcony"]
    end_told(server, site, "Balcony", client=4)


def test_the_notify_site_disconnects_nobody_who_came_after_its_question(
    server: Server, site: RawSite
) -> None:
    site.answer, site.pace = json_answer(200, {"streams": {"Stage": {"disconnect": "Enough"}}}), 0.01
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    until(lambda: site.calls, what="the first notice")
    site.answer, site.pace = json_answer(200, {}), 0  # of the notices that follow
    assert call(server, "on_publish_done", "Told/Stage").ok
    assert call(server, "on_publish", "Told/Stage", "pin=in", client=4).ok
    assert len(site.calls) == 1  # the site hears one notice after another
    until(lambda: len(site.calls) == 2, what="the second notice, so the first was answered")
    assert call(server, "on_update", "Told/Stage", "pin=in", client=4).ok
    end_told(server, site, client=4)


@pytest.mark.parametrize("streams_told", [[], {"Stage": {"disconnect": ""}}, {"Stage": []}, "Stage", None])
def test_an_answer_that_disconnects_nobody(server: Server, site: RawSite, streams_told: Any) -> None:
    site.answer = json_answer(200, {"streams": streams_told})
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    until(lambda: site.bodies, what="the notice")
    assert call(server, "on_update", "Told/Stage", "pin=in").ok
    end_told(server, site)


def test_a_notify_site_that_is_broken_stops_no_stream(server: Server, site: RawSite) -> None:
    site.answer = json_answer(500, {})
    assert call(server, "on_publish", "Told/Stage", "pin=in").ok
    server.wait_log("warning notify-site-failed account=Told .*answered 500")
    assert call(server, "on_update", "Told/Stage", "pin=in").ok
    site.answer = json_answer(200, {})
    end_told(server, site)
