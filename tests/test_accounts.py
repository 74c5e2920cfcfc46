"""The account directory: who is found by what, and what a reload changes, failing ones included."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from vws.accounts import AccountDirectory
from vws.config import Config
from vws.core.account_rows import AccountRow, PlanRow, Problem, Rows
from vws.core.accounts import STATIC, Account, AccountSet
from vws.errors import Refused, Unavailable

ALICE = AccountRow(1, "Alice", "alice-token", "{}", "1")
BOB = AccountRow(2, "Bob", "bob-token", "{}")
PLAN = PlanRow(1, "Developers Plan", '{"connections": 5}')
SETTINGS = {
    "STATIC_TOKEN": "static-token",
    "STATIC_ACCOUNT": "Static Account",
    "STATIC_LOGIN": "https://login.example/check",
}


class Table:
    """Rows that a test changes between reloads; a ``failure`` is raised instead."""

    def __init__(self, *accounts: AccountRow) -> None:
        self.accounts = accounts
        self.failure: Exception | None = None

    def __call__(self) -> Rows:
        if self.failure is not None:
            raise self.failure
        return Rows(self.accounts, (PLAN,))


def directory(load: Callable[[], Rows], **settings: str) -> AccountDirectory:
    return AccountDirectory(Config.from_env(settings), load)


def test_accounts_are_found_by_token_name_and_label() -> None:
    accounts = directory(Table(ALICE, BOB))
    accounts.reload()
    alice = accounts.current.by_label("Alice")
    assert alice is not None
    assert alice.plan.connections == 5
    assert accounts.by_token("alice-token") is alice
    assert accounts.by_name("Alice") is alice
    assert accounts.by_label("Alice") is alice
    assert accounts.by_token("Alice") is None
    assert accounts.by_name("alice-token") is None
    assert accounts.by_label("Charlie") is None


def test_the_first_of_a_name_answers_to_it_and_all_answer_to_their_tokens() -> None:
    accounts = directory(Table(ALICE, AccountRow(3, "Alice", "third-token")))
    accounts.reload()
    first, third = accounts.by_token("alice-token"), accounts.by_token("third-token")
    assert first is not None
    assert third is not None
    assert accounts.by_name("Alice") is first
    assert accounts.by_label("Alice#3") is third
    assert accounts.by_name("Alice#3") is None


def test_nobody_answers_to_the_name_of_a_broken_row() -> None:
    accounts = directory(
        Table(AccountRow(1, "Alice", "alice-token", "{"), AccountRow(3, "Alice", "third-token"))
    )
    accounts.reload()
    assert accounts.by_name("Alice") is None
    assert accounts.by_token("third-token") is not None


# --- the static ones ---


def test_the_static_accounts_need_no_database() -> None:
    accounts = directory(Table(), **SETTINGS)
    by_token, by_name = accounts.by_token("static-token"), accounts.by_name("Static Account")
    assert by_token is accounts.static is accounts.by_label(STATIC)
    assert by_name is accounts.by_label("Static Account")
    assert by_token == Account(id=0, name=STATIC, label=STATIC, scope=STATIC, token="static-token")
    assert by_name == Account(
        id=0,
        name="Static Account",
        label="Static Account",
        scope=STATIC,
        token="static-token",
        login_url="https://login.example/check",
    )


@pytest.mark.parametrize("token", ["", "static-toke", "static-token ", "STATIC-TOKEN", "\ud800", "ü"])
def test_only_the_static_token_itself_opens(token: str) -> None:
    assert directory(Table(), **SETTINGS).by_token(token) is None


def test_nothing_is_static_without_settings() -> None:
    accounts = directory(Table())
    assert accounts.static is None
    assert accounts.by_token("") is None
    assert accounts.by_name("") is None
    assert accounts.by_label("") is None
    assert accounts.by_label(STATIC) is None


def test_a_static_account_without_a_static_token() -> None:
    accounts = directory(Table(), STATIC_ACCOUNT="Static Account", STATIC_LOGIN="https://login.example")
    found = accounts.by_name("Static Account")
    assert found is not None
    assert found.scope == STATIC
    assert accounts.by_token("") is None


def test_the_static_ones_win_over_rows() -> None:
    rows = AccountRow(1, "Static Account", "static-token"), AccountRow(2, STATIC, "other-token")
    accounts = directory(Table(*rows), **SETTINGS)
    report = accounts.reload()
    static = accounts.by_token("static-token")
    named = accounts.by_name("Static Account")
    other = accounts.by_token("other-token")
    assert static is accounts.static
    assert named is not None
    assert named.id == 0
    assert other is not None
    assert other.scope == f"{STATIC}#2"
    assert accounts.by_label(STATIC) is accounts.static
    assert len(report.problems) == 3


# --- reloading ---


def test_nothing_is_loaded_at_first() -> None:
    accounts = directory(Table(ALICE))
    assert not accounts.loaded
    assert len(accounts.current) == 0
    accounts.reload()
    assert accounts.loaded
    assert len(accounts.current) == 1


def test_a_reload_tells_what_it_found() -> None:
    report = directory(Table(ALICE, AccountRow(2, "Bob", "bob-token", "{"))).reload()
    assert (report.loaded, report.plans, report.skipped) == (1, 1, 1)
    why = "skipped: properties are not a JSON object"
    assert report.problems == (Problem("account 2 'Bob'", why, skipped=True),)


def test_a_reload_makes_another_set_and_leaves_the_old_one_alone() -> None:
    table = Table(ALICE)
    accounts = directory(table)
    accounts.reload()
    before = accounts.current
    table.accounts = (BOB,)
    accounts.reload()
    assert accounts.by_token("alice-token") is None
    assert accounts.by_token("bob-token") is not None
    assert before.by_token("alice-token") is not None


@pytest.mark.parametrize("failure", [Unavailable("database: gone"), Refused("database: gone")])
def test_a_failing_reload_keeps_the_old_set_and_says_so(failure: Exception) -> None:
    table = Table(ALICE)
    accounts = directory(table)
    accounts.reload()
    table.failure = failure
    with pytest.raises(Unavailable, match=r"^database: gone$"):
        accounts.reload()
    assert accounts.by_token("alice-token") is not None
    table.failure = None
    assert accounts.reload().loaded == 1


def test_an_unforeseen_failure_does_not_repeat_what_it_says() -> None:
    table = Table()
    table.failure = OSError("mysql://user:password@host")
    with pytest.raises(Unavailable, match=r"^the accounts could not be read: OSError$"):
        directory(table).reload()


def test_lookups_do_not_wait_for_a_reload_and_reloads_take_turns() -> None:
    started, go_on = threading.Event(), threading.Event()
    answers = [Rows((ALICE,)), Rows((ALICE, BOB))]
    reading: list[int] = []

    def load() -> Rows:
        reading.append(1)
        assert len(reading) == 1, "two reloads read at once"
        rows = answers.pop(0)
        started.set()
        assert go_on.wait(10)
        reading.pop()
        return rows

    accounts = directory(load, **SETTINGS)
    threads = [threading.Thread(target=accounts.reload) for _ in answers]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    assert accounts.by_token("static-token") is accounts.static
    assert accounts.by_token("alice-token") is None
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [name for name in ("Alice", "Bob") if accounts.by_name(name)] == ["Alice", "Bob"]


def test_a_set_shows_its_accounts_by_label_and_cannot_be_changed() -> None:
    accounts = directory(Table(ALICE, BOB))
    accounts.reload()
    assert list(accounts.current.all) == ["Alice", "Bob"]
    with pytest.raises(TypeError):
        accounts.current.all["Charlie"] = None  # type: ignore[index]
    assert len(AccountSet()) == 0


def test_no_token_in_a_repr() -> None:
    accounts = directory(Table(ALICE), **SETTINGS)
    accounts.reload()
    shown = repr([accounts.static, *accounts.current.all.values()])
    assert "-token" not in shown
