"""The database on SQLite and on MariaDB: new tables, adopted ones, reading, and what failures look like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import peewee
import pytest

from tests.support.mariadb import PASSWORD, MariaDB
from vws import db
from vws.core.account_rows import AccountRow, PlanRow, Rows, read_accounts
from vws.db import AccountTable, PlanTable, connected, migrate, open_database, ping, read_rows, writing
from vws.errors import ConfigError, Refused, Unavailable

ROOT = Path(__file__).resolve().parent.parent
STEPS = ["0001_accounts_and_plans", "0002_missing_columns"]

MANUAL_MYSQL = """
    CREATE TABLE accounts (id INT NOT NULL AUTO_INCREMENT, name VARCHAR(255) NOT NULL,
        token VARCHAR(255) NOT NULL, properties TEXT NOT NULL, planId INT,
        meta TEXT, contactId INT, created INT,
        PRIMARY KEY (id), UNIQUE KEY (token), KEY (planId), KEY (contactId), KEY (created)) CHARSET=utf8mb4;
    CREATE TABLE plans (id INT NOT NULL AUTO_INCREMENT, name VARCHAR(255) NOT NULL, properties TEXT NOT NULL,
        PRIMARY KEY (id)) CHARSET=utf8mb4
"""
MANUAL_SQLITE = """
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL,
        token VARCHAR(255) NOT NULL UNIQUE, properties TEXT NOT NULL, planId INT,
        meta TEXT, contactId INT, created INT);
    CREATE TABLE plans (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, properties TEXT NOT NULL)
