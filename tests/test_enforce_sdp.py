"""ENFORCE_SDP: what peers ask each other for stays within the plan of the account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NO_STUN, TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.server import Server, row
from vws.core.accounts import Plan
from vws.core.sdp import limit

OFFER = Path(__file__).with_name("data").joinpath("chromium-offer.sdp").read_bytes().decode()
LIMITS = {"bitrate": 500, "audioBitrate": 64, "frameRate": 15, "width": 640, "height": 360}
PLAN = Plan(bitrate=500, audio_bitrate=64, frame_rate=15, width=640, height=360)
LIMITED, UNLIMITED, SMALL_BITRATE = "Limited-token", "Unlimited-token", "Small-token"
Pair = tuple[Client, Client]


@pytest.fixture(scope="module")
def module_server(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(
        ENFORCE_SDP="1",
        accounts=[
            row("Limited", plan=LIMITS),
            row("Unlimited"),
            row("Small", plan={"bitrate": 100}),
            row("Crowd", plan={"connections": 10, "totalBitrate": 1000}),
        ],
    )
    with finishing([server]):
        yield server


@pytest.fixture
def enforcing(module_server: Server) -> Iterator[Server]:
    yield module_server
    module_server.idle()


@pytest.fixture
def pair(enforcing: Server, clients: Clients) -> Callable[[str], Pair]:
    """Return what connects Alice, who broadcasts, and Bob, who watches her."""

    def connect(token: str) -> Pair:
        alice, bob = clients.token(token, server=enforcing), clients.token(token, server=enforcing)
        assert alice.call("publish", "Alice", "Lobby", {})["ok"]
        assert bob.call("subscribe", "Bob", "Lobby")["ok"]
        return alice, bob

    return connect


Connect = Callable[[str], Pair]


def description(kind: str, sdp: Any, *, target: str) -> dict[str, Any]:
    """Make what the clients send: an offer or an answer, with a key that nobody knows."""
    content = {"type": kind, "sdp": sdp, "own": 1}
    return {"type": kind, "target": target, "channel": "Lobby", "content": content, "extra": [1]}


def section(sdp: str, kind: str) -> list[str]:
    """Return the lines of the media section of a kind."""
    (found,) = [part for part in sdp.split("\r\nm=")[1:] if part.startswith(kind)]
    return found.split("\r\n")


def test_an_offer_is_limited_to_the_plan(pair: Connect) -> None:
    alice, bob = pair(LIMITED)
    assert alice.call("messagePeer", description("offer", OFFER, target="Bob")) == {"ok": True}
    offer = bob.message("offer")
    sdp = offer["content"]["sdp"]
    assert offer == {
        **description("offer", sdp, target="Bob"),
        "from": "Alice",
        "peerConfig": {"iceServers": [{"urls": [NO_STUN]}]},
    }
    video, audio = section(sdp, "video"), section(sdp, "audio")
    assert [line for line in video if line.startswith("b=")] == ["b=AS:500", "b=TIAS:500000"]
    assert [line for line in audio if line.startswith("b=")] == ["b=AS:64", "b=TIAS:64000"]
    assert "a=framerate:15" in video
    assert "a=fmtp:96 max-fr=15;max-fs=920" in video
    sizes = [line for line in video if line.startswith("a=imageattr:96 ")]
    assert sizes == [
        "a=imageattr:96 send [x=[1:640],y=[1:360]] [x=[1:360],y=[1:640]]"
        " recv [x=[1:640],y=[1:360]] [x=[1:360],y=[1:640]]"
    ]
    # Nothing else changed: the connection itself is the browser's business.
    kept = ("a=candidate", "a=ice-", "a=fingerprint", "a=mid", "a=rtpmap", "a=ssrc", "m=", "a=group")
    for start in kept:
        assert [line for line in sdp.split("\r\n") if line.startswith(start)] == [
            line for line in OFFER.split("\r\n") if line.startswith(start)
        ]


def test_an_answer_is_limited_too(pair: Connect) -> None:
    alice, bob = pair(LIMITED)
    assert bob.call("messagePeer", description("answer", OFFER, target="Alice")) == {"ok": True}
    answer = alice.message("answer")
    assert answer == {**description("answer", limit(OFFER, PLAN), target="Alice"), "from": "Bob"}


def test_what_asks_for_more_is_lowered_and_what_asks_for_less_is_left(pair: Connect) -> None:
    alice, bob = pair(SMALL_BITRATE)
    for asked, given in (("5000", "100"), ("80", "80")):
        sdp = OFFER.replace("a=mid:1\r\n", f"b=AS:{asked}\r\na=mid:1\r\n")
        alice.emit("messagePeer", description("offer", sdp, target="Bob"))
        video = section(bob.message("offer")["content"]["sdp"], "video")
        assert sorted(line for line in video if line.startswith("b=")) == [
            f"b=AS:{given}",
            f"b=TIAS:{given}000",
        ]


def test_a_description_that_is_the_content_itself(pair: Connect) -> None:
    alice, bob = pair(LIMITED)
    alice.emit("messagePeer", {"type": "offer", "target": "Bob", "content": OFFER})
    assert bob.message("offer")["content"] == limit(OFFER, PLAN)


def test_the_type_of_the_message_is_no_way_around(pair: Connect) -> None:
    alice, bob = pair(LIMITED)
    content = {"type": "offer", "sdp": OFFER}
    alice.emit("messagePeer", {"type": "renegotiate", "target": "Bob", "content": content})
    assert bob.message("renegotiate")["content"]["sdp"] == limit(OFFER, PLAN)


@pytest.mark.parametrize("token", [UNLIMITED, TOKEN, "Crowd-token"])
@pytest.mark.parametrize("sdp", [OFFER, OFFER.replace("\r\n", "\n"), "no SDP at all"], ids=["", "LF", "none"])
def test_without_limits_for_a_stream_nothing_is_touched(pair: Connect, token: str, sdp: str) -> None:
    alice, bob = pair(token)
    assert alice.call("messagePeer", description("offer", sdp, target="Bob")) == {"ok": True}
    assert bob.message("offer")["content"] == description("offer", sdp, target="Bob")["content"]


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "no SDP at all",
        "v=1\r\n",
        OFFER.replace("m=video 58627", "m=video nowhere"),
        "v=0\r\n" + "a" * 300_000,
    ],
    ids=["empty", "text", "version", "media", "long"],
)
def test_a_broken_description_is_refused_and_reaches_nobody(pair: Connect, sdp: str) -> None:
    alice, bob = pair(LIMITED)
    answer = alice.call("messagePeer", description("offer", sdp, target="Bob"))
    assert answer["ok"] is False
    assert answer["error"]["code"] == "bad-input"
    assert answer["error"]["message"]
    bob.nothing("message", lambda message: message["type"] == "offer")
    # And the call can go on.
    assert alice.call("messagePeer", description("offer", OFFER, target="Bob")) == {"ok": True}
    assert bob.message("offer")["content"]["sdp"] == limit(OFFER, PLAN)


def test_candidates_and_the_rest_pass_as_they_are(pair: Connect) -> None:
    alice, bob = pair(LIMITED)
    candidate = {"candidate": "candidate:1 1 udp 2122 192.0.2.2 60434 typ host", "sdpMid": "0"}
    for body in (
        {"type": "candidate", "target": "Bob", "candidate": candidate},
        {"type": "candidate", "target": "Bob", "candidate": None},
        {"type": "note", "target": "Bob", "content": "very good"},
        {"type": "note", "target": "Bob", "content": {"sdp": None}},
    ):
        assert alice.call("messagePeer", body) == {"ok": True}
        assert bob.message(str(body["type"])) == {**body, "from": "Alice"}


def test_a_message_to_the_channel_is_no_way_around(pair: Connect) -> None:
    """Clients listen to `message` whoever relays it: an offer through the other event is an offer."""
    alice, bob = pair(LIMITED)
    alice.call("message", description("offer", OFFER, target="Bob"))
    alice.call("messagePeer", {"type": "last", "target": "Bob"})
    bob.message("last")
    offers = [args[0] for args in bob.received("message") if args[0]["type"] == "offer"]
    assert all(offer["content"]["sdp"] == limit(OFFER, PLAN) for offer in offers)


def test_it_is_off_unless_asked_for(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(accounts=[row("Limited", plan=LIMITS)])
    alice, bob = clients.token(LIMITED, server=server), clients.token(LIMITED, server=server)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    assert bob.call("subscribe", "Bob", "Lobby")["ok"]
    for sdp in (OFFER, "no SDP at all"):
        assert alice.call("messagePeer", description("offer", sdp, target="Bob")) == {"ok": True}
        assert bob.message("offer")["content"]["sdp"] == sdp
