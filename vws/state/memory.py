"""The live state in this process's memory: exact because no operation ever yields.

Under gevent a greenlet switches only where it waits; nothing here waits, so every method is atomic.
"""

from __future__ import annotations

from collections.abc import Iterable

from vws.core.accounts import Account
from vws.core.channels import DIRECT, Channel, Peer, PeerKind
from vws.core.commands import (
    Action,
    Publish,
    RoomAction,
    RoomMessage,
    RoomPublish,
    Subscribe,
)
from vws.core.facts import (
    ActionTaken,
    BroadcastEnded,
    Fact,
    MessagePosted,
    ParticipantJoined,
    ParticipantLeft,
    PeerReplaced,
    PlayerJoined,
    PlayerLeft,
    Published,
    PublisherStopped,
    StreamAdded,
    StreamRemoved,
    SubscriptionRefused,
)
from vws.core.ledger import Ledger, Usage
from vws.core.limits import Unfit, name_allowed, stream_issues, usage_issues
from vws.core.rooms import NOT_IN_ROOM, Participant, Room, Stream
from vws.core.session import Session
from vws.errors import NotFound, Refused
from vws.state.base import NOBODY, ChannelView, Gone, RoomView, Route, StateLimits
from vws.state.room_book import RoomBook
from vws.state.seats import Connection, Seats
from vws.state.views import channel_view, entered, room_view, route_to

__all__ = ["MemoryState"]


