"""Session descriptions are kept within a plan, and otherwise as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from vws.core.accounts import UNLIMITED, Plan
from vws.core.sdp import limit, parse
from vws.errors import BadInput

CHROMIUM = (Path(__file__).parent / "data" / "chromium-offer.sdp").read_bytes().decode()
PLAN = Plan(bitrate=500, audio_bitrate=64, frame_rate=15, width=640, height=360)
HEAD = ("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0")


def sdp(*lines: str) -> str:
    return "\r\n".join((*HEAD, *lines)) + "\r\n"


def video(*lines: str, port: int = 9) -> str:
    return sdp(f"m=video {port} UDP/TLS/RTP/SAVPF 96 97 98", *lines)


def audio(*lines: str) -> str:
    return sdp("m=audio 9 UDP/TLS/RTP/SAVPF 111", *lines)


def limited(text: str, plan: Plan) -> list[str]:
    """The lines after the session's own, limited."""
    result = limit(text, plan)
    assert result.endswith("\r\n")
    return result.removesuffix("\r\n").split("\r\n")[len(HEAD) :]


# Parsing


def test_a_browsers_offer_survives_unchanged() -> None:
    assert str(parse(CHROMIUM)) == CHROMIUM
    assert [(media.kind, media.live) for media in parse(CHROMIUM).media] == [
        ("audio", True),
        ("video", True),
        ("application", True),
    ]


def test_lf_is_tolerated_and_crlf_written() -> None:
    assert str(parse(CHROMIUM.replace("\r\n", "\n"))) == CHROMIUM


def test_unknown_lines_are_kept_in_order() -> None:
    text = sdp("z=?", "m=video 9 X 96", "y=new", "a=future:1", "a=inactive")
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n",
        "hello",
        '{"type": "offer"}',
        "V=0\r\n",
        "v=1\r\ns=-\r\n",
        "s=-\r\nv=0\r\n",
        sdp("no type"),
        sdp("", "a=x"),
        sdp("a=x\rb=AS:99999"),
        sdp("a=\0"),
        sdp("m=video"),
        sdp("m=video nine UDP 96"),
        sdp("m=video 9"),
    ],
)
def test_what_is_not_sdp_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        limit(text, PLAN)


@pytest.mark.parametrize("text", [sdp("a=" + "x" * 200_000), sdp(*["m=video 9 X 96"] * 257)])
def test_what_no_browser_would_send_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="too"):
        limit(text, PLAN)


# What stays


def test_a_plan_without_limits_changes_nothing() -> None:
    text = CHROMIUM.replace("\r\n", "\n")
    assert limit(text, UNLIMITED) is text
    assert limit(text, Plan(connections=3, total_bitrate=100)) is text
    assert limit(text, Plan(bitrate=float("inf"), width=float("nan"))) is text


def test_rejected_sections_are_left_alone() -> None:
    lines = ("a=rtpmap:96 VP8/90000", "a=inactive")
    assert limit(video(*lines, port=0), PLAN) == video(*lines, port=0)


def test_a_section_waiting_for_its_bundle_is_not_rejected() -> None:
    assert "b=AS:500" in limited(video("a=bundle-only", port=0), PLAN)


