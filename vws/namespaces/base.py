"""What every namespace has in common: an explicit table of events, and errors mapped once.

A client can only ask for what stands in a table; no method is ever looked up by a client's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from vws.announce import Outgoing
from vws.core.session import Session
from vws.core.wire import build
from vws.core.wire.names import Concern, Event, Push
from vws.core.wire.parse import peer_named, room_named
from vws.core.wire.relay import arguments
from vws.errors import BadInput, VWSError

__all__ = [
    "UNKNOWN",
    "EventTable",
    "Handler",
    "Run",
    "no_event",
    "peer_error",
    "room_error",
    "room_publish_error",
    "with_arguments",
]

Run = Callable[[Session, Any], list[Outgoing]]
Refusal = Callable[[Session, bytes, VWSError], list[Outgoing]]


@dataclass(frozen=True, slots=True)
class Handler:
    """How one event is read, what is done, and which events tell its sender that it was refused.

    Events come as they were sent, a JSON array with the event's name first.
    """

    parse: Callable[[bytes], Any]
    run: Run
    refuse: Refusal
    unit: int = 2048
    """Bytes of an event that count as one more of its client's."""


EventTable = Mapping[Event, Handler]


def with_arguments(parse: Callable[[Sequence[Any]], Any], run: Run, refuse: Refusal) -> Handler:
    """Make the handler of an event whose parser takes its arguments decoded."""
    return Handler(lambda payload: parse(arguments(payload)), run, refuse)


def no_event(_session: Session, _payload: bytes, _error: VWSError) -> list[Outgoing]:
    """Leave it to the acknowledgement: the protocol has no error event here."""
    return []


def _unknown(_payload: bytes) -> NoReturn:
    raise BadInput("unknown event", code="unknown-event")


def _nothing(_session: Session, _command: object) -> list[Outgoing]:
    return []


UNKNOWN = Handler(_unknown, _nothing, no_event)
"""Stands for every event that is in no table."""


def peer_error(push: Push) -> Refusal:
    """Answer with `publishError` or `subscribeError`."""

    def refuse(session: Session, payload: bytes, error: VWSError) -> list[Outgoing]:
        peer_id = peer_named(_readable(payload)) or session.user or ""
        answer = build.error_for_peer(peer_id, error.message)
        return [Outgoing((session.socket_id,), push, (answer,))]

    return refuse


def room_error(concern: Concern) -> Refusal:
    """Answer with `roomUpdate {room, error}`."""

    def refuse(session: Session, payload: bytes, error: VWSError) -> list[Outgoing]:
        answer = build.room_error(room_named(_readable(payload)), error.message)
        return [Outgoing((session.socket_id,), Push.ROOM_UPDATE, (answer,), concern)]

    return refuse


def room_publish_error(session: Session, payload: bytes, error: VWSError) -> list[Outgoing]:
    """Answer with `publishError`, too: one shipped client breaks on `roomUpdate.error` alone."""
    publish_error = build.error_for_peer(session.user or "", error.message)
    return [
        Outgoing((session.socket_id,), Push.PUBLISH_ERROR, (publish_error,)),
        *room_error(Concern.ROOM)(session, payload, error),
    ]


def _readable(payload: bytes) -> Sequence[Any]:
    """Return the arguments of a refused event, none when they cannot be read."""
    try:
        return arguments(payload)
    except BadInput:
        return ()
