"""Taking a name or a channel that somebody holds: alive is checked, not assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vws.accounts import AccountDirectory
from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.channels import Held
from vws.core.facts import Fact
from vws.core.session import Session
from vws.errors import Refused

__all__ = ["Alive", "Claims", "account_of"]

Alive = Callable[[str], bool]
"""Ask a socket for a sign of life; may wait for it, so the asker's own events wait too."""

Operation = Callable[..., list[Fact]]
"""`LiveState.publish`, `subscribe` or `publish_in_room`: takes a place, and can be told whom to evict."""


def account_of(accounts: AccountDirectory, session: Session) -> Account:
    """Return the session's account as it is now; it may have been deleted since the client connected."""
    account = accounts.by_label(session.account)
    if account is None:
        raise Refused("Account not found", code="no-account")
    return account


class Claims:
    """Carries out what takes a place in a channel."""

    def __init__(self, accounts: AccountDirectory, *, alive: Alive, clock: Clock) -> None:
        self._accounts = accounts
        self._alive = alive
        self._clock = clock

    def settle(self, operation: Operation, session: Session, command: Any) -> list[Fact]:
        """Try an operation until nobody alive is in its way; raise `Held` for the first who is.

        Sockets found dead meanwhile lose their places, if they still have them.
        """
        dead: frozenset[str] = frozenset()
        while True:
            account, when = account_of(self._accounts, session), self._clock()
            try:
                return operation(session.socket_id, command, account=account, when=when, evict=dead)
            except Held as held:
                if held.holder in dead or self._alive(held.holder):
                    raise
                dead |= {held.holder}
