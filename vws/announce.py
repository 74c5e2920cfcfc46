"""Telling those concerned: facts of the live state in, messages for clients out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from vws.core import facts as f
from vws.core.channels import PeerKind
from vws.core.wire import build
from vws.core.wire.names import Concern, Push
from vws.ice import IceServers

__all__ = ["Announcer", "Outgoing"]


class Outgoing(Struct, frozen=True, gc=False):
    """One event for some sockets; it goes out on the namespace of its concern where that is open.

    ``args`` in bytes are JSON already, without an array's brackets.
    """

    to: tuple[str, ...]
    event: Push
    args: tuple[Any, ...] | bytes
    concern: Concern = Concern.SIGNALING


class Announcer:
    """Knows who hears of which fact, in which words."""

    def __init__(self, ice: IceServers) -> None:
        self._ice = ice
        self._tellers: dict[type[Any], Callable[[Any, int], list[Outgoing]]] = {
            f.Published: self._published,
            f.PlayerJoined: self._player_joined,
            f.PlayerLeft: _player_left,
            f.BroadcastEnded: _broadcast_ended,
            f.PeerReplaced: _peer_replaced,
            f.PublisherStopped: _publisher_stopped,
            f.SubscriptionRefused: _subscription_refused,
            f.RoomEntered: _room_entered,
            f.ParticipantJoined: _participant_joined,
            f.ParticipantLeft: _participant_left,
            f.StreamAdded: _stream_added,
            f.StreamRemoved: _stream_removed,
            f.MessagePosted: _message_posted,
            f.ActionTaken: _action_taken,
        }

    def tell(self, facts: Iterable[f.Fact], *, at: int) -> list[Outgoing]:
        """Put facts into messages, in their order; ``at`` in milliseconds since the epoch."""
        return [message for fact in facts for message in self._tellers[type(fact)](fact, at)]

    def _published(self, fact: f.Published, _at: int) -> list[Outgoing]:
        broadcaster = fact.broadcaster
        config = self._ice.peer_config(broadcaster.account, broadcaster.peer_id)
        return [_message(broadcaster.socket_id, build.peers(broadcaster, fact.peers, config))]

    def _player_joined(self, fact: f.PlayerJoined, _at: int) -> list[Outgoing]:
        broadcaster = fact.broadcaster
        config = self._ice.peer_config(broadcaster.account, broadcaster.peer_id)
        return [_message(broadcaster.socket_id, build.peer(broadcaster, fact.player, config))]


def _player_left(fact: f.PlayerLeft, _at: int) -> list[Outgoing]:
    return [_message(fact.broadcaster.socket_id, build.peer_left(fact.broadcaster, fact.player))]


def _broadcast_ended(fact: f.BroadcastEnded, _at: int) -> list[Outgoing]:
    return [_message(player.socket_id, build.unpublished(player, fact.channel)) for player in fact.players]


def _peer_replaced(fact: f.PeerReplaced, _at: int) -> list[Outgoing]:
    peer = fact.peer
    event = Push.PUBLISH_ERROR if peer.kind is PeerKind.BROADCASTER else Push.SUBSCRIBE_ERROR
    payload = build.error_for_peer(peer.peer_id, "Replaced by a newer connection.")
    return [Outgoing((peer.socket_id,), event, (payload,))]


def _publisher_stopped(fact: f.PublisherStopped, _at: int) -> list[Outgoing]:
    args = (fact.broadcaster.peer_id, fact.channel)
    return [Outgoing((fact.broadcaster.socket_id,), Push.UNPUBLISH, args)]


def _subscription_refused(fact: f.SubscriptionRefused, _at: int) -> list[Outgoing]:
    payload = build.error_for_peer(fact.peer_id, fact.message)
    return [Outgoing((fact.socket_id,), Push.SUBSCRIBE_ERROR, (payload,))]


def _room_entered(fact: f.RoomEntered, _at: int) -> list[Outgoing]:
    state = build.room_state(
        fact.room,
        participants=fact.participants,
        streams=fact.streams,
        messages=fact.messages,
        meta=fact.meta,
    )
    return [_update((fact.socket_id,), state)]


def _participant_joined(fact: f.ParticipantJoined, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.participant_joined(fact.room, fact.participant, at))]


def _participant_left(fact: f.ParticipantLeft, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.participant_left(fact.room, fact.participant, at))]


def _stream_added(fact: f.StreamAdded, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.stream_added(fact.room, fact.stream, at))]


def _stream_removed(fact: f.StreamRemoved, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.stream_removed(fact.room, fact.stream_id, at))]


def _message_posted(fact: f.MessagePosted, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.message_new(fact.room, fact.message, at), Concern.CHAT)]


def _action_taken(fact: f.ActionTaken, at: int) -> list[Outgoing]:
    return [_update(fact.members, build.action_taken(fact.room, fact.action, at))]


def _message(socket_id: str, payload: dict[str, Any]) -> Outgoing:
    return Outgoing((socket_id,), Push.MESSAGE, (payload,))


def _update(to: tuple[str, ...], payload: dict[str, Any], concern: Concern = Concern.ROOM) -> Outgoing:
    return Outgoing(to, Push.ROOM_UPDATE, (payload,), concern)
