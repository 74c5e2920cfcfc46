"""Who gets to see the demo pages, and what is filled in there for whom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from tests.conftest import ACCOUNT, TOKEN, Clients, MakeServer
from tests.support.client import ConnectRefused
from tests.support.server import Runner, Server
from vws.config import Config
from vws.demo import DEMOS
from vws.demo_login import with_demo_account
from vws.factory import create_app

KEY = "api-key-0815"
PATHS = ["/demo", *(f"/demo/{name}" for name in DEMOS)]
PAGES = ["/", *PATHS]
CALLS = ("broadcast", "watch", "room")
HTML = {"Accept": "text/html"}
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "media-src 'self' blob: mediastream:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
}


def page(server: Server, path: str) -> requests.Response:
    return server.get(path, headers=HTML)


# --- who sees them ---


def test_in_development_the_pages_are_there_and_the_welcome_leads_to_them(server: Server) -> None:
    for path in PATHS:
        assert page(server, path).ok
        assert page(server, f"{path}/").ok
    for path in PATHS:
        assert f"{server.url}{path}\n" in server.log()
    assert 'href="/demo"' in page(server, "/").text


@pytest.mark.parametrize("settings", [{"VWS_ENV": "production"}, {"DEMO": "false"}])
def test_elsewhere_there_are_no_pages(make_server: MakeServer, settings: dict[str, str]) -> None:
    server = make_server(start=False, **settings)  # type: ignore[arg-type]  # none is called like an option
    server.start()
    for path in PATHS:
        answer = page(server, path)
        assert (answer.status_code, answer.text) == (404, "Not Found")
    assert "/demo" not in server.log()
    assert "/demo" not in page(server, "/").text


def test_production_shows_them_when_told_to_and_gives_no_secret_away(make_server: MakeServer) -> None:
    server = make_server(VWS_ENV="production", DEMO="true", API_KEY=KEY)
    assert f"{server.url}/demo/broadcast\n" in server.log()
    for path in PATHS:
        for shown in (page(server, path), server.get(path, apikey=KEY)):
            assert shown.ok
            assert not any(secret in shown.text for secret in (TOKEN, ACCOUNT, KEY))


# --- what is filled in ---


def test_in_development_there_is_nothing_to_type(make_server: MakeServer) -> None:
    server = make_server(STATIC_ACCOUNT="", STATIC_LOGIN="", STATIC_TOKEN='a"token')
    for path in ("/demo/broadcast", "/demo/watch"):
        assert 'name="token" type="password" value="a&#34;token"' in page(server, path).text
    room = page(server, "/demo/room").text
    assert 'name="account" type="text" value="_demo"' in room
    assert 'name="pin" type="password" value="a&#34;token"' in room


def test_an_account_that_is_set_up_is_the_one_of_the_room(server: Server, clients: Clients) -> None:
    room = page(server, "/demo/room").text
    assert f'name="account" type="text" value="{ACCOUNT}"' in room
    assert 'name="pin" type="password" value=""' in room
    with pytest.raises(ConnectRefused, match="Account not found"):
        clients.verified("Eve", account="_demo", pin=TOKEN)


def test_the_account_of_the_demo_lets_in_who_has_the_token(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(STATIC_ACCOUNT="", STATIC_LOGIN="")
    assert clients.verified("Alice", account="_demo", pin=TOKEN, server=server).is_open()
    for pin in ("wrong", ""):
        with pytest.raises(ConnectRefused, match=r"failed|error"):
            clients.verified("Eve", account="_demo", pin=pin, server=server)


@pytest.mark.parametrize(
    "environ",
    [
        {"VWS_ENV": "production", "DEMO": "true", "STATIC_TOKEN": TOKEN},
        {"VWS_ENV": "development", "DEMO": "false", "STATIC_TOKEN": TOKEN},
        {"VWS_ENV": "development"},
        {"VWS_ENV": "development", "STATIC_TOKEN": TOKEN, "STATIC_ACCOUNT": "Acme"},
    ],
)
def test_the_account_of_the_demo_is_only_there_where_it_is_needed(environ: dict[str, str]) -> None:
    config = Config.from_env(environ)
    assert with_demo_account(config) is config


# --- the client ---


def test_without_the_client_the_pages_say_how_to_get_it(tmp_path: Path) -> None:
    environ = {"VWS_ENV": "development", "DATABASE_URL": f"sqlite:///{tmp_path}/vws.db"}
    app, _ = create_app(Config.from_env(environ))
    app.static_folder = str(tmp_path)  # the client was not fetched into this one
    for name in CALLS:
        answer = app.test_client().get(f"/demo/{name}")
        assert answer.status_code == 200
        assert "deploy/setup.sh" in answer.text
        assert "<script" not in answer.text
    assert app.test_client().get("/demo").status_code == 200


def test_the_page_for_hls_knows_its_player_and_does_without(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(NGINX_HOST="http://127.0.0.1:1", NGINX_RTMP="rtmp://nginx.example/live")
    shown = page(server, "/demo/hls").text
    assert "<code>rtmp://nginx.example/live</code>" in shown
    assert 'name="account" type="text" value="_static"' in shown
    assert f'name="token" type="password" value="{TOKEN}"' in shown
    (library,) = re.findall('data-library="(.*?)"', shown)
    module = server.get(library)
    assert module.ok
    assert "javascript" in module.headers["Content-Type"]

    environ = {"VWS_ENV": "development", "NGINX_HOST": "http://127.0.0.1:1"}
    app, _ = create_app(Config.from_env({**environ, "DATABASE_URL": f"sqlite:///{tmp_path}/vws.db"}))
    app.static_folder = str(tmp_path)
    assert 'data-library=""' in app.test_client().get("/demo/hls").text


def test_the_page_for_hls_says_what_it_takes(server: Server) -> None:
    assert "python -m vws nginx-config" in page(server, "/demo/hls").text


# --- headers ---


@pytest.mark.parametrize("path", PAGES)
def test_pages_run_nothing_but_the_servers_own_scripts(server: Server, path: str) -> None:
    answer = page(server, path)
    assert set(answer.headers["Content-Security-Policy"].split("; ")) == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert " style=" not in answer.text
    assert " onclick=" not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_only_the_pages_of_calls_may_ask_for_the_camera(server: Server, path: str) -> None:
    allowed = "(self)" if path.removeprefix("/demo/") in CALLS else "()"
    policy = page(server, path).headers["Permissions-Policy"]
    assert policy == f"camera={allowed}, microphone={allowed}, display-capture={allowed}"


@pytest.mark.parametrize("path", PAGES)
def test_scripts_of_other_sites_cannot_read_a_page(server: Server, path: str) -> None:
    answer = server.get(path, headers={**HTML, "Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("runner", Runner)
def test_production_over_tls_stays_over_tls(make_server: MakeServer, runner: Runner) -> None:
    server = make_server(runner=runner, tls=True, VWS_ENV="production", DEMO="true")
    for path in [*PAGES, "/health"]:
        assert page(server, path).headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("settings", [{"VWS_ENV": "production"}, {"tls": True}])
def test_nobody_is_kept_on_tls_elsewhere(make_server: MakeServer, settings: dict[str, object]) -> None:
    server = make_server(**settings)  # type: ignore[arg-type]  # an option or a setting
    assert "Strict-Transport-Security" not in page(server, "/").headers
