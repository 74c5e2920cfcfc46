"""What each account uses right now, and what it was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["Ledger", "Usage"]


@dataclass(slots=True)
class Usage:
    """Connections, peers by kind, and the sum of their streams' rates in kbps.

    RTMP clients are connections and peers too; HLS viewers are players, and nothing else.
    """

    connections: int = 0
    players: int = 0
    broadcasters: int = 0
    bitrate: int = 0
    audio_bitrate: int = 0

    @property
    def total_bitrate(self) -> int:
        return self.bitrate + self.audio_bitrate

    @property
    def idle(self) -> bool:
        return not (self.connections or self.players or self.broadcasters)


class Ledger:
    """Running totals by account label; an account that uses nothing has no entry."""

    def __init__(self) -> None:
        self._usage: dict[str, Usage] = {}
        self.issues: dict[str, Counter[str]] = {}

    def of(self, account: str) -> Usage:
        """Return the account's use, all zero when it has none."""
        return self._usage.get(account) or Usage()

    def all(self) -> dict[str, Usage]:
        return dict(self._usage)

    def connection(self, account: str, change: int) -> None:
        usage = self._of(account)
        usage.connections += change
        self._forget_idle(account, usage)

    def peer(self, account: str, *, broadcaster: bool, change: int) -> None:
        usage = self._of(account)
        if broadcaster:
            usage.broadcasters += change
        else:
            usage.players += change
        self._forget_idle(account, usage)

    def rate(self, account: str, bitrate: int, audio_bitrate: int) -> None:
        """Add to the account's rates, kbps; negative to take away."""
        usage = self._of(account)
        usage.bitrate += bitrate
        usage.audio_bitrate += audio_bitrate
        self._forget_idle(account, usage)

    def refused(self, account: str, issues: list[str]) -> None:
        self.issues.setdefault(account, Counter()).update(issues)

    def _of(self, account: str) -> Usage:
        usage = self._usage.get(account)
        if usage is None:
            usage = self._usage[account] = Usage()
        return usage

    def _forget_idle(self, account: str, usage: Usage) -> None:
        if usage.idle and not usage.total_bitrate:
            del self._usage[account]
