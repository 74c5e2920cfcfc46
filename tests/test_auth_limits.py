"""Guessing is slowed down, and waiting for login sites slows down nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client, ConnectRefused
from tests.support.login_site import LoginSite
from tests.support.server import Server, row, until
from vws.core.attempts import MAX_ADDRESSES, WINDOW, FailedAttempts, TooManyAttempts

WAITING = 200
TOO_MANY = r"Too many requests: try again in (\d+) seconds"
RIGHT = {"account": "Hold", "user": "Alice", "pin": "1"}
WRONG = {"account": "Hold", "user": "Alice", "pin": "wrong"}
PROXY = "127.0.2.200"


@pytest.fixture(scope="module")
def module_gate(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    gate = start_server(
        AUTH_RATE_LIMIT="3",
        LOGIN_TIMEOUT="10",
        MAX_LOGINS=str(WAITING * 4 // 3),  # one site has three quarters
        TRUSTED_PROXIES=PROXY,
        accounts=[
            row("Hold", loginURL=session_login_site.url("/hold")),
            row("Ok", loginURL=session_login_site.url("/ok")),
            row("Broken", loginURL=session_login_site.url("/broken")),
            row("Closing", loginURL=session_login_site.url("/hold")),
            row("One", loginURL=session_login_site.url("/hold"), plan={"connections": 1}),
            row("Full", plan={"connections": 1}),
            row("Closed", suspended=True),
        ],
    )
    with finishing([gate]):
        yield gate


@pytest.fixture
def gate(module_gate: Server) -> Iterator[Server]:
    yield module_gate
    module_gate.idle()
    until(lambda: not connected(module_gate), what=lambda: f"{connected(module_gate)} to be empty")


def connected(server: Server) -> dict[str, int]:
    return {name: of["connections"] for name, of in server.api("/stats").items() if of["connections"]}


def attempt(client: Client, auth: object, *, timeout: float = 10) -> str:
    """Try to connect; return what the client is shown, nothing when it is in."""
    try:
        client.connect(auth, timeout=timeout)
    except ConnectRefused as refused:
        return refused.message
    return ""


def fail(client: Client, times: int) -> None:
    for _ in range(times):
        assert attempt(client, {"token": "wrong"}) == "ERROR: Authentication error"


# --- failures are limited ---


def test_after_too_many_failures_an_address_has_to_wait(gate: Server, clients: Clients) -> None:
    client = clients(gate, source="127.0.2.1")
    fail(client, 3)
    for auth in ({"token": "wrong"}, {"token": TOKEN}, {"account": "Ok", "user": "Alice", "pin": "1"}, None):
        shown = re.fullmatch(TOO_MANY, attempt(clients(gate, source="127.0.2.1"), auth))
        assert shown
        assert 590 <= int(shown[1]) <= 600


def test_every_kind_of_guess_counts(gate: Server, clients: Clients) -> None:
    client = clients(gate, source="127.0.2.2")
    assert attempt(client, {"token": "wrong"}).startswith("ERROR")
    assert attempt(client, {"account": "Nobody's", "user": "Alice", "pin": "1"}).startswith("ERROR")
    assert attempt(client, {"account": "Ok", "user": "Alice", "pin": "wrong"}) == "ERROR: Wrong pin"
    assert re.fullmatch(TOO_MANY, attempt(client, {"token": TOKEN}))


def test_other_addresses_are_not_concerned(gate: Server, clients: Clients) -> None:
    fail(clients(gate, source="127.0.2.3"), 3)
    assert attempt(clients(gate, source="127.0.2.4"), {"token": TOKEN}) == ""


def test_successes_and_what_is_nobodys_guess_do_not_count(gate: Server, clients: Clients) -> None:
    source = "127.0.2.5"
    clients.token("Full-token", server=gate, source=source)
    for _ in range(4):
        clients.token(server=gate, source=source)
        clients.verified("Alice", account="Ok", server=gate, source=source)
        assert attempt(clients(gate, source=source), {"token": "Full-token"}).startswith("ERROR: Account c")
        broken = {"account": "Broken", "user": "Alice", "pin": "1"}
        assert attempt(clients(gate, source=source), broken) == "ERROR: User authentication failed"
    fail(clients(gate, source=source), 3)
    assert re.fullmatch(TOO_MANY, attempt(clients(gate, source=source), {"token": TOKEN}))


def test_successes_do_not_forgive_failures(gate: Server, clients: Clients) -> None:
    client = clients(gate, source="127.0.2.6")
    fail(client, 2)
    clients.token(server=gate, source="127.0.2.6")
    fail(client, 1)
    assert re.fullmatch(TOO_MANY, attempt(client, {"token": TOKEN}))


def test_who_is_in_stays_in(gate: Server, clients: Clients) -> None:
    alice = clients.token(server=gate, source="127.0.2.7")
    fail(clients(gate, source="127.0.2.7"), 3)
    assert alice.call("subscribe", "Alice", "Lobby")["ok"]
    assert alice.connect({"token": TOKEN}, "/signaling")


def test_nobody_chooses_an_address_but_by_a_trusted_proxy(gate: Server, clients: Clients) -> None:
    for hop in range(3):  # claimed by the client itself: all three are 127.0.2.8
        fail(clients(gate, source="127.0.2.8", headers={"X-Forwarded-For": f"203.0.113.{hop}"}), 1)
    own = clients(gate, source="127.0.2.8", headers={"X-Forwarded-For": "203.0.113.9"})
    assert re.fullmatch(TOO_MANY, attempt(own, {"token": TOKEN}))

    def behind_proxy(forwarded: str) -> Client:
        return clients(gate, source=PROXY, headers={"X-Forwarded-For": forwarded})

    fail(behind_proxy("198.51.100.1"), 3)
    assert re.fullmatch(TOO_MANY, attempt(behind_proxy("203.0.113.1, 198.51.100.1"), {"token": TOKEN}))
    assert attempt(behind_proxy("198.51.100.1, 198.51.100.2"), {"token": TOKEN}) == ""


def test_guesses_that_wait_together_are_worth_no_more_than_the_limit(
    gate: Server, clients: Clients, login_site: LoginSite
) -> None:
    """Ten guesses, the right one among them, asked before the first was answered."""
    guesses = [WRONG] * 9 + [RIGHT]
    waiting = [clients(gate, source="127.0.2.9") for _ in guesses]
    with ThreadPoolExecutor(len(guesses)) as pool:
        shown = pool.map(attempt, waiting, guesses)
        login_site.wait_for_waiting(len(guesses))
        fail(clients(gate, source="127.0.2.9"), 3)
        login_site.release()
        answers = list(shown)
    # Nothing tells the right one from the others.
    assert [re.sub(r"\d+", "N", answer) for answer in answers] == [
        "Too many requests: try again in N seconds"
    ] * 10
    assert not any(client.is_open() for client in waiting)


# --- waiting for a login site ---


def test_two_hundred_waiting_logins_delay_nobody(
    gate: Server, clients: Clients, login_site: LoginSite
) -> None:
    alice, bob = clients.token(server=gate), clients.token(server=gate)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    waiting = [clients(gate, timeout=30) for _ in range(WAITING)]
    with ThreadPoolExecutor(WAITING) as pool:
        shown = [pool.submit(attempt, client, RIGHT, timeout=30) for client in waiting]
        login_site.wait_for_waiting(WAITING)
        for number in range(50):
            bob.emit("messagePeer", {"type": "candidate", "target": "Alice", "n": number})
            assert alice.message("candidate")["n"] == number
            alice.emit("messagePeer", {"type": "candidate", "target": "Bob", "n": number})
            assert bob.message("candidate")["n"] == number
        # New clients come in beside them, and one login more than may wait is refused at once.
        assert clients.token(server=gate).call("subscribe", "Charlie", "Lobby")["ok"]
        assert attempt(clients(gate), RIGHT) == "ERROR: User authentication failed"
        gate.wait_log('warning login-site-failed reason="too many calls to login sites are waiting"')
        assert login_site.waiting == WAITING
        assert not any(login.done() for login in shown)
        login_site.release()
        assert [login.result() for login in shown] == [""] * WAITING
    assert connected(gate) == {"_static": 3, "Hold": WAITING}


def test_who_leaves_while_the_login_waits_leaves_nothing(
    gate: Server, clients: Clients, login_site: LoginSite
) -> None:
    gone = [clients(gate), clients(gate)]
    for client in gone:
        client.send_raw('40{"account":"One","user":"Gina","pin":"1"}')
    login_site.wait_for_waiting(2)
    for client, end in zip(gone, ("drop", "close"), strict=True):
        getattr(client, end)()
    login_site.release()
    until(lambda: login_site.waiting == 0)
    # The account has one place, and it becomes free.
    until(lambda: attempt(clients(gate), {"account": "One", "user": "Alice", "pin": "1"}) == "")
    assert connected(gate) == {"One": 1}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE accounts SET properties = '{\"suspended\": true}' WHERE name = 'Closing'", "suspended"),
        ("UPDATE accounts SET token = 'other' WHERE name = 'Closing'", "not found"),
        ("DELETE FROM accounts WHERE name = 'Closing'", "not found"),
    ],
)
def test_an_account_that_ends_while_its_login_waits_lets_nobody_in(
    gate: Server, clients: Clients, login_site: LoginSite, statement: str, message: str
) -> None:
    before = gate.sql("SELECT * FROM accounts WHERE name = 'Closing'")
    assert len(before) == 1
    with ThreadPoolExecutor(1) as pool:
        shown = pool.submit(attempt, clients(gate), {"account": "Closing", "user": "Alice", "pin": "1"})
        login_site.wait_for_waiting(1)
        gate.sql(statement)
        gate.api("/update-accounts")
        login_site.release()
        assert message in shown.result()
    gate.sql("DELETE FROM accounts WHERE name = 'Closing'")
    gate.sql(f"INSERT INTO accounts VALUES ({','.join('?' * len(before[0]))})", *before[0])
    gate.api("/update-accounts")


# --- the counting itself, where a test would have to wait ten minutes ---


def seconds_to_wait(attempts: FailedAttempts, address: str, when: int) -> int:
    """Return how long the address is told to wait, 0 when it needn't."""
    try:
        attempts.check(address, when)
    except TooManyAttempts as error:
        shown = re.fullmatch(TOO_MANY, error.message)
        assert shown
        return int(shown[1])
    return 0


