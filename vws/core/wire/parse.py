"""Parsers: the arguments of one event in, a command out, or `BadInput`; never anything else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, cast

from msgspec import DecodeError, Meta, Raw
from msgspec.json import Decoder

from vws.core.commands import (
    Action,
    ChannelMessage,
    PeerMessage,
    Publish,
    RoomAction,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomPublish,
    RoomUnpublish,
    StreamParams,
    Subscribe,
    Unpublish,
    Unsubscribe,
)
from vws.core.wire import relay
from vws.core.wire.names import (
    DEFAULT_CHANNEL,
    MAX_BAN_MINUTES,
    MAX_CHAT,
    MAX_NAME,
    MAX_NUMBER,
    MAX_PARAMS,
    SERVER_NAMES,
    SERVER_TYPES,
)
from vws.errors import BadInput

__all__ = [
    "description",
    "is_name",
    "parse_channel_message",
    "parse_peer_message",
    "parse_publish",
    "parse_room_action",
    "parse_room_join",
    "parse_room_leave",
    "parse_room_message",
    "parse_room_publish",
    "parse_room_unpublish",
    "parse_subscribe",
    "parse_unpublish",
    "parse_unsubscribe",
    "peer_named",
    "room_named",
    "wants_ice",
]

_NO_TYPE = "message.type must be a string"

# --- parsing: signaling -------------------------------------------------------------------------------


def parse_publish(args: Sequence[Any]) -> Publish:
    """Read ``peerID, channel, params``; params may be missing or null."""
    peer_id, channel, params = _arity(args, 2, 3)
    return Publish(_peer_id(peer_id), _channel(channel), _stream_params(params))


def parse_unpublish(args: Sequence[Any]) -> Unpublish:
    """Read ``peerID, channel``."""
    return Unpublish(*_peer_and_channel(args))


def parse_subscribe(args: Sequence[Any]) -> Subscribe:
    """Read ``peerID, channel``."""
    return Subscribe(*_peer_and_channel(args))


def parse_unsubscribe(args: Sequence[Any]) -> Unsubscribe:
    """Read ``peerID, channel``."""
    return Unsubscribe(*_peer_and_channel(args))


def parse_peer_message(payload: bytes) -> PeerMessage:
    """Read an event with one object ``{type, target, channel?, …}``, which stays JSON."""
    body = relay.split(payload) or _carefully(payload)
    try:
        kind, target = _kind(body["type"]), _target(body["target"])
        channel = _shared(body["channel"]) if "channel" in body else None
    except (KeyError, DecodeError):
        raise _misaddressed(body) from None
    if kind in SERVER_TYPES:
        raise _reserved(kind)
    return PeerMessage(kind, target, channel or None, body)


def parse_channel_message(payload: bytes) -> ChannelMessage:
    """Read an event with one object ``{channel?, …}``, which stays JSON."""
    body = relay.split(payload) or _carefully(payload)
    kind, channel = relay.value(body.get("type")), relay.value(body.get("channel"))
    if kind is not None and not isinstance(kind, str):
        raise BadInput(_NO_TYPE)
    if kind in SERVER_TYPES:
        raise _reserved(kind)
    return ChannelMessage(None if channel in (None, "") else _name(channel, "channel"), body)


def wants_ice(offer: relay.Body) -> bool:
    """Say whether an offer brings no ICE servers of its own."""
    peer_config = relay.members(offer.get("peerConfig"))
    return not (peer_config and relay.value(peer_config.get("iceServers")))


def description(body: relay.Body) -> str | None:
    """Return the SDP that a message carries, as its content or within it."""
    content = body.get("content")
    inner = relay.members(content)
    sdp = relay.value(content if inner is None else inner.get("sdp"))
    return sdp if isinstance(sdp, str) and (inner is not None or sdp.startswith("v=")) else None


# --- parsing: rooms -----------------------------------------------------------------------------------


def parse_room_join(args: Sequence[Any]) -> RoomJoin:
    """Read ``{room}`` or ``{roomName}``."""
    return RoomJoin(_room(_only_object(args)))


def parse_room_leave(args: Sequence[Any]) -> RoomLeave:
    """Read ``{room}`` or ``{roomName}``."""
    return RoomLeave(_room(_only_object(args)))


def parse_room_publish(args: Sequence[Any]) -> RoomPublish:
    """Read ``{room, stream, parameters}`` or ``{roomName, channel, parameters}``."""
    body = _only_object(args)
    room, stream = _room(body), _stream(body)
    parameters = body.get("parameters")
    if not isinstance(parameters, dict) or parameters.get("type", "webrtc") != "webrtc":
        raise BadInput("Invalid stream parameters for publishing.", code="invalid-parameters")
    return RoomPublish(room, stream, _stream_params(parameters))


def parse_room_unpublish(args: Sequence[Any]) -> RoomUnpublish:
    """Read ``{room, stream}`` or ``{roomName, channel}``."""
    body = _only_object(args)
    return RoomUnpublish(_room(body), _stream(body))


def parse_room_message(args: Sequence[Any]) -> RoomMessage:
    """Read ``{room, message}``; a message that is a string becomes ``{text}``."""
    body = _only_object(args)
    message = body.get("message")
    if isinstance(message, str):
        message = {"text": message}
    if not isinstance(message, dict) or not message:
        raise BadInput("message must be an object or a string")
    return RoomMessage(_room(body), message, _size(message, MAX_CHAT, "message"))


def parse_room_action(args: Sequence[Any]) -> RoomAction:
    """Read ``{room, action, user?, minutes?, meta?}``."""
    body = _only_object(args)
    room = _room(body)
    action = _ACTIONS.get(str(body.get("action")))
    if action is None:
        raise BadInput(f"action must be one of {', '.join(Action)}")
    if action in _ON_SOMEBODY:
        user = _name(body.get("user"), "user")
        return RoomAction(room, action, user, minutes=_minutes(body) if action is Action.BAN else 0)
    return RoomAction(room, action, meta=_meta(body) if action is Action.META else {})


_ACTIONS = {action.value: action for action in Action}
_ON_SOMEBODY = frozenset({Action.KICK, Action.BAN, Action.UNBAN, Action.MUTE, Action.UNMUTE})


def peer_named(args: Sequence[Any]) -> str:
    """Return the peerID that a positional event names, as far as it can be told; for error answers."""
    return args[0] if args and is_name(args[0]) else ""


def room_named(args: Sequence[Any]) -> str:
    """Return the room that a room event names, as far as it can be told; for error answers."""
    body = args[0] if args and isinstance(args[0], dict) else {}
    return next((body[key] for key in ("room", "roomName") if is_name(body.get(key))), "")


# --- the pieces of what is relayed ------------------------------------------------------------------------

_Kind = Annotated[str, Meta(min_length=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_NameOrNone = Annotated[str, Meta(max_length=MAX_NAME)] | None

_kind: Callable[[Raw], str] = Decoder(_Kind).decode
_target: Callable[[Raw], str] = Decoder(_Name).decode
_shared: Callable[[Raw], str | None] = Decoder(_NameOrNone).decode


def _carefully(payload: bytes) -> relay.Body:
    """Take the object that is relayed apart, or say what else was sent."""
    return relay.kept(_object(_arity(relay.arguments(payload), 1, 1)[0], "message"))


def _misaddressed(body: relay.Body) -> BadInput:
    """Say what is wrong with a signal's type, target or channel, the first that is."""
    kind = relay.value(body.get("type"))
    if not isinstance(kind, str) or not kind:
        return BadInput(_NO_TYPE)
    return _no_name("channel" if is_name(relay.value(body.get("target"))) else "target")


