"""The contract of the live state.

One operation per client event, each atomic: its checks, limits and counters are decided and its change is
made in one step that no other operation sees half done. A refused operation raises and leaves no trace.
Times are integer milliseconds, given by the caller: ``when`` by a clock that never jumps, which deadlines
count by, and ``at`` since the epoch, which people are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from vws.core.accounts import Account
from vws.core.commands import (
    Publish,
    RoomAction,
    RoomMessage,
    RoomPublish,
    StreamParams,
    Subscribe,
)
from vws.core.facts import Fact
from vws.core.ledger import Usage
from vws.core.rtmp import RtmpClient
from vws.core.session import Session

__all__ = [
    "NOBODY",
    "ChannelView",
    "Gone",
    "LiveState",
    "PeerView",
    "RoomView",
    "Route",
    "RtmpView",
    "StateLimits",
]

from vws.errors import Refused

NOBODY: frozenset[str] = frozenset()


class Gone(Refused):
    """The socket is no longer connected: whatever it asked for comes too late."""

    code = "disconnected"


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Bounds and rules of the whole server."""

    newest_wins: bool = False
    rooms_per_client: int = 100
    channels_per_client: int = 1000
    history_ttl: int = 600_000
    viewers: int = 20_000
    viewers_per_address: int = 5_000
    viewer_silence: int = 30_000
    rtmp_update: int = 30_000


class Route(Struct, frozen=True, gc=False):
    """Where a signal goes, and as whom: ``sender`` is the sender's peerID in ``channel``."""

    socket_id: str
    account: str
    peer_id: str
    channel: str
    sender: str


@dataclass(frozen=True, slots=True)
class PeerView:
    socket_id: str
    peer_id: str
    kind: str
    account: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as the API lists it; ``publisher`` is None while nobody broadcasts in it."""

    name: str
    account: str
    peers: tuple[PeerView, ...]
    publisher: str | None
    published_at: int
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoomView:
    name: str
    scope: str
    participants: Mapping[str, tuple[str, int]]
    streams: tuple[str, ...]
    messages: int
    locked: bool


@dataclass(frozen=True, slots=True)
class RtmpView:
    """An RTMP stream that is live, as the API lists it; ``players`` are those of RTMP, ``viewers`` of HLS."""

    name: str
    account: str
    client_id: str
    players: int
    viewers: int
    published_at: int
    params: StreamParams
    shown: Mapping[str, Any]


class LiveState(Protocol):
    """What use cases ask of the live state; errors beside those named: `Gone`."""

    def connect(self, session: Session, account: Account) -> None:
        """Admit a connection; raise `Refused` over the plan's connections or total bitrate."""

    def disconnect(self, socket_id: str, *, when: int) -> list[Fact]:
        """Take a connection out of everything at once; unknown sockets are nothing to do."""

    def session(self, socket_id: str) -> Session | None: ...

    def sessions(self) -> list[Session]: ...

    def publish(
        self,
        socket_id: str,
        command: Publish,
        *,
        account: Account,
        when: int,
        at: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        """Start or update a broadcast; raise `Unfit`, `Held`, `Refused`.

        ``evict`` names sockets that were found dead and may lose their places.
        """

    def unpublish(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:
        """End the socket's broadcast; raise `NotFound` when it has none there."""

    def subscribe(
        self,
        socket_id: str,
        command: Subscribe,
        *,
        account: Account,
        when: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        """Put the socket into a channel as a player, or announce it again; raise like `publish`."""

    def unsubscribe(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:
        """Take the player out; raise `NotFound` when it isn't there."""

    def route(self, socket_id: str, channel: str | None, target: str) -> Route:
        """Find a peer that shares a channel with the socket; raise `NotFound`."""

    def audience(self, socket_id: str, channel: str | None) -> list[Route]:
        """Find everybody else in the socket's channel, or channels; raise `NotFound` if in none."""

    def join_room(self, socket_id: str, room: str, *, account: Account, when: int, at: int) -> list[Fact]:
        """Enter a room and its streams, or be shown its state again; raise `Refused`."""

    def leave_room(self, socket_id: str, room: str, *, when: int) -> list[Fact]:
        """Leave a room with all one published in it; raise `Refused` if not in it."""

    def publish_in_room(
        self,
        socket_id: str,
        command: RoomPublish,
        *,
        account: Account,
        when: int,
        at: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        """Show a stream to a room, every participant subscribed; raise like `publish`."""

    def unpublish_from_room(self, socket_id: str, room: str, stream: str, *, when: int) -> list[Fact]:
        """Take a stream of one's own out of a room; raise `Refused`, `NotFound`."""

    def post_message(self, socket_id: str, command: RoomMessage, *, at: int) -> list[Fact]:
        """Keep and show a chat message; raise `Refused`."""

    def moderate(self, socket_id: str, command: RoomAction, *, when: int, at: int) -> list[Fact]:
        """Carry out a moderator's action; raise `Refused`."""

    def enter_rtmp(self, client: RtmpClient, *, account: Account, when: int, at: int) -> list[Fact]:
        """Count an RTMP client.

        Raises `Unfit` over the plan, `Refused` for a stream that is live, or a connection that has a stream.
        """

    def renew_rtmp(self, client: RtmpClient, *, when: int) -> None:
        """Note that the client is there; raise `NotFound` for an unknown one, `Refused` if it has to go."""

    def leave_rtmp(self, client: RtmpClient) -> list[Fact]:
        """Take an RTMP client out; raise `NotFound` for an unknown one."""

    def expire_rtmp(self, *, when: int) -> list[tuple[RtmpClient, list[Fact]]]:
        """Take out the RTMP clients of whom nginx owes three updates."""

    def measure_rtmp(self, stream: str, params: StreamParams, *, account: Account) -> list[str]:
        """Count what a publisher really sends; return for what its plan dismisses it."""

    def dismiss_rtmp(self, account: str, stream: str, reason: str, *, client_id: str) -> bool:
        """Have this publisher refused at its next update; False when it is not there to dismiss."""

    def open_viewer(
        self,
        session: str,
        stream: str,
        *,
        account: Account,
        address: str,
        when: int,
        replaces: str = "",
    ) -> None:
        """Count a viewer of an HLS stream; one of the same account that it ``replaces`` is gone then.

        Raises `Unfit` over the plan's viewers, `Unavailable` over the server's or the address's.
        """

    def serve_viewer(self, session: str, stream: str, *, account: Account, when: int) -> None:
        """Count a viewer's request; raise like `keep_viewer`, and `TooMany` beyond what a player asks for."""

    def keep_viewer(self, session: str, stream: str, *, account: Account, when: int) -> None:
        """Note that the viewer of this stream is there; raise `NotFound` when it is gone, or another's."""

    def sweep(self, *, when: int) -> None:
        """Forget rooms that have been empty, and viewers that have been silent, for long enough."""

    def channels(self) -> list[ChannelView]: ...

    def rtmp_streams(self) -> list[RtmpView]:
        """List the RTMP streams that have a publisher."""

    def rooms(self) -> list[RoomView]:
        """List the rooms that have participants."""

    def viewers(self) -> dict[str, dict[str, int]]:
        """Count the viewers of each account's HLS streams, by stream."""

    def usage(self) -> dict[str, Usage]:
        """Return what each account uses; one that uses nothing is missing."""

    def issues(self) -> dict[str, dict[str, int]]:
        """Return how often each limit refused something, by account, since the start."""
