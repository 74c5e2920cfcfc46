"""The protocol's names and bounds."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CHANNEL",
    "DEFAULT_CHANNEL",
    "MAX_BAN_MINUTES",
    "MAX_CHAT",
    "MAX_NAME",
    "MAX_NUMBER",
    "MAX_PARAMS",
    "SERVER",
    "SERVER_NAMES",
    "SERVER_TYPES",
    "Concern",
    "Event",
    "Push",
]

DEFAULT_CHANNEL = "VideoWhisper"
"""Where a peer goes that names no channel."""

MAX_NAME = 255
"""Longest peerID, channel, room or stream id, in characters."""

MAX_PARAMS = 16_384
"""Most that a stream's parameters or a room's meta may take, in characters of JSON."""

MAX_CHAT = 16_384
"""Most that one chat message may take, in characters of JSON."""

MAX_NUMBER = 1_000_000_000
MAX_BAN_MINUTES = 525_600
SERVER, CHANNEL = "_server_", "_channel_"
SERVER_NAMES = frozenset({SERVER, CHANNEL})
"""What the server signs its messages with; no client may be called so."""

SERVER_TYPES = frozenset({"peers", "peer", "peerLeft", "unpublished"})
"""Message types that only the server sends: relayed from a client they would forge its word."""


class Event(StrEnum):
    """What a client sends."""

    __hash__ = str.__hash__

    PUBLISH = "publish"
    UNPUBLISH = "unpublish"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    MESSAGE_PEER = "messagePeer"
    MESSAGE = "message"
    ROOM_JOIN = "roomJoin"
    ROOM_LEAVE = "roomLeave"
    ROOM_PUBLISH = "roomPublish"
    ROOM_UNPUBLISH = "roomUnpublish"
    ROOM_MESSAGE = "roomMessage"
    ROOM_ACTION = "roomAction"


class Push(StrEnum):
    """What a client is sent."""

    __hash__ = str.__hash__

    MESSAGE = "message"
    UNPUBLISH = "unpublish"
    PUBLISH_ERROR = "publishError"
    SUBSCRIBE_ERROR = "subscribeError"
    ROOM_UPDATE = "roomUpdate"


class Concern(StrEnum):
    """What an event is about; each has a dedicated namespace beside `/`."""

    __hash__ = str.__hash__

    SIGNALING = "/signaling"
    ROOM = "/room"
    CHAT = "/chat"
