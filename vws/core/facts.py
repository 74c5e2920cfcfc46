"""What has happened: the answers of the live state, in order, to be told to those concerned.

The state decides and changes; it names what came of it in the past tense. Who is told in which words is
decided in `vws.announce`, after the change is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vws.core.channels import Peer
from vws.core.rooms import Participant, Stream

__all__ = [
    "ActionTaken",
    "BroadcastEnded",
    "Fact",
    "MessagePosted",
    "ParticipantJoined",
    "ParticipantLeft",
    "PeerReplaced",
    "PlayerJoined",
    "PlayerLeft",
    "Published",
    "PublisherStopped",
    "RoomEntered",
    "StreamAdded",
    "StreamRemoved",
    "SubscriptionRefused",
]


@dataclass(frozen=True, slots=True)
class Published:
    """A broadcaster is live; ``peers`` is everybody in the channel, itself last."""

    broadcaster: Peer
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class PlayerJoined:
    """A player waits for this broadcaster's offer."""

    broadcaster: Peer
    player: Peer


@dataclass(frozen=True, slots=True)
class BroadcastEnded:
    """The stream that these players watched is gone, at least for them."""

    channel: str
    players: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class PlayerLeft:
    broadcaster: Peer
    player: Peer


@dataclass(frozen=True, slots=True)
class PeerReplaced:
    """A newer connection took this peer's place."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PublisherStopped:
    """The server ended this broadcaster's stream."""

    broadcaster: Peer
    channel: str


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """A participant could not be subscribed to one of its room's streams."""

    socket_id: str
    peer_id: str
    message: str


@dataclass(frozen=True, slots=True)
class RoomEntered:
    """What a joiner is shown of the room."""

    socket_id: str
    room: str
    participants: tuple[Participant, ...]
    streams: tuple[Stream, ...]
    messages: tuple[Mapping[str, Any], ...]
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    room: str
    members: tuple[str, ...]
    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    room: str
    members: tuple[str, ...]
    participant: Participant


@dataclass(frozen=True, slots=True)
class StreamAdded:
    room: str
    members: tuple[str, ...]
    stream: Stream


@dataclass(frozen=True, slots=True)
class StreamRemoved:
    room: str
    members: tuple[str, ...]
    stream_id: str


@dataclass(frozen=True, slots=True)
class MessagePosted:
    room: str
    members: tuple[str, ...]
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionTaken:
    room: str
    members: tuple[str, ...]
    action: Mapping[str, Any]


Fact = (
    Published
    | PlayerJoined
    | BroadcastEnded
    | PlayerLeft
    | PeerReplaced
    | PublisherStopped
    | SubscriptionRefused
    | RoomEntered
    | ParticipantJoined
    | ParticipantLeft
    | StreamAdded
    | StreamRemoved
    | MessagePosted
    | ActionTaken
)
