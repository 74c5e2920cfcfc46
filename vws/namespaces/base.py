"""What every namespace has in common: an explicit table of events, and errors mapped once.

A client can only ask for what stands in a table; no method is ever looked up by a client's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vws.announce import Outgoing
from vws.core.session import Session
from vws.core.wire import build
from vws.core.wire.names import Concern, Event, Push
from vws.core.wire.parse import peer_named, room_named
from vws.errors import VWSError

__all__ = ["EventTable", "Handler", "no_event", "peer_error", "room_error", "room_publish_error"]

Refusal = Callable[[Session, Sequence[Any], VWSError], list[Outgoing]]


@dataclass(frozen=True, slots=True)
class Handler:
    """How one event is read, what is done, and which events tell its sender that it was refused."""

    parse: Callable[[Sequence[Any]], Any]
    run: Callable[[Session, Any], list[Outgoing]]
    refuse: Refusal


EventTable = Mapping[Event, Handler]


def no_event(_session: Session, _args: Sequence[Any], _error: VWSError) -> list[Outgoing]:
    """Leave it to the acknowledgement: the protocol has no error event here."""
    return []


def peer_error(push: Push) -> Refusal:
    """Answer with `publishError` or `subscribeError`."""

    def refuse(session: Session, args: Sequence[Any], error: VWSError) -> list[Outgoing]:
        payload = build.error_for_peer(peer_named(args) or session.user or "", error.message)
        return [Outgoing((session.socket_id,), push, (payload,))]

    return refuse


def room_error(concern: Concern) -> Refusal:
    """Answer with `roomUpdate {room, error}`."""

    def refuse(session: Session, args: Sequence[Any], error: VWSError) -> list[Outgoing]:
        payload = build.room_error(room_named(args), error.message)
        return [Outgoing((session.socket_id,), Push.ROOM_UPDATE, (payload,), concern)]

    return refuse


def room_publish_error(session: Session, args: Sequence[Any], error: VWSError) -> list[Outgoing]:
    """Answer with `publishError`, too: one shipped client breaks on `roomUpdate.error` alone."""
    publish_error = build.error_for_peer(session.user or "", error.message)
    return [
        Outgoing((session.socket_id,), Push.PUBLISH_ERROR, (publish_error,)),
        *room_error(Concern.ROOM)(session, args, error),
    ]