"""
# As the WordPress plugin fills it, and as years of use leave it.
PLUGIN_ACCOUNTS: list[tuple[Any, ...]] = [
    (1, "Test Account", "testToken", "{}", 1, "", None, None),
    (2, "Suspended Account", "suspendedToken", '{"suspended":true}', 1, "", 5, 1700000000),
    (5, "Alice", "alice-token", "[]", 0, "[]", 7, 1700000001),
    (6, "Alice", "alice-2-token", "", None, None, None, 0),
    (
        9,
        "Bob 🎥 Ünï",
        "bob-token",
        '{"loginURL":"https:\\/\\/bob.example\\/login"}',
        1,
        '{"a":1}',
        None,
        None,
    ),
    (12, "Charlie", "charlie-token", '{"broken":', 1, "", None, None),
    (13, "No Token", "", "{}", 99, "", None, None),
]
PLUGIN_PLANS = [(1, "Developers Plan", '{"connections":5,"framerate":15}'), (4, "Broken 🎬", "[")]


def execute(database: peewee.Database, *statements: str) -> None:
    with connected(database, create=True):
        for statement in statements:
            peewee.RawQuery(statement).execute(database)


def insert(database: peewee.Database, table: str, rows: list[tuple[Any, ...]], columns: str = "") -> None:
    mark = "?" if isinstance(database, peewee.SqliteDatabase) else "%s"
    with connected(database):
        for row in rows:
            values = ", ".join([mark] * len(row))
            peewee.RawQuery(f"INSERT INTO {table} {columns} VALUES ({values})", row).execute(database)


def contents(database: peewee.Database, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    with connected(database):
        return list(peewee.RawQuery(f"SELECT {columns} FROM {table} ORDER BY id").tuples().execute(database))


def column_names(database: peewee.Database) -> list[str]:
    with connected(database):
        return [column.name for column in database.get_columns("accounts")]


@pytest.fixture
def filled(database: peewee.Database, engine: str) -> peewee.Database:
    """Tables as the manual says, filled by the plugin."""
    execute(database, *(MANUAL_SQLITE if engine == "sqlite" else MANUAL_MYSQL).split(";"))
    insert(database, "accounts", PLUGIN_ACCOUNTS)
    insert(database, "plans", PLUGIN_PLANS)
    return database


@pytest.fixture
def migrated(database: peewee.Database) -> peewee.Database:
    migrate(database)
    return database


# --- new tables ---


def test_migrate_makes_the_tables_once(database: peewee.Database) -> None:
    assert migrate(database) == STEPS
    assert migrate(database) == []
    assert read_rows(database) == Rows()
    assert column_names(database) == [
        "id", "name", "token", "properties", "planId", "meta", "contactId", "created"
    ]  # fmt: skip


def test_new_tables_take_the_samples_of_the_manual(migrated: peewee.Database) -> None:
    samples = "(name, token, properties, meta, planId)"
    insert(migrated, "accounts", [("Test Account", "testToken", "{}", "", 1)], samples)
    insert(migrated, "plans", [("Developers Plan", '{"connections":5}')], "(name, properties)")
    assert read_rows(migrated) == Rows(
        (AccountRow(1, "Test Account", "testToken", "{}", "1"),),
        (PlanRow(1, "Developers Plan", '{"connections":5}'),),
    )


def test_new_tables_hold_any_text_and_refuse_a_token_twice(migrated: peewee.Database) -> None:
    row = ("🎥 Ünï", "alice-token", '{"a": "🎬"}')
    insert(migrated, "accounts", [row], "(name, token, properties)")
    assert contents(migrated, "accounts", "name, token, properties") == [row]
    with pytest.raises(Refused) as refusal:
        insert(migrated, "accounts", [("Bob", "alice-token", "")], "(name, token, properties)")
    assert refusal.value.code == "duplicate"
    assert "alice-token" not in str(refusal.value)


def test_the_id_of_a_removed_plan_is_not_given_again(migrated: peewee.Database) -> None:
    insert(migrated, "plans", [("First", "{}")], "(name, properties)")
    execute(migrated, "DELETE FROM plans")
    insert(migrated, "plans", [("Second", "{}")], "(name, properties)")
    assert [row.id for row in read_rows(migrated).plans] == [2]


# --- tables of others ---


def test_a_database_of_the_plugin_is_adopted_row_by_row(filled: peewee.Database) -> None:
    before = contents(filled, "accounts"), contents(filled, "plans")
    columns = column_names(filled)
    assert migrate(filled) == STEPS
    assert (contents(filled, "accounts"), contents(filled, "plans")) == before
    assert before == (PLUGIN_ACCOUNTS, PLUGIN_PLANS)
    assert column_names(filled) == columns
    accounts, problems = read_accounts(read_rows(filled))
    assert [account.label for account in accounts] == [
        "Test Account", "Suspended Account", "Alice", "Alice#6", "Bob 🎥 Ünï"
    ]  # fmt: skip
    assert accounts[0].plan.frame_rate == 15
    assert accounts[4].login_url == "https://bob.example/login"
    assert [problem.row.split()[:2] for problem in problems] == [
        ["plan", "4"],
        ["account", "6"],
        ["account", "12"],
        ["account", "13"],
    ]


def test_missing_columns_are_added_empty(database: peewee.Database) -> None:
    execute(
        database,
        "CREATE TABLE accounts"
        " (id INTEGER PRIMARY KEY, name TEXT, token TEXT, properties TEXT, extra INTEGER)",
    )
    rows = [(1, "Alice", "same-token", "{}", 7), (2, "Bob", "same-token", None, None)]
    insert(database, "accounts", rows)
    assert migrate(database) == STEPS
    assert contents(database, "accounts", "id, name, token, properties, extra") == rows
    assert contents(database, "accounts", "planId, meta, contactId, created") == [(None,) * 4] * 2
    assert read_rows(database).accounts == (
        AccountRow(1, "Alice", "same-token", "{}"),
        AccountRow(2, "Bob", "same-token"),
    )


def test_only_the_missing_columns_are_added(database: peewee.Database) -> None:
    columns = "id INTEGER PRIMARY KEY, name TEXT, token TEXT, properties TEXT"
    execute(database, f"CREATE TABLE accounts ({columns}, PLANID INTEGER, meta TEXT)")
    insert(database, "accounts", [(1, "Alice", "alice-token", "{}", 3, "kept")])
    migrate(database)
    assert column_names(database)[4:] == ["PLANID", "meta", "contactId", "created"]
    assert read_rows(database).accounts[0].plan_id == "3"
    assert contents(database, "accounts", "meta") == [("kept",)]


def test_an_old_myisam_table_in_latin1(mariadb: MariaDB) -> None:
    database = open_database(mariadb.new_database("CHARACTER SET latin1"))
    execute(
        database,
        "CREATE TABLE accounts (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL,"
        " token VARCHAR(255) NOT NULL, properties TEXT NOT NULL, planId INT) ENGINE=MyISAM CHARSET=latin1",
    )
    insert(database, "accounts", [(3, "Café Ünï", "alice-token", "[]", 0)])
    migrate(database)
    assert read_rows(database).accounts == (AccountRow(3, "Café Ünï", "alice-token", "[]", "0"),)
    assert mariadb.run(
        "SELECT engine, table_collation FROM information_schema.tables"
        f" WHERE table_schema = '{database.database}' AND table_name = 'accounts'"
    ) == [("MyISAM", "latin1_swedish_ci")]


def test_new_mysql_tables_are_utf8mb4_whatever_the_server_prefers(mariadb: MariaDB) -> None:
    database = open_database(mariadb.new_database())
    migrate(database)
    collations = mariadb.run(
        "SELECT table_name, table_collation LIKE 'utf8mb4%' FROM information_schema.tables"
        f" WHERE table_schema = '{database.database}' AND table_name IN ('accounts', 'plans') ORDER BY 1"
    )
    assert collations == [("accounts", 1), ("plans", 1)]


def test_a_text_in_planid_and_bytes_in_a_name_are_read(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/accounts.db")
    migrate(database)
    insert(database, "accounts", [(b"Alice", 7, "{}", "abc")], "(name, token, properties, planId)")
    assert read_rows(database).accounts == (AccountRow(1, "Alice", "7", "{}", "abc"),)


# --- several at once ---


def test_processes_that_migrate_at_once_share_the_work(database_url: str, folder: Path) -> None:
    environ = {**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "vws", "migrate"],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sum("applied 0001" in output for output in outputs) == 1
    assert sum("up to date" in output for output in outputs) == 3


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOCK_TIMEOUT", 0)
    monkeypatch.setattr(db, "SQLITE_TIMEOUT", 0)


def test_a_migration_that_does_not_end_is_not_waited_for_forever(hurried: None, database_url: str) -> None:
    stuck, other = open_database(database_url), open_database(database_url)
    with (
        connected(stuck, create=True),
        db._migration_lock(stuck),
        pytest.raises(Unavailable, match=r"migrating|locked"),
    ):
        migrate(other)
    assert migrate(other) == STEPS


def test_a_block_of_writing_is_done_wholly_or_not_at_all(migrated: peewee.Database) -> None:
    def write_half() -> None:
        with writing(migrated):
            PlanTable.insert({"name": "Half", "properties": "{}"}).execute(migrated)
            raise Refused("the rest is not allowed")

    with pytest.raises(Refused):
        write_half()
    assert read_rows(migrated) == Rows()


def test_reading_leaves_no_connection_open(migrated: peewee.Database) -> None:
    read_rows(migrated)
    ping(migrated)
    assert migrated.is_closed()


def test_columns_are_named_as_the_agreement_says() -> None:
    names = [field.column_name for field in AccountTable._meta.sorted_fields]
    assert names == ["id", "name", "token", "properties", "planId", "meta", "contactId", "created"]


# --- failures ---


def test_tables_that_are_not_there(database: peewee.Database) -> None:
    execute(database, "CREATE TABLE other (id INTEGER)")
    with pytest.raises(Unavailable, match=r"accounts.*has python -m vws migrate been run\?"):
        read_rows(database)
    ping(database)


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/accounts.db")
    for ask in (ping, read_rows):
        with pytest.raises(Unavailable, match="there is no file"):
            ask(database)
    assert not (tmp_path / "accounts.db").exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(Unavailable, match="file is not a database"):
        read_rows(open_database(f"sqlite:///{tmp_path}/accounts.db"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL must lead to a file in a folder that exists"):
        open_database(f"sqlite:///{tmp_path}/missing/accounts.db")


def test_a_file_it_makes_is_its_owners_alone(tmp_path: Path) -> None:
    migrate(open_database(f"sqlite:///{tmp_path}/accounts.db"))
    assert (tmp_path / "accounts.db").stat().st_mode & 0o777 == 0o600


def test_a_relative_path_counts_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    migrate(open_database("sqlite:///my%20accounts.db"))
    assert (tmp_path / "my accounts.db").exists()


def test_a_server_that_does_not_listen(mariadb: MariaDB, unused_port: int) -> None:
    url = mariadb.url("test_none").replace(f":{mariadb.port}/", f":{unused_port}/")
    with pytest.raises(Unavailable, match="Can't connect to MySQL server") as failure:
        ping(open_database(url))
    assert PASSWORD not in str(failure.value)


def test_a_wrong_password_is_not_repeated(mariadb: MariaDB) -> None:
    with pytest.raises(Unavailable, match="Access denied") as failure:
        ping(open_database(mariadb.url("test_none", password="wrong-secret")))
    assert "wrong-secret" not in str(failure.value)


def test_a_database_that_does_not_exist(mariadb: MariaDB) -> None:
    with pytest.raises(Unavailable, match="Unknown database 'test_none'"):
        migrate(open_database(mariadb.url("test_none")))


def test_a_lost_connection_is_another_one_at_the_next_load(mariadb: MariaDB) -> None:
    database = open_database(mariadb.new_database())
    migrate(database)
    with connected(database):
        number = next(iter(peewee.RawQuery("SELECT CONNECTION_ID()").tuples().execute(database)))[0]
        mariadb.run(f"KILL {number}")
        with pytest.raises(Unavailable):
            read_rows(database)
    assert read_rows(database) == Rows()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgres://host/name",
        "vws.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "mysql://host",
        "mysql://alice:secret/word@host/name",
    ],
)
def test_an_address_that_leads_nowhere(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as failure:
        open_database(url)
    assert "secret" not in str(failure.value)
