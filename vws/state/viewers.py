"""Viewers of HLS streams. Nobody says goodbye over HTTP: who is silent for long enough is gone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from vws.core.accounts import Account
from vws.core.ledger import Ledger
from vws.core.limits import Unfit
from vws.errors import NotFound, Unavailable

__all__ = ["Viewers"]


@dataclass(slots=True)
class _Viewer:
    account: str
    stream: str
    seen: int


class Viewers:
    """The viewers by session, the one that was silent longest first.

    ``silence`` is how many milliseconds without a request end a session.
    """

    def __init__(self, ledger: Ledger, *, at_once: int, silence: int) -> None:
        self._ledger = ledger
        self._at_once = at_once
        self._silence = silence
        self._viewers: OrderedDict[str, _Viewer] = OrderedDict()
        self._streams: dict[str, Counter[str]] = {}

    def admit(self, session: str, stream: str, *, account: Account, when: int, replaces: str = "") -> None:
        self.sweep(when)
        old = self._viewers.get(replaces)
        own = old is not None and old.account == account.label
        self._check_space(account, leaving=1 if own else 0)
        if own:
            self._remove(replaces)
        self._viewers[session] = _Viewer(account.label, stream, when)
        self._count(account.label, stream, 1)

    def keep(self, session: str, stream: str, *, account: Account, when: int) -> None:
        self.sweep(when)
        viewer = self._viewers.get(session)
        if viewer is None or (viewer.account, viewer.stream) != (account.label, stream):
            raise NotFound("No such viewer.", code="no-such-viewer")
        viewer.seen = when
        self._viewers.move_to_end(session)

    def sweep(self, when: int) -> None:
        """Forget who has been silent for too long; the order makes it cost what is forgotten."""
        while self._viewers:
            session, viewer = next(iter(self._viewers.items()))
            if when - viewer.seen < self._silence:
                return
            self._remove(session)

    def count(self, account: str, stream: str) -> int:
        return self._of(account)[stream]

    def by_stream(self) -> dict[str, dict[str, int]]:
        return {account: dict(streams) for account, streams in self._streams.items()}

    def _check_space(self, account: Account, *, leaving: int) -> None:
        if self._at_once and len(self._viewers) - leaving >= self._at_once:
            raise Unavailable("The server has too many viewers.", code="too-many")
        limit, label = account.plan.stream_players, account.label
        if limit is not None and self._of(label).total() - leaving >= limit:
            self._ledger.refused(label, ["streamPlayers"])
            raise Unfit(["streamPlayers"])

    def _remove(self, session: str) -> None:
        viewer = self._viewers.pop(session)
        self._count(viewer.account, viewer.stream, -1)

    def _of(self, account: str) -> Counter[str]:
        return self._streams.get(account) or Counter()

    def _count(self, account: str, stream: str, change: int) -> None:
        streams = self._streams.setdefault(account, Counter())
        streams[stream] += change
        if not streams[stream]:
            del streams[stream]
        if not streams:
            del self._streams[account]
        self._ledger.peer(account, broadcaster=False, change=change)
