"""Keep accounts and plans by hand: the changes the command line offers, with the rules they must not break.

The tables have other writers, so a change touches what it was asked to change and leaves the rest of a row,
properties it has never heard of included, as it found them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import peewee

from vws.config import Config
from vws.core.account_rows import (
    LIMIT_KEYS,
    MAX_NAME,
    AccountRow,
    PlanRow,
    Rows,
    decode_properties,
    property_complaints,
)
from vws.core.accounts import STATIC
from vws.db import AccountTable, PlanTable, read_rows, writing
from vws.errors import BadInput, NotFound, Refused

__all__ = ["AccountChanges", "Bookkeeper"]

Row = TypeVar("Row", AccountRow, PlanRow)


@dataclass(frozen=True, slots=True)
class AccountChanges:
    """What to change in an account; ``None`` leaves a thing as it is.

    ``plan`` is an id or a name, ``"0"`` for none. A property set to ``None`` is removed;
    ``clear`` drops all properties first, which is the way out of broken ones.
    """

    name: str | None = None
    token: str | None = field(default=None, repr=False)
    plan: str | None = None
    properties: Mapping[str, object] = field(default_factory=dict, repr=False)
    clear: bool = False


class Bookkeeper:
    """Change the tables of one database. Rows are named by id, or by a name that only one row has.

    A method that raises (``NotFound``, ``Refused``, ``BadInput``, ``Unavailable``) has changed nothing.
    """

    def __init__(
        self, database: peewee.Database, config: Config, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._reserved_names = {STATIC, config.static_account}
        self._static_token = config.static_token
        self._clock = clock

    def add_account(self, name: str, changes: AccountChanges) -> tuple[int, str]:
        """Add an account and return its id and its token, a random one unless given."""
        token = _new_token() if changes.token is None else changes.token
        with writing(self._database):
            rows = read_rows(self._database)
            columns = self._columns(rows, AccountRow(0, "", ""), changes)
            columns |= {"name": self._free_name(rows, name), "token": self._free_token(rows, token)}
            columns |= {"properties": columns.get("properties", "{}"), "meta": ""}
            columns |= {"created": int(self._clock())}
            return int(AccountTable.insert(columns).execute(self._database)), token

    def update_account(self, key: str, changes: AccountChanges) -> AccountRow:
        """Change an account and return the row as it was."""
        with writing(self._database):
            rows = read_rows(self._database)
            row = _find(rows.accounts, key, kind="account")
            columns = self._columns(rows, row, changes)
            if columns:
                AccountTable.update(columns).where(AccountTable.id == row.id).execute(self._database)
            return row

    def rotate_token(self, key: str, token: str | None = None) -> tuple[AccountRow, str]:
        """Give an account another token and return the row as it was and the token."""
        token = _new_token() if token is None else token
        return self.update_account(key, AccountChanges(token=token)), token

    def remove_account(self, key: str) -> AccountRow:
        with writing(self._database):
            row = _find(read_rows(self._database).accounts, key, kind="account")
            AccountTable.delete().where(AccountTable.id == row.id).execute(self._database)
            return row

    def add_plan(self, name: str, limits: Mapping[str, float]) -> int:
        """Add a plan and return its id; ``limits`` by attribute of ``Plan``, 0 for none."""
        with writing(self._database):
            free = _free_plan_name(read_rows(self._database), name)
            columns = {"name": free, "properties": _changed("", _limit_properties(limits))}
            return int(PlanTable.insert(columns).execute(self._database))

    def update_plan(self, key: str, limits: Mapping[str, float], *, name: str | None = None) -> PlanRow:
        """Change the limits given, 0 lifting one, and return the row as it was."""
        with writing(self._database):
            rows = read_rows(self._database)
            row = _find(rows.plans, key, kind="plan")
            columns = {}
            if limits:
                columns["properties"] = _changed(row.properties, _limit_properties(limits))
            if name is not None and name != row.name:
                columns["name"] = _free_plan_name(rows, name)
            if columns:
                PlanTable.update(columns).where(PlanTable.id == row.id).execute(self._database)
            return row

    def remove_plan(self, key: str, *, force: bool = False) -> PlanRow:
        """Remove a plan nobody uses; with ``force`` its accounts are left without one."""
        with writing(self._database):
            rows = read_rows(self._database)
            row = _find(rows.plans, key, kind="plan")
            users = sum(account.plan_id.strip() == str(row.id) for account in rows.accounts)
            if users and not force:
                raise Refused(f"accounts with this plan: {users}; removing it would lift their limits")
            AccountTable.update(plan_id=None).where(AccountTable.plan_id == row.id).execute(self._database)
            PlanTable.delete().where(PlanTable.id == row.id).execute(self._database)
            return row

    def _columns(self, rows: Rows, row: AccountRow, changes: AccountChanges) -> dict[str, object]:
        """The columns to write, by attribute of ``AccountTable``."""
        columns: dict[str, object] = {}
        if changes.name is not None and changes.name != row.name:
            columns["name"] = self._free_name(rows, changes.name)
        if changes.token is not None and changes.token != row.token:
            columns["token"] = self._free_token(rows, changes.token)
        if changes.plan is not None:
            columns["plan_id"] = _plan_id(rows, changes.plan)
        if changes.properties or changes.clear:
            _check(changes.properties)
            columns["properties"] = _changed("" if changes.clear else row.properties, changes.properties)
        return columns

    def _free_name(self, rows: Rows, name: str) -> str:
        _check_text("name", name)
        if name in self._reserved_names or any(row.name == name for row in rows.accounts):
            raise Refused(f"the name {name!r} is taken", code="duplicate")
        return name

    def _free_token(self, rows: Rows, token: str) -> str:
        _check_text("token", token)
        if token == self._static_token or any(row.token == token for row in rows.accounts):
            raise Refused("this token is taken", code="duplicate")
        return token


def _find(rows: Sequence[Row], key: str, *, kind: str) -> Row:
    """Look for an id first: a name made of digits does not hide the row with that id."""
    found = [row for row in rows if str(row.id) == key] or [row for row in rows if row.name == key]
    if not found:
        raise NotFound(f"there is no {kind} {key!r}")
    if len(found) > 1:
        ids = ", ".join(str(row.id) for row in found)
        raise Refused(f"more than one {kind} is called {key!r}; give one of the ids: {ids}")
    return found[0]


def _plan_id(rows: Rows, key: str) -> int | None:
    return None if key in ("", "0") else _find(rows.plans, key, kind="plan").id


def _free_plan_name(rows: Rows, name: str) -> str:
    _check_text("name", name)
    if any(row.name == name for row in rows.plans):
        raise Refused(f"the name {name!r} is taken", code="duplicate")
    return name


def _check_text(what: str, value: str) -> None:
    if not value.strip() or len(value) > MAX_NAME:
        raise BadInput(f"the {what} must have 1 to {MAX_NAME} characters, not all of them blank")
    try:
        value.encode()
    except UnicodeEncodeError:  # a shell in another encoding than UTF-8
        raise BadInput(f"the {what} is not valid text") from None


def _check(properties: Mapping[str, object]) -> None:
    complaints = property_complaints({key: value for key, value in properties.items() if value is not None})
    if complaints:
        raise BadInput(f"properties that would be misread: {'; '.join(complaints)}")


def _changed(text: str, changes: Mapping[str, object]) -> str:
    """The properties column with the changes in it, in ASCII: an adopted table may hold nothing else."""
    values = decode_properties(text)
    if values is None:
        raise Refused("its properties are not a JSON object: mend them in the table, or start anew")
    removed = {key for key, value in changes.items() if value is None}
    return json.dumps({key: value for key, value in {**values, **changes}.items() if key not in removed})


def _limit_properties(limits: Mapping[str, float]) -> dict[str, object]:
    changes: dict[str, object] = {}
    for name, limit in limits.items():
        preferred, *others = LIMIT_KEYS[name]
        changes |= {preferred: limit or None} | dict.fromkeys(others)
    return changes


def _new_token() -> str:
    return secrets.token_hex(24)
