"""Session descriptions: a small parser, and the rewriting that keeps what peers ask for within a plan.

An SDP (RFC 8866) is a session part followed by media sections, each begun by its ``m=`` line. Lines that
are not understood are kept, in their order. What is rewritten only ever gets smaller: `limit` lowers what
is above the plan, leaves what is below it, and adds what is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vws.core.accounts import Plan
from vws.errors import BadInput

__all__ = ["Description", "Media", "limit", "parse"]

_LINE = re.compile(r"[a-z]=[^\r\x00]*")
_MEDIA = re.compile(r"m=(\S+) ([0-9]{1,5})(?:/[0-9]{1,5})? \S+(?: .*)?")
_BANDWIDTH = re.compile(r"b=(AS|CT|TIAS):(.*)")
_FRAME_RATE = re.compile(r"a=framerate:(.*)")
_RTPMAP = re.compile(r"a=rtpmap:([0-9]{1,3}) +([^/ ]+)/.*")
_FMTP = re.compile(r"a=fmtp:([0-9]{1,3}) +(.*)")
_IMAGEATTR = re.compile(r"a=imageattr:(\*|[0-9]{1,3}) +(.*)")

_LONGEST = 200_000
_MOST_MEDIA = 256
"""Characters and media sections in one SDP, far above any browser's: rewriting takes time in proportion."""
_UNITS = {"AS": 1000, "CT": 1000, "TIAS": 1}
"""Bits per second in one unit of each bandwidth type."""
_REPAIR = {"rtx", "red", "ulpfec", "flexfec", "flexfec-03"}
"""Video formats that carry no pictures of their own."""
_BOUNDLESS = 1_000_000_000
_LARGEST_SIDE = 16383
"""The largest side VP8 can carry, for plans that limit only the other one."""


@dataclass(frozen=True, slots=True)
class Media:
    """One media section, its ``m=`` line first."""

    kind: str
    live: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A parsed SDP; its text has CRLF line ends, as the RFC wants."""

    session: tuple[str, ...]
    media: tuple[Media, ...]

    def __str__(self) -> str:
        lines = [*self.session, *(line for section in self.media for line in section.lines)]
        return "\r\n".join(lines) + "\r\n"


def parse(sdp: str) -> Description:
    """Take an SDP apart; line ends may be CRLF or LF. Raises `BadInput` for what is not one, or too long."""
    if len(sdp) > _LONGEST:
        raise BadInput("The session description is too long.")
    lines = [line.removesuffix("\r") for line in sdp.rstrip("\r\n").split("\n")]
    if lines[0] != "v=0" or not all(map(_LINE.fullmatch, lines)):
        raise BadInput("Not a session description.")
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > _MOST_MEDIA:
        raise BadInput("The session description has too many media sections.")
    ends = [*starts[1:], len(lines)]
    session = lines[: starts[0]] if starts else lines
    media = tuple(_media(lines[start:end]) for start, end in zip(starts, ends, strict=bool(starts)))
    return Description(tuple(session), media)


def _media(lines: Sequence[str]) -> Media:
    match = _MEDIA.fullmatch(lines[0])
    if match is None:
        raise BadInput("Not a session description: malformed media line.")
    # port 0 rejects a section, unless it only waits for its bundle (RFC 8843)
    live = int(match[2]) != 0 or any(line.startswith("a=bundle-only") for line in lines)
    return Media(match[1], live, tuple(lines))


def limit(sdp: str, plan: Plan) -> str:
    """Rewrite an offer or answer so that it asks for no more than the plan allows one stream.

    Touches live video and audio sections, and session bandwidths above their sum. Text that needs no limit
    comes back as it is. Raises `BadInput` for what is not SDP.
    """
    limits = _Limits.of(plan)
    if limits == _Limits():
        return sdp
    description = parse(sdp)
    session = _clamped_bandwidths(description.session, _total(description.media, limits))
    media = tuple(_limited(section, limits) for section in description.media)
    return str(Description(tuple(session), media))


@dataclass(frozen=True, slots=True)
class _Limits:
    """A plan in the units of SDP: bits and frames per second, the longer and the shorter side in pixels."""

    video: int | None = None
    audio: int | None = None
    frame_rate: float | None = None
    box: tuple[int, int] | None = None

    @classmethod
    def of(cls, plan: Plan) -> _Limits:
        return cls(
            video=_bits(plan.bitrate),
            audio=_bits(plan.audio_bitrate),
            frame_rate=_finite(plan.frame_rate),
            box=_box(_finite(plan.width), _finite(plan.height)),
        )


def _finite(value: float | None) -> float | None:
    """Read what no stream could reach, infinity and NaN as no limit."""
    return max(value, 0) if value is not None and value < _BOUNDLESS else None


def _bits(kbps: float | None) -> int | None:
    finite = _finite(kbps)
    return None if finite is None else int(finite * 1000)


def _box(width: float | None, height: float | None) -> tuple[int, int] | None:
    """A plan's width is for the longer side, whichever that is, its height for the shorter one."""
    if width is None and height is None:
        return None
    longer = _LARGEST_SIDE if width is None else max(1, int(width))
    shorter = longer if height is None else max(1, int(height))
    return longer, min(longer, shorter)