def test_data_channels_are_left_alone() -> None:
    text = sdp("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "b=AS:30000", "a=sctp-port:5000")
    assert limit(text, PLAN) == text


# Bandwidth


def test_bandwidth_is_added_after_the_connection_line() -> None:
    assert limited(video("i=cam", "c=IN IP4 0.0.0.0", "a=mid:0"), Plan(bitrate=500)) == [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98",
        "i=cam",
        "c=IN IP4 0.0.0.0",
        "b=AS:500",
        "b=TIAS:500000",
        "a=mid:0",
    ]


def test_bandwidth_is_added_to_a_bare_section() -> None:
    assert limited(audio(), Plan(audio_bitrate=64))[1:] == ["b=AS:64", "b=TIAS:64000"]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["b=AS:2000", "b=TIAS:2000000"], ["b=AS:500", "b=TIAS:500000"]),
        (["b=TIAS:100000", "b=AS:100"], ["b=TIAS:100000", "b=AS:100"]),
        (["b=AS:300"], ["b=AS:300", "b=TIAS:300000"]),
        (["b=TIAS:256000"], ["b=TIAS:256000", "b=AS:256"]),
        (["b=AS:300", "b=AS:900"], ["b=AS:300", "b=AS:500", "b=TIAS:300000"]),
        (["b=AS:-1"], ["b=AS:500", "b=TIAS:500000"]),
        (["b=AS:unlimited"], ["b=AS:500", "b=TIAS:500000"]),
        ([f"b=AS:{'9' * 5000}"], ["b=AS:500", "b=TIAS:500000"]),
        (["b=RS:9000", "b=CT:9000"], ["b=RS:9000", "b=CT:500", "b=AS:500", "b=TIAS:500000"]),
    ],
)
def test_bandwidth_is_only_ever_lowered(present: list[str], expected: list[str]) -> None:
    lines = limited(video("c=IN IP4 0.0.0.0", *present, "a=mid:0"), Plan(bitrate=500))
    assert lines[2:-1] == expected


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (PLAN, ["b=AS:564", "b=TIAS:100"]),
        (Plan(bitrate=500), ["b=AS:9000", "b=TIAS:100"]),
        (Plan(width=640), ["b=AS:9000", "b=TIAS:100"]),
    ],
)
def test_the_sessions_bandwidth_is_the_sum(plan: Plan, expected: list[str]) -> None:
    text = sdp("b=AS:9000", "b=TIAS:100", "m=audio 9 X 111", "m=video 9 X 96", "m=video 0 X 96")
    assert limited(text, plan)[:2] == expected


# Frame rate


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([], ["a=mid:0", "a=framerate:15"]),
        (["a=framerate:30"], ["a=framerate:15", "a=mid:0"]),
        (["a=framerate:12.50"], ["a=framerate:12.50", "a=mid:0"]),
        (["a=framerate:nan"], ["a=framerate:15", "a=mid:0"]),
    ],
)
def test_frame_rate(present: list[str], expected: list[str]) -> None:
    assert limited(video(*present, "a=mid:0"), Plan(frame_rate=15.0))[1:] == expected


def test_a_fractional_frame_rate_is_exact() -> None:
    assert limited(video(), Plan(frame_rate=29.97))[1:] == ["a=framerate:29.97"]


# Codec parameters


def fmtp(text: str, plan: Plan) -> list[str]:
    return [line for line in limited(text, plan) if line.startswith("a=fmtp:")]


def test_vp8_gets_a_line_of_parameters() -> None:
    lines = limited(
        video("a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack"), Plan(frame_rate=15, width=640, height=360)
    )
    assert lines[1:4] == ["a=rtpmap:96 VP8/90000", "a=fmtp:96 max-fr=15;max-fs=920", "a=rtcp-fb:96 nack"]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("profile-id=0", "profile-id=0;max-fr=15;max-fs=920"),
        ("profile-id=0;", "profile-id=0;max-fr=15;max-fs=920"),
        ("max-fr=60; max-fs=3600", "max-fr=15; max-fs=920"),
        ("max-fr=10;max-fs=99;x=?", "max-fr=10;max-fs=99;x=?"),
        ("MAX-FR=60;max-fs", "MAX-FR=15;max-fs=920"),
        ("max-fr=;max-fs=-5", "max-fr=15;max-fs=920"),
    ],
)
def test_vp9_parameters_are_lowered_or_added(present: str, expected: str) -> None:
    text = video("a=rtpmap:98 VP9/90000", f"a=fmtp:98 {present}")
    assert fmtp(text, Plan(frame_rate=15, width=640, height=360)) == [f"a=fmtp:98 {expected}"]


def test_parameters_spread_over_lines_are_not_doubled() -> None:
    text = video("a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0", "a=fmtp:98 max-fr=60")
    assert fmtp(text, Plan(frame_rate=15)) == ["a=fmtp:98 profile-id=0", "a=fmtp:98 max-fr=15"]


