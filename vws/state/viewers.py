"""Viewers of HLS streams. Nobody says goodbye over HTTP: who is silent for long enough is gone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from vws.core.accounts import Account
from vws.core.address import network_of
from vws.core.ledger import Ledger
from vws.core.limits import Unfit
from vws.core.rate import Allowance, Rate
from vws.errors import NotFound, TooMany, Unavailable
from vws.state.base import StateLimits

__all__ = ["Viewers"]

REQUESTS = Rate(5, burst=100)
"""What one player asks for at most: a playlist and a file a second, or all of its buffer at once."""


@dataclass(slots=True)
class _Viewer:
    account: str
    stream: str
    network: str
    seen: int
    requests: Allowance = field(default_factory=lambda: Allowance(REQUESTS))


class Viewers:
    """The viewers by session, the one that was silent longest first."""

    def __init__(self, limits: StateLimits, *, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger
        self._viewers: OrderedDict[str, _Viewer] = OrderedDict()
        self._networks: Counter[str] = Counter()
        self._streams: dict[str, Counter[str]] = {}

    def admit(
        self,
        session: str,
        stream: str,
        *,
        account: Account,
        address: str,
        when: int,
        replaces: str = "",
    ) -> None:
        self.sweep(when)
        viewer = _Viewer(account.label, stream, network_of(address), when)
        old = self._viewers.get(replaces)
        old = old if old and old.account == account.label else None
        self._find_room(viewer, old)
        self._fit(account, leaving=1 if old else 0)
        if old:
            self._remove(replaces)
        self._viewers[session] = viewer
        self._count(viewer, 1)

    def serve(self, session: str, stream: str, *, account: Account, when: int) -> None:
        if not self._keep(session, stream, account, when).requests.take(when / 1000):
            raise TooMany("Too many requests")

    def keep(self, session: str, stream: str, *, account: Account, when: int) -> None:
        self._keep(session, stream, account, when)

    def sweep(self, when: int) -> None:
        """Forget who has been silent for too long; the order makes it cost what is forgotten."""
        while self._viewers:
            session, viewer = next(iter(self._viewers.items()))
            if when - viewer.seen < self._limits.viewer_silence:
                return
            self._remove(session)

    def count(self, account: str, stream: str) -> int:
        return self._of(account)[stream]

    def by_stream(self) -> dict[str, dict[str, int]]:
        return {account: dict(streams) for account, streams in self._streams.items()}

    def _keep(self, session: str, stream: str, account: Account, when: int) -> _Viewer:
        self.sweep(when)
        viewer = self._viewers.get(session)
        if viewer is None or (viewer.account, viewer.stream) != (account.label, stream):
            raise NotFound("No such viewer.", code="no-such-viewer")
        viewer.seen = when
        self._viewers.move_to_end(session)
        return viewer

    def _find_room(self, viewer: _Viewer, old: _Viewer | None) -> None:
        """Raise `Unavailable` where there is no room for a viewer, also once the old one has left."""
        if 0 < self._limits.viewers <= len(self._viewers) - (1 if old else 0):
            raise Unavailable("The server has too many viewers.", code="too-many")
        others = self._networks[viewer.network] - (1 if old and old.network == viewer.network else 0)
        # Behind a Unix socket nobody has an address.
        if viewer.network and 0 < self._limits.viewers_per_address <= others:
            raise Unavailable("Too many viewers have this address.", code="too-many")

    def _fit(self, account: Account, *, leaving: int) -> None:
        limit = account.plan.stream_players
        if limit is not None and self._of(account.label).total() - leaving >= limit:
            self._ledger.refused(account.label, ["streamPlayers"])
            raise Unfit(["streamPlayers"])

    def _remove(self, session: str) -> None:
        self._count(self._viewers.pop(session), -1)

    def _of(self, account: str) -> Counter[str]:
        return self._streams.get(account) or Counter()

    def _count(self, viewer: _Viewer, change: int) -> None:
        streams = self._streams.setdefault(viewer.account, Counter())
        _add(streams, viewer.stream, change)
        if not streams:
            del self._streams[viewer.account]
        _add(self._networks, viewer.network, change)
        self._ledger.peer(viewer.account, broadcaster=False, change=change)


def _add(counts: Counter[str], key: str, change: int) -> None:
    counts[key] += change
    if not counts[key]:
        del counts[key]