def _total(media: Iterable[Media], limits: _Limits) -> int | None:
    """Add up what the live sections may use, in bits per second; None when one of them is not limited."""
    allowed = {"video": limits.video, "audio": limits.audio, "application": 0}
    sections = [allowed.get(section.kind) for section in media if section.live]
    known = [bits for bits in sections if bits is not None]
    return sum(known) if any(known) and len(known) == len(sections) else None


def _limited(section: Media, limits: _Limits) -> Media:
    if not section.live:
        return section
    lines: Sequence[str] = section.lines
    if section.kind == "video":
        lines = _limited_video(lines, limits)
    elif section.kind == "audio" and limits.audio is not None:
        lines = _with_bandwidth(lines, limits.audio)
        lines = _with_parameters(lines, {"opus": {"maxaveragebitrate": limits.audio}}, {})
    return Media(section.kind, section.live, tuple(lines))


def _limited_video(lines: Sequence[str], limits: _Limits) -> Sequence[str]:
    lines = _with_bandwidth(lines, limits.video)
    lines = _with_frame_rate(lines, limits.frame_rate)
    picture = _picture_parameters(limits)
    lines = _with_parameters(lines, {"vp8": picture, "vp9": picture}, _rate_parameters(limits))
    return _with_sizes(lines, limits.box)


# Bandwidth: b= lines.


def _clamped_bandwidths(lines: Sequence[str], ceiling: int | None) -> Sequence[str]:
    return lines if ceiling is None else [_clamped_bandwidth(line, ceiling) for line in lines]


def _clamped_bandwidth(line: str, ceiling: int) -> str:
    match = _BANDWIDTH.fullmatch(line)
    return line if match is None else f"b={match[1]}:{_clamped(match[2], ceiling // _UNITS[match[1]])}"


def _with_bandwidth(lines: Sequence[str], ceiling: int | None) -> Sequence[str]:
    """Clamp the section's bandwidths, and add the missing ones, no higher than those that are there."""
    if ceiling is None:
        return lines
    clamped = [_clamped_bandwidth(line, ceiling) for line in lines]
    present = [(match[1], int(match[2])) for match in map(_BANDWIDTH.fullmatch, clamped) if match]
    lowest = min([ceiling, *(_UNITS[kind] * value for kind, value in present)])
    missing = [f"b={kind}:{lowest // _UNITS[kind]}" for kind in ("AS", "TIAS") if kind not in dict(present)]
    place = next(
        (index for index, line in enumerate(clamped) if index and line[0] not in "icb"), len(clamped)
    )
    return [*clamped[:place], *missing, *clamped[place:]]


def _clamped(text: str, most: int) -> str:
    """Lower a number to the most allowed; what is no number becomes the most allowed."""
    return text if re.fullmatch("[0-9]{1,15}", text) and int(text) <= most else str(most)


# Frame rate: a=framerate.


def _with_frame_rate(lines: Sequence[str], most: float | None) -> Sequence[str]:
    if most is None:
        return lines
    digits = f"{most:.6f}".rstrip("0").rstrip(".")
    ours = f"a=framerate:{digits}"
    if not any(map(_FRAME_RATE.fullmatch, lines)):
        return [*lines, ours]
    return [ours if _exceeds(line, most) else line for line in lines]


def _exceeds(line: str, most: float) -> bool:
    match = _FRAME_RATE.fullmatch(line)
    if match is None:
        return False
    return re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", match[1]) is None or float(match[1]) > most


# Codec parameters: a=fmtp.


def _picture_parameters(limits: _Limits) -> dict[str, int]:
    """Limits as VP8 (RFC 7741) and VP9 (RFC 9628) take them: frame size in blocks of 16 by 16 pixels."""
    parameters = {}
    if limits.frame_rate is not None:
        parameters["max-fr"] = max(1, int(limits.frame_rate))
    if limits.box is not None:
        parameters["max-fs"] = math.prod(math.ceil(side / 16) for side in limits.box)
    return parameters


