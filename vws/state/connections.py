"""The open connections, as many as their accounts' plans allow, each with all it is in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from vws.core.accounts import Account
from vws.core.channels import Peer
from vws.core.ledger import Ledger
from vws.core.session import Session
from vws.errors import NotFound, Refused
from vws.state.base import Gone

__all__ = ["Connection", "Connections"]


@dataclass(slots=True, eq=False)
class Connection:
    """A socket and all its memberships: leaving costs what it was in, not what the server holds."""

    session: Session
    account: Account
    peers: dict[str, Peer] = field(default_factory=dict)
    rooms: frozenset[str] = frozenset()

    def seats(self, channel: str | None) -> Collection[Peer]:
        """Return the connection's peer in the channel, or in all where None is named; raise `NotFound`."""
        own = self.peers.get(channel or "")
        if own is not None:
            return (own,)
        if channel is None and self.peers:
            return self.peers.values()
        raise NotFound("You are not in this channel.", code="not-in-channel")


class Connections:
    """The open connections by socket id."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[str, Connection] = {}

    def admit(self, session: Session, account: Account) -> None:
        usage, plan = self._ledger.of(session.account), account.plan
        if plan.connections is not None and usage.connections >= plan.connections:
            self._ledger.refused(session.account, ["connections"])
            shown = f"{usage.connections}/{plan.connections:g}"
            raise Refused(f"Account connection limit exceeded:{shown}", code="connections")
        if plan.total_bitrate is not None and usage.total_bitrate > plan.total_bitrate:
            self._ledger.refused(session.account, ["totalBitrate"])
            raise Refused(f"Account bitrate limit exceeded: {plan.total_bitrate:g} kbps", code="bitrate")
        self._open[session.socket_id] = Connection(session, account)
        self._ledger.connection(session.account, 1)

    def remove(self, connection: Connection) -> None:
        del self._open[connection.session.socket_id]
        self._ledger.connection(connection.session.account, -1)

    def find(self, socket_id: str) -> Connection | None:
        return self._open.get(socket_id)

    def get(self, socket_id: str, account: Account | None = None) -> Connection:
        """Return the connection, with its account as it is now; raise `Gone`."""
        connection = self._open.get(socket_id)
        if connection is None:
            raise Gone("This connection is closed.")
        if account is not None:
            connection.account = account
        return connection

    def sessions(self) -> list[Session]:
        return [connection.session for connection in self._open.values()]
