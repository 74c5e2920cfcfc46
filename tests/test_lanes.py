"""The short way of events that never wait: it reads a packet just as the ordinary way does."""

from __future__ import annotations

import pytest

from vws.core.wire.names import Event
from vws.transport.lanes import LONGEST, Lane, lanes
from vws.transport.packets import decode

NAMESPACES = ("/", "/signaling", "/room", "/chat")
LANES = lanes(NAMESPACES, [event.value for event in Event])


def lane_of(packet: bytes) -> Lane | None:
    """Find a packet's lane as the server does."""
    return LANES.get(packet[: packet.find(b'",', 0, LONGEST)])


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_event_has_a_lane_on_every_namespace(namespace: str, event: Event) -> None:
    where = "" if namespace == "/" else f"{namespace},"
    packet = f'42{where}["{event.value}",{{"text":"Hi, \\"you\\", é"}},1]'.encode()
    lane, incoming = lane_of(packet), decode(packet[1:].decode())
    assert lane is not None
    assert incoming is not None
    assert (lane.namespace, lane.event) == (incoming.namespace, incoming.event)
    assert packet[lane.start :] == incoming.payload


@pytest.mark.parametrize(
    "packet",
    [
        b'421["message",{}]',
        b'42/chat,1["message",{}]',
        b'42[ "message",{}]',
        b'42["message" ,{}]',
        b'42["message"]',
        b'42["mess\\u0061ge",{}]',
        b'42["messages",{}]',
        b'42/chat?a=b,["message",{}]',
        b'42/attic,["message",{}]',
        b'451-["message",{}]',
        b'40{"token":"a",["message",{}]',
        b'43["message",{}]',
        b"4",
        b"",
    ],
    ids=bytes.decode,
)
def test_other_packets_have_none(packet: bytes) -> None:
    assert lane_of(packet) is None
