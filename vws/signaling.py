"""Use cases of signaling: publish, subscribe, and passing signals between peers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from vws import logs
from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.claims import Claims, account_of
from vws.clock import Clock
from vws.core import sdp
from vws.core.commands import (
    ChannelMessage,
    PeerMessage,
    Publish,
    Subscribe,
    Unpublish,
    Unsubscribe,
)
from vws.core.session import Session
from vws.core.wire import build
from vws.core.wire.names import Push
from vws.core.wire.parse import description, wants_ice
from vws.core.wire.relay import Body
from vws.errors import Refused
from vws.ice import IceServers
from vws.state.base import LiveState

__all__ = ["Signaling"]

MESSAGE = Push.MESSAGE
"""Looked up once: a member of an enum is found by a function of Python's."""


class Signaling:
    """Each method handles one event of one client and returns what to send.

    Deadlines count by ``clock``; people are shown the time by ``wall``.
    """

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        announcer: Announcer,
        ice: IceServers,
        claims: Claims,
        busy: Callable[[str, int], bool],
        clock: Clock,
        wall: Clock,
        enforce_sdp: bool = False,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._announcer = announcer
        self._ice = ice
        self._claims = claims
        self._busy = busy
        self._clock = clock
        self._wall = wall
        self._enforce_sdp = enforce_sdp

    def publish(self, session: Session, command: Publish) -> list[Outgoing]:
        if session.user is not None and command.peer_id != session.user:
            raise Refused(f"Authentication mismatch: {session.user} != {command.peer_id}", code="mismatch")
        facts = self._claims.settle(partial(self._state.publish, at=self._wall()), session, command)
        _log("publish", session, peer=command.peer_id, channel=command.channel, bitrate=command.params.rate)
        return self._announcer.tell(facts, at=self._wall())

    def unpublish(self, session: Session, command: Unpublish) -> list[Outgoing]:
        facts = self._state.unpublish(session.socket_id, command.channel, when=self._clock())
        _log("unpublish", session, channel=command.channel)
        return self._announcer.tell(facts, at=self._wall())

    def subscribe(self, session: Session, command: Subscribe) -> list[Outgoing]:
        if session.user is not None and command.peer_id != session.user:
            raise Refused(
                "You can not subscribe with different username than you are authenticated with: "
                f"{session.user} != {command.peer_id}",
                code="mismatch",
            )
        facts = self._claims.settle(self._state.subscribe, session, command)
        _log("subscribe", session, peer=command.peer_id, channel=command.channel)
        return self._announcer.tell(facts, at=self._wall())

    def unsubscribe(self, session: Session, command: Unsubscribe) -> list[Outgoing]:
        facts = self._state.unsubscribe(session.socket_id, command.channel, when=self._clock())
        _log("unsubscribe", session, channel=command.channel)
        return self._announcer.tell(facts, at=self._wall())

    def message_peer(self, session: Session, message: PeerMessage) -> list[Outgoing]:
        """Pass a signal on to one peer, in the sender's true name."""
        route = self._state.route(session.socket_id, message.channel, message.target)
        body = self._limit_sdp(session, message.body) if self._enforce_sdp else message.body
        if message.kind == "offer" and wants_ice(message.body):
            body = build.with_peer_config(body, self._ice.peer_config(route.account, route.peer_id))
        text = build.relayed(body, route.sender)
        if self._busy(route.socket_id, len(text)):
            raise Refused("This peer does not read fast enough.", code="busy")
        return [Outgoing((route.socket_id,), MESSAGE, text)]

    def message(self, session: Session, message: ChannelMessage) -> list[Outgoing]:
        """Pass a message on to everyone else in the sender's channel, in the sender's true name."""
        body = self._limit_sdp(session, message.body) if self._enforce_sdp else message.body
        audience: dict[str, list[str]] = {}
        for route in self._state.audience(session.socket_id, message.channel):
            audience.setdefault(route.sender, []).append(route.socket_id)
        return [
            Outgoing(tuple(dict.fromkeys(to)), Push.MESSAGE, build.relayed(body, sender))
            for sender, to in audience.items()
        ]

    def _limit_sdp(self, session: Session, body: Body) -> Body:
        """Make session descriptions ask for no more than the plan, whatever type they come under."""
        plan = account_of(self._accounts, session).plan
        asked = description(body)
        return body if asked is None else build.with_description(body, sdp.limit(asked, plan))


def _log(name: str, session: Session, **fields: Any) -> None:
    if session.lines.take(monotonic()):
        logs.event(name, socket=session.socket_id, account=session.account, **fields)
