"""Starting: what is wrong is said in a sentence that names it; what is right shows where to go."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import TOKEN, Clients, MakeServer
from tests.support.server import Runner, Server, free_port

BAD_SETTINGS = {
    "PORT": "http",
    "CERTIFICATE": "/nonexistent/certificate",
    "TRUSTED_PROXIES": "not-an-address",
    "COTURN_SERVER": "turn.example",
    "COTURN_USER": "turn\nuser",
    "COTURN_PASSWORD": "a\x1b[2Jb",
    "COTURN_SECRET": "north\x07remembers",
    "COTURN_TTL": "twelve hours",
    "COTURN_TLS_PORT": "tls",
}
both = pytest.mark.parametrize("runner", [Runner.APP, Runner.GUNICORN])


def refused(server: Server) -> str:
    """Start a server that has to refuse; return what it said, which is no traceback."""
    code = server.start_refused()
    said = server.log()
    assert code not in (0, None), said
    assert "Traceback" not in said, said
    return said


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS.items())
def test_a_bad_setting_stops_the_start_by_name(make_server: MakeServer, name: str, value: str) -> None:
    said = refused(cast("Any", make_server)(start=False, **{name: value}))
    assert said.startswith(f"VWS cannot start: {name} must")
    assert len(said.strip().splitlines()) == 1


@both
def test_a_bad_line_in_the_env_file_is_named(make_server: MakeServer, runner: Runner) -> None:
    server = make_server(start=False, runner=runner)
    (server.folder / ".env").write_text("EVENT_RATE_LIMIT=many\n")
    assert "EVENT_RATE_LIMIT" in refused(server)


@both
def test_secrets_are_not_shown_when_they_are_malformed(make_server: MakeServer, runner: Runner) -> None:
    said = refused(make_server(start=False, runner=runner, REDIS_URL="http://user:redis-secret@host"))
    assert "REDIS_URL" in said
    assert "redis-secret" not in said


def test_a_port_in_use_is_a_message(make_server: MakeServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(make_server(start=False, PORT=port))
    assert port in said
    assert said.rstrip().endswith("Address already in use")


def test_several_workers_are_refused(make_server: MakeServer) -> None:
    """Clients of different ones would never find each other."""
    server = make_server(start=False, runner=Runner.GUNICORN, GUNICORN_CMD_ARGS="--workers 3")
    assert "one worker, not 3" in refused(server)


def test_an_address_of_another_machine_is_a_message(make_server: MakeServer) -> None:
    said = refused(make_server(start=False, HOST="192.0.2.1"))
    assert "192.0.2.1" in said


@both
def test_a_certificate_that_is_none_is_a_message(
    make_server: MakeServer, runner: Runner, tmp_path: Path
) -> None:
    for ending in ("key", "crt"):
        (tmp_path / f"bad.{ending}").write_text("no certificate")
    said = refused(make_server(start=False, runner=runner, CERTIFICATE=str(tmp_path / "bad")))
    assert "CERTIFICATE" in said


@both
def test_a_database_that_cannot_be_a_file_is_a_message(make_server: MakeServer, runner: Runner) -> None:
    said = refused(
        make_server(start=False, runner=runner, DATABASE_URL="sqlite:////nonexistent/folder/vws.db")
    )
    assert "DATABASE_URL" in said or "database" in said


def test_the_welcome_shows_addresses_and_a_configuration_that_works(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server()
    said = server.log()
    assert re.search(r"VWS \S+, development", said)
    assert f"http://127.0.0.1:{server.port}/" in said
    configuration = json.loads(said[said.index("{") : said.rindex("}") + 1])["videowhisperServer"]
    assert configuration == {
        "socket": f"ws://127.0.0.1:{server.port}",
        "authentication": "token",
        "token": TOKEN,
    }
    assert clients.token(configuration["token"], server=server).is_open()


def test_the_welcome_keeps_the_token_of_production_to_itself(make_server: MakeServer) -> None:
    server = make_server(VWS_ENV="production", API_KEY="api-key-0815", tls=True)
    said = server.log()
    assert f"https://127.0.0.1:{server.port}/" in said
    assert f"wss://127.0.0.1:{server.port}" in said
    assert TOKEN not in said
    assert "api-key-0815" not in said


def test_what_is_risky_or_unknown_is_warned_about(make_server: MakeServer) -> None:
    server = make_server(start=False, VWS_ENV="production")
    (server.folder / ".env").write_text("STATIC_TOKNE=x\n")
    server.start()
    assert server.wait_log("warning config .*STATIC_TOKNE")
    assert server.wait_log("warning config .*STATIC_TOKEN")
