"""Whatever arrives as a session description is limited or refused, and never asks for more than before."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from vws.core.accounts import Plan
from vws.core.sdp import limit, parse
from vws.errors import BadInput

numbers = st.one_of(
    st.integers(0, 10_000_000).map(str), st.sampled_from(["", "-1", "x", "1.5", "9" * 20, "٣"])
)
payloads = st.sampled_from(["96", "97", "111", "*", "0"])
parameters = st.builds(
    "{}={}".format,
    st.sampled_from(
        ["max-fr", "max-fs", " MAX-FS", "maxaveragebitrate", "x-google-max-bitrate", "profile-id"]
    ),
    numbers,
)
sizes = st.builds("[x={},y=[1:{}]]".format, numbers, numbers)
lines = st.one_of(
    st.builds(
        "m={} {} UDP/TLS/RTP/SAVPF 96 97 111".format,
        st.sampled_from(["video", "audio", "text"]),
        st.just("9"),
    ),
    st.sampled_from(
        ["m=video 0 X 96", "m=application 9 X y", "c=IN IP4 0.0.0.0", "k=x", "a=bundle-only", "a=mid:0"]
    ),
    st.builds("b={}:{}".format, st.sampled_from(["AS", "TIAS", "CT", "RS"]), numbers),
    st.builds("a=framerate:{}".format, numbers),
    st.builds(
        "a=rtpmap:{} {}/90000".format, payloads, st.sampled_from(["VP8", "vp9", "opus", "rtx", "H264"])
    ),
    st.builds("a=fmtp:{} {}".format, payloads, st.lists(parameters, max_size=4).map(";".join)),
    st.builds(
        "a=imageattr:{} send {} recv {}".format, payloads, sizes, st.sampled_from(["*", "", "[x=1,y=2]"])
    ),
)
descriptions = st.lists(lines, max_size=20).map(lambda found: "\r\n".join(("v=0", "s=-", *found, "")))
ceilings = st.one_of(st.none(), st.floats(), st.integers(0, 10_000))
plans = st.builds(
    Plan, bitrate=ceilings, audio_bitrate=ceilings, frame_rate=ceilings, width=ceilings, height=ceilings
)


@given(st.one_of(st.text(), st.text().map(lambda text: "v=0\r\n" + text), descriptions), plans)
def test_anything_is_limited_or_refused_and_twice_is_as_good_as_once(text: str, plan: Plan) -> None:
    try:
        once = limit(text, plan)
    except BadInput:
        return
    assert limit(once, plan) == once


NAMES = ("max-fr", "max-fs", "maxaveragebitrate", "x-google-max-bitrate")


def limits_in(lines: Iterable[str]) -> dict[str, list[float]]:
    """What the lines limit, each limit's values sorted; one that cannot be read limits nothing."""
    found: dict[str, list[float]] = {}
    for line in lines:
        for name, value in limits_on(line):
            decimals = r"(\.[0-9]+)?" if name == "a=framerate" else ""
            readable = re.fullmatch("[0-9]{1,15}" + decimals, value)
            found.setdefault(name, []).append(float(value) if readable else float("inf"))
    return {name: sorted(values) for name, values in found.items()}


def limits_on(line: str) -> list[tuple[str, str]]:
    if match := re.fullmatch("(b=AS|b=TIAS|b=CT|a=framerate):(.*)", line):
        return [(match[1], match[2])]
    if match := re.fullmatch("a=fmtp:([0-9]+) (.*)", line):
        pairs = [part.strip().lower().partition("=")[::2] for part in match[2].split(";")]
        return [(f"{match[1]} {name}", value) for name, value in pairs if name in NAMES]
    return []


@given(descriptions, plans)
def test_no_limit_is_ever_raised(text: str, plan: Plan) -> None:
    before, after = parse(text), parse(limit(text, plan))
    sections = [(before.session, after.session)]
    sections += [(old.lines, new.lines) for old, new in zip(before.media, after.media, strict=True)]
    for old, new in sections:
        limits = limits_in(new)
        for name, values in limits_in(old).items():
            assert len(limits[name]) == len(values)
            assert all(now <= then for now, then in zip(limits[name], values, strict=True))


@given(descriptions, st.integers(1, 10_000), st.integers(1, 1000))
def test_nothing_above_the_plan_is_left(text: str, bitrate: int, frame_rate: int) -> None:
    plan = Plan(bitrate=bitrate, audio_bitrate=bitrate, frame_rate=frame_rate)
    ceilings = {"b=AS": bitrate, "b=TIAS": bitrate * 1000, "b=CT": bitrate}
    for media in parse(limit(text, plan)).media:
        if not media.live or media.kind not in {"video", "audio"}:
            continue
        own = ceilings | ({"a=framerate": frame_rate} if media.kind == "video" else {})
        found = limits_in(media.lines)
        assert own.keys() - {"b=CT"} <= found.keys()
        assert all(found[name][-1] <= most for name, most in own.items() if name in found)
