"""Channels: a broadcaster, its players, and who may take whose place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from vws.core.commands import StreamParams
from vws.core.session import Session
from vws.errors import Refused

__all__ = ["ANNOUNCE_EVERY", "DIRECT", "SHARED", "Channel", "Held", "Peer", "PeerKind"]

ANNOUNCE_EVERY = 5_000
"""Milliseconds in which a player is announced to one broadcaster at most once."""

SHARED = ""
"""The scope of everybody where channels are shared between accounts."""

DIRECT = ""
"""The source of a membership that the client itself asked for; other sources are names of rooms."""


class PeerKind(StrEnum):
    """What a peer does in a channel."""

    BROADCASTER = "broadcaster"
    PLAYER = "player"


class Held(Refused):
    """The name or the channel belongs to somebody else, if that one is still alive.

    The state cannot know that: whoever asked probes ``holder`` (a socket id) and tries again.
    """

    code = "held"

    def __init__(self, holder: str, message: str) -> None:
        super().__init__(message)
        self.holder = holder


@dataclass(slots=True, eq=False)
class Peer:
    """One socket's place in a channel.

    ``sources`` says why it is there: by its own wish (`DIRECT`), or by rooms that carry the stream.
    The place ends with the last of them.
    """

    socket_id: str
    peer_id: str
    kind: PeerKind
    account: str
    channel: Channel = field(repr=False)
    sources: set[str] = field(default_factory=set)
    announced_to: str = ""
    announced_at: int = 0

    def announce(self, broadcaster: Peer, when: int) -> bool:
        """Note that the player is announced; False when this broadcaster was just told."""
        recent = self.announced_to == broadcaster.socket_id and when - self.announced_at < ANNOUNCE_EVERY
        if not recent:
            self.announced_to, self.announced_at = broadcaster.socket_id, when
        return not recent


@dataclass(slots=True, eq=False)
class Channel:
    """A stream's meeting place; it exists while a peer is in it."""

    scope: str
    name: str
    peers: dict[str, Peer] = field(default_factory=dict)
    broadcaster: Peer | None = None
    params: StreamParams = field(default_factory=StreamParams)
    published_at: int = 0

    @property
    def players(self) -> tuple[Peer, ...]:
        return tuple(peer for peer in self.peers.values() if peer.kind is PeerKind.PLAYER)

    @property
    def room_only(self) -> bool:
        """Live through rooms alone: then their rules say who may watch."""
        return self.broadcaster is not None and DIRECT not in self.broadcaster.sources

    def in_the_way(
        self, session: Session, peer_id: str, *, kind: PeerKind, evict: frozenset[str], newest_wins: bool
    ) -> list[Peer]:
        """Return the peers that a newcomer replaces; raise `Held` when one of them may keep its place."""
        rivals = list(self._rivals(session.socket_id, peer_id, kind))
        for rival in rivals:
            own_name = rival.peer_id == session.user and self._trusts(session, rival)
            if not (newest_wins or own_name or rival.socket_id in evict):
                raise Held(rival.socket_id, _held_message(rival, kind))
        return rivals

    def _trusts(self, session: Session, rival: Peer) -> bool:
        """Say whether the newcomer's login site speaks for the rival's name, too, as it does in its scope."""
        return self.scope != SHARED or rival.account == session.account

    def _rivals(self, socket_id: str, peer_id: str, kind: PeerKind) -> Iterator[Peer]:
        namesake = self.peers.get(peer_id)
        if namesake is not None and namesake.socket_id != socket_id:
            yield namesake
        live = self.broadcaster if kind is PeerKind.BROADCASTER else None
        if live is not None and live is not namesake and live.socket_id != socket_id:
            yield live


def _held_message(rival: Peer, kind: PeerKind) -> str:
    if kind is PeerKind.BROADCASTER and rival.kind is PeerKind.BROADCASTER:
        return "Channel already has a broadcaster."
    return f"Name is already in use in this channel: {rival.peer_id}"
