"""The events that the load consists of, in the shapes and sizes that browsers send."""

from __future__ import annotations

from bench.wire import event

__all__ = ["candidate", "candidate_back", "offer", "publish", "room_join", "room_message", "subscribe"]

ICE = {"iceServers": [{"urls": ["stun:stun.example.com:3478"]}]}
SDP_SIZE = 2700

BACK = {"from": "Bob", "target": "Alice"}

CANDIDATE = (
    "candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 0.0.0.0 rport 0 "
    "generation 0 ufrag EsAw network-cost 999"
)


def publish(channel: int) -> bytes:
    params = {"width": 640, "height": 360, "bitrate": 500, "audioBitrate": 32, "frameRate": 30}
    return event("publish", "Alice", f"Channel {channel}", params, ack=1)


def subscribe(channel: int, name: str) -> bytes:
    return event("subscribe", name, f"Channel {channel}", ack=2)


def candidate(channel: int) -> bytes:
    """Return a message of about 300 bytes of JSON."""
    found = {"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "EsAw"}
    return _message_peer(channel, type="candidate", candidate=found)


def candidate_back(channel: int) -> bytes:
    """Return a candidate of the player's."""
    return _message_peer(channel, type="candidate", candidate={"candidate": CANDIDATE}, **BACK)


def offer(channel: int) -> bytes:
    """Return a message of about 3,000 bytes of JSON."""
    return _message_peer(channel, type="offer", content={"type": "offer", "sdp": _sdp()}, peerConfig=ICE)


def room_join(room: str) -> bytes:
    return event("roomJoin", {"room": room}, ack=3)


def room_message(room: str) -> bytes:
    text = "Good evening everyone, the picture is fine here, could you turn the microphone up a little?"
    return event("roomMessage", {"room": room, "message": {"text": text}})


def _message_peer(channel: int, **content: object) -> bytes:
    names = {"from": "Alice", "target": "Bob", "channel": f"Channel {channel}"}
    return event("messagePeer", {**names, **content})


def _sdp() -> str:
    """Return a session description like a browser's: a header, then a line for each codec."""
    lines = [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "a=msid-semantic: WMS stream",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        "a=setup:actpass",
    ]
    payload = 96
    while sum(map(len, lines)) + 2 * len(lines) < SDP_SIZE:
        lines += [
            f"a=rtpmap:{payload} VP8/90000",
            f"a=rtcp-fb:{payload} goog-remb",
            f"a=rtcp-fb:{payload} transport-cc",
            f"a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1",
        ]
        payload += 1
    return "\r\n".join([*lines, ""])
