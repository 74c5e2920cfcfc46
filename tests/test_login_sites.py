"""What login sites answer, and what becomes of it: in, refused, or a site that cannot be asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import refusal
from tests.support.login_site import LoginSite
from tests.support.raw_site import RawSite, json_answer
from tests.support.raw_site import raw_site as run_raw_site
from tests.support.server import Server, free_port, row

FAILED = "User authentication failed"
PIN = "pin-to-keep-secret"
NUMBERS = itertools.count(1)
IN_LOG = {True: "refused", False: "login-site-failed"}
"""What the log calls a site's own refusal, and a site that cannot be asked."""


@pytest.fixture(scope="module")
def module_raw_site() -> Iterator[RawSite]:
    with run_raw_site() as site:
        yield site


@pytest.fixture
def raw_site(module_raw_site: RawSite) -> RawSite:
    module_raw_site.reset()
    return module_raw_site


@pytest.fixture(scope="module")
def module_gate(
    start_server: MakeServer, session_login_site: LoginSite, module_raw_site: RawSite
) -> Iterator[Server]:
    paths = ["/ok", "/refuse", "/slow?s=2", "/broken", "/redirect", "/text", "/truthy", "/huge", "/close"]
    gate = start_server(
        AUTH_RATE_LIMIT="0",
        LOGIN_TIMEOUT="1",
        accounts=[
            *(row(f"Site {path}", loginURL=session_login_site.url(path)) for path in paths),
            row("Site nowhere", loginURL=f"http://127.0.0.1:{free_port()}/login"),
            row("Site raw", loginURL=module_raw_site.url),
        ],
    )
    with finishing([gate]):
        yield gate


@pytest.fixture
def gate(module_gate: Server) -> Iterator[Server]:
    yield module_gate
    module_gate.idle()


@pytest.mark.parametrize(
    ("site", "pin", "message", "said_no"),
    [
        ("/ok", "wrong", "Wrong pin", True),
        ("/refuse", PIN, "No entry today", True),
        ("/truthy", PIN, FAILED, True),
        ("/slow?s=2", PIN, FAILED, False),
        ("/broken", PIN, FAILED, False),
        ("/redirect", PIN, FAILED, False),
        ("/text", PIN, FAILED, False),
        ("/huge", PIN, FAILED, False),
        ("/close", PIN, FAILED, False),
    ],
)
def test_a_login_site_that_does_not_let_the_user_in(
    gate: Server,
    clients: Clients,
    login_site: LoginSite,
    site: str,
    pin: str,
    message: str,
    said_no: bool,
) -> None:
    user = f"Alice of {site}"
    client = clients(gate)
    assert refusal(client, {"account": f"Site {site}", "user": user, "pin": pin}) == f"ERROR: {message}"
    (line,) = gate.wait_log(rf'account="Site {site.replace("?", ".")}" user="{user.replace("?", ".")}"')
    assert line.split()[2] == IN_LOG[said_no]
    # Asked once, and nobody else: a redirect would have taken the pin elsewhere.
    body = {"account": f"Site {site}", "token": f"Site {site}-token", "user": user, "pin": pin}
    assert login_site.requests == [(site, body)]


def test_a_login_site_where_nobody_listens(gate: Server, clients: Clients) -> None:
    auth = {"account": "Site nowhere", "user": "Alice", "pin": PIN}
    assert refusal(clients(gate), auth) == f"ERROR: {FAILED}"
    (line,) = gate.wait_log('account="Site nowhere"')
    assert line.split()[1:3] == ["warning", "login-site-failed"]