def _reserved(kind: str) -> BadInput:
    return BadInput(f"only the server sends messages of type {kind}", code="reserved-type")


# --- the pieces of shapes -----------------------------------------------------------------------------


def is_name(value: object) -> bool:
    """Say whether a value can name a peer, channel, room or account: text of 1 to 255 characters.

    Lone surrogates, which JSON can spell and UTF-8 cannot, are no text.
    """
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and (value.isascii() or relay.is_text(value))


def _name(value: Any, what: str) -> str:
    if is_name(value):
        return cast("str", value)
    raise _no_name(what)


def _no_name(what: str) -> BadInput:
    return BadInput(f"{what} must be a string of 1 to {MAX_NAME} characters")


def _channel(value: object) -> str:
    return DEFAULT_CHANNEL if value == "" else _name(value, "channel")


def _peer_and_channel(args: Sequence[Any]) -> tuple[str, str]:
    peer_id, channel = _arity(args, 2, 2)
    return _peer_id(peer_id), _channel(channel)


def _peer_id(value: object) -> str:
    peer_id = _name(value, "peerID")
    if peer_id in SERVER_NAMES:
        raise BadInput(f"only the server is called {peer_id}", code="reserved-name")
    return peer_id


def _arity(args: Sequence[Any], least: int, most: int) -> list[Any]:
    """Return the arguments, missing ones as None, when their number is right."""
    if not least <= len(args) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise BadInput(f"expected {wanted} arguments, got {len(args)}")
    return [*args, *[None] * (most - len(args))]


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{what} must be an object")
    return value


