"""Read database rows into accounts and plans, and say what was wrong with them.

The rows are written by other people's programs (PHP, by hand), so nothing here raises: a row that cannot be
read is skipped, a value that cannot be read counts as absent, and each of both becomes a ``Problem``.
Neither tokens nor pins nor addresses are repeated in a problem: it is shown to whoever asked for the reload.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from vws.core.accounts import STATIC, UNLIMITED, Account, Plan, Restriction

__all__ = [
    "LIMIT_KEYS",
    "MAX_NAME",
    "AccountRow",
    "PlanRow",
    "Problem",
    "Rows",
    "decode_properties",
    "property_complaints",
    "read_accounts",
]

MAX_NAME: Final = 255
"""Longest name and token in characters: the width of the columns."""

LIMIT_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "connections": ("connections",),
    "total_bitrate": ("totalBitrate",),
    "bitrate": ("bitrate",),
    "audio_bitrate": ("audioBitrate",),
    "frame_rate": ("frameRate", "framerate"),
    "width": ("width",),
    "height": ("height",),
    "stream_players": ("streamPlayers",),
}
"""The spellings of each limit of a ``Plan`` in the table, the preferred one first."""

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off", "", "none", "[]", "{}"})


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One row of ``accounts`` as text; NULL is ``""``."""

    id: int
    name: str
    token: str = field(repr=False)
    properties: str = field(default="", repr=False)
    plan_id: str = ""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of ``plans`` as text; NULL is ``""``."""

    id: int
    name: str
    properties: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything one load reads, each table by ascending id."""

    accounts: tuple[AccountRow, ...] = ()
    plans: tuple[PlanRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row, for the person who keeps the tables; ``skipped``: it is left out."""

    row: str
    why: str
    skipped: bool = False


def read_accounts(
    rows: Rows, *, static_account: str = "", static_token: str = ""
) -> tuple[list[Account], list[Problem]]:
    """Read every row that can be read, lowest id first.

    ``static_account`` and ``static_token`` are the settings of these names: the name is taken, the token is
    answered by the static account.
    """
    load = _Load(rows, {STATIC, static_account} - {""}, static_token)
    accounts = [account for row in rows.accounts if (account := load.account(row)) is not None]
    return accounts, load.problems


def decode_properties(text: str) -> dict[str, object] | None:
    """Decode a properties column; nothing and PHP's ``[]`` are empty, ``None`` means broken."""
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None
    if value is None or value == []:
        return {}
    return value if isinstance(value, dict) else None


def property_complaints(properties: Mapping[str, object]) -> list[str]:
    """Tell what a reader of these account properties would report, before they are written."""
    complaints: list[str] = []
    _settings(_Properties(properties, complaints.append))
    return complaints


class _Properties:
    """One JSON object read by kind; what cannot be read is reported and counts as absent."""

    def __init__(self, values: Mapping[str, object], report: Callable[[str], None]) -> None:
        self._values = values
        self._report = report

    def limit(self, keys: tuple[str, ...]) -> float | None:
        """Read the first spelling that says something; 0 lifts the limit."""
        for key in keys:
            value = self._values.get(key)
            if value is None or value == "":
                continue
            number = _number(value)
            if number is not None and number >= 0:
                return number or None
            self._report(f"{key} is not a number from 0 up: this limit is ignored")
        return None

    def flag(self, key: str, *, unknown: bool) -> bool:
        """Read what PHP may have made of a boolean; ``unknown`` answers for anything else."""
        word = str(self._values.get(key)).strip().lower()
        if word in TRUE or word in FALSE:
            return word in TRUE
        self._report(f"{key} is neither true nor false: read as {str(unknown).lower()}")
        return unknown

    def url(self, key: str) -> str:
        value = self._values.get(key) or ""
        if not value or _is_http_url(value):
            return str(value).strip()
        self._report(f"{key} is not an http:// or https:// address: it is ignored")
        return ""

    def pin(self, key: str) -> str:
        value = self._values.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        self._report(f"{key} is not a string: it is ignored")
        return ""

    def restriction(self, key: str) -> Restriction:
        value = self._values.get(key) or Restriction.NONE
        for restriction in Restriction:
            if value == restriction:
                return restriction
        self._report(f"{key} has an unknown value: publishing is not restricted")
        return Restriction.NONE


@dataclass(frozen=True, slots=True)
class _Settings:
    """The part of an account that its properties decide."""

    suspended: bool
    login_url: str
    restrict_publish: Restriction
    room_owner: bool
    broadcast_pin: str = field(repr=False)
    playback_pin: str = field(repr=False)
    stream_url: str
    notify_url: str


def _settings(properties: _Properties) -> _Settings:
    return _Settings(
        # A word nobody knows ("yes please") was written to suspend, and must not grant ownership.
        suspended=properties.flag("suspended", unknown=True),
        login_url=properties.url("loginURL"),
        restrict_publish=properties.restriction("restrictPublish"),
        room_owner=properties.flag("roomOwner", unknown=False),
        broadcast_pin=properties.pin("broadcastPin"),
        playback_pin=properties.pin("playbackPin"),
        stream_url=properties.url("streamUrl"),
        notify_url=properties.url("notifyUrl"),
    )


class _Load:
    """One pass over the rows: the plans, the names and tokens given so far, the problems found."""

    def __init__(self, rows: Rows, taken: set[str], static_token: str) -> None:
        self.problems: list[Problem] = []
        self._labels = set(taken)
        self._static_token = static_token
        self._tokens: dict[str, int] = {}
        self._plans = {str(row.id): self._plan(row) for row in rows.plans}

    def account(self, row: AccountRow) -> Account | None:
        if not self._has_usable_name(row):
            return None
        # A row that is skipped below keeps its name: nobody else becomes "Alice" while her row is broken.
        label = self._label(row)
        values = decode_properties(row.properties)
        if values is None:
            self._skip(row, "properties are not a JSON object")
            return None
        if not self._takes_token(row):
            return None
        settings = _settings(_Properties(values, lambda why: self._report(row, why)))
        return Account(
            id=row.id,
            name=row.name,
            label=label,
            scope=label,
            token=row.token,
            plan=self._plan_of(row),
            suspended=settings.suspended,
            login_url=settings.login_url,
            restrict_publish=settings.restrict_publish,
            room_owner=settings.room_owner,
            broadcast_pin=settings.broadcast_pin,
            playback_pin=settings.playback_pin,
            stream_url=settings.stream_url,
            notify_url=settings.notify_url,
        )

    def _has_usable_name(self, row: AccountRow) -> bool:
        usable = 1 <= len(row.name) <= MAX_NAME
        if not usable:
            self._skip(row, f"the name must have 1 to {MAX_NAME} characters")
        return usable

    def _label(self, row: AccountRow) -> str:
        label = next(label for label in _candidates(row) if label not in self._labels)
        self._labels.add(label)
        if label != row.name:
            self._report(row, f"the name is taken: this account is {label!r} and answers to its token only")
        return label

    def _takes_token(self, row: AccountRow) -> bool:
        if not row.token.strip():
            self._skip(row, "the token is empty")
            return False
        holder = self._tokens.setdefault(row.token, row.id)
        if holder != row.id:
            self._skip(row, f"account {holder} has the same token")
            return False
        if row.token == self._static_token:
            self._report(row, "the token equals STATIC_TOKEN: clients with it are not in this account")
        return True

    def _plan_of(self, row: AccountRow) -> Plan:
        key = row.plan_id.strip()
        if key in ("", "0"):
            return UNLIMITED
        if key not in self._plans:
            self._report(row, "its plan does not exist: no limits apply")
        plan = self._plans.get(key, UNLIMITED)
        if plan is None:
            self._report(row, "its plan is broken: no limits apply")
        return plan or UNLIMITED

    def _plan(self, row: PlanRow) -> Plan | None:
        values = decode_properties(row.properties)
        if values is None:
            self._report(row, "properties are not a JSON object: no limits apply")
            return None
        properties = _Properties(values, lambda why: self._report(row, why))
        return Plan(name=row.name, **{name: properties.limit(keys) for name, keys in LIMIT_KEYS.items()})

    def _report(self, row: AccountRow | PlanRow, why: str, *, skipped: bool = False) -> None:
        kind = "account" if isinstance(row, AccountRow) else "plan"
        self.problems.append(Problem(f"{kind} {row.id} {row.name[:MAX_NAME]!r}", why, skipped))

    def _skip(self, row: AccountRow, why: str) -> None:
        self._report(row, f"skipped: {why}", skipped=True)


def _candidates(row: AccountRow) -> Iterator[str]:
    """The labels an account may get: its name, then ``name#id``, then ``name#id#id`` …"""
    label = row.name
    while True:
        yield label
        label = f"{label}#{row.id}"


def _number(value: object) -> float | None:
    """Read a JSON number or a string holding one; whole numbers come back as ``int`` (shown to clients)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _is_http_url(value: object) -> bool:
    try:
        parts = urlsplit(value.strip()) if isinstance(value, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # an unclosed bracket, say
        return False
