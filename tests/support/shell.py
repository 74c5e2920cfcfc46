"""The command line as a person types it, in an empty folder, on both engines.

Fixtures (load with ``pytest_plugins = ["tests.support.shell"]``, beside ``tests.support.mariadb``):

``folder``  an empty current folder, and an environment that sets nothing
``shell``   types commands there: ``shell("accounts", "list", code=0)`` returns what was printed
``tables``  migrated tables in the database the shell's commands work on; the test runs on both engines
"""

from __future__ import annotations

import os
from pathlib import Path

import peewee
import pytest

from vws.cli import main
from vws.core.account_rows import AccountRow, PlanRow
from vws.db import AccountTable, connected, migrate, read_rows

__all__ = ["Shell", "accounts", "folder", "insert_account", "only_account", "only_plan", "shell", "tables"]

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "COV", "VWS_TEST_")
"""Beginnings of the variables that are no settings: the system's, coverage's, and those of the tests."""


class Shell:
    """Types commands in a folder and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command, check its exit code, and return what it printed on both streams."""
        try:
            got = main(words)
        except SystemExit as usage:
            got = int(str(usage.code))
        printed = self._capsys.readouterr()
        assert got == code, printed
        return printed.out + printed.err

    def quietly(self, *words: str, code: int = 0) -> str:
        return self(*words, "--no-reload", code=code)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and an environment that sets nothing."""
    for name in list(os.environ):
        if not name.startswith(KEPT):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(
    folder: Path, capsys: pytest.CaptureFixture[str], unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setenv("PORT", str(unused_port))
    return Shell(capsys)


@pytest.fixture
def tables(
    shell: Shell, database: peewee.Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> peewee.Database:
    """Migrated tables, in the database the shell's commands work on."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    migrate(database)
    return database


def accounts(database: peewee.Database) -> list[AccountRow]:
    return list(read_rows(database).accounts)


def only_account(database: peewee.Database) -> AccountRow:
    (row,) = accounts(database)
    return row


def only_plan(database: peewee.Database) -> PlanRow:
    (row,) = read_rows(database).plans
    return row


def insert_account(
    database: peewee.Database, name: str, token: str, properties: str = "{}", plan: int = 0
) -> None:
    row = {"name": name, "token": token, "properties": properties, "plan_id": plan}
    with connected(database):
        AccountTable.insert(row).execute(database)
