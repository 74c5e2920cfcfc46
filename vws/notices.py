"""Telling the sites of accounts which of their RTMP streams are live, and ending those they do not want."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from vws import logs
from vws.accounts import AccountDirectory
from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.wire import listings
from vws.errors import Unavailable
from vws.state.base import LiveState, RtmpView
from vws.stream_sites import StreamSites

__all__ = ["EVERY", "Notices"]

EVERY = 30_000
"""Milliseconds between two notices of streams that go on."""


class Notices:
    """Calls `notifyUrl` beside everything else; each account's site hears one notice after another.

    ``spawn`` runs a function in a greenlet of its own.
    """

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        sites: StreamSites,
        spawn: Callable[..., Any],
        clock: Clock,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._sites = sites
        self._spawn = spawn
        self._clock = clock
        self._due: set[str] = set()
        self._busy: set[str] = set()
        self._owed: set[str] = set()
        self._last = clock()

    def changed(self, label: str) -> None:
        """Have the account's site told how things are, now or after the call that it is answering."""
        account = self._accounts.by_label(label)
        if account is None or not account.notify_url:
            return
        self._due.add(label)
        if label not in self._busy:
            self._busy.add(label)
            self._spawn(self._tell_until_told, label)

    def repeat(self) -> None:
        """Tell of what goes on, every 30 seconds; again of what a site did not hear."""
        if self._clock() - self._last < EVERY:
            return
        self._last = self._clock()
        owed, self._owed = self._owed, set()
        for label in {stream.account for stream in self._state.rtmp_streams()} | owed:
            self.changed(label)

    def _tell_until_told(self, label: str) -> None:
        try:
            while label in self._due:
                self._due.discard(label)
                account = self._accounts.by_label(label)
                if account is not None and account.notify_url:
                    self._tell(account)
        finally:
            self._busy.discard(label)

    def _tell(self, account: Account) -> None:
        live = {s.name: s for s in self._state.rtmp_streams() if s.account == account.label}
        streams = {
            name: listings.rtmp_stream(
                stream.shown, stream.params, published_at=stream.published_at, viewers=stream.viewers
            )
            for name, stream in live.items()
        }
        try:
            unwanted = self._sites.notify(account.notify_url, token=account.token, streams=streams)
        except Unavailable as failure:
            self._owed.add(account.label)
            why = failure.message
            logs.event("notify-site-failed", level=logging.WARNING, account=account.label, reason=why)
            return
        self._owed.discard(account.label)
        for name in unwanted.keys() & live.keys():
            self._dismiss(live[name], unwanted[name])

    def _dismiss(self, stream: RtmpView, reason: str) -> None:
        """End the broadcast that the site was told of, and no later one of the same name."""
        why = f"disconnected by the notify site: {reason}"
        if self._state.dismiss_rtmp(stream.account, stream.name, why, client_id=stream.client_id):
            logs.event("rtmp-dismissed", account=stream.account, stream=stream.name, reason=reason)
