"""The live state in this process's memory: exact because no operation ever yields.

Under gevent a greenlet switches only where it waits; nothing here waits, so every method is atomic.
"""

from __future__ import annotations

from dataclasses import replace

from vws.core.accounts import Account
from vws.core.channels import DIRECT, PeerKind
from vws.core.commands import Publish, RoomAction, RoomMessage, RoomPublish, StreamParams, Subscribe
from vws.core.facts import Fact
from vws.core.ledger import Ledger, Usage
from vws.core.rtmp import RtmpClient
from vws.core.session import Session
from vws.errors import NotFound
from vws.state.base import NOBODY, ChannelView, RoomView, Route, RtmpView, StateLimits
from vws.state.connections import Connections
from vws.state.live_channels import LiveChannels
from vws.state.live_rooms import LiveRooms
from vws.state.live_rtmp import LiveRtmp
from vws.state.room_book import RoomBook
from vws.state.viewers import Viewers
from vws.state.views import channel_view, room_view, route_to, rtmp_view

__all__ = ["MemoryState"]


class MemoryState:
    """`LiveState` for one process."""

    def __init__(self, limits: StateLimits | None = None) -> None:
        limits = limits or StateLimits()
        self._ledger = Ledger()
        self._book = RoomBook(limits.history_ttl)
        self._connections = Connections(self._ledger)
        self._channels = LiveChannels(
            limits, connections=self._connections, ledger=self._ledger, rooms=self._book
        )
        self._rtmp = LiveRtmp(self._ledger, rooms=self._book, update=limits.rtmp_update)
        self._rooms = LiveRooms(
            limits,
            connections=self._connections,
            channels=self._channels,
            rtmp=self._rtmp,
            rooms=self._book,
        )
        self._viewers = Viewers(limits, ledger=self._ledger)

    # --- connections ---

    def connect(self, session: Session, account: Account) -> None:
        self._connections.admit(session, account)

    def disconnect(self, socket_id: str, *, when: int) -> list[Fact]:
        connection = self._connections.find(socket_id)
        if connection is None:
            return []
        facts: list[Fact] = []
        for room in list(connection.rooms):
            facts += self._rooms.leave(connection, self._rooms.of(connection, room), when=when)
        for channel in list(connection.peers):
            facts += self._channels.leave(connection, channel, when=when)
        self._connections.remove(connection)
        return facts

    def session(self, socket_id: str) -> Session | None:
        connection = self._connections.find(socket_id)
        return connection.session if connection else None

    def sessions(self) -> list[Session]:
        return self._connections.sessions()

    # --- channels ---

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
        connection = self._connections.get(socket_id, account)
        facts = self._channels.broadcast(connection, command, source=DIRECT, at=at, evict=evict)
        return [*facts, self._channels.published(connection, command.channel, when)]

    def unpublish(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:
        connection = self._connections.get(socket_id)
        peer = connection.peers.get(channel)
        if peer is None or peer.kind is not PeerKind.BROADCASTER:
            raise NotFound(f"You are not broadcasting in {channel}.", code="not-in-channel")
        return self._channels.leave(connection, channel, when=when)

    def subscribe(
        self,
        socket_id: str,
        command: Subscribe,
        *,
        account: Account,
        when: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        connection = self._connections.get(socket_id, account)
        channel = self._channels.open(connection.session.scope, command.channel)
        self._channels.admit_watcher(connection, channel, when)
        facts = self._channels.watch(connection, channel, command.peer_id, source=DIRECT, evict=evict)
        return [*facts, *self._channels.announced(connection, channel, when)]

    def unsubscribe(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:
        connection = self._connections.get(socket_id)
        peer = connection.peers.get(channel)
        if peer is None or peer.kind is not PeerKind.PLAYER:
            raise NotFound(f"You are not subscribed to {channel}.", code="not-in-channel")
        return self._channels.leave(connection, channel, when=when)

    def route(self, socket_id: str, channel: str | None, target: str) -> Route:
        for own in self._connections.get(socket_id).seats(channel):
            peer = own.channel.peers.get(target)
            if peer is not None:
                return Route(peer.socket_id, peer.account, target, own.channel.name, own.peer_id)
        raise NotFound(f"No such peer in your channel: {target}", code="no-such-peer")

    def audience(self, socket_id: str, channel: str | None) -> list[Route]:
        return [
            route_to(own, peer)
            for own in self._connections.get(socket_id).seats(channel)
            for peer in own.channel.peers.values()
            if peer is not own
        ]

    # --- rooms ---

    def join_room(self, socket_id: str, room: str, *, account: Account, when: int, at: int) -> list[Fact]:
        return self._rooms.join(self._connections.get(socket_id, account), room, when=when, at=at)

    def leave_room(self, socket_id: str, room: str, *, when: int) -> list[Fact]:
        connection = self._connections.get(socket_id)
        return self._rooms.leave(connection, self._rooms.of(connection, room), when=when)

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
        connection = self._connections.get(socket_id, account)
        return self._rooms.publish(connection, command, when=when, at=at, evict=evict)

    def unpublish_from_room(self, socket_id: str, room: str, stream: str, *, when: int) -> list[Fact]:
        return self._rooms.unpublish(self._connections.get(socket_id), room, stream, when=when)

    def post_message(self, socket_id: str, command: RoomMessage, *, at: int) -> list[Fact]:
        return self._rooms.post(self._connections.get(socket_id), command, at=at)

    def moderate(self, socket_id: str, command: RoomAction, *, when: int, at: int) -> list[Fact]:
        return self._rooms.moderate(self._connections.get(socket_id), command, when=when, at=at)

    # --- RTMP ---

    def enter_rtmp(self, client: RtmpClient, *, account: Account, when: int, at: int) -> list[Fact]:
        return self._rtmp.enter(client, account, when=when, at=at)

    def renew_rtmp(self, client: RtmpClient, *, when: int) -> None:
        self._rtmp.renew(client, when)

    def leave_rtmp(self, client: RtmpClient) -> list[Fact]:
        return self._rtmp.leave(client)

    def expire_rtmp(self, *, when: int) -> list[tuple[RtmpClient, list[Fact]]]:
        return self._rtmp.expire(when)

    def measure_rtmp(self, stream: str, params: StreamParams, *, account: Account) -> list[str]:
        return self._rtmp.measure(stream, params, account)

    def dismiss_rtmp(self, account: str, stream: str, reason: str, *, client_id: str) -> bool:
        return self._rtmp.dismiss(account, stream, reason, client_id=client_id)

    # --- viewers ---

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
        self._viewers.admit(session, stream, account=account, address=address, when=when, replaces=replaces)

    def serve_viewer(self, session: str, stream: str, *, account: Account, when: int) -> None:
        self._viewers.serve(session, stream, account=account, when=when)

    def keep_viewer(self, session: str, stream: str, *, account: Account, when: int) -> None:
        self._viewers.keep(session, stream, account=account, when=when)

    def sweep(self, *, when: int) -> None:
        self._book.sweep(when)
        self._viewers.sweep(when)

    # --- what is shown of it ---

    def channels(self) -> list[ChannelView]:
        return [channel_view(channel) for channel in self._channels.all()]

    def rtmp_streams(self) -> list[RtmpView]:
        return [
            rtmp_view(stream, stream.publisher, self._viewers.count(stream.account, stream.name))
            for stream in self._rtmp.all()
            if stream.publisher
        ]

    def rooms(self) -> list[RoomView]:
        return [room_view(room) for room in self._book.all() if room.participants]

    def viewers(self) -> dict[str, dict[str, int]]:
        return self._viewers.by_stream()

    def usage(self) -> dict[str, Usage]:
        return {account: replace(usage) for account, usage in self._ledger.all().items()}

    def issues(self) -> dict[str, dict[str, int]]:
        return {account: dict(counts) for account, counts in self._ledger.issues.items()}
