"""The accounts database: SQLite or MySQL/MariaDB behind one set of functions.

Every function opens a connection of its own and closes it: loads are rare, and a connection held for hours is
one that a firewall drops. Failures arrive as ``Unavailable`` with the database's own words and no secret.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import peewee
from playhouse import migrations

from vws.core.account_rows import AccountRow, PlanRow, Rows
from vws.errors import ConfigError, Refused, Unavailable

__all__ = [
    "AccountTable",
    "PlanTable",
    "connected",
    "migrate",
    "open_database",
    "ping",
    "read_rows",
    "writing",
]

MIGRATIONS: Final = Path(__file__).resolve().parent.parent / "migrations"
HISTORY: Final = "vws_migrations"
"""Table of applied migrations; named after us, as the database may be somebody else's."""

LOCK_TIMEOUT = 30
"""Seconds to wait on MySQL while another process migrates."""

SQLITE_TIMEOUT = 5
"""Seconds to wait for another process that writes; the whole server waits with it, so not for long."""

SQLITE_PREFIX: Final = "sqlite:///"

FAILURES: Final = (
    peewee.PeeweeException,
    migrations.MigrationError,
    RuntimeError,  # PyMySQL, where the server wants a login that needs the cryptography package
)


class AccountTable(peewee.Model):
    """``accounts``; the column names are an agreement with the programs that write here too."""

    id = peewee.AutoField()
    name = peewee.CharField()
    token = peewee.CharField(unique=True)
    properties = peewee.TextField()
    plan_id = peewee.IntegerField(column_name="planId", null=True)
    meta = peewee.TextField(null=True)
    contact_id = peewee.IntegerField(column_name="contactId", null=True)
    created = peewee.IntegerField(null=True)

    class Meta:
        table_name = "accounts"


class PlanTable(peewee.Model):
    """``plans``."""

    id = peewee.AutoField()
    name = peewee.CharField()
    properties = peewee.TextField()

    class Meta:
        table_name = "plans"


def open_database(url: str) -> peewee.Database:
    """Describe the database behind ``sqlite:///path`` or ``mysql://user:password@host:port/name``.

    Nothing is connected yet. A relative path counts from the current folder. User, password and name are
    percent-decoded.
    """
    if url.startswith(SQLITE_PREFIX):
        return _sqlite(unquote(url.removeprefix(SQLITE_PREFIX)))
    if url.startswith("mysql://"):
        return _mysql(url)
    raise ConfigError("DATABASE_URL must be sqlite:///path or mysql://user:password@host:port/name")


@contextmanager
def connected(database: peewee.Database, *, create: bool = False) -> Iterator[None]:
    """Keep a connection open for a block and turn the driver's errors into ours; blocks may nest.

    Raises ``Unavailable``, and ``Refused`` (code ``duplicate``) when a unique key says no. Unless ``create``,
    an SQLite file that is not there is an error instead of a new empty file.
    """
    if not create:
        _require_file(database)
    try:
        with database.connection_context():
            yield
    except peewee.IntegrityError:  # its text repeats the value, which may be a token
        raise Refused("the database holds this value already", code="duplicate") from None
    except FAILURES as error:
        raise Unavailable(f"database: {_reason(error)}") from error


@contextmanager
def writing(database: peewee.Database) -> Iterator[None]:
    """Like ``connected``, with all or nothing of the block done."""
    with connected(database), _transaction(database):
        yield


def read_rows(database: peewee.Database) -> Rows:
    """Read both tables as of one moment, by ascending id. Raises ``Unavailable``."""
    with connected(database), database.atomic():
        return Rows(
            accounts=tuple(_account_row(*values) for values in _account_values(database)),
            plans=tuple(
                PlanRow(_number(number), _text(name), _text(properties))
                for number, name, properties in _plan_values(database)
            ),
        )


def ping(database: peewee.Database) -> None:
    """Ask the database for an answer. Raises ``Unavailable``."""
    with connected(database):
        peewee.RawQuery("SELECT 1").tuples().execute(database)


