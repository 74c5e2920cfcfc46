"""The ways in, and every way to be refused; tests/test_login_sites.py has what login sites say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ACCOUNT, TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client, refusal
from tests.support.login_site import LoginSite
from tests.support.server import Server, row, until

MALFORMED = "Authentication error"
NAMES = ["Two Words", "Zoë & Søn's “Bar” 東京", "-", "x" * 255, "_.-", "constructor"]
PIN = "pin-to-keep-secret"


@pytest.fixture(scope="module")
def module_gate(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    ok = session_login_site.url("/ok")
    gate = start_server(
        AUTH_RATE_LIMIT="0",
        EXTRA_SECURITY="true",  # in development it does nothing, as every test of a refusal here shows
        accounts=[
            row("Ok", loginURL=ok),
            *(row(name, loginURL=ok) for name in NAMES),
            row("No login"),
            row("Closed", suspended=True, loginURL=ok),
            row("Odd token", "töken with spaces / and 東京"),
            row("Long token", "t" * 255),
        ],
    )
    with finishing([gate]):
        yield gate


@pytest.fixture
def gate(module_gate: Server) -> Iterator[Server]:
    yield module_gate
    module_gate.idle()


def account_of(server: Server, client: Client) -> str:
    """Return the account that the server counts a client's peer to."""
    assert client.call("subscribe", "Alice", "Somewhere")["ok"]
    ((_, peers),) = server.api("/connections")
    return str(peers["Alice"]["account"])


# --- tokens ---


def test_the_static_token_lets_anybody_in_unverified(gate: Server, clients: Clients) -> None:
    client = clients.token(server=gate)
    assert account_of(gate, client) == "_static"
    client.call("roomJoin", {"room": "Lobby"})
    assert client.update("error") == {
        "room": "Lobby",
        "error": "Rooms need account/user/pin authentication",
    }


@pytest.mark.parametrize(
    ("account", "token"),
    [
        ("No login", "No login-token"),
        ("Odd token", "töken with spaces / and 東京"),
        ("Long token", "t" * 255),
    ],
)
def test_an_accounts_token_lets_anybody_into_the_account(
    gate: Server, clients: Clients, account: str, token: str
) -> None:
    client = clients.token(token, server=gate)
    assert account_of(gate, client) == account
    assert client.call("publish", "Anybody", "Elsewhere", {})["ok"]
    assert client.call("roomJoin", {"room": "Lobby"})["ok"] is False


@pytest.mark.parametrize(
    "auth",
    [
        None,
        {},
        [],
        "static-token",
        7,
        True,
        {"token": "wrong"},
        {"token": TOKEN + " "},
        {"token": TOKEN.upper()},
        {"token": ""},
        {"token": None},
        {"token": [TOKEN]},
        {"token": {"toString": TOKEN}},
        {"token": True},
        {"token": 0},
        {"token": "t" * 256},
        {"token": TOKEN + "\x00"},
        {"Token": TOKEN},
        {"account": "Ok"},
        {"account": "Ok", "user": "Alice"},
        {"account": "Ok", "pin": "1"},
        {"account": "Ok", "user": "", "pin": "1"},
        {"account": "Ok", "user": "Alice", "pin": None},
        {"account": "Ok", "user": "Alice", "pin": ["1"]},
        {"account": "Ok", "user": {"name": "Alice"}, "pin": "1"},
        {"account": ["Ok"], "user": "Alice", "pin": "1"},
        {"account": "a" * 256, "user": "Alice", "pin": "1"},
        {"account": "Ok", "user": "a" * 256, "pin": "1"},
    ],
    ids=lambda auth: repr(auth)[:60],
)
def test_bad_and_malformed_credentials_are_refused(gate: Server, clients: Clients, auth: Any) -> None:
    assert refusal(clients(gate), auth) == f"ERROR: {MALFORMED}"


@pytest.mark.parametrize(
    "auth",
    [r'{"token":"\ud800"}', r'{"account":"Ok","user":"\udfff","pin":"1"}', '{"token":', "NaN", "{}{}"],
)
def test_what_is_no_text_or_no_json_is_malformed(gate: Server, clients: Clients, auth: str) -> None:
    client = clients(gate)
    client.send_raw("40" + auth)
    until(lambda: client._answers.get("/") == ("refused", {"message": f"ERROR: {MALFORMED}"}))
    assert client.connect({"token": TOKEN})


def test_who_was_refused_may_try_again_on_the_same_connection(gate: Server, clients: Clients) -> None:
    client = clients(gate)
    assert refusal(client, {"token": "wrong"}) == f"ERROR: {MALFORMED}"
    assert client.connect({"token": TOKEN})
    assert client.call("subscribe", "Alice", "Lobby")["ok"]


def test_who_was_refused_can_do_nothing(gate: Server, clients: Clients) -> None:
    client = clients(gate)
    refusal(client, {"token": "wrong"})
    client.emit("publish", "Mallory", "Lobby", {})
    client.connect({"token": TOKEN})  # the same connection: the event before it has been dealt with
    assert gate.api("/connections") == []


# --- user and pin ---


