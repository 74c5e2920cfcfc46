"""The rooms by scope and name, the empty ones among them for as long as something in them must last."""

from __future__ import annotations

from vws.core.rooms import Room

__all__ = ["MAX_EMPTY_ROOMS", "MAX_ORDERED_ROOMS", "RoomBook"]

MAX_EMPTY_ROOMS = 1_000
"""Empty rooms kept of one scope; beyond it, chat history that has been waiting longest is forgotten."""

MAX_ORDERED_ROOMS = 10_000
"""The same, with those that somebody is banned from or muted in, or that are locked or have rules."""


class RoomBook:
    """All rooms; ``ttl`` is how long an empty one is kept, in milliseconds."""

    def __init__(self, ttl: int) -> None:
        self._ttl = ttl
        self._rooms: dict[tuple[str, str], Room] = {}
        self._emptied: dict[str, dict[str, int]] = {}

    def all(self) -> list[Room]:
        return list(self._rooms.values())

    def get(self, scope: str, name: str) -> Room:
        return self._rooms[scope, name]

    def find(self, scope: str, name: str) -> Room | None:
        return self._rooms.get((scope, name))

    def open(self, scope: str, name: str, when: int) -> Room:
        """Return the room, or a new one that is kept as soon as somebody enters it."""
        if name in self._emptied.get(scope, {}):
            self._expire(scope, name, when)
        return self._rooms.get((scope, name)) or Room(scope, name)

    def keep(self, room: Room) -> None:
        self._rooms[room.scope, room.name] = room
        self._fill(room.scope, room.name)

    def retire(self, room: Room, when: int) -> None:
        """Note that the last participant left, and forget a room that nothing is worth keeping of."""
        if room.participants:
            return
        self._emptied.setdefault(room.scope, {})[room.name] = when
        if room.lasting(when):
            self._make_room(room.scope, when)
        else:
            self._forget(room.scope, room.name)

    def sweep(self, when: int) -> None:
        for scope, names in list(self._emptied.items()):
            for name in list(names):
                self._expire(scope, name, when)

    def _make_room(self, scope: str, when: int) -> None:
        """Bound what one account keeps; nobody can have a ban forgotten by talking in many rooms."""
        empty = self._emptied[scope]
        if len(empty) <= MAX_EMPTY_ROOMS:
            return
        for name in empty:
            if not self._rooms[scope, name].ordered(when):
                self._forget(scope, name)
                return
        if len(empty) > MAX_ORDERED_ROOMS:
            self._forget(scope, next(iter(empty)))

    def _expire(self, scope: str, name: str, when: int) -> None:
        """Forget what an empty room kept long enough; a ban lasts as long as it was given for."""
        if when - self._emptied[scope][name] < self._ttl:
            return
        room = self._rooms[scope, name]
        if room.banned_until() > when:
            self._rooms[scope, name] = Room(scope, name, banned=room.banned)
        else:
            self._forget(scope, name)

    def _forget(self, scope: str, name: str) -> None:
        del self._rooms[scope, name]
        self._fill(scope, name)

    def _fill(self, scope: str, name: str) -> None:
        empty = self._emptied.get(scope, {})
        empty.pop(name, None)
        if not empty:
            self._emptied.pop(scope, None)