@pytest.mark.parametrize(
    ("status", "body", "message", "said_no"),
    [
        (200, {"login": False, "message": "Näh <b>"}, "Näh <b>", True),
        (200, {"login": False}, FAILED, True),
        (200, {"login": False, "message": ""}, FAILED, True),
        (200, {"login": False, "message": {"text": "no"}}, FAILED, True),
        (200, {"login": "true", "message": "Not quite"}, "Not quite", True),
        (200, {"login": [True]}, FAILED, True),
        (200, {}, FAILED, True),
        (200, {"login": False, "message": "x" * 10_000}, "x" * 255, True),
        (200, [True], FAILED, False),
        (200, True, FAILED, False),
        (200, None, FAILED, False),
        (200, [[[[]]]] * 3, FAILED, False),
        (400, {"login": False, "message": "Wrong pin"}, "Wrong pin", True),
        (401, {"message": "Wrong pin"}, "Wrong pin", True),
        (403, "Forbidden", FAILED, True),
        (403, {"login": True}, FAILED, True),
        (404, {"code": "rest_no_route", "message": "No route was found"}, FAILED, False),
        (500, {"login": True}, FAILED, False),
        (302, {"login": True}, FAILED, False),
        (304, {"login": True}, FAILED, False),
    ],
)
def test_answers_that_are_no_yes(
    gate: Server,
    clients: Clients,
    raw_site: RawSite,
    status: int,
    body: Any,
    message: str,
    said_no: bool,
) -> None:
    raw_site.answer = json_answer(status, body, f"Location: {raw_site.url}/elsewhere", "Connection: close")
    user = f"Alice {next(NUMBERS)}."
    assert refusal(clients(gate), {"account": "Site raw", "user": user, "pin": PIN}) == f"ERROR: {message}"
    assert len(raw_site.calls) == 1
    lines = [line for line in gate.log().splitlines() if user in line]
    assert [line.split()[2] for line in lines] == [IN_LOG[said_no]]


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_2xx_answer_may_say_yes(gate: Server, clients: Clients, raw_site: RawSite, status: int) -> None:
    raw_site.answer = json_answer(status, {"login": True, "message": "Welcome"})
    assert clients.verified("Alice", account="Site raw", server=gate).is_open()


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnot!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: 1\r\n" * 1000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"[" * 20_000,
    ],
    ids=["not http", "half", "bad chunk", "bad gzip", "not utf-8", "headers", "deep"],
)
def test_nonsense_is_a_broken_login_site(
    gate: Server, clients: Clients, raw_site: RawSite, answer: bytes
) -> None:
    raw_site.answer = answer
    before = len(gate.log())
    auth = {"account": "Site raw", "user": "Alice", "pin": PIN}
    assert refusal(clients(gate), auth) == f"ERROR: {FAILED}"
    assert "warning login-site-failed" in gate.log()[before:]


def test_an_answer_that_trickles_in_has_the_same_limit(
    gate: Server, clients: Clients, raw_site: RawSite
) -> None:
    raw_site.pace = 0.1  # no pause is long; the whole would take 5 s
    auth = {"account": "Site raw", "user": "Tess", "pin": PIN}
    assert refusal(clients(gate), auth) == f"ERROR: {FAILED}"
    gate.wait_log('login-site-failed reason="no answer in 1 seconds" .*user=Tess')


def test_login_calls_share_a_connection_and_nothing_else(
    gate: Server, clients: Clients, raw_site: RawSite
) -> None:
    raw_site.answer = json_answer(200, {"login": True}, "Set-Cookie: session=alice; Path=/")
    for user in ("Alice", "Bob", "Charlie"):
        clients.verified(user, account="Site raw", server=gate)
    assert len({connection for connection, _ in raw_site.calls}) == 1
    assert [head.splitlines()[0] for _, head in raw_site.calls] == ["POST /login HTTP/1.1"] * 3
    assert all("content-type: application/json" in head.lower() for _, head in raw_site.calls)
    assert not any("cookie" in head.lower() for _, head in raw_site.calls)


def test_no_pin_and_no_token_is_ever_in_the_log(gate: Server) -> None:
    """Stands last: it reads what all the tests above left."""
    lines = [line for line in gate.log().splitlines() if line[:2] == "20"]
    assert any(" login-site-failed " in line for line in lines)
    assert not [line for line in lines if PIN in line or "-token" in line]