def _rate_parameters(limits: _Limits) -> dict[str, int]:
    names = ("x-google-max-bitrate", "x-google-start-bitrate", "x-google-min-bitrate")
    return {} if limits.video is None else dict.fromkeys(names, limits.video // 1000)


def _with_parameters(
    lines: Sequence[str], by_codec: Mapping[str, Mapping[str, int]], anywhere: Mapping[str, int]
) -> Sequence[str]:
    """Clamp parameters: those of a codec are added when missing, those for anywhere only lowered."""
    wanted = {payload: by_codec[codec] for payload, codec in _formats(lines).items() if codec in by_codec}
    lines = _with_format_lines(lines, wanted)
    missing = _missing(lines, wanted)
    return [_with_ceilings(line, wanted, anywhere, missing) for line in lines]


def _formats(lines: Iterable[str]) -> dict[int, str]:
    """Codec names in lower case, by payload type."""
    return {int(match[1]): match[2].lower() for match in map(_RTPMAP.fullmatch, lines) if match}


def _with_format_lines(lines: Sequence[str], wanted: Mapping[int, Mapping[str, int]]) -> Sequence[str]:
    """Give the formats that have no parameters at all a line with the wanted ones."""
    described = {int(match[1]) for match in map(_FMTP.fullmatch, lines) if match}
    result = []
    for line in lines:
        result.append(line)
        match = _RTPMAP.fullmatch(line)
        parameters = wanted.get(int(match[1])) if match and int(match[1]) not in described else None
        if match and parameters:
            result.append(f"a=fmtp:{match[1]} {_joined(parameters)}")
    return result


def _missing(lines: Iterable[str], wanted: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """Find the wanted parameters that no line of their format has."""
    missing = {payload: dict(parameters) for payload, parameters in wanted.items()}
    for match in filter(None, map(_FMTP.fullmatch, lines)):
        for part in match[2].split(";"):
            missing.get(int(match[1]), {}).pop(_parameter_name(part), None)
    return missing


def _with_ceilings(
    line: str,
    wanted: Mapping[int, Mapping[str, int]],
    anywhere: Mapping[str, int],
    missing: dict[int, dict[str, int]],
) -> str:
    """Clamp the parameters on a line; the first line of a format takes what its format misses."""
    match = _FMTP.fullmatch(line)
    if match is None:
        return line
    payload = int(match[1])
    ceilings = {**anywhere, **wanted.get(payload, {})}
    parts = [_clamped_parameter(part, ceilings) for part in match[2].split(";")]
    if added := missing.pop(payload, None):
        parts = [part for part in parts if part.strip()] + [_joined(added)]
    return f"a=fmtp:{match[1]} {';'.join(parts)}"


def _clamped_parameter(part: str, ceilings: Mapping[str, int]) -> str:
    most = ceilings.get(_parameter_name(part))
    name, _, value = part.partition("=")
    return part if most is None else f"{name}={_clamped(value.strip(), most)}"


def _parameter_name(part: str) -> str:
    return part.partition("=")[0].strip().lower()


def _joined(parameters: Mapping[str, int]) -> str:
    return ";".join(f"{name}={value}" for name, value in parameters.items())


# Picture size: a=imageattr (RFC 6236), whose sets of sizes are alternatives.

_SIDE = r"([0-9]{1,6}|\[[0-9]{1,6}(?:[:,][0-9]{1,6})*\])"
_SET = re.compile(rf"\[x={_SIDE},y={_SIDE}(?:,[a-z]+=(?:[0-9.:,-]+|\[[0-9.:,-]+\]))*\]")


def _with_sizes(lines: Sequence[str], box: tuple[int, int] | None) -> Sequence[str]:
    if box is None:
        return lines
    result = [_with_ceiling_sizes(line, box) for line in lines]
    named = {match[1] for match in map(_IMAGEATTR.fullmatch, result) if match}
    if "*" in named:
        return result
    pictures = [str(payload) for payload, codec in _formats(lines).items() if codec not in _REPAIR]
    return result + [_imageattr(payload, {}, box) for payload in pictures if payload not in named]


def _with_ceiling_sizes(line: str, box: tuple[int, int]) -> str:
    match = _IMAGEATTR.fullmatch(line)
    if match is None:
        return line
    words = re.split(r"\b(send|recv)\b", match[2])
    return _imageattr(match[1], dict(zip(words[1::2], words[2::2], strict=True)), box)


def _imageattr(payload: str, sizes: Mapping[str, str], box: tuple[int, int]) -> str:
    """Write the line for one format, out of what it says about ``send`` and ``recv`` so far."""
    send, recv = (_sets(sizes.get(direction, ""), box) for direction in ("send", "recv"))
    return f"a=imageattr:{payload} send {send} recv {recv}"


def _sets(text: str, box: tuple[int, int]) -> str:
    """Bring sets of sizes within the box; any size (``*``), or what is no list of sets, becomes the box."""
    found = list(_SET.finditer(text))
    if not found or _SET.sub("", text).strip():
        longer, shorter = box
        sides = [(longer, shorter), (shorter, longer)] if longer != shorter else [box]
        return " ".join(_up_to(x, y) for x, y in sides)
    return " ".join(_clamped_set(match, box) for match in found)


def _clamped_set(match: re.Match[str], box: tuple[int, int]) -> str:
    x, y = (max(map(int, re.findall("[0-9]+", match[side]))) for side in (1, 2))
    most_x, most_y = box if x >= y else box[::-1]
    return match[0] if x <= most_x and y <= most_y else _up_to(min(x, most_x), min(y, most_y))


def _up_to(x: int, y: int) -> str:
    across, down = (f"[1:{side}]" if side > 1 else "1" for side in (x, y))
    return f"[x={across},y={down}]"
