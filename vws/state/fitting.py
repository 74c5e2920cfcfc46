"""Whether there is room for one more: the plan's limits and the server's bounds, before anything changes."""

from __future__ import annotations

from vws.core.channels import Channel, Peer
from vws.core.commands import Publish
from vws.core.ledger import Ledger
from vws.core.limits import Unfit, name_allowed, stream_issues, usage_issues
from vws.errors import Refused
from vws.state.connections import Connection

__all__ = ["Fitting"]


class Fitting:
    """Refuses what does not fit, and counts the refusals of the plan."""

    def __init__(self, ledger: Ledger, channels_per_client: int) -> None:
        self._ledger = ledger
        self._channels_per_client = channels_per_client

    def broadcaster(
        self, connection: Connection, channel: Channel, command: Publish, *, leaving: list[Peer]
    ) -> None:
        """Raise `Unfit` when the stream, or the account's use with it, is over the plan."""
        self._check_bounds(connection, channel.name)
        account, label = connection.account, connection.session.account
        present = [peer for peer in channel.peers.values() if peer.account == label]
        own = connection.peers.get(channel.name)
        staying = [peer for peer in present if peer is not own and peer not in leaving]
        before, after = len(present) * channel.params.rate, (len(staying) + 1) * command.params.rate
        allowed = name_allowed(account.restrict_publish, command.channel, command.peer_id)
        self._refuse(
            label,
            [
                *([] if allowed else ["nameRestricted"]),
                *stream_issues(account.plan, command.params),
                *self._usage_issues(connection, after - before),
            ],
        )

    def player(self, connection: Connection, channel: Channel, *, leaving: list[Peer]) -> None:
        """Raise `Unfit` when the account's use with one more player is over the plan."""
        self._check_bounds(connection, channel.name)
        label = connection.session.account
        change = 1 - sum(peer.account == label for peer in leaving)
        self._refuse(label, self._usage_issues(connection, change * channel.params.rate))

    def _usage_issues(self, connection: Connection, change: int) -> list[str]:
        """List which totals are over the plan once the account's rate has changed, kbps."""
        usage = self._ledger.of(connection.session.account)
        total = usage.total_bitrate + change
        return usage_issues(connection.account.plan, total_bitrate=total, connections=usage.connections)

    def _refuse(self, account: str, issues: list[str]) -> None:
        if issues:
            self._ledger.refused(account, issues)
            raise Unfit(issues)

    def _check_bounds(self, connection: Connection, channel: str) -> None:
        if channel not in connection.peers and len(connection.peers) >= self._channels_per_client:
            raise Refused("You are in too many channels.", code="too-many")
