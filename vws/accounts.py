"""The account directory: who may come in, held in memory and swapped whole at each reload.

STATIC_TOKEN and STATIC_ACCOUNT exist beside the database, before the first load and whatever it brings.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vws.config import Config
from vws.core.account_rows import Problem, Rows, read_accounts
from vws.core.accounts import STATIC, Account, AccountSet
from vws.errors import Unavailable, VWSError

__all__ = ["AccountDirectory", "ReloadReport"]


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What one reload brought: accounts in use, plans read, rows left out, and everything worth telling."""

    loaded: int
    plans: int
    skipped: int
    problems: tuple[Problem, ...] = ()


class AccountDirectory:
    """Find accounts; reload them from ``load``.

    Nothing is loaded at first: call ``reload`` until ``loaded`` is true. A lookup never waits for a reload.
    """

    def __init__(self, config: Config, load: Callable[[], Rows]) -> None:
        self._load = load
        self._static_token = config.static_token
        self._static_name = config.static_account
        self._by_static_token = _static(config, STATIC) if config.static_token else None
        self._by_static_name = (
            _static(config, config.static_account, config.static_login) if config.static_account else None
        )
        self._current = AccountSet()
        self._loaded = False
        self._reloading = threading.Lock()

    @property
    def current(self) -> AccountSet:
        """The accounts of the database as of the last good load, without the static ones."""
        return self._current

    @property
    def loaded(self) -> bool:
        """Whether the database was ever read."""
        return self._loaded

    @property
    def static(self) -> Account | None:
        """The account behind STATIC_TOKEN, if there is such a token."""
        return self._by_static_token

    def by_token(self, token: str) -> Account | None:
        if self._static_token and hmac.compare_digest(_bytes(token), _bytes(self._static_token)):
            return self._by_static_token
        return self._current.by_token(token)

    def by_name(self, name: str) -> Account | None:
        if self._by_static_name and name == self._static_name:
            return self._by_static_name
        return self._current.by_name(name)

    def by_label(self, label: str) -> Account | None:
        if label == STATIC and self._by_static_token:
            return self._by_static_token
        if self._by_static_name and label == self._static_name:
            return self._by_static_name
        return self._current.by_label(label)

    def reload(self) -> ReloadReport:
        """Read the tables and swap the whole set in. Raises ``Unavailable`` and keeps the old set.

        Calls at the same time take turns, each reading after the one before has swapped, so the set in use
        is never older than the newest finished read.
        """
        with self._reloading:
            rows = self._read()
            accounts, problems = read_accounts(
                rows, static_account=self._static_name, static_token=self._static_token
            )
            self._current = AccountSet(accounts)
            self._loaded = True
        skipped = len(rows.accounts) - len(accounts)
        return ReloadReport(len(accounts), len(rows.plans), skipped, tuple(problems))

    def _read(self) -> Rows:
        try:
            return self._load()
        except VWSError as error:
            raise Unavailable(error.message) from error
        except Exception as error:  # whatever a driver comes up with: its text may hold a secret
            raise Unavailable(f"the accounts could not be read: {type(error).__name__}") from error


def _static(config: Config, name: str, login_url: str = "") -> Account:
    return Account(id=0, name=name, label=name, scope=STATIC, token=config.static_token, login_url=login_url)


def _bytes(token: str) -> bytes:
    """Encode what JSON may hold, lone surrogates included."""
    return token.encode("utf-8", "surrogatepass")
