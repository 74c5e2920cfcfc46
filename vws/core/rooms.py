"""Rooms: participants, the streams they show each other, chat, and who keeps order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from vws.core.commands import Action, Publish, RoomAction, RoomMessage
from vws.core.session import Role, Session
from vws.errors import NotFound, Refused

__all__ = [
    "HISTORY",
    "HISTORY_FOR_JOINER",
    "HISTORY_SIZE",
    "MAX_LISTED",
    "NOT_IN_ROOM",
    "STREAMS_SIZE",
    "Participant",
    "Room",
    "Stream",
    "size_of",
    "size_shown",
]

HISTORY = 100
"""Chat messages kept of a room."""

HISTORY_FOR_JOINER = 10
"""Chat messages that a joiner is given."""

HISTORY_SIZE = 262_144
"""Most characters of JSON that the kept messages of one room may take together."""

STREAMS_SIZE = 524_288
"""Most characters of JSON that the streams of one room may take together, as each joiner is shown them."""

STREAM_OVERHEAD = 128
"""What a joiner is told of each stream beside its parameters and names, about."""

MAX_LISTED = 1_000
"""Most names that one room may hold banned, muted or kicked, each."""

NOT_IN_ROOM = "You are not a participant in this room"

MINUTE = 60_000
AGAINST = frozenset({Action.KICK, Action.BAN, Action.MUTE})


@dataclass(frozen=True, slots=True)
class Participant:
    """One socket in a room, under its verified user's name; times in milliseconds."""

    socket_id: str
    name: str
    joined_at: int
    role: Role


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that a room shows; its id is the name of its channel. ``size`` counts for `STREAMS_SIZE`."""

    stream_id: str
    socket_id: str
    user: str
    published_at: int
    params: Mapping[str, Any]
    size: int


def size_of(stream: Publish) -> int:
    """Return the characters of JSON that a stream takes in a room."""
    return size_shown(stream.params.size, stream.channel, stream.peer_id)


def size_shown(params: int, stream_id: str, user: str = "") -> int:
    """Return the same for parameters of so many characters; a stream is named three times there."""
    return params + 3 * len(json.dumps(stream_id)) + len(json.dumps(user)) + STREAM_OVERHEAD


@dataclass(slots=True, eq=False)
class Room:
    """A room of one account. It outlives its last participant only for what must not be lost.

    ``named_by`` is the own scope of who set ``meta``: the RTMP streams that it names are of there.
    """

    scope: str
    name: str
    participants: dict[str, Participant] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    streams_size: int = 0
    messages: deque[tuple[dict[str, Any], int]] = field(default_factory=deque)
    messages_size: int = 0
    owner: str = ""
    locked: bool = False
    muted: set[str] = field(default_factory=set)
    banned: dict[str, int] = field(default_factory=dict)
    kicked: dict[str, None] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    named_by: str = ""
    _members: tuple[str, ...] | None = None
    _sockets: dict[str, dict[str, None]] = field(default_factory=dict)

    # --- participants ---

    @property
    def members(self) -> tuple[str, ...]:
        """The socket ids of all participants, in the order they came."""
        if self._members is None:
            self._members = tuple(self.participants)
        return self._members

    def enter(self, participant: Participant, *, first_is_owner: bool) -> None:
        if first_is_owner and not self.participants and participant.role is not Role.MODERATOR:
            self.owner = participant.name
        if participant.role is Role.MODERATOR:
            self.muted.discard(participant.name)
        self.kicked.pop(participant.name, None)
        self.participants[participant.socket_id] = participant
        self._sockets.setdefault(participant.name, {})[participant.socket_id] = None
        self._members = None

    def leave(self, socket_id: str) -> Participant:
        self._members = None
        participant = self.participants.pop(socket_id)
        del self._sockets[participant.name][socket_id]
        if not self._sockets[participant.name]:
            del self._sockets[participant.name]
        if not self.participants and not self.locked:  # nobody else could unlock it
            self.owner = ""
        return participant

    def participant(self, socket_id: str) -> Participant:
        try:
            return self.participants[socket_id]
        except KeyError:
            raise Refused(NOT_IN_ROOM, code="not-in-room") from None

    @property
    def users(self) -> list[str]:
        """The names of all participants, each once."""
        return list(self._sockets)

    def sockets_of(self, user: str) -> list[str]:
        """Return the user's connections in this room, the newest last."""
        return list(self._sockets.get(user, ()))

    def heirs_of(self, user: str, when: int) -> list[str]:
        """Return the connections that may go on for another one of the user's, the newest last."""
        out = user in self.kicked or self.banned.get(user, 0) > when
        return [] if out else self.sockets_of(user)

    # --- streams ---

    def check_space(self, stream_id: str, size: int) -> None:
        """Raise `Refused` when the room has no space for a stream, or for what it is to become."""
        if not self.has_space(stream_id, size):
            raise Refused(f"No space is left for this stream in room {self.name}.", code="too-many")

    def has_space(self, stream_id: str, size: int) -> bool:
        return self.streams_size - self._size_shown(stream_id) + size <= STREAMS_SIZE

    def show(self, stream: Stream) -> None:
        self.streams_size += stream.size - self._size_shown(stream.stream_id)
        self.streams[stream.stream_id] = stream

    def hide(self, stream_id: str) -> None:
        self.streams_size -= self.streams.pop(stream_id).size

    def _size_shown(self, stream_id: str) -> int:
        shown = self.streams.get(stream_id)
        return shown.size if shown else 0

    # --- who may ---

    def keeps_order(self, user: str, role: Role) -> bool:
        return role is Role.MODERATOR or (self.owner != "" and self.owner == user)

    def admit(self, session: Session, when: int) -> None:
        """Raise `Refused` unless the session's user may be in this room."""
        user = session.user or ""
        if session.role is Role.MODERATOR:
            return
        if self.banned.get(user, 0) > when:
            raise Refused("You are banned from this room.", code="banned")
        if self.keeps_order(user, session.role):
            return
        if self.locked:
            raise Refused("This room is locked.", code="locked")
        if not _allows(self.meta.get("allowUsers", True), user):
            raise Refused("You are not allowed in this room.", code="not-allowed")

    def admit_watcher(self, session: Session, when: int) -> None:
        """Raise `Refused` unless the session may watch this room's streams without being in it."""
        if session.user in self.kicked:
            raise Refused("You were removed from this room.", code="kicked")
        self.admit(session, when)

    def names(self, stream_id: str, home: str) -> bool:
        """Say whether the room's meta names an RTMP stream, which is of this scope."""
        return home == self.named_by and stream_id in self.meta.get("rtmp", ())

    def admits_stream(self, *, here: bool) -> bool:
        """Say whether an RTMP stream may be here that nobody of the room named; ``here`` is one that is."""
        return self.meta.get("allowBroadcasters", True) is True and (here or not self.locked)

    def admit_broadcaster(self, participant: Participant) -> None:
        if not self.may_publish(participant):
            raise Refused("You are not allowed to publish in this room.", code="not-allowed")

    def may_publish(self, participant: Participant) -> bool:
        return self._follows_rule("allowBroadcasters", participant)

    def may_stay(self, participant: Participant) -> bool:
        """Say whether the room's meta still allows a participant that is here."""
        return self._follows_rule("allowUsers", participant)

    def _follows_rule(self, rule: str, participant: Participant) -> bool:
        name = participant.name
        return _allows(self.meta.get(rule, True), name) or self.keeps_order(name, participant.role)

    # --- chat ---

    def post(self, command: RoomMessage, author: Participant, at: int) -> dict[str, Any]:
        """Keep a message, stamped with its author and time, within the bounds on history."""
        if author.name in self.muted:
            raise Refused("You are muted in this room.", code="muted")
        message = {**command.message, "user": author.name, "timestamp": at}
        self.messages.append((message, command.size))
        self.messages_size += command.size
        while len(self.messages) > HISTORY or self.messages_size > HISTORY_SIZE:
            self.messages_size -= self.messages.popleft()[1]
        return message

    def recent(self) -> list[dict[str, Any]]:
        return [message for message, _ in list(self.messages)[-HISTORY_FOR_JOINER:]]

    # --- moderation ---

    def moderate(self, command: RoomAction, author: Participant, *, when: int, at: int) -> dict[str, Any]:
        """Apply an action's lasting effect and return what everyone is told of it.

        Throwing somebody out is left to the caller: it reaches into channels, too.
        """
        if not self.keeps_order(author.name, author.role):
            raise Refused("Only a moderator or the owner of this room can do that.", code="not-moderator")
        self._spare_equals(command, author)
        told: dict[str, Any] = {"action": command.action.value, "by": author.name, "timestamp": at}
        if command.user:
            told["user"] = command.user
        told.update(self._apply(command, when))
        return told

    def _spare_equals(self, command: RoomAction, author: Participant) -> None:
        if command.action not in AGAINST:
            return
        if command.user == author.name:
            raise Refused("You can not do that to yourself.", code="not-moderator")
        targets = [self.participants[socket_id] for socket_id in self.sockets_of(command.user)]
        above = any(target.role is Role.MODERATOR for target in targets)
        if above and author.role is not Role.MODERATOR:
            raise Refused("The owner of a room can not do that to a moderator.", code="not-moderator")

    def _apply(self, command: RoomAction, when: int) -> dict[str, Any]:
        match command.action:
            case Action.BAN:
                self._ban(command.user, when + round(command.minutes * MINUTE), when)
                return {"minutes": command.minutes}
            case Action.UNBAN:
                self.banned.pop(command.user, None)
            case Action.MUTE:
                _make_room_in(self.muted, command.user)
                self.muted.add(command.user)
            case Action.UNMUTE:
                self.muted.discard(command.user)
            case Action.LOCK | Action.UNLOCK:
                self.locked = command.action is Action.LOCK
            case Action.CLEAR:
                self.messages.clear()
                self.messages_size = 0
            case Action.META:
                self.meta = dict(command.meta)
                return {"meta": self.meta}
            case Action.KICK:
                self._kick(command.user)
        return {}

    def _ban(self, user: str, until: int, when: int) -> None:
        lasting = {name: end for name, end in self.banned.items() if end > when}
        _make_room_in(lasting, user)
        self.banned = {**lasting, user: until}

    def _kick(self, user: str) -> None:
        """Remember who was removed: to see the streams again it must come back into the room."""
        if not self.sockets_of(user):
            raise NotFound(f"No such participant: {user}", code="no-such-user")
        if len(self.kicked) >= MAX_LISTED:
            del self.kicked[next(iter(self.kicked))]
        self.kicked[user] = None

    # --- what outlives the participants ---

    def lasting(self, when: int) -> bool:
        """Say whether an empty room holds something worth keeping for a while."""
        return bool(self.messages) or self.ordered(when)

    def ordered(self, when: int) -> bool:
        """Say whether somebody who keeps order here has left something to be observed."""
        return bool(self.muted or self.locked or self.meta) or self.banned_until() > when

    def banned_until(self) -> int:
        return max(self.banned.values(), default=0)


def _make_room_in(listed: Collection[str], user: str) -> None:
    if user not in listed and len(listed) >= MAX_LISTED:
        raise Refused("Too many users are banned or muted in this room.", code="too-many")


def _allows(rule: object, user: str) -> bool:
    """Read a rule of a room's meta: true, false, or a list of the users it allows."""
    return user in rule if isinstance(rule, list) else bool(rule)
