"""`/signaling`: publish, subscribe, and signals between peers."""

from __future__ import annotations

from vws.core.wire import parse
from vws.core.wire.names import Event, Push
from vws.namespaces.base import EventTable, Handler, no_event, peer_error, with_arguments
from vws.signaling import Signaling

__all__ = ["signaling_events"]


SIGNAL_UNIT = 4096
"""A signal has one recipient, other events may have many; so it may be larger for the same price."""


def signaling_events(signaling: Signaling) -> EventTable:
    publish_error, subscribe_error = peer_error(Push.PUBLISH_ERROR), peer_error(Push.SUBSCRIBE_ERROR)
    return {
        Event.PUBLISH: with_arguments(parse.parse_publish, signaling.publish, publish_error),
        Event.UNPUBLISH: with_arguments(parse.parse_unpublish, signaling.unpublish, publish_error),
        Event.SUBSCRIBE: with_arguments(parse.parse_subscribe, signaling.subscribe, subscribe_error),
        Event.UNSUBSCRIBE: with_arguments(parse.parse_unsubscribe, signaling.unsubscribe, subscribe_error),
        Event.MESSAGE_PEER: Handler(
            parse.parse_peer_message, signaling.message_peer, no_event, unit=SIGNAL_UNIT
        ),
        Event.MESSAGE: Handler(parse.parse_channel_message, signaling.message, no_event),
    }