def _only_object(args: Sequence[Any]) -> dict[str, Any]:
    return _object(_arity(args, 1, 1)[0], "the argument")


def _room(body: Mapping[str, Any]) -> str:
    return _name(body["room"] if "room" in body else body.get("roomName"), "room")


def _stream(body: Mapping[str, Any]) -> str:
    return _name(body["stream"] if "stream" in body else body.get("channel"), "stream")


def _stream_params(value: object) -> StreamParams:
    """Read the parameters of a stream in all the spellings that clients use."""
    if value is None:
        return StreamParams()
    raw = _object(value, "params")
    size = _size(raw, MAX_PARAMS, "params")
    return StreamParams(
        width=_number(raw, "width"),
        height=_number(raw, "height"),
        bitrate=math.ceil(_number(raw, "bitrate", "videoBitrate")),
        audio_bitrate=math.ceil(_number(raw, "audioBitrate")),
        frame_rate=_number(raw, "frameRate", "framerate"),
        raw=raw,
        size=size,
    )


def _number(raw: Mapping[str, Any], *spellings: str) -> float:
    """Return the largest of a number's spellings: naming it twice must not hide the larger one."""
    return max(_one_number(raw.get(key), key) for key in spellings)


def _one_number(value: object, what: str) -> float:
    if value is None or value == "":
        return 0
    number = _as_float(value)
    if number is None or not 0 <= number <= MAX_NUMBER:
        raise BadInput(f"{what} must be a number from 0 to {MAX_NUMBER}")
    return int(number) if number == int(number) else number


def _as_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _minutes(body: Mapping[str, Any]) -> float:
    """Return a ban's length in minutes, 10 when it isn't given."""
    minutes = _one_number(body.get("minutes"), "minutes") or 10
    return min(minutes, MAX_BAN_MINUTES)


def _meta(body: Mapping[str, Any]) -> dict[str, Any]:
    meta = _object(body.get("meta"), "meta")
    _size(meta, MAX_PARAMS, "meta")
    for rule in ("allowBroadcasters", "allowUsers"):
        if not _is_rule(meta.get(rule, True)):
            raise BadInput(f"meta.{rule} must be true, false or a list of user names")
    if not _are_names(meta.get("rtmp", [])):
        raise BadInput("meta.rtmp must be a list of names of streams")
    return meta


def _is_rule(value: object) -> bool:
    return isinstance(value, bool) or _are_names(value)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(is_name, value))


def _size(value: object, most: int, what: str) -> int:
    """Return the length of a value as JSON; more than ``most`` characters is refused."""
    try:
        size = len(json.dumps(value, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError):
        raise BadInput(f"{what} must be JSON") from None
    if size > most:
        raise BadInput(f"{what} is too large: {size} of {most} characters", code="too-large")
    return size