def test_a_failure_counts_for_ten_minutes() -> None:
    assert WINDOW == 600_000
    attempts = FailedAttempts(2)
    attempts.failed("192.0.2.1", 0)
    assert seconds_to_wait(attempts, "192.0.2.1", 1) == 0
    attempts.failed("192.0.2.1", 100_000)
    assert seconds_to_wait(attempts, "192.0.2.1", 100_000) == 500
    assert seconds_to_wait(attempts, "192.0.2.1", 599_999) == 1
    assert seconds_to_wait(attempts, "192.0.2.1", 600_000) == 0
    attempts.failed("192.0.2.1", 600_000)
    assert seconds_to_wait(attempts, "192.0.2.1", 600_000) == 100


def test_failures_may_count_for_less() -> None:
    attempts = FailedAttempts(1, window=60_000)
    attempts.failed("192.0.2.1", 0)
    assert seconds_to_wait(attempts, "192.0.2.1", 59_999) == 1
    assert seconds_to_wait(attempts, "192.0.2.1", 60_000) == 0


def test_a_failure_that_was_none_is_taken_back() -> None:
    attempts = FailedAttempts(2)
    for when in (0, 100_000):
        attempts.failed("192.0.2.1", when)
    attempts.take_back("192.0.2.1")
    assert seconds_to_wait(attempts, "192.0.2.1", 100_000) == 0
    attempts.failed("192.0.2.1", 200_000)
    assert seconds_to_wait(attempts, "192.0.2.1", 200_000) == 400
    for _ in range(3):
        attempts.take_back("192.0.2.1")
    attempts.failed("192.0.2.1", 300_000)
    assert seconds_to_wait(attempts, "192.0.2.1", 300_000) == 0


def test_no_limit_is_no_limit() -> None:
    attempts = FailedAttempts(0)
    for _ in range(1000):
        attempts.failed("192.0.2.1", 0)
    assert seconds_to_wait(attempts, "192.0.2.1", 0) == 0


@pytest.mark.parametrize(
    ("failed", "asking", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_client_counts_by_its_network(failed: str, asking: str, same: bool) -> None:
    attempts = FailedAttempts(1)
    attempts.failed(failed, 0)
    assert bool(seconds_to_wait(attempts, asking, 0)) is same


def test_the_addresses_remembered_are_bounded() -> None:
    attempts = FailedAttempts(1)
    for number in range(MAX_ADDRESSES + 1):
        attempts.failed(f"host-{number}", 0)
    assert seconds_to_wait(attempts, "host-0", 0) == 0
    assert seconds_to_wait(attempts, "host-1", 0) > 0
