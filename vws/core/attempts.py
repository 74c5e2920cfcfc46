"""Failed attempts to get in, counted per client address over a sliding window."""

from __future__ import annotations

from collections import OrderedDict, deque

from vws.core.address import network_of
from vws.errors import TooMany

__all__ = ["MAX_ADDRESSES", "WINDOW", "FailedAttempts", "TooManyAttempts"]

WINDOW = 600_000
"""Milliseconds for which a failed attempt counts."""

QUIET_FOR = 60_000
"""Milliseconds in which there is one line about an address that has to wait."""

MAX_ADDRESSES = 10_000
"""Addresses remembered at the same time; beyond it the one that failed longest ago is forgotten."""


class TooManyAttempts(TooMany):
    """The address has to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests: try again in {seconds} seconds")


class FailedAttempts:
    """Remembers failures; ``limit`` per address in ``window``, 0 lifts it. Times in milliseconds."""

    def __init__(self, limit: int, *, window: int = WINDOW) -> None:
        self._limit = limit
        self._window = window
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()
        self._told: dict[str, int] = {}

    def check(self, address: str, when: int) -> None:
        """Raise `TooManyAttempts` while the address has failed too often."""
        failures = self._failures.get(network_of(address))
        if not self._limit or failures is None:
            return
        while failures and failures[0] <= when - self._window:
            failures.popleft()
        if len(failures) >= self._limit:
            raise TooManyAttempts(-(-(failures[0] + self._window - when) // 1000))

    def failed(self, address: str, when: int) -> None:
        if not self._limit:
            return
        key = network_of(address)
        self._failures.setdefault(key, deque(maxlen=self._limit)).append(when)
        self._failures.move_to_end(key)
        if len(self._failures) > MAX_ADDRESSES:
            forgotten, _ = self._failures.popitem(last=False)
            self._told.pop(forgotten, None)

    def take_back(self, address: str) -> None:
        """Forget the address's latest failure, which turned out to be none."""
        key = network_of(address)
        if failures := self._failures.get(key):
            failures.pop()
        if not failures:
            self._failures.pop(key, None)
            self._told.pop(key, None)

    def is_news(self, address: str, when: int) -> bool:
        """Say whether a line is due about an address that goes on though it has to wait."""
        key = network_of(address)
        told = self._told.get(key)
        if key not in self._failures or (told is not None and when < told + QUIET_FOR):
            return False
        self._told[key] = when
        return True
