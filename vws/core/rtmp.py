"""RTMP streams: who sends and who plays them through nginx, and what they count for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vws.core.commands import StreamParams
from vws.core.rooms import Room

__all__ = ["RtmpClient", "RtmpKind", "RtmpSeat", "RtmpStream"]


class RtmpKind(StrEnum):
    """What somebody does over RTMP, as nginx names it."""

    PUBLISH = "publish"
    PLAY = "play"


@dataclass(frozen=True, slots=True)
class RtmpClient:
    """One connection to nginx and its stream; ``client_id`` is nginx's number of the connection.

    ``address`` is whose it is: another nginx, started anew, gives the same numbers to others.
    ``token`` is the account's when it was let in, ``room`` where the stream is shown, ``shown`` what is told
    of it there and in lists.
    """

    account: str
    scope: str
    stream: str
    kind: RtmpKind
    client_id: str
    address: str = ""
    token: str = field(default="", repr=False)
    room: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class RtmpSeat:
    """A client and when nginx last spoke of it, milliseconds."""

    client: RtmpClient
    seen: int


@dataclass(slots=True, eq=False)
class RtmpStream:
    """A stream of one account; it exists while somebody sends or plays it.

    ``home`` is the account's own scope, ``scope`` that of its rooms, another one where channels are shared.
    ``dismissed`` is why its publisher has to go; nginx is told when it asks next. ``rooms`` show it, by name,
    and those in ``banished`` took it out.
    """

    account: str
    scope: str
    name: str
    home: str
    publisher: RtmpSeat | None = None
    players: dict[str, RtmpSeat] = field(default_factory=dict)
    params: StreamParams = field(default_factory=StreamParams)
    published_at: int = 0
    dismissed: str = ""
    rooms: dict[str, Room] = field(default_factory=dict)
    banished: set[str] = field(default_factory=set)

    @property
    def seats(self) -> list[RtmpSeat]:
        return [*([self.publisher] if self.publisher else []), *self.players.values()]

    def seat(self, client: RtmpClient) -> RtmpSeat | None:
        """Return the client's own seat."""
        if client.kind is RtmpKind.PLAY:
            return self.players.get(client.client_id)
        live = self.publisher
        return live if live and live.client.client_id == client.client_id else None
