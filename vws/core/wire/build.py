"""Builders: what clients are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Raw

from vws.core.channels import Peer
from vws.core.rooms import Participant, Stream
from vws.core.wire import listings, relay
from vws.core.wire.names import CHANNEL, SERVER
from vws.errors import VWSError

__all__ = [
    "ACK_OK",
    "ack_error",
    "action_taken",
    "error_for_peer",
    "message_new",
    "participant_joined",
    "participant_left",
    "peer",
    "peer_left",
    "peers",
    "relayed",
    "room_error",
    "room_state",
    "stream_added",
    "stream_info",
    "stream_removed",
    "unpublished",
    "with_description",
    "with_peer_config",
]

Payload = dict[str, Any]

ACK_OK: Mapping[str, Any] = {"ok": True}
"""The acknowledgement of everything that succeeds."""


def ack_error(error: VWSError) -> Payload:
    """Build ``{ok: false, error: {code, message}}``."""
    return {"ok": False, "error": {"code": error.code, "message": error.message}}


# --- `message` ----------------------------------------------------------------------------------------


def peers(broadcaster: Peer, present: Iterable[Peer], peer_config: Payload) -> Payload:
    """Tell a broadcaster that it is live, and who is in its channel."""
    return {
        "type": "peers",
        "from": CHANNEL,
        "target": broadcaster.peer_id,
        "peers": [_peer_entry(one) for one in present],
        "peerConfig": peer_config,
    }


def _peer_entry(one: Peer) -> Payload:
    return listings.peer(one.socket_id, one.peer_id, kind=one.kind.value, account=one.account)


def peer(broadcaster: Peer, player: Peer, peer_config: Payload) -> Payload:
    """Tell a broadcaster of one new player."""
    return {
        "type": "peer",
        "from": SERVER,
        "target": broadcaster.peer_id,
        "peerID": player.peer_id,
        "peerConfig": peer_config,
    }


def peer_left(broadcaster: Peer, player: Peer) -> Payload:
    """Tell a broadcaster that a player is gone."""
    return {"type": "peerLeft", "from": SERVER, "target": broadcaster.peer_id, "peerID": player.peer_id}


def unpublished(player: Peer, channel: str) -> Payload:
    """Tell a player that its broadcaster is gone."""
    return {"type": "unpublished", "from": SERVER, "target": player.peer_id, "channel": channel}


def relayed(body: dict[str, Any], sender: str) -> bytes:
    """Stamp a client's object with its sender, and encode it to be passed on; unknown keys are kept."""
    body["from"] = sender
    return relay.encode(body)


def with_peer_config(body: relay.Body, peer_config: Payload) -> relay.Body:
    """Add ICE servers to an offer; what else its own configuration says is kept."""
    own = relay.members(body.get("peerConfig")) or {}
    return {**body, "peerConfig": Raw(relay.encode({**own, **peer_config}))}


def with_description(body: relay.Body, sdp: str) -> relay.Body:
    """Put another SDP where the message carries one."""
    inner = relay.members(body.get("content"))
    description = relay.raw(sdp)
    if inner is not None:
        description = Raw(relay.encode({**inner, "sdp": description}))
    return {**body, "content": description}


# --- `publishError`, `subscribeError` -----------------------------------------------------------------


def error_for_peer(peer_id: str, message: str) -> Payload:
    return {"from": SERVER, "to": peer_id, "message": message}


# --- `roomUpdate` -------------------------------------------------------------------------------------


def room_error(room: str, message: str) -> Payload:
    return {"room": room, "error": message}


def room_state(
    room: str,
    *,
    participants: Iterable[Participant],
    streams: Iterable[Stream],
    messages: Iterable[Mapping[str, Any]],
    meta: Mapping[str, Any],
) -> Payload:
    """Show a joiner the room."""
    return {
        "room": room,
        "participants": {one.socket_id: _participant(one) for one in participants},
        "streams": {stream.stream_id: stream_info(stream) for stream in streams},
        "messages": list(messages),
        "meta": dict(meta),
        "type": "roomJoin",
    }


def participant_joined(room: str, participant: Participant, at: int) -> Payload:
    return {"participantJoin": _participant(participant), "room": room, "timestamp": at}


def participant_left(room: str, participant: Participant, at: int) -> Payload:
    return {"participantLeft": _participant(participant), "room": room, "timestamp": at}


def stream_added(room: str, stream: Stream, at: int) -> Payload:
    return {"streamNew": stream_info(stream), "room": room, "timestamp": at}


def stream_removed(room: str, stream_id: str, at: int) -> Payload:
    return {"streamRemove": stream_id, "room": room, "timestamp": at}


def message_new(room: str, message: Mapping[str, Any], at: int) -> Payload:
    return {"messageNew": dict(message), "room": room, "timestamp": at}


def action_taken(room: str, action: Mapping[str, Any], at: int) -> Payload:
    return {"action": dict(action), "room": room, "timestamp": at}


def stream_info(stream: Stream) -> Payload:
    """Describe a stream: the publisher's parameters, and what the server knows of it."""
    return {
        **stream.params,
        "streamId": stream.stream_id,
        "socketId": stream.socket_id,
        "user": stream.user,
        "publishedAt": stream.published_at,
        "channel": stream.stream_id,
    }


def _participant(one: Participant) -> Payload:
    return listings.participant(one.name, one.joined_at)