def test_a_user_with_the_right_pin_is_verified(gate: Server, clients: Clients, login_site: LoginSite) -> None:
    client = clients.verified("Alice", pin=PIN, account="Ok", server=gate)
    body = {"account": "Ok", "token": "Ok-token", "user": "Alice", "pin": PIN}
    assert login_site.requests == [("/ok", body)]
    assert account_of(gate, client) == "Ok"
    client.call("publish", "Bob", "Lobby", {})
    assert client.wait("publishError") == [
        {"from": "_server_", "to": "Bob", "message": "Authentication mismatch: Alice != Bob"}
    ]


def test_the_static_account_asks_static_login_with_the_static_token(
    gate: Server, clients: Clients, login_site: LoginSite
) -> None:
    client = clients.verified("Alice", pin=PIN, account=ACCOUNT, server=gate)
    body = {"account": ACCOUNT, "token": TOKEN, "user": "Alice", "pin": PIN}
    assert login_site.requests == [("/moderator", body)]
    assert account_of(gate, client) == ACCOUNT


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_account_name_can_log_in(
    gate: Server, clients: Clients, login_site: LoginSite, name: str
) -> None:
    client = clients.verified("Zoë 東京", account=name, server=gate)
    assert [(asked["account"], asked["user"]) for _, asked in login_site.requests] == [(name, "Zoë 東京")]
    assert client.call("roomJoin", {"room": "Lobby"})["ok"]


def test_a_pin_may_be_a_number(gate: Server, clients: Clients, login_site: LoginSite) -> None:
    clients(gate).connect({"account": "Ok", "user": "Alice", "pin": 1234})
    assert [asked["pin"] for _, asked in login_site.requests] == [1234]


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ("Nobody's", "Account not found"),
        ("ok", "Account not found"),
        ("Ok ", "Account not found"),
        ("__proto__", "Account not found"),
        ("_static", "Account not found"),
        ("No login", "This account does not support user/pin authentication"),
        ("Closed", "Account is suspended: Closed"),
    ],
)
def test_accounts_that_nobody_can_log_in_to(
    gate: Server, clients: Clients, login_site: LoginSite, account: str, message: str
) -> None:
    auth = {"account": account, "user": "Alice", "pin": PIN}
    assert refusal(clients(gate), auth) == f"ERROR: {message}"
    assert login_site.requests == []


def test_a_suspended_accounts_token_is_refused(gate: Server, clients: Clients) -> None:
    assert refusal(clients(gate), {"token": "Closed-token"}) == "ERROR: Account is suspended: Closed"


# --- in production ---


@pytest.fixture(scope="module")
def strict(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    """A server in production, with EXTRA_SECURITY and the production's own limit for failures."""
    strict = start_server(
        VWS_ENV="production",
        EXTRA_SECURITY="true",
        API_KEY="key",
        accounts=[
            row("Ok", loginURL=session_login_site.url("/ok")),
            row("Broken", loginURL=session_login_site.url("/broken")),
            row("No login"),
            row("Closed", suspended=True),
            row("Full", plan={"connections": 1}),
        ],
    )
    with finishing([strict]):
        yield strict


@pytest.fixture
def nobody_in_full(strict: Server) -> Iterator[None]:
    yield
    until(lambda: strict.api("/stats").get("Full", {}).get("connections", 0) == 0)


@pytest.mark.parametrize(
    "auth",
    [
        None,
        {"token": "wrong"},
        {"token": "Closed-token"},
        {"token": "Full-token"},
        {"account": "Nobody's", "user": "Alice", "pin": "1"},
        {"account": "No login", "user": "Alice", "pin": "1"},
        {"account": "Ok", "user": "Alice", "pin": "wrong"},
        {"account": "Broken", "user": "Alice", "pin": "1"},
    ],
)
def test_extra_security_gives_no_reason_in_production(
    strict: Server, nobody_in_full: None, clients: Clients, auth: Any
) -> None:
    clients.token("Full-token", server=strict, source="127.0.1.1")
    assert refusal(clients(strict, source="127.0.1.1"), auth) == "ERROR: Authentication failed"


def test_extra_security_lets_the_same_ones_in(strict: Server, clients: Clients) -> None:
    assert clients.token(server=strict).is_open()
    assert clients.verified("Alice", account="Ok", server=strict).is_open()


def test_thirty_failures_in_production_and_that_is_all(strict: Server, clients: Clients) -> None:
    client = clients(strict, source="127.0.1.2")
    shown = [refusal(client, {"token": "wrong"}) for _ in range(31)]
    assert shown[:30] == ["ERROR: Authentication failed"] * 30
    assert shown[30].startswith("Too many requests: ")


def test_no_pin_and_no_token_is_ever_in_the_log(gate: Server, strict: Server) -> None:
    """Stands last: it reads what all the tests above left."""
    for server in (gate, strict):
        # Not the client configuration that a server in development shows on its terminal.
        log = "\n".join(line for line in server.log().splitlines() if line[:2] == "20")
        assert " refused " in log
        for secret in (PIN, TOKEN, "-token", "töken", "t" * 100):
            assert secret not in log