class MemoryState:
    """`LiveState` for one process."""

    def __init__(self, limits: StateLimits | None = None) -> None:
        self._limits = limits or StateLimits()
        self._connections: dict[str, Connection] = {}
        self._ledger = Ledger()
        self._seats = Seats(self._ledger)
        self._rooms = RoomBook(self._limits.history_ttl)

    # --- connections ---

    def connect(self, session: Session, account: Account) -> None:
        usage, plan = self._ledger.of(session.account), account.plan
        if plan.connections is not None and usage.connections >= plan.connections:
            self._ledger.refused(session.account, ["connections"])
            shown = f"{usage.connections}/{plan.connections:g}"
            raise Refused(f"Account connection limit exceeded:{shown}", code="connections")
        if plan.total_bitrate is not None and usage.total_bitrate > plan.total_bitrate:
            self._ledger.refused(session.account, ["totalBitrate"])
            raise Refused(f"Account bitrate limit exceeded: {plan.total_bitrate:g} kbps", code="bitrate")
        self._connections[session.socket_id] = Connection(session, account)
        self._ledger.connection(session.account, 1)

    def disconnect(self, socket_id: str, *, when: int) -> list[Fact]:
        connection = self._connections.get(socket_id)
        if connection is None:
            return []
        facts: list[Fact] = []
        for room in list(connection.rooms):
            facts += self._leave_room(connection, self._rooms.get(connection.session.scope, room), when)
        for channel in list(connection.peers):
            facts += self._leave_channel(connection, channel)
        del self._connections[socket_id]
        self._ledger.connection(connection.session.account, -1)
        return facts

    def session(self, socket_id: str) -> Session | None:
        connection = self._connections.get(socket_id)
        return connection.session if connection else None

    def sessions(self) -> list[Session]:
        return [connection.session for connection in self._connections.values()]

    def _connection(self, socket_id: str, account: Account | None = None) -> Connection:
        connection = self._connections.get(socket_id)
        if connection is None:
            raise Gone("This connection is closed.")
        if account is not None:
            connection.account = account
        return connection

    # --- channels ---

    def publish(
        self,
        socket_id: str,
        command: Publish,
        *,
        account: Account,
        when: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        connection = self._connection(socket_id, account)
        facts = self._broadcast(connection, command, source=DIRECT, when=when, evict=evict)
        return [*facts, self._published(connection, command.channel, when)]

    def unpublish(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:  # noqa: ARG002 - contract
        connection = self._connection(socket_id)
        peer = connection.peers.get(channel)
        if peer is None or peer.kind is not PeerKind.BROADCASTER:
            raise NotFound(f"You are not broadcasting in {channel}.", code="not-in-channel")
        return self._leave_channel(connection, channel)

    def subscribe(
        self,
        socket_id: str,
        command: Subscribe,
        *,
        account: Account,
        when: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        connection = self._connection(socket_id, account)
        channel = self._seats.open(connection.session.scope, command.channel)
        self._admit_watcher(connection, channel, when)
        facts = self._watch(connection, channel, command.peer_id, source=DIRECT, evict=evict)
        return [*facts, *self._announced(connection, channel, when)]

    def unsubscribe(self, socket_id: str, channel: str, *, when: int) -> list[Fact]:  # noqa: ARG002 - contract
        connection = self._connection(socket_id)
        peer = connection.peers.get(channel)
        if peer is None or peer.kind is not PeerKind.PLAYER:
            raise NotFound(f"You are not subscribed to {channel}.", code="not-in-channel")
        return self._leave_channel(connection, channel)

    def route(self, socket_id: str, channel: str | None, target: str) -> Route:
        connection = self._connection(socket_id)
        for own, shared in self._channels_of(connection, channel):
            peer = shared.peers.get(target)
            if peer is not None:
                return route_to(own, peer, shared)
        raise NotFound(f"No such peer in your channel: {target}", code="no-such-peer")

    def audience(self, socket_id: str, channel: str | None) -> list[Route]:
        connection = self._connection(socket_id)
        return [
            route_to(own, peer, shared)
            for own, shared in self._channels_of(connection, channel)
            for peer in shared.peers.values()
            if peer is not own
        ]

    def _channels_of(self, connection: Connection, channel: str | None) -> list[tuple[Peer, Channel]]:
        """Return the one channel asked for, or all the connection is in, each with its own peer there."""
        names = list(connection.peers) if channel is None else [channel]
        if not names or names[0] not in connection.peers:
            raise NotFound("You are not in this channel.", code="not-in-channel")
        scope = connection.session.scope
        return [(connection.peers[name], self._seats.open(scope, name)) for name in names]

    def _broadcast(
        self, connection: Connection, command: Publish, *, source: str, when: int, evict: frozenset[str]
    ) -> list[Fact]:
        """Make the connection the channel's broadcaster, or update its stream."""
        channel = self._seats.open(connection.session.scope, command.channel)
        rivals = channel.in_the_way(
            connection.session,
            command.peer_id,
            kind=PeerKind.BROADCASTER,
            evict=evict,
            newest_wins=self._limits.newest_wins,
        )
        self._check_bounds(connection, command.channel)
        self._check_broadcast(connection, channel, command, rivals)
        facts = self._replace(channel, rivals, newcomer=PeerKind.BROADCASTER)
        own = connection.peers.get(command.channel)
        live = own is not None and own.kind is PeerKind.BROADCASTER
        sources, since = {source}, when
        if own is not None:
            if live:
                sources, since = own.sources | sources, channel.published_at
            self._seats.rise(connection, channel, own)
        account = connection.session.account
        peer = Peer(connection.session.socket_id, command.peer_id, PeerKind.BROADCASTER, account, sources)
        self._seats.sit(connection, channel, peer)
        self._seats.show(channel, command.params)
        channel.published_at = since
        return facts

    def _check_broadcast(
        self, connection: Connection, channel: Channel, command: Publish, rivals: list[Peer]
    ) -> None:
        account, label = connection.account, connection.session.account
        own = connection.peers.get(channel.name)
        present = [peer for peer in channel.peers.values() if peer.account == label]
        staying = [peer for peer in present if peer is not own and peer not in rivals]
        usage = self._ledger.of(label)
        before, after = len(present) * channel.params.rate, (len(staying) + 1) * command.params.rate
        allowed = name_allowed(account.restrict_publish, command.channel, command.peer_id)
        self._fit(
            label,
            [
                *([] if allowed else ["nameRestricted"]),
                *stream_issues(account.plan, command.params),
                *usage_issues(
                    account.plan,
                    total_bitrate=usage.total_bitrate - before + after,
                    connections=usage.connections,
                ),
            ],
        )

    def _watch(
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
            newest_wins=self._limits.newest_wins,
        )
        self._check_bounds(connection, channel.name)
        self._check_watch(connection, channel, [*rivals, *([own] if own else [])])
        facts = self._replace(channel, rivals, newcomer=PeerKind.PLAYER)
        sources = {source}
        if channel.name in connection.peers:
            sources |= connection.peers[channel.name].sources
            facts += self._leave_channel(connection, channel.name)
        account = connection.session.account
        peer = Peer(connection.session.socket_id, peer_id, PeerKind.PLAYER, account, sources)
        self._seats.sit(connection, channel, peer)
        return facts

    def _check_watch(self, connection: Connection, channel: Channel, leaving: list[Peer]) -> None:
        label = connection.session.account
        usage = self._ledger.of(label)
        change = 1 - sum(peer.account == label for peer in leaving)
        total = usage.total_bitrate + change * channel.params.rate
        plan = connection.account.plan
        self._fit(label, usage_issues(plan, total_bitrate=total, connections=usage.connections))

    def _fit(self, account: str, issues: list[str]) -> None:
        if issues:
            self._ledger.refused(account, issues)
            raise Unfit(issues)

    def _check_bounds(self, connection: Connection, channel: str) -> None:
        if channel not in connection.peers and len(connection.peers) >= self._limits.channels_per_client:
            raise Refused("You are in too many channels.", code="too-many")

    def _admit_watcher(self, connection: Connection, channel: Channel, when: int) -> None:
        """Hold those who subscribe to a room's stream past the room to the room's rules."""
        if channel.broadcaster is None or not channel.room_only:
            return
        refusal: Refused | None = None
        for name in channel.broadcaster.sources:
            try:
                self._rooms.get(channel.scope, name).admit(connection.session, when)
            except Refused as error:
                refusal = error
            else:
                return
        if refusal is not None and not connection.rooms & channel.broadcaster.sources:
            raise refusal

    def _published(self, connection: Connection, channel_name: str, when: int) -> Published:
        channel = self._seats.open(connection.session.scope, channel_name)
        broadcaster = connection.peers[channel_name]
        players = channel.players
        for player in players:
            player.announced_to, player.announced_at = broadcaster.socket_id, when
        return Published(broadcaster, (*players, broadcaster))

    def _announced(self, connection: Connection, channel: Channel, when: int) -> list[Fact]:
        player, broadcaster = connection.peers.get(channel.name), channel.broadcaster
        if player is None or broadcaster is None or player is broadcaster:
            return []
        return [PlayerJoined(broadcaster, player)] if player.announce(broadcaster, when) else []

    # --- leaving channels ---

    def _leave_channel(self, connection: Connection, name: str, *, told: bool = False) -> list[Fact]:
        """Take the connection out of a channel, whatever it was in there; ``told``: the server's doing."""
        channel, peer = self._seats.open(connection.session.scope, name), connection.peers[name]
        if peer.kind is PeerKind.BROADCASTER:
            return self._end_broadcast(channel, peer, told=told)
        self._seats.rise(connection, channel, peer)
        return [PlayerLeft(channel.broadcaster, peer)] if channel.broadcaster else []

    def _end_broadcast(self, channel: Channel, broadcaster: Peer, *, told: bool) -> list[Fact]:
        audience = channel.players
        facts = self._take_out_of_rooms(channel, broadcaster, broadcaster.sources - {DIRECT})
        if told:
            facts.append(PublisherStopped(broadcaster, channel.name))
        facts.append(BroadcastEnded(channel.name, audience))
        self._rise_all(channel, [*(player for player in audience if not player.sources), broadcaster])
        return facts

    def _take_out_of_rooms(self, channel: Channel, broadcaster: Peer, rooms: set[str]) -> list[Fact]:
        """Remove the stream from rooms; players who were there only for these have no source left."""
        facts: list[Fact] = []
        for name in sorted(rooms):
            room = self._rooms.get(channel.scope, name)
            del room.streams[channel.name]
            facts.append(StreamRemoved(name, room.members, channel.name))
        for peer in (*channel.players, broadcaster):
            peer.sources -= rooms
        return facts

    def _replace(self, channel: Channel, rivals: list[Peer], *, newcomer: PeerKind) -> list[Fact]:
        """Give newcomers their rivals' places; who watches the next broadcaster is not told of an end."""
        facts: list[Fact] = []
        for rival in rivals:
            facts.append(PeerReplaced(rival))
            dropped: list[Peer] = []
            if rival.kind is PeerKind.BROADCASTER:
                facts += self._take_out_of_rooms(channel, rival, rival.sources - {DIRECT})
                dropped = [player for player in channel.players if not player.sources]
                told = channel.players if newcomer is PeerKind.PLAYER else tuple(dropped)
                facts.append(BroadcastEnded(channel.name, told))
            self._rise_all(channel, [*dropped, rival])
        return facts

    def _rise_all(self, channel: Channel, peers: Iterable[Peer]) -> None:
        for peer in peers:
            self._seats.rise(self._connections[peer.socket_id], channel, peer)

    # --- rooms ---

    def join_room(self, socket_id: str, room: str, *, account: Account, when: int) -> list[Fact]:
        connection = self._connection(socket_id, account)
        place = self._rooms.open(connection.session.scope, room, when)
        facts: list[Fact] = []
        if socket_id not in place.participants:
            facts.append(self._enter_room(connection, place, when))
        return [entered(place, socket_id), *facts, *self._watch_room(connection, place, when)]

    def _enter_room(self, connection: Connection, room: Room, when: int) -> Fact:
        session = connection.session
        room.admit(session, when)
        if len(connection.rooms) >= self._limits.rooms_per_client:
            raise Refused("You are in too many rooms.", code="too-many")
        participant = Participant(session.socket_id, session.user or "", when, session.role)
        room.enter(participant, first_is_owner=connection.account.room_owner)
        connection.rooms.add(room.name)
        self._rooms.keep(room)
        return ParticipantJoined(room.name, room.members, participant)

    def _watch_room(self, connection: Connection, room: Room, when: int) -> list[Fact]:
        facts: list[Fact] = []
        for stream_id in list(room.streams):
            channel = self._seats.open(room.scope, stream_id)
            facts += self._watch_for_room(connection, channel, room)
            facts += self._announced(connection, channel, when)
        return facts

    def _watch_for_room(self, connection: Connection, channel: Channel, room: Room) -> list[Fact]:
        """Subscribe a participant to a stream; its own stream, or its own name's, it need not watch."""
        user = connection.session.user or ""
        if channel.broadcaster is None or channel.broadcaster.peer_id == user:
            return []
        try:
            return self._watch(connection, channel, user, source=room.name, evict=NOBODY)
        except Refused as error:
            return [SubscriptionRefused(connection.session.socket_id, user, error.message)]

    def leave_room(self, socket_id: str, room: str, *, when: int) -> list[Fact]:
        connection = self._connection(socket_id)
        return self._leave_room(connection, self._room_of(connection, room), when)

    def _leave_room(self, connection: Connection, room: Room, when: int) -> list[Fact]:
        facts: list[Fact] = []
        for stream in list(room.streams.values()):
            if stream.socket_id == connection.session.socket_id:
                facts += self._drop_stream(connection, room, stream.stream_id)
            else:
                facts += self._stop_watching(connection, room, stream.stream_id)
        participant = room.leave(connection.session.socket_id)
        connection.rooms.discard(room.name)
        self._rooms.retire(room, when)
        return [*facts, ParticipantLeft(room.name, room.members, participant)]

    def _stop_watching(self, connection: Connection, room: Room, stream_id: str) -> list[Fact]:
        peer = connection.peers.get(stream_id)
        if peer is None or room.name not in peer.sources:
            return []
        peer.sources.discard(room.name)
        return [] if peer.sources else self._leave_channel(connection, stream_id)

    def publish_in_room(
        self,
        socket_id: str,
        command: RoomPublish,
        *,
        account: Account,
        when: int,
        evict: frozenset[str] = NOBODY,
    ) -> list[Fact]:
        connection = self._connection(socket_id, account)
        room = self._room_of(connection, command.room)
        author = room.participant(socket_id)
        room.admit_broadcaster(author)
        shown = room.streams.get(command.stream)
        publish = Publish(author.name, command.stream, command.params)
        facts = self._broadcast(connection, publish, source=room.name, when=when, evict=evict)
        fresh = shown is None or shown.socket_id != socket_id
        since = when if shown is None or fresh else shown.published_at
        stream = Stream(command.stream, socket_id, author.name, since, command.params.raw)
        room.streams[command.stream] = stream
        facts += self._gather_audience(connection, room, command.stream)
        facts.append(self._published(connection, command.stream, when))
        return [*facts, StreamAdded(room.name, room.members, stream)] if fresh else facts

    def _gather_audience(self, publisher: Connection, room: Room, stream_id: str) -> list[Fact]:
        facts: list[Fact] = []
        channel = self._seats.open(room.scope, stream_id)
        for member in room.members:
            if member != publisher.session.socket_id:
                facts += self._watch_for_room(self._connections[member], channel, room)
        return facts

    def unpublish_from_room(self, socket_id: str, room: str, stream: str, *, when: int) -> list[Fact]:  # noqa: ARG002 - contract
        connection = self._connection(socket_id)
        place = self._room_of(connection, room)
        shown = place.streams.get(stream)
        if shown is None:
            raise NotFound(f"No such stream in this room: {stream}", code="no-such-stream")
        if shown.socket_id != socket_id:
            raise Refused("This is not your stream.", code="not-yours")
        return self._drop_stream(connection, place, stream)

    def _drop_stream(self, connection: Connection, room: Room, stream_id: str) -> list[Fact]:
        """Take a stream out of one room; its channel ends when nothing else carries it."""
        broadcaster = connection.peers[stream_id]
        if broadcaster.sources == {room.name}:
            return self._leave_channel(connection, stream_id, told=True)
        channel = self._seats.open(room.scope, stream_id)
        facts = self._take_out_of_rooms(channel, broadcaster, {room.name})
        dropped = tuple(player for player in channel.players if not player.sources)
        self._rise_all(channel, dropped)
        facts.append(BroadcastEnded(stream_id, dropped))
        return [*facts, *(PlayerLeft(broadcaster, player) for player in dropped)]

    def post_message(self, socket_id: str, command: RoomMessage, *, when: int) -> list[Fact]:
        room = self._room_of(self._connection(socket_id), command.room)
        message = room.post(command, room.participant(socket_id), when)
        return [MessagePosted(room.name, room.members, message)]

    def moderate(self, socket_id: str, command: RoomAction, *, when: int) -> list[Fact]:
        room = self._room_of(self._connection(socket_id), command.room)
        author = room.participant(socket_id)
        targets = room.sockets_of(command.user)
        told = room.moderate(command, author, when)
        if command.action is Action.KICK and not targets:
            raise NotFound(f"No such participant: {command.user}", code="no-such-user")
        facts: list[Fact] = [ActionTaken(room.name, room.members, told)]
        if command.action in (Action.KICK, Action.BAN):
            for target in targets:
                facts += self._throw_out(self._connections[target], room, when)
        return facts

    def _throw_out(self, connection: Connection, room: Room, when: int) -> list[Fact]:
        """Remove somebody from a room and from its streams, however they came to watch them."""
        facts: list[Fact] = []
        for stream_id in list(room.streams):
            peer = connection.peers.get(stream_id)
            if peer is not None and peer.kind is PeerKind.PLAYER:
                facts += self._leave_channel(connection, stream_id)
        return [*facts, *self._leave_room(connection, room, when)]

    def _room_of(self, connection: Connection, name: str) -> Room:
        if name not in connection.rooms:
            raise Refused(NOT_IN_ROOM, code="not-in-room")
        return self._rooms.get(connection.session.scope, name)

    def sweep(self, *, when: int) -> None:
        self._rooms.sweep(when)

    # --- what is shown of it ---

    def channels(self) -> list[ChannelView]:
        return [channel_view(channel) for channel in self._seats.all()]

    def rooms(self) -> list[RoomView]:
        return [room_view(room) for room in self._rooms.all() if room.participants]

    def usage(self) -> dict[str, Usage]:
        return self._ledger.all()

    def issues(self) -> dict[str, dict[str, int]]:
        return {account: dict(counts) for account, counts in self._ledger.issues.items()}

    def count_refusal(self, account: str, issues: list[str]) -> None:
        self._ledger.refused(account, issues)