def migrate(database: peewee.Database, *, directory: Path = MIGRATIONS) -> list[str]:
    """Bring the tables up to date and return the names of the steps applied.

    Tables that are there already are adopted as they are. Several processes may do this at once: one works,
    the others wait for it. Raises ``Unavailable``.
    """
    _create_private_file(database)
    with connected(database, create=True), _migration_lock(database):
        applied = migrations.run(database, str(directory), table_name=HISTORY)
        return list(applied)


def _create_private_file(database: peewee.Database) -> None:
    """Make an SQLite file that only its owner can read: it holds tokens and pins."""
    if isinstance(database, peewee.SqliteDatabase) and not os.path.exists(database.database):
        with suppress(OSError):  # what is wrong with it shows when it is opened
            os.close(os.open(database.database, os.O_CREAT | os.O_RDWR, 0o600))


def _sqlite(path: str) -> peewee.SqliteDatabase:
    if path in ("", ":memory:"):
        raise ConfigError("DATABASE_URL must name a file: sqlite:///path")
    path = os.path.abspath(path)
    if not os.path.isdir(os.path.dirname(path)):
        raise ConfigError(f"DATABASE_URL must lead to a file in a folder that exists: {path}")
    return peewee.SqliteDatabase(path, timeout=SQLITE_TIMEOUT)


def _mysql(url: str) -> peewee.MySQLDatabase:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # its text repeats what stands there: a piece of an unquoted password, say
        raise ConfigError("DATABASE_URL must have a number as its port") from None
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ConfigError("DATABASE_URL must name a database: mysql://user:password@host:port/name")
    return peewee.MySQLDatabase(
        name,
        host=parts.hostname or "127.0.0.1",
        port=port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        charset="utf8mb4",
        connect_timeout=5,
        read_timeout=30,
        write_timeout=30,
    )


def _require_file(database: peewee.Database) -> None:
    if isinstance(database, peewee.SqliteDatabase) and not os.path.exists(database.database):
        raise Unavailable(f"database: there is no file {database.database} (python -m vws migrate makes it)")


def _reason(error: Exception) -> str:
    """The driver's own sentence; Peewee gives it as the last argument, after codes and the original."""
    reason = str(error.args[-1] if error.args else type(error).__name__)
    if any(sign in reason for sign in ("no such table", "no such column", "doesn't exist", "Unknown column")):
        return f"{reason} (has python -m vws migrate been run?)"
    return reason


def _migration_lock(database: peewee.Database) -> AbstractContextManager[Any]:
    if isinstance(database, peewee.MySQLDatabase):
        return _mysql_lock(database)
    return _transaction(database)


def _transaction(database: peewee.Database) -> AbstractContextManager[Any]:
    if isinstance(database, peewee.SqliteDatabase):
        # Locks at once: a transaction that starts by reading can not wait its turn to write.
        return database.atomic("IMMEDIATE")
    return database.atomic()


@contextmanager
def _mysql_lock(database: peewee.MySQLDatabase) -> Iterator[None]:
    """Hold a named lock: MySQL commits at each change of a table, so a transaction would protect nothing."""
    # Such locks are shared by all databases of a server, and their names are short.
    name = f"vws-{hashlib.sha256(str(database.database).encode()).hexdigest()[:40]}"
    query = peewee.RawQuery("SELECT GET_LOCK(%s, %s)", (name, LOCK_TIMEOUT))
    if [tuple(row) for row in query.tuples().execute(database)] != [(1,)]:
        raise Unavailable(f"database: another process has been migrating for {LOCK_TIMEOUT} s")
    try:
        yield
    finally:
        peewee.RawQuery("DO RELEASE_LOCK(%s)", (name,)).execute(database)


def _account_values(database: peewee.Database) -> Iterator[Any]:
    table = AccountTable
    query = table.select(table.id, table.name, table.token, table.properties, table.plan_id)
    return query.order_by(table.id).tuples().iterator(database)


def _plan_values(database: peewee.Database) -> Iterator[Any]:
    query = PlanTable.select(PlanTable.id, PlanTable.name, PlanTable.properties)
    return query.order_by(PlanTable.id).tuples().iterator(database)


def _account_row(number: Any, name: Any, token: Any, properties: Any, plan_id: Any) -> AccountRow:
    return AccountRow(_number(number), _text(name), _text(token), _text(properties), _text(plan_id))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _text(value: Any) -> str:
    return "" if value is None else str(value)