def test_googles_bitrates_are_lowered_where_they_are() -> None:
    text = video(
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 x-google-min-bitrate=900;x-google-start-bitrate=100;x-google-max-bitrate=9000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
    )
    assert fmtp(text, Plan(bitrate=500)) == [
        "a=fmtp:96 x-google-min-bitrate=500;x-google-start-bitrate=100;x-google-max-bitrate=500",
        "a=fmtp:97 apt=96",
    ]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([], ["a=fmtp:111 maxaveragebitrate=64000"]),
        (
            ["a=fmtp:111 minptime=10;useinbandfec=1"],
            ["a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=64000"],
        ),
        (["a=fmtp:111 maxaveragebitrate=510000"], ["a=fmtp:111 maxaveragebitrate=64000"]),
        (["a=fmtp:111 maxaveragebitrate=20000"], ["a=fmtp:111 maxaveragebitrate=20000"]),
    ],
)
def test_opus_bitrate(present: list[str], expected: list[str]) -> None:
    assert fmtp(audio("a=rtpmap:111 opus/48000/2", *present), Plan(audio_bitrate=64)) == expected


def test_other_audio_has_no_opus_parameters() -> None:
    text = audio("a=rtpmap:0 PCMU/8000", "a=rtpmap:126 telephone-event/8000", "a=fmtp:126 0-16")
    assert fmtp(text, Plan(audio_bitrate=64)) == ["a=fmtp:126 0-16"]


# Picture size

BOX = "[x=[1:640],y=[1:360]] [x=[1:360],y=[1:640]]"


def imageattr(plan: Plan, *lines: str) -> list[str]:
    text = video("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", *lines)
    return [line for line in limited(text, plan) if line.startswith("a=imageattr:")]


@pytest.mark.parametrize(
    ("plan", "sets"),
    [
        (Plan(width=640, height=360), BOX),
        (Plan(width=640), "[x=[1:640],y=[1:640]]"),
        (Plan(height=360), "[x=[1:16383],y=[1:360]] [x=[1:360],y=[1:16383]]"),
        (Plan(width=360, height=640), "[x=[1:360],y=[1:360]]"),
        (Plan(width=0, height=0), "[x=1,y=1]"),
    ],
)
def test_size_is_asked_for_in_both_orientations(plan: Plan, sets: str) -> None:
    assert imageattr(plan) == [f"a=imageattr:96 send {sets} recv {sets}"]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("96 send * recv *", f"96 send {BOX} recv {BOX}"),
        ("* recv [x=[480:16:800],y=[320:16:640]]", f"* send {BOX} recv [x=[1:640],y=[1:360]]"),
        (
            "96 send [x=320,y=240,q=0.5] [x=1080,y=1920] recv [x=[100,200],y=[100,200],sar=[1.1-1.3]]",
            "96 send [x=320,y=240,q=0.5] [x=[1:360],y=[1:640]] recv [x=[100,200],y=[100,200],sar=[1.1-1.3]]",
        ),
        ("96 recv [x=9999999,y=1]", f"96 send {BOX} recv {BOX}"),
        ("96 recv sideways", f"96 send {BOX} recv {BOX}"),
    ],
)
def test_sizes_that_are_there_are_brought_within(present: str, expected: str) -> None:
    assert imageattr(Plan(width=640, height=360), f"a=imageattr:{present}") == [f"a=imageattr:{expected}"]


# A browser's whole offer


def test_a_browsers_offer_is_limited_everywhere_and_otherwise_kept() -> None:
    before, after = (text.split("\r\n") for text in (CHROMIUM, limit(CHROMIUM, PLAN)))
    assert [line for line in before if line not in after] == [
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=fmtp:98 profile-id=0",
        "a=fmtp:100 profile-id=2",
    ]
    added = [line for line in after if line not in before]
    assert [line for line in added if not line.startswith("a=imageattr:")] == [
        "b=AS:64",
        "b=TIAS:64000",
        "a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=64000",
        "b=AS:500",
        "b=TIAS:500000",
        "a=fmtp:96 max-fr=15;max-fs=920",
        "a=fmtp:98 profile-id=0;max-fr=15;max-fs=920",
        "a=fmtp:100 profile-id=2;max-fr=15;max-fs=920",
        "a=framerate:15",
    ]
    sized = [line.split()[0].partition(":")[2] for line in added if line.startswith("a=imageattr:")]
    assert sized == ["96", "102", "104", "108", "114", "116", "39", "45", "98", "100"]
