"""Who a connection belongs to, decided once when it connects and never taken from a payload."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from vws.core.rate import Allowance, Rate

__all__ = ["Role", "Session"]

LINE_RATE = Rate(1, burst=100)
"""Lines of the log that one client's events may take."""


class Role(StrEnum):
    """What a verified user may do in rooms; the login site says so."""

    USER = "user"
    MODERATOR = "moderator"


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated connection; all its namespaces share it.

    ``account`` is the account's label, ``scope`` whose channels and rooms it sees, ``user`` the name that
    the login site vouched for, or None for a token client.
    """

    socket_id: str
    account: str
    scope: str
    user: str | None = None
    role: Role = Role.USER
    address: str = ""
    token: str = field(default="", repr=False)
    lines: Allowance = field(default_factory=partial(Allowance, LINE_RATE), compare=False, repr=False)
