"""The command line: settings, tables and accounts."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import peewee
import pytest

from tests.support.mariadb import MariaDB
from tests.support.shell import Shell, accounts, insert_account, only_account
from vws.core.account_rows import AccountRow
from vws.db import AccountTable, connected

ROOT = Path(__file__).resolve().parent.parent

# --- settings and tables ---


def test_init_writes_settings_for_development_once(shell: Shell, folder: Path) -> None:
    assert shell("init") == "Wrote .env: development settings with a random STATIC_TOKEN.\n"
    written = (folder / ".env").read_text()
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert shell("init") == ".env is there already: nothing to do.\n"
    assert (folder / ".env").read_text() == written
    settings = shell("check-config")
    assert "VWS_ENV=development\n" in settings
    assert "warning" not in settings
    token = written.split("STATIC_TOKEN=")[1].strip()
    assert len(token) == 48
    assert token not in settings


def test_two_inits_make_two_tokens(shell: Shell, folder: Path) -> None:
    shell("init")
    first = (folder / ".env").read_text()
    (folder / ".env").unlink()
    shell("init")
    assert (folder / ".env").read_text() != first


def test_init_where_nothing_can_be_written(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert "error: " in shell("init", code=1)


def test_check_config_shows_what_is_wrong(shell: Shell, folder: Path) -> None:
    (folder / ".env").write_text("API_KEYS=1\nCOTURN_PASSWORD=my-secret\nSTATIC_TOKEN=my-token\n")
    shown = shell("check-config")
    assert "my-secret" not in shown
    assert "my-token" not in shown
    assert "warning: .env: nothing is called API_KEYS" in shown


@pytest.mark.parametrize(
    "setting", ["PORT=many", "CERTIFICATE=/missing/prefix", "DATABASE_URL=postgres://x/y"]
)
@pytest.mark.parametrize("command", [["check-config"], ["migrate"], ["accounts", "list"]])
def test_a_setting_that_is_wrong_stops_every_command(
    shell: Shell, folder: Path, setting: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORT")
    (folder / ".env").write_text(setting)
    assert f"error: {setting.partition('=')[0]}" in shell(*command, code=1)


def test_migrate_makes_the_tables(shell: Shell, folder: Path) -> None:
    assert "applied 0001_accounts_and_plans, 0002_missing_columns" in shell("migrate")
    assert "up to date" in shell("migrate")
    assert (folder / "vws.db").exists()
    assert shell("accounts", "list") == "ID  NAME  PLAN  STATUS\n"


def test_commands_before_migrate(shell: Shell, folder: Path) -> None:
    for command in (["accounts", "list"], ["plans", "list"], ["accounts", "add", "Alice"]):
        assert "python -m vws migrate" in shell(*command, code=1)
    assert not (folder / "vws.db").exists()


def test_a_database_that_is_down(shell: Shell, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://alice:my-secret@127.0.0.1:{unused_port}/vws")
    for command in (["migrate"], ["accounts", "list"], ["accounts", "remove", "Alice"]):
        shown = shell(*command, code=1)
        assert "error: database: Can't connect" in shown
        assert "my-secret" not in shown


def test_it_runs_from_any_folder_as_a_program(folder: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vws", *words]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)

    assert run("migrate").returncode == 0
    assert run("accounts", "add", "Alice 🎥", "--no-reload").returncode == 0
    listing = run("accounts", "list")
    assert "Alice" in listing.stdout
    missing = run("accounts", "remove", "Bob")
    assert (missing.returncode, missing.stderr) == (1, "error: there is no account 'Bob'\n")
    assert run().returncode == 2
    assert (folder / "vws.db").exists()


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["accounts"], ["accounts", "add"], ["plans", "frobnicate"]]
)
def test_wrong_usage(shell: Shell, words: list[str]) -> None:
    assert "usage: python -m vws" in shell(*words, code=2)


# --- accounts ---


def test_add_prints_the_id_and_the_token_once(shell: Shell, tables: peewee.Database) -> None:
    shown = shell.quietly("accounts", "add", "Test Account")
    row = only_account(tables)
    assert shown == f"Added account {row.id}. Its token, shown this once: {row.token}\n"
    assert len(row.token) == 48
    assert (row.name, row.properties, row.plan_id) == ("Test Account", "{}", "")
    assert row.token not in shell("accounts", "list")
    assert row.token in shell("accounts", "list", "--tokens")


def test_add_with_everything(shell: Shell, tables: peewee.Database) -> None:
    shell.quietly("plans", "add", "Developers Plan", "--connections", "5")
    shell.quietly(
        *("accounts", "add", "Alice 🎥", "--plan", "Developers Plan", "--token", "alice-token"),
        *("--login-url", "https://alice.example/login", "--restrict-publish", "prefix"),
        *("--property", 'broadcastPin="0012"', "--property", "roomOwner=true"),
    )
    row = only_account(tables)
    assert (row.name, row.token, row.plan_id) == ("Alice 🎥", "alice-token", "1")
    assert json.loads(row.properties) == {
        "broadcastPin": "0012",
        "roomOwner": True,
        "loginURL": "https://alice.example/login",
        "restrictPublish": "prefix",
    }
    with connected(tables):
        created = AccountTable.select(AccountTable.created).scalar(tables)
    assert created > 1_700_000_000
    assert "Developers Plan  active" in shell("accounts", "list")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["Alice"], 1, "the name 'Alice' is taken"),
        (["_static"], 1, "the name '_static' is taken"),
        (["Static Account"], 1, "the name 'Static Account' is taken"),
        (["Bob", "--token", "alice-token"], 1, "this token is taken"),
        (["Bob", "--token", "static-token"], 1, "this token is taken"),
        (["Bob", "--plan", "Missing"], 1, "there is no plan 'Missing'"),
        (["Bob", "--token", ""], 2, "the token must have 1 to 255 characters"),
        ([" "], 2, "the name must have 1 to 255 characters"),
        (["x" * 256], 2, "the name must have 1 to 255 characters"),
        (["Bob\udcff"], 2, "the name is not valid text"),
        (["Bob", "--login-url", "ftp://bob.example"], 2, "loginURL is not an http:// or https:// address"),
        (["Bob", "--property", 'suspended="perhaps"'], 2, "suspended is neither true nor false"),
        (["Bob", "--property", "broadcastPin=0012"], 2, "the value of broadcastPin is not JSON"),
        (["Bob", "--property", "limit=NaN"], 2, "the value of limit is not JSON"),
        (["Bob", "--property", "colour"], 2, "'colour' is not KEY=JSON"),
        (["Bob", "--restrict-publish", "sometimes"], 2, "invalid choice"),
    ],
)
def test_what_add_refuses(
    shell: Shell,
    tables: peewee.Database,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("STATIC_TOKEN", "static-token")
    monkeypatch.setenv("STATIC_ACCOUNT", "Static Account")
    insert_account(tables, "Alice", "alice-token")
    shown = shell("accounts", "add", *words, code=code)
    assert message in shown
    assert "-token" not in shown.replace("--token", "").replace("rotate-token", "")
    assert [row.name for row in accounts(tables)] == ["Alice"]


def test_a_token_that_only_the_database_finds_equal(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, mariadb: MariaDB
) -> None:
    monkeypatch.setenv("DATABASE_URL", mariadb.new_database())
    shell("migrate")
    shell.quietly("accounts", "add", "Alice", "--token", "alice-token")
    shown = shell("accounts", "add", "Bob", "--token", "ALICE-TOKEN", code=1)
    assert shown == "error: the database holds this value already\n"


def test_update_changes_what_it_is_asked_to_and_nothing_else(shell: Shell, tables: peewee.Database) -> None:
    insert_account(
        tables, "Alice", "alice-token", '{"colour": "red", "loginURL": "https://a.example"}', plan=7
    )
    assert shell.quietly("accounts", "update", "Alice", "--property", "size=[1]") == "Updated account 1.\n"
    assert only_account(tables) == AccountRow(
        1, "Alice", "alice-token", '{"colour": "red", "loginURL": "https://a.example", "size": [1]}', "7"
    )
    shell.quietly("accounts", "update", "1", "--name", "Bob", "--token", "bob-token", "--plan", "0")
    shell.quietly("accounts", "update", "Bob", "--login-url", "", "--property", "colour=null")
    assert only_account(tables) == AccountRow(1, "Bob", "bob-token", '{"size": [1]}', "")


def test_update_with_what_is_there_already(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token")
    before = only_account(tables)
    shell.quietly("accounts", "update", "Alice", "--name", "Alice", "--token", "alice-token")
    shell.quietly("accounts", "update", "Alice")
    assert only_account(tables) == before


def test_update_of_broken_properties(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token", '{"broken":')
    shown = shell.quietly("accounts", "update", "Alice", "--restrict-publish", "prefix", code=1)
    assert "its properties are not a JSON object" in shown
    shell.quietly("accounts", "update", "Alice", "--name", "Bob")
    assert only_account(tables).properties == '{"broken":'
    shell.quietly("accounts", "update", "Bob", "--clear-properties", "--restrict-publish", "prefix")
    assert only_account(tables).properties == '{"restrictPublish": "prefix"}'


def test_suspend_and_let_in_again(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token", '{"colour": "red"}')
    assert shell.quietly("accounts", "suspend", "Alice") == "Account 1 is suspended.\n"
    assert json.loads(only_account(tables).properties) == {"colour": "red", "suspended": True}
    assert "suspended" in shell("accounts", "list")
    assert shell.quietly("accounts", "suspend", "Alice", "--off") == "Account 1 is active again.\n"
    assert only_account(tables).properties == '{"colour": "red"}'
    assert "active" in shell("accounts", "list")


def test_rotate_token(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token")
    shown = shell.quietly("accounts", "rotate-token", "Alice")
    token = only_account(tables).token
    assert token != "alice-token"
    assert shown == f"The new token of account 1, shown this once: {token}\n"
    shell.quietly("accounts", "rotate-token", "1", "--token", "chosen-token")
    assert only_account(tables).token == "chosen-token"


def test_remove(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token")
    insert_account(tables, "Bob", "bob-token")
    assert shell.quietly("accounts", "remove", "Alice") == "Removed account 1.\n"
    assert only_account(tables).name == "Bob"
    assert "there is no account 'Alice'" in shell("accounts", "remove", "Alice", code=1)


def test_a_name_that_two_accounts_have_needs_an_id(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice", "alice-token")
    insert_account(tables, "Alice", "alice-2-token")
    shown = shell("accounts", "remove", "Alice", code=1)
    assert shown == "error: more than one account is called 'Alice'; give one of the ids: 1, 2\n"
    shell.quietly("accounts", "remove", "2")
    assert only_account(tables).token == "alice-token"


def test_an_id_goes_before_a_name_made_of_digits(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "2", "alice-token")
    insert_account(tables, "Bob", "bob-token")
    shell.quietly("accounts", "remove", "2")
    assert only_account(tables).token == "alice-token"


def test_the_list_tells_what_is_wrong_and_shows_names_as_text(shell: Shell, tables: peewee.Database) -> None:
    insert_account(tables, "Alice\x1b[2J\nBob", "alice-token", "{")
    shown = shell("accounts", "list")
    assert "Alice\\x1b[2J\\nBob  -     skipped" in shown
    assert "skipped: properties are not a JSON object" in shown
