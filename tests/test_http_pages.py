"""The page for people at `/`, and the Socket.IO client that pages load from the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import BrowserContext, expect
from werkzeug.datastructures import Headers

from tests.conftest import MakeServer
from tests.support.server import ROOT, Server
from vws import __version__
from vws.config import Config
from vws.demo import DEMOS
from vws.factory import create_app
from vws.http.access import Access
from vws.http.pages import say_duration
from vws.http.routes import ROUTES
from vws.ice_check import FRESH

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CLIENT = "/socket.io/socket.io.js"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "text/*"])
def test_browsers_get_a_page(server: Server, accept: str) -> None:
    answer = server.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    for shown in ("VWS", __version__, "signaling", f"ws://127.0.0.1:{server.port}"):
        assert shown in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.9", ""])
def test_programs_get_json(server: Server, accept: str) -> None:
    answer = server.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert "Accept" in answer.headers["Vary"]


def test_the_page_says_how_often_the_server_tests(server: Server) -> None:
    page = " ".join(server.get("/", headers={"Accept": BROWSER}).text.split())
    assert f"at most every {FRESH // 60_000} minutes" in page


def test_the_icon_is_there_by_both_addresses(server: Server) -> None:
    page = server.get("/", headers={"Accept": BROWSER}).text
    (linked,) = re.findall('<link rel="icon" href="(.*?)"', page)
    for path in (linked, "/favicon.ico"):
        answer = server.get(path)
        assert answer.ok
        assert answer.headers["Content-Type"].startswith("image/svg+xml")
        assert answer.text.startswith("<svg")


def test_the_page_follows_the_settings(make_server: MakeServer) -> None:
    server = make_server(tls=True, NGINX_HOST="http://nginx.example", ENFORCE_SDP="1")
    page = server.get("/", headers={"Accept": BROWSER}).text
    assert f"wss://127.0.0.1:{server.port}" in page
    assert "enforce-sdp" in page
    assert "not configured" not in page


def test_what_a_request_says_is_escaped(server: Server) -> None:
    page = server.get("/", headers={"Accept": BROWSER, "Host": "<script>alert(1)</script>"}).text
    assert "<script>" not in page
    assert page.count("<script") == 1


def test_the_page_runs_scripts_of_this_server_alone(server: Server) -> None:
    policy = server.get("/", headers={"Accept": BROWSER}).headers["Content-Security-Policy"]
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/static/nowhere.js", 404),
        ("GET", "/static/vendor/package.json", 200),
        ("GET", "/hls/Acme/Stage/index.m3u8", 404),
        ("POST", "/", 405),
        ("OPTIONS", "/demo", 405),
        ("PUT", "/demo/room", 405),
        ("GET", "/status?token=", 400),
        ("GET", "/status?token=wrong", 401),
        ("GET", "/socket.io/", 400),
        ("GET", "/socket.io/?EIO=4&transport=polling&sid=<b>", 400),
        ("GET", "/socket.io/?EIO=4&transport=polling&j=0", 400),
        ("GET", "/openapi.json", 200),
    ],
)
def test_what_is_no_page_can_run_nothing(server: Server, method: str, path: str, status: int) -> None:
    answer = requests.request(method, server.url + path, headers={"Accept": BROWSER}, timeout=10)
    assert answer.status_code == status
    harmless(answer.headers)


def test_a_fault_can_run_nothing_either(tmp_path: Path) -> None:
    app, _ = create_app(Config.from_env({"DATABASE_URL": f"sqlite:///{tmp_path}/vws.db"}))
    app.add_url_rule("/fault", view_func=_fail)
    answer = app.test_client().get("/fault", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    harmless(answer.headers)


def _fail() -> str:
    raise RuntimeError("<b>on purpose</b>")


def harmless(headers: Mapping[str, str] | Headers) -> None:
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "html" not in headers["Content-Type"]


@pytest.mark.parametrize("path", ["/", "/demo", *(f"/demo/{name}" for name in DEMOS)])
def test_what_the_address_says_is_not_on_the_page(server: Server, path: str) -> None:
    mischief: dict[str, Any] = dict.fromkeys(
        ("name", "channel", "relay", "account", "token", "page", "title"), '"><script>'
    )
    assert "<script>" not in server.get(path, headers={"Accept": BROWSER}, **mischief).text


QUESTIONS: list[dict[str, Any]] = [{}, {"apikey": "", "token": ""}]
OPEN = [route.path for route in ROUTES if route.access is Access.OPEN]


@pytest.mark.parametrize("secret", ["COTURN_PASSWORD", "COTURN_SECRET"])
def test_nothing_open_gives_a_secret_of_production_away(make_server: MakeServer, secret: str) -> None:
    secrets: dict[str, Any] = {
        "STATIC_TOKEN": "secret-0",
        "API_KEY": "secret-1",
        secret: "secret-2",
        "NGINX_KEY": "secret-3",
        "DATABASE_URL": "mysql://vws:secret-4@127.0.0.1:9/vws",
    }
    others: dict[str, Any] = {"COTURN_USER": "vws", "NGINX_HOST": "http://127.0.0.1:9"}
    server = make_server(VWS_ENV="production", DEMO="true", COTURN_SERVER="127.0.0.1:9", **others, **secrets)
    for path in [*OPEN, "/nowhere", "/hls/Acme/Stage/index.m3u8"]:
        for accept in (BROWSER, "application/json"):
            for question in QUESTIONS:
                answer = server.get(path, headers={"Accept": accept, "X-API-Key": "wrong"}, **question)
                assert "secret-" not in answer.text + str(answer.headers), path
    assert "secret-" not in server.log()


def test_the_page_loads_its_style_and_scripts_and_nothing_from_elsewhere(
    server: Server, context: BrowserContext
) -> None:
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.emulate_media(color_scheme="light")
    page.goto(server.url)
    assert page.title() == f"VWS {__version__}"
    expect(page.locator("#own-summary")).to_have_text("Error: STUN 127.0.0.1:9: unreachable")
    assert {url for url in asked if not url.startswith((f"{server.url}/", "data:"))} == set()
    assert {f"{server.url}/static/vws.css", f"{server.url}/static/info/main.js"} <= set(asked)
    assert said == [], "a breach of the page's own policy is told on the console"

    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) not in (light, "rgba(0, 0, 0, 0)")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_said_as_people_do_with_and_without_scripts(
    server: Server, context: BrowserContext, seconds: float, expected: str
) -> None:
    assert say_duration(round(seconds * 1000)) == expected
    page = context.new_page()
    page.goto(server.url)
    script = "async ms => (await import('/static/info/page.js')).duration(ms)"
    assert page.evaluate(script, seconds * 1000) == expected


@pytest.mark.parametrize("name", ["socket.io.js", "socket.io.min.js"])
def test_the_browser_client_is_served_as_it_was_fetched(server: Server, name: str) -> None:
    fetched = ROOT / "static/vendor/node_modules/socket.io-client/dist" / name
    answer = server.get(f"/socket.io/{name}")
    assert answer.content == fetched.read_bytes()
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    again = server.get(f"/socket.io/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_a_page_elsewhere_can_load_the_client(
    server: Server, context: BrowserContext, pages_url: str
) -> None:
    page = context.new_page()
    page.goto(f"{pages_url}/")
    page.add_script_tag(url=server.url + CLIENT)
    assert page.evaluate("typeof io") == "function"


def test_without_the_client_the_answer_says_how_to_fetch_it(tmp_path: Path) -> None:
    app, _ = create_app(Config.from_env({"DATABASE_URL": f"sqlite:///{tmp_path}/vws.db"}))
    app.static_folder = str(tmp_path)  # the client was not fetched into this one
    answer = app.test_client().get(CLIENT)
    assert answer.status_code == 404
    assert answer.text == "The Socket.IO client is not here yet: deploy/setup.sh fetches it."
