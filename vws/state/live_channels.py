"""What happens in channels: taking seats, giving them up, and what becomes of those who stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vws.core.channels import DIRECT, Channel, Peer, PeerKind
from vws.core.commands import Publish
from vws.core.facts import (
    BroadcastEnded,
    Fact,
    PeerReplaced,
    PlayerJoined,
    PlayerLeft,
    Published,
    PublisherStopped,
    StreamRemoved,
    SubscriptionRefused,
)
from vws.core.ledger import Ledger
from vws.core.rooms import size_of
from vws.errors import Refused
from vws.state.base import NOBODY, StateLimits
from vws.state.connections import Connection, Connections
from vws.state.fitting import Fitting
from vws.state.room_book import RoomBook
from vws.state.seats import Seats

__all__ = ["LiveChannels"]


class LiveChannels:
    """The channels in use. Rooms are looked up in their book and changed in one respect: what they show."""

    def __init__(
        self, limits: StateLimits, *, connections: Connections, ledger: Ledger, rooms: RoomBook
    ) -> None:
        self._newest_wins = limits.newest_wins
        self._connections = connections
        self._rooms = rooms
        self._fitting = Fitting(ledger, limits.channels_per_client)
        self._seats = Seats(ledger)

    def all(self) -> list[Channel]:
        return self._seats.all()

    def open(self, scope: str, name: str) -> Channel:
        return self._seats.open(scope, name)

    # --- broadcasters ---

    def broadcast(
        self, connection: Connection, command: Publish, *, source: str, at: int, evict: frozenset[str]
    ) -> list[Fact]:
        """Make the connection the channel's broadcaster, or update its stream."""
        channel = self._seats.open(connection.session.scope, command.channel)
        rivals = channel.in_the_way(
            connection.session,
            command.peer_id,
            kind=PeerKind.BROADCASTER,
            evict=evict,
            newest_wins=self._newest_wins,
        )
        self._fitting.broadcaster(connection, channel, command, leaving=rivals)
        self._check_space(connection, command, source)
        facts = self._replace(channel, rivals, newcomer=PeerKind.BROADCASTER)
        sources, since = {source}, at
        own = connection.peers.get(command.channel)
        if own is not None:
            if own.kind is PeerKind.BROADCASTER:
                sources, since = own.sources | sources, channel.published_at
            self._seats.rise(connection, channel, own)
        self._sit(connection, channel, command.peer_id, kind=PeerKind.BROADCASTER, sources=sources)
        self._seats.show(channel, command.params)
        channel.published_at = since
        self._update_rooms(channel, sources - {DIRECT, source}, command)
        return facts

    def published(self, connection: Connection, name: str, when: int) -> Published:
        """Say that the connection is live; that announces everybody in the channel to it."""
        channel, broadcaster = self._seats.open(connection.session.scope, name), connection.peers[name]
        players = channel.players
        for player in players:
            player.announced_to, player.announced_at = broadcaster.socket_id, when
        return Published(broadcaster, (*players, broadcaster))

    def _check_space(self, connection: Connection, command: Publish, source: str) -> None:
        """Raise `Refused` when a room that is to show the stream, or does, has no space for it."""
        own, rooms = connection.peers.get(command.channel), {source}
        if own is not None and own.kind is PeerKind.BROADCASTER:
            rooms |= own.sources
        for name in sorted(rooms - {DIRECT}):
            room = self._rooms.get(connection.session.scope, name)
            room.check_space(command.channel, size_of(command))

    def _update_rooms(self, channel: Channel, rooms: Iterable[str], command: Publish) -> None:
        for name in rooms:
            room = self._rooms.get(channel.scope, name)
            shown, size = room.streams[channel.name], size_of(command)
            room.show(replace(shown, params=command.params.raw, size=size))

    # --- players ---

    def watch(
        self, connection: Connection, channel: Channel, peer_id: str, *, source: str, evict: frozenset[str]
    ) -> list[Fact]:
        """Make the connection a player of the channel, or note one more reason why it is."""
        own = connection.peers.get(channel.name)
        if own is not None and own.kind is PeerKind.BROADCASTER:
            raise Refused("You are broadcasting in this channel.", code="broadcasting")
        if own is not None and own.peer_id == peer_id:
            own.sources.add(source)
            return []
        rivals = channel.in_the_way(
            connection.session,
            peer_id,
            kind=PeerKind.PLAYER,
            evict=evict,
            newest_wins=self._newest_wins,
        )
        self._fitting.player(connection, channel, leaving=[*rivals, *([own] if own else [])])
        facts = self._replace(channel, rivals, newcomer=PeerKind.PLAYER)
        sources = {source}
        if own is not None and channel.name in connection.peers:
            sources |= own.sources
            facts += self._rename(connection, channel, own)
        self._sit(connection, channel, peer_id, kind=PeerKind.PLAYER, sources=sources)
        return facts

    def follow(self, connection: Connection, channel: Channel, room: str) -> list[Fact]:
        """Subscribe a participant to a stream; its own stream, or its own name's, it need not watch."""
        user = connection.session.user or ""
        if channel.broadcaster is None or channel.broadcaster.peer_id == user:
            return []
        try:
            return self.watch(connection, channel, user, source=room, evict=NOBODY)
        except Refused as error:
            return [SubscriptionRefused(connection.session.socket_id, user, error.message)]

    def announced(self, connection: Connection, channel: Channel, when: int) -> list[Fact]:
        """Announce the connection to the broadcaster that it waits for, unless that was just done."""
        player, broadcaster = connection.peers.get(channel.name), channel.broadcaster
        if player is None or broadcaster is None or player is broadcaster:
            return []
        return [PlayerJoined(broadcaster, player)] if player.announce(broadcaster, when) else []

    def _rename(self, connection: Connection, channel: Channel, own: Peer) -> list[Fact]:
        self._seats.rise(connection, channel, own)
        return [PlayerLeft(channel.broadcaster, own)] if channel.broadcaster else []

    def _sit(
        self, connection: Connection, channel: Channel, peer_id: str, *, kind: PeerKind, sources: set[str]
    ) -> None:
        session = connection.session
        peer = Peer(session.socket_id, peer_id, kind, session.account, channel, sources)
        self._seats.sit(connection, channel, peer)

    # --- who may watch from outside of the rooms ---

    def admit_watcher(self, connection: Connection, channel: Channel, when: int) -> None:
        """Hold those who subscribe to a room's stream past the room to the room's rules; raise `Refused`."""
        live = channel.broadcaster
        if live is None or not channel.room_only or connection.rooms & live.sources:
            return
        refusal: Refused | None = None
        for name in sorted(live.sources):
            refusal = self._refusal(connection, channel, name, when)
            if refusal is None:
                return
        if refusal is not None:
            raise refusal

    def _refusal(self, connection: Connection, channel: Channel, room: str, when: int) -> Refused | None:
        try:
            self._rooms.get(channel.scope, room).admit_watcher(connection.session, when)
        except Refused as error:
            return error
        return None

    def expel_outsiders(self, channel: Channel, when: int) -> list[Fact]:
        """Take out who subscribed past the rooms, and may no longer."""
        facts: list[Fact] = []
        for player in channel.players:
            if DIRECT in player.sources:
                facts += self._expel_outsider(self._connections.get(player.socket_id), channel, when)
        return facts

    def _expel_outsider(self, connection: Connection, channel: Channel, when: int) -> list[Fact]:
        try:
            self.admit_watcher(connection, channel, when)
        except Refused as error:
            session = connection.session
            peer_id = connection.peers[channel.name].peer_id
            refusal = SubscriptionRefused(session.socket_id, peer_id, error.message)
            return [refusal, *self.leave(connection, channel.name, when=when)]
        return []

    # --- leaving ---

    def leave(self, connection: Connection, name: str, *, when: int, told: bool = False) -> list[Fact]:
        """Take the connection out of a channel, whatever it was in there; ``told``: the server's doing."""
        channel, peer = self._seats.open(connection.session.scope, name), connection.peers[name]
        if peer.kind is PeerKind.BROADCASTER:
            return self._end_broadcast(channel, peer, told=told)
        self._seats.rise(connection, channel, peer)
        return self._vacated(channel, peer, when)

    def stop_following(self, connection: Connection, name: str, room: str, *, when: int) -> list[Fact]:
        """Leave a channel if this room was the last reason to be in it."""
        peer = connection.peers.get(name)
        if peer is None or peer.kind is PeerKind.BROADCASTER:
            return []
        peer.sources.discard(room)
        if not peer.sources:
            return self.leave(connection, name, when=when)
        return self._expel_outsider(connection, self._seats.open(connection.session.scope, name), when)

    def drop_from_room(self, connection: Connection, name: str, room: str, *, when: int) -> list[Fact]:
        """Take the connection's stream out of one room; its channel ends when nothing else carries it."""
        broadcaster = connection.peers[name]
        if broadcaster.sources == {room}:
            return self.leave(connection, name, when=when, told=True)
        channel = self._seats.open(connection.session.scope, name)
        facts = self._take_out_of_rooms(channel, broadcaster, {room})
        dropped = self._drop_sourceless(channel)
        facts.append(BroadcastEnded(name, dropped))
        for player in dropped:
            facts += self._vacated(channel, player, when)
        return [*facts, *self.expel_outsiders(channel, when)]

    def _end_broadcast(self, channel: Channel, broadcaster: Peer, *, told: bool) -> list[Fact]:
        facts = self._take_out_of_rooms(channel, broadcaster, broadcaster.sources - {DIRECT})
        if told:
            facts.append(PublisherStopped(broadcaster, channel.name))
        facts.append(BroadcastEnded(channel.name, channel.players))
        self._drop_sourceless(channel)
        self._rise(channel, broadcaster)
        return facts

    def _take_out_of_rooms(self, channel: Channel, broadcaster: Peer, rooms: set[str]) -> list[Fact]:
        """Remove the stream from rooms; players who were there only for these have no source left."""
        facts: list[Fact] = []
        for name in sorted(rooms):
            room = self._rooms.get(channel.scope, name)
            room.hide(channel.name)
            facts.append(StreamRemoved(name, room.members, channel.name))
        for peer in (*channel.players, broadcaster):
            peer.sources -= rooms
        return facts

    def _drop_sourceless(self, channel: Channel) -> tuple[Peer, ...]:
        dropped = tuple(player for player in channel.players if not player.sources)
        for player in dropped:
            self._rise(channel, player)
        return dropped

    def _replace(self, channel: Channel, rivals: list[Peer], *, newcomer: PeerKind) -> list[Fact]:
        """Give newcomers their rivals' places; who watches the next broadcaster is not told of an end."""
        facts: list[Fact] = []
        for rival in rivals:
            facts.append(PeerReplaced(rival))
            if rival.kind is PeerKind.BROADCASTER:
                facts += self._take_out_of_rooms(channel, rival, rival.sources - {DIRECT})
                audience = channel.players
                dropped = self._drop_sourceless(channel)
                told = audience if newcomer is PeerKind.PLAYER else dropped
                facts.append(BroadcastEnded(channel.name, told))
            self._rise(channel, rival)
        return facts

    def _rise(self, channel: Channel, peer: Peer) -> None:
        self._seats.rise(self._connections.get(peer.socket_id), channel, peer)

    def _vacated(self, channel: Channel, player: Peer, when: int) -> list[Fact]:
        """Tell the broadcaster of a free seat, and give it to its user's other connection, if one waits."""
        live = channel.broadcaster
        if live is None:
            return []
        facts: list[Fact] = [PlayerLeft(live, player)]
        for name in sorted(live.sources - {DIRECT}):
            others = [
                socket
                for socket in self._rooms.get(channel.scope, name).heirs_of(player.peer_id, when)
                if socket != player.socket_id
            ]
            if others:
                heir = self._connections.get(others[-1])
                facts += self.follow(heir, channel, name)
                facts += self.announced(heir, channel, when)
        return facts
