"""The rooms by scope and name, the empty ones among them for as long as something in them must last."""

from __future__ import annotations

from vws.core.rooms import Room

__all__ = ["MAX_EMPTY_ROOMS", "RoomBook"]

MAX_EMPTY_ROOMS = 1_000
"""Empty rooms kept at the same time; beyond it the one that has been empty longest is forgotten."""

Key = tuple[str, str]


class RoomBook:
    """All rooms; ``ttl`` is how long an empty one is kept, in milliseconds."""

    def __init__(self, ttl: int) -> None:
        self._ttl = ttl
        self._rooms: dict[Key, Room] = {}
        self._emptied: dict[Key, int] = {}

    def all(self) -> list[Room]:
        return list(self._rooms.values())

    def get(self, scope: str, name: str) -> Room:
        return self._rooms[scope, name]

    def open(self, scope: str, name: str, when: int) -> Room:
        """Return the room, or a new one that is kept as soon as somebody enters it."""
        if (scope, name) in self._emptied:
            self._expire((scope, name), when)
        return self._rooms.get((scope, name)) or Room(scope, name)

    def keep(self, room: Room) -> None:
        key = (room.scope, room.name)
        self._rooms[key] = room
        self._emptied.pop(key, None)

    def retire(self, room: Room, when: int) -> None:
        """Note that the last participant left, and forget a room that nothing is worth keeping of."""
        if room.participants:
            return
        key = (room.scope, room.name)
        self._emptied[key] = when
        if not room.lasting(when):
            self._forget(key)
        elif len(self._emptied) > MAX_EMPTY_ROOMS:
            self._forget(next(iter(self._emptied)))

    def sweep(self, when: int) -> None:
        for key in list(self._emptied):
            self._expire(key, when)

    def _expire(self, key: Key, when: int) -> None:
        """Forget what an empty room kept long enough; a ban lasts as long as it was given for."""
        if when - self._emptied[key] < self._ttl:
            return
        room = self._rooms[key]
        if room.banned_until() > when:
            self._rooms[key] = Room(room.scope, room.name, banned=room.banned)
        else:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        del self._rooms[key]
        del self._emptied[key]
