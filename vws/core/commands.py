"""What clients ask for, after parsing: one small typed object per event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Raw, Struct

__all__ = [
    "Action",
    "ChannelMessage",
    "PeerMessage",
    "Publish",
    "RoomAction",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomPublish",
    "RoomUnpublish",
    "StreamParams",
    "Subscribe",
    "Unpublish",
    "Unsubscribe",
]


@dataclass(frozen=True, slots=True)
class StreamParams:
    """What a publisher says of its stream: pixels, kbps, frames per second; missing numbers are 0.

    ``raw`` is the client's own object, unknown keys included, as it is shown to others, and ``size`` its
    length as JSON.
    """

    width: float = 0
    height: float = 0
    bitrate: int = 0
    audio_bitrate: int = 0
    frame_rate: float = 0
    raw: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0

    @property
    def rate(self) -> int:
        """Video and audio together, kbps."""
        return self.bitrate + self.audio_bitrate


@dataclass(frozen=True, slots=True)
class Publish:
    peer_id: str
    channel: str
    params: StreamParams


@dataclass(frozen=True, slots=True)
class Unpublish:
    peer_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    peer_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    peer_id: str
    channel: str


class PeerMessage(Struct, frozen=True, gc=False):
    """A signal for one peer; ``channel`` None means: find the one we share.

    The values of ``body`` are JSON as it came.
    """

    kind: str
    target: str
    channel: str | None
    body: dict[str, Raw]


class ChannelMessage(Struct, frozen=True, gc=False):
    """Something for everyone else in the sender's channel, or in all of them when none is named.

    The values of ``body`` are JSON as it came.
    """

    channel: str | None
    body: dict[str, Raw]


@dataclass(frozen=True, slots=True)
class RoomJoin:
    room: str


@dataclass(frozen=True, slots=True)
class RoomLeave:
    room: str


@dataclass(frozen=True, slots=True)
class RoomPublish:
    room: str
    stream: str
    params: StreamParams


@dataclass(frozen=True, slots=True)
class RoomUnpublish:
    room: str
    stream: str


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """A chat message; ``size`` is its length as JSON, for the bounds on history."""

    room: str
    message: dict[str, Any]
    size: int


class Action(StrEnum):
    """What a moderator or a room's owner can do."""

    KICK = "kick"
    BAN = "ban"
    UNBAN = "unban"
    MUTE = "mute"
    UNMUTE = "unmute"
    LOCK = "lock"
    UNLOCK = "unlock"
    CLEAR = "clear"
    META = "meta"


@dataclass(frozen=True, slots=True)
class RoomAction:
    """``user`` for actions on somebody, ``minutes`` for a ban, ``meta`` for the room's own rules."""

    room: str
    action: Action
    user: str = ""
    minutes: float = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
