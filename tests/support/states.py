"""The implementations of `LiveState`, which all have to pass the same tests, and what those are made of.

An implementation is added here and nowhere else. `snapshot` is everything that the contract shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vws.core.accounts import UNLIMITED, Account, Plan
from vws.core.session import Role, Session
from vws.state.base import LiveState, StateLimits
from vws.state.memory import MemoryState

__all__ = ["IMPLEMENTATIONS", "MakeState", "account", "session", "snapshot"]

MakeState = Callable[[StateLimits], LiveState]

IMPLEMENTATIONS: Mapping[str, MakeState] = {"memory": MemoryState}


def account(
    label: str, *, scope: str = "", plan: Plan = UNLIMITED, room_owner: bool = False, **more: Any
) -> Account:
    return Account(
        1, label, label, scope or label, f"{label}-token", plan=plan, room_owner=room_owner, **more
    )


def session(socket_id: str, owner: Account, user: str | None = None, *, role: Role = Role.USER) -> Session:
    return Session(socket_id, owner.label, owner.scope, user, role)


def snapshot(state: LiveState) -> tuple[Any, ...]:
    """Return all that the contract shows, comparable with another snapshot; issues are left out."""
    usage = {label: repr(used) for label, used in state.usage().items()}
    return (state.sessions(), state.channels(), state.rooms(), state.viewers(), usage)
