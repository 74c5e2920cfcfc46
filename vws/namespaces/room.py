"""`/room`: joining rooms, showing streams in them, keeping order."""

from __future__ import annotations

from vws.core.wire import parse
from vws.core.wire.names import Concern, Event
from vws.namespaces.base import EventTable, room_error, room_publish_error, with_arguments
from vws.rooms import Rooms

__all__ = ["room_events"]


def room_events(rooms: Rooms) -> EventTable:
    error = room_error(Concern.ROOM)
    return {
        Event.ROOM_JOIN: with_arguments(parse.parse_room_join, rooms.join, error),
        Event.ROOM_LEAVE: with_arguments(parse.parse_room_leave, rooms.leave, error),
        Event.ROOM_PUBLISH: with_arguments(parse.parse_room_publish, rooms.publish, room_publish_error),
        Event.ROOM_UNPUBLISH: with_arguments(parse.parse_room_unpublish, rooms.unpublish, error),
        Event.ROOM_ACTION: with_arguments(parse.parse_room_action, rooms.action, error),
    }
