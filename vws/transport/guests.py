"""Connections that are nobody's session: let in while there is room, and made to go for those that come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

__all__ = ["GUEST", "HEADROOM", "Guest", "Guests", "host_of"]

HEADROOM = 500
"""Connections beyond all sessions that are possible: for requests, and for those that are told it is full."""


GUEST = "vws.guest"
"""Where a request's environ has the guest whose it is."""


class Guest(Protocol):
    """A connection before its first request, or between requests, or during one that is no session's."""

    @property
    def host(self) -> str:
        """The peer's address."""

    def turn_out(self) -> None:
        """End the connection without a word."""


class Sessions(Protocol):
    """The sessions that are open, altogether and of each address."""

    @property
    def sockets(self) -> Collection[Any]: ...

    @property
    def addresses(self) -> Mapping[str, int]: ...


class Guests:
    """Counts guests together with sessions; who has been idle for longest goes when there are too many.

    ``at_once`` and ``per_address`` are the limits of sessions, 0 for none; ``exempt`` tells addresses that
    have none of their own, those of proxies.
    """

    def __init__(
        self, sessions: Sessions, *, at_once: int, per_address: int, exempt: Callable[[str], bool]
    ) -> None:
        self._sessions = sessions
        self._at_once = at_once
        self._per_address = per_address
        self._exempt = exempt
        self._all: dict[Guest, None] = {}  # idle for longest first
        self._by_host: dict[str, dict[Guest, None]] = {}

    def enter(self, guest: Guest) -> None:
        """Count a guest as one that was active just now, and make room where it is one too many."""
        self.leave(guest)
        self._all[guest] = None
        if self._per_address and not self._exempt(guest.host):
            self._by_host.setdefault(guest.host, {})[guest] = None
            self._make_room_at(guest.host, guest)
        while self._full() and self.turn_out_oldest(but=guest):
            pass

    def leave(self, guest: Guest) -> None:
        """Count a guest no more, whether it has gone or become a session."""
        if guest not in self._all:
            return
        del self._all[guest]
        neighbours = self._by_host.get(guest.host)
        if neighbours is not None:
            neighbours.pop(guest, None)
            if not neighbours:
                del self._by_host[guest.host]

    def turn_out_oldest(self, *, but: Guest | None = None) -> bool:
        """End the connection that has been idle for longest; False when there is none."""
        return self._turn_out(next(iter(self._all), None), but)

    def _make_room_at(self, host: str, newest: Guest) -> None:
        """Leave the newest alone: where sessions take all the room it is told so."""
        here = self._by_host[host]
        while len(here) + self._sessions.addresses.get(host, 0) > self._per_address:
            if not self._turn_out(next(iter(here)), newest):
                return

    def _full(self) -> bool:
        taken = len(self._all) + len(self._sessions.sockets)
        return self._at_once > 0 and taken > self._at_once + HEADROOM

    def _turn_out(self, guest: Guest | None, spared: Guest | None) -> bool:
        if guest is None or guest is spared:
            return False
        self.leave(guest)
        guest.turn_out()
        return True


def host_of(address: Any) -> str:
    """Return what a peer can be known by; on a Unix socket that is nothing."""
    return str(address[0]) if isinstance(address, tuple) else ""
