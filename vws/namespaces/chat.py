"""`/chat`: text in rooms."""

from __future__ import annotations

from vws.core.wire import parse
from vws.core.wire.names import Concern, Event
from vws.namespaces.base import EventTable, room_error, with_arguments
from vws.rooms import Rooms

__all__ = ["chat_events"]


def chat_events(rooms: Rooms) -> EventTable:
    return {
        Event.ROOM_MESSAGE: with_arguments(parse.parse_room_message, rooms.message, room_error(Concern.CHAT)),
    }
