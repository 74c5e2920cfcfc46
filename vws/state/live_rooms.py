"""What happens in rooms: coming and going, showing streams, chat, keeping order."""

from __future__ import annotations

from vws.core.commands import Action, Publish, RoomAction, RoomMessage, RoomPublish
from vws.core.facts import (
    ActionTaken,
    Fact,
    MessagePosted,
    ParticipantJoined,
    ParticipantLeft,
    StreamAdded,
)
from vws.core.rooms import NOT_IN_ROOM, Participant, Room, Stream, size_of
from vws.errors import NotFound, Refused
from vws.state.base import StateLimits
from vws.state.connections import Connection, Connections
from vws.state.live_channels import LiveChannels
from vws.state.live_rtmp import LiveRtmp
from vws.state.room_book import RoomBook
from vws.state.views import entered

__all__ = ["LiveRooms"]

SHUTTING_OUT = frozenset({Action.KICK, Action.BAN, Action.LOCK, Action.META})
"""Actions after which somebody may no longer watch, or be here."""


class LiveRooms:
    """The rooms in use; their streams are channels."""

    def __init__(
        self,
        limits: StateLimits,
        *,
        connections: Connections,
        channels: LiveChannels,
        rtmp: LiveRtmp,
        rooms: RoomBook,
    ) -> None:
        self._rooms_per_client = limits.rooms_per_client
        self._connections = connections
        self._channels = channels
        self._rtmp = rtmp
        self._rooms = rooms

    def of(self, connection: Connection, name: str) -> Room:
        """Return a room that the connection is in; raise `Refused`."""
        if name not in connection.rooms:
            raise Refused(NOT_IN_ROOM, code="not-in-room")
        return self._rooms.get(connection.session.scope, name)

    # --- coming and going ---

    def join(self, connection: Connection, name: str, *, when: int, at: int) -> list[Fact]:
        room = self._rooms.open(connection.session.scope, name, when)
        facts: list[Fact] = []
        if name not in connection.rooms:
            facts.append(self._enter(connection, room, when=when, at=at))
        return [entered(room, connection.session.socket_id), *facts, *self._watch(connection, room, when)]

    def _enter(self, connection: Connection, room: Room, *, when: int, at: int) -> Fact:
        session = connection.session
        room.admit(session, when)
        if len(connection.rooms) >= self._rooms_per_client:
            raise Refused("You are in too many rooms.", code="too-many")
        participant = Participant(session.socket_id, session.user or "", at, session.role)
        room.enter(participant, first_is_owner=connection.account.room_owner)
        connection.rooms |= {room.name}
        self._rooms.keep(room)
        if len(room.participants) == 1:
            self._rtmp.arrange(room)
        return ParticipantJoined(room.name, room.members, participant)

    def _watch(self, connection: Connection, room: Room, when: int) -> list[Fact]:
        facts: list[Fact] = []
        for stream_id in [each.stream_id for each in room.streams.values() if each.socket_id]:
            channel = self._channels.open(room.scope, stream_id)
            facts += self._channels.follow(connection, channel, room.name)
            facts += self._channels.announced(connection, channel, when)
        return facts

    def leave(self, connection: Connection, room: Room, *, when: int) -> list[Fact]:
        """Leave a room: first the streams, shown and watched, then the participant."""
        connection.rooms -= {room.name}
        facts: list[Fact] = []
        for stream in list(room.streams.values()):
            if stream.socket_id == connection.session.socket_id:
                facts += self._channels.drop_from_room(connection, stream.stream_id, room.name, when=when)
            else:
                facts += self._channels.stop_following(connection, stream.stream_id, room.name, when=when)
        participant = room.leave(connection.session.socket_id)
        self._rooms.retire(room, when)
        return [*facts, ParticipantLeft(room.name, room.members, participant)]

    # --- streams ---

    def publish(
        self, connection: Connection, command: RoomPublish, *, when: int, at: int, evict: frozenset[str]
    ) -> list[Fact]:
        room, socket_id = self.of(connection, command.room), connection.session.socket_id
        author = room.participant(socket_id)
        room.admit_broadcaster(author)
        publish = Publish(author.name, command.stream, command.params)
        shown = room.streams.get(command.stream)
        if shown is not None and not shown.socket_id:
            raise Refused("This stream is live over RTMP.", code="held")
        facts = self._channels.broadcast(connection, publish, source=room.name, at=at, evict=evict)
        fresh = shown is None or shown.socket_id != socket_id
        since = at if shown is None or fresh else shown.published_at
        stream = Stream(command.stream, socket_id, author.name, since, command.params.raw, size_of(publish))
        room.show(stream)
        facts += self._gather_audience(room, command.stream, when)
        facts.append(self._channels.published(connection, command.stream, when))
        return [*facts, StreamAdded(room.name, room.members, stream)] if fresh else facts

    def _gather_audience(self, room: Room, stream_id: str, when: int) -> list[Fact]:
        """Subscribe every participant; a user with several connections watches on one of them."""
        channel = self._channels.open(room.scope, stream_id)
        facts = self._channels.expel_outsiders(channel, when)
        for user in room.users:
            seat = channel.peers.get(user)
            if seat is None or seat.socket_id not in room.participants:
                watcher = room.sockets_of(user)[-1]
            else:
                watcher = seat.socket_id
            facts += self._channels.follow(self._connections.get(watcher), channel, room.name)
        return facts

    def unpublish(self, connection: Connection, name: str, stream: str, *, when: int) -> list[Fact]:
        room = self.of(connection, name)
        shown = room.streams.get(stream)
        if shown is None:
            raise NotFound(f"No such stream in this room: {stream}", code="no-such-stream")
        author = room.participant(connection.session.socket_id)
        if not shown.socket_id and room.keeps_order(author.name, author.role):
            return self._rtmp.banish(room, stream)
        if shown.socket_id != connection.session.socket_id:
            raise Refused("This is not your stream.", code="not-yours")
        return self._channels.drop_from_room(connection, stream, name, when=when)

    # --- chat and order ---

    def post(self, connection: Connection, command: RoomMessage, *, at: int) -> list[Fact]:
        room = self.of(connection, command.room)
        message = room.post(command, room.participant(connection.session.socket_id), at)
        return [MessagePosted(room.name, room.members, message)]

    def moderate(self, connection: Connection, command: RoomAction, *, when: int, at: int) -> list[Fact]:
        room = self.of(connection, command.room)
        author = room.participant(connection.session.socket_id)
        told = room.moderate(command, author, when=when, at=at)
        facts: list[Fact] = [ActionTaken(room.name, room.members, told)]
        if command.action in (Action.KICK, Action.BAN):
            for target in room.sockets_of(command.user):
                facts += self.leave(self._connections.get(target), room, when=when)
        if command.action is Action.META:
            facts += self._enforce_meta(room, when)
            room.named_by = connection.account.scope
            self._rtmp.readmit(room)
        if command.action in (Action.META, Action.UNLOCK):
            facts += self._rtmp.arrange(room)
        if command.action in SHUTTING_OUT:
            for stream_id in list(room.streams):
                facts += self._channels.expel_outsiders(self._channels.open(room.scope, stream_id), when)
        return facts

    def _enforce_meta(self, room: Room, when: int) -> list[Fact]:
        """Take out whom, and what, the room's new rules do not allow."""
        facts: list[Fact] = []
        for participant in list(room.participants.values()):
            connection = self._connections.get(participant.socket_id)
            if not room.may_stay(participant):
                facts += self.leave(connection, room, when=when)
            elif not room.may_publish(participant):
                for stream in list(room.streams.values()):
                    if stream.socket_id == participant.socket_id:
                        facts += self._channels.drop_from_room(
                            connection, stream.stream_id, room.name, when=when
                        )
        return facts
