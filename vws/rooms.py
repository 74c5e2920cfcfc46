"""Use cases of rooms and chat; for users that a login site vouched for."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any

from vws import logs
from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.claims import Claims, account_of
from vws.clock import Clock
from vws.core.commands import (
    RoomAction,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomPublish,
    RoomUnpublish,
)
from vws.core.facts import ParticipantJoined
from vws.core.session import Session
from vws.errors import Refused
from vws.state.base import LiveState

__all__ = ["Rooms"]


class Rooms:
    """Each method handles one event of one client and returns what to send.

    Deadlines count by ``clock``; people are shown the time by ``wall``.
    """

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        announcer: Announcer,
        claims: Claims,
        clock: Clock,
        wall: Clock,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._announcer = announcer
        self._claims = claims
        self._clock = clock
        self._wall = wall

    def join(self, session: Session, command: RoomJoin) -> list[Outgoing]:
        _need_user(session)
        when, at = self._clock(), self._wall()
        account = account_of(self._accounts, session)
        facts = self._state.join_room(session.socket_id, command.room, account=account, when=when, at=at)
        if any(isinstance(fact, ParticipantJoined) for fact in facts):
            _log("room-join", session, room=command.room)
        return self._announcer.tell(facts, at=at)

    def leave(self, session: Session, command: RoomLeave) -> list[Outgoing]:
        _need_user(session)
        facts = self._state.leave_room(session.socket_id, command.room, when=self._clock())
        _log("room-leave", session, room=command.room)
        return self._announcer.tell(facts, at=self._wall())

    def publish(self, session: Session, command: RoomPublish) -> list[Outgoing]:
        _need_user(session)
        publish = partial(self._state.publish_in_room, at=self._wall())
        facts = self._claims.settle(publish, session, command)
        rate = command.params.rate
        _log("publish", session, room=command.room, channel=command.stream, bitrate=rate)
        return self._announcer.tell(facts, at=self._wall())

    def unpublish(self, session: Session, command: RoomUnpublish) -> list[Outgoing]:
        _need_user(session)
        socket_id, when = session.socket_id, self._clock()
        facts = self._state.unpublish_from_room(socket_id, command.room, command.stream, when=when)
        _log("unpublish", session, room=command.room, channel=command.stream)
        return self._announcer.tell(facts, at=self._wall())

    def message(self, session: Session, command: RoomMessage) -> list[Outgoing]:
        _need_user(session)
        at = self._wall()
        return self._announcer.tell(self._state.post_message(session.socket_id, command, at=at), at=at)

    def action(self, session: Session, command: RoomAction) -> list[Outgoing]:
        _need_user(session)
        when, at = self._clock(), self._wall()
        facts = self._state.moderate(session.socket_id, command, when=when, at=at)
        target = command.user or None
        _log("room-action", session, room=command.room, action=command.action.value, target=target)
        return self._announcer.tell(facts, at=at)


def _need_user(session: Session) -> None:
    if session.user is None:
        raise Refused("Rooms need account/user/pin authentication", code="needs-user")


def _log(name: str, session: Session, **fields: Any) -> None:
    if session.lines.take(monotonic()):
        logs.event(name, socket=session.socket_id, account=session.account, user=session.user, **fields)
