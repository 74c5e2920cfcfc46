"""Accounts and plans as the rules see them, read from what the database holds.

The tables are shared with WordPress plugins written in PHP, so values arrive untidy: ``[]`` for an
empty object, numbers as strings, ``"1"`` for true. Everything is read here, once, into frozen objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "STATIC",
    "UNLIMITED",
    "Account",
    "AccountSet",
    "Plan",
    "Restriction",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """Limits of an account; ``None`` means no limit. Rates in kbps, sizes in pixels."""

    name: str = ""
    connections: float | None = None
    total_bitrate: float | None = None
    bitrate: float | None = None
    audio_bitrate: float | None = None
    frame_rate: float | None = None
    width: float | None = None
    height: float | None = None
    stream_players: float | None = None


UNLIMITED = Plan()


class Restriction(StrEnum):
    """How a channel's name must relate to its publisher's peerID (`restrictPublish`)."""

    NONE = "no"
    USERNAME = "username"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAIN = "contain"


@dataclass(frozen=True, slots=True)
class Account:
    """One customer of the server, with its limits and its own space of channels and rooms.

    ``label`` is unique among the accounts loaded (the name, or ``name#id`` where a name occurs twice):
    it names the account in statistics and logs. ``scope`` says whose channels and rooms it shares.
    """

    id: int
    name: str
    label: str
    scope: str
    token: str = field(repr=False)
    plan: Plan = UNLIMITED
    suspended: bool = False
    login_url: str = ""
    restrict_publish: Restriction = Restriction.NONE
    room_owner: bool = False
    broadcast_pin: str = field(default="", repr=False)
    playback_pin: str = field(default="", repr=False)
    stream_url: str = ""
    notify_url: str = ""


STATIC = "_static"
"""Label and scope of the account behind STATIC_TOKEN; STATIC_ACCOUNT shares its scope."""


class AccountSet:
    """The accounts of one load, never changed afterwards: a reload makes another set.

    An account answers to its name while that is its label too: one that had to be told apart as ``name#id``
    answers to its token only, also when the account that holds the name could not be read.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_label = {account.label: account for account in accounts}
        self._by_token = {account.token: account for account in reversed(self._by_label.values())}
        self._by_name = {name: account for name, account in self._by_label.items() if name == account.name}

    def __len__(self) -> int:
        return len(self._by_label)

    def by_label(self, label: str) -> Account | None:
        return self._by_label.get(label)

    def by_token(self, token: str) -> Account | None:
        return self._by_token.get(token)

    def by_name(self, name: str) -> Account | None:
        return self._by_name.get(name)

    @property
    def all(self) -> Mapping[str, Account]:
        """Every account by its label."""
        return MappingProxyType(self._by_label)
