"""Telling a running server about a change: a real HTTP server hears it, and the person reads one line."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.shell import Shell, insert_account
from vws import reload_request
from vws.db import migrate, open_database

ELSEWHERE = "LOCALHOST"
"""A name that reaches this machine and is not one that is known to."""


class Told:
    """An HTTP server on 127.0.0.1 that notes what it is asked and answers as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.answer: tuple[int, bytes] = (200, b'{"status": "Updating Accounts",\n "loaded": 1}')
        self.silent = False
        self.closing = threading.Event()
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.requests.append((self.path, self.headers["X-API-Key"]))
                if told.silent:
                    told.closing.wait(30)
                    return
                status, body = told.answer
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> Iterator[Told]:
    told = Told()
    monkeypatch.setenv("PORT", str(told.server.server_address[1]))
    thread = threading.Thread(target=told.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield told
    told.closing.set()
    told.server.shutdown()
    told.server.server_close()
    thread.join()


CHANGES: list[list[str]] = [
    ["accounts", "add", "Bob"],
    ["accounts", "update", "Alice", "--name", "Charlie"],
    ["accounts", "suspend", "Alice"],
    ["accounts", "rotate-token", "Alice"],
    ["accounts", "remove", "Alice"],
    ["plans", "add", "New"],
    ["plans", "update", "Plan", "--width", "1"],
    ["plans", "remove", "Plan"],
]


@pytest.fixture
def some_rows(shell: Shell, folder: Path) -> None:
    database = open_database("sqlite:///vws.db")
    migrate(database)
    insert_account(database, "Alice", "alice-token")
    shell.quietly("plans", "add", "Plan")


@pytest.mark.parametrize("words", CHANGES, ids=lambda words: " ".join(words[:2]))
def test_every_change_tells_the_server(
    shell: Shell, some_rows: None, told: Told, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("API_KEY", "my-key")
    shown = shell(*words)
    assert told.requests == [("/update-accounts", "my-key")]
    assert 'answered: {"status": "Updating Accounts", "loaded": 1}\n' in shown
    assert "my-key" not in shown


def test_no_reload_tells_nobody(shell: Shell, some_rows: None, told: Told) -> None:
    shell("accounts", "suspend", "Alice", "--no-reload")
    assert told.requests == []


def test_a_change_that_was_refused_tells_nobody(shell: Shell, some_rows: None, told: Told) -> None:
    shell("accounts", "suspend", "Bob", code=1)
    assert told.requests == []


def test_a_server_that_refuses(shell: Shell, some_rows: None, told: Told) -> None:
    told.answer = (401, b"Invalid API key")
    assert "refused to reload its accounts (401): Invalid API key" in shell("accounts", "suspend", "Alice")
    assert told.requests == [("/update-accounts", None)]


def test_an_answer_is_shown_as_one_short_line_of_text(shell: Shell, some_rows: None, told: Told) -> None:
    told.answer = (200, b"\x1b[2J\n\n" + b"x" * 100_000)
    line = shell("accounts", "suspend", "Alice").splitlines()[1]
    assert "\x1b" not in line
    assert len(line) < 400


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost"])
def test_the_address_to_ask(
    shell: Shell, some_rows: None, told: Told, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    shell("accounts", "suspend", "Alice")
    assert len(told.requests) == 1


def test_no_server_is_no_error(shell: Shell, some_rows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "::")
    shown = shell("accounts", "suspend", "Alice")
    assert "No server answers at http://[::1]:" in shown
    assert "one that starts will read the change" in shown


@pytest.fixture
def certificate(folder: Path) -> Path:
    """The files of a CERTIFICATE setting, from an authority nobody trusts."""
    made = trustme.CA().issue_cert("vws.example")
    made.private_key_pem.write_to_path(folder / "vws.key")
    for pem in made.cert_chain_pems:
        pem.write_to_path(folder / "vws.crt", append=True)
    return folder / "vws"


@pytest.fixture
def told_by_tls(told: Told, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    told.server.socket = context.wrap_socket(told.server.socket, server_side=True)
    monkeypatch.setenv("CERTIFICATE", str(certificate))
    return told


def test_a_server_with_a_certificate_for_another_name_is_told_on_loopback(
    shell: Shell, some_rows: None, told_by_tls: Told
) -> None:
    assert "The server at https://127.0.0.1:" in shell("accounts", "suspend", "Alice")
    assert len(told_by_tls.requests) == 1


def test_elsewhere_the_certificate_must_hold(
    shell: Shell, some_rows: None, told_by_tls: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "my-key")
    monkeypatch.setenv("HOST", ELSEWHERE)
    assert "does not hold for this address" in shell("accounts", "suspend", "Alice")
    assert told_by_tls.requests == []


def test_a_server_that_stays_silent_is_not_waited_for(
    shell: Shell, some_rows: None, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_request, "TIMEOUT", 0.2)
    told.silent = True
    assert "did not answer (ReadTimeout): reload the accounts by hand" in shell(
        "accounts", "suspend", "Alice"
    )
