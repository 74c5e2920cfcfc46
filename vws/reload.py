"""Reloading the accounts, and showing the door to those who lost their right to be here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from vws import logs
from vws.accounts import AccountDirectory, ReloadReport
from vws.auth import Gatekeeper
from vws.errors import Unavailable

__all__ = ["Drop", "ReloadResult", "Reloader"]

Drop = Callable[[str, str], None]
"""Close a client's connection: its socket id, and the reason for the log."""


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What was loaded, and how many live connections it ended."""

    report: ReloadReport
    disconnected: int


class Reloader:
    """Reload, and tell the clients that may no longer be here."""

    def __init__(self, accounts: AccountDirectory, gatekeeper: Gatekeeper, *, drop: Drop) -> None:
        self._accounts = accounts
        self._gatekeeper = gatekeeper
        self._drop = drop

    def reload(self) -> ReloadResult:
        """Load the accounts; raise `Unavailable` and change nothing when that fails."""
        try:
            report = self._accounts.reload()
        except Unavailable as error:
            logs.event("reload-failed", level=logging.ERROR, reason=error.message)
            raise
        outdated = self._gatekeeper.outdated()
        for session, reason in outdated:
            self._drop(session.socket_id, reason)
        for problem in report.problems:
            logs.event("account-problem", level=logging.WARNING, row=problem.row, why=problem.why)
        counts = {"accounts": report.loaded, "plans": report.plans, "skipped": report.skipped}
        logs.event("reload", **counts, disconnected=len(outdated))
        return ReloadResult(report, len(outdated))

    def try_to_reload(self) -> None:
        """Load the accounts, or leave it at the line in the log that says why not."""
        with suppress(Unavailable):
            self.reload()
