"""Parsers: what nginx says of RTMP streams, in its callbacks and on its page of statistics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from vws.core.commands import StreamParams
from vws.core.hls import is_folder
from vws.core.rtmp import RtmpKind
from vws.core.wire.parse import is_name
from vws.errors import BadInput

__all__ = ["NginxCall", "Publisher", "parse_call", "parse_statistics"]

MAX_FOLDER = 255
"""Bytes that a folder's name may have on most disks."""

UNREADABLE = "\ufffd"
"""What stands for bytes that are no text: nginx would know the stream by another name."""

UPDATES = {"update_publish": RtmpKind.PUBLISH, "update_play": RtmpKind.PLAY}


Publisher = tuple[str, str]
"""``Account/Stream``, and nginx's number of the connection: the number alone begins anew with nginx."""


@dataclass(frozen=True, slots=True)
class NginxCall:
    """What a callback tells of one client; ``update`` is what an update is of, None elsewhere."""

    account: str
    stream: str
    client_id: str
    address: str
    token: str = field(repr=False)
    pin: str = field(repr=False)
    room: str
    update: RtmpKind | None


def parse_call(form: Mapping[str, str]) -> NginxCall:
    """Read a callback's form, of whose repeated fields only the first is given; raise `BadInput`.

    Names become folders, so what could lead out of them is refused.
    """
    account, _, stream = form.get("name", "").lstrip("/").partition("/")
    if not (_names_folder(account) and _names_folder(stream)):
        raise BadInput("the stream key must be Account/Stream, of names that can be folders")
    client_id, room = form.get("clientid", ""), form.get("room", "")
    if not re.fullmatch("[0-9]{1,20}", client_id):
        raise BadInput("clientid must be a number")
    return NginxCall(
        account,
        stream,
        client_id,
        form.get("addr", "")[:64],
        form.get("token", ""),
        form.get("pin", ""),
        room if is_name(room) else "",
        UPDATES.get(form.get("call", "")),
    )


def parse_statistics(page: bytes) -> dict[Publisher, StreamParams]:
    """Read what each publisher sends; raise `BadInput`."""
    try:
        # The page is nginx's own, and expat bounds what its entities may grow to.
        root = ElementTree.fromstring(page)  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError):  # the last two are for odd encodings
        raise BadInput("nginx's statistics are not XML") from None
    return dict(_publishers(root))


def _publishers(root: ElementTree.Element) -> Iterator[tuple[Publisher, StreamParams]]:
    for stream in root.iter("stream"):
        name = stream.findtext("name", "").lstrip("/")
        for client in stream.iter("client"):
            if client.find("publishing") is not None:
                yield (name, client.findtext("id", "")), _params(stream)


def _params(stream: ElementTree.Element) -> StreamParams:
    """Read rates in bits per second, averages of ten seconds, and what the encoder said of its picture."""
    return StreamParams(
        width=_number(stream, "meta/video/width"),
        height=_number(stream, "meta/video/height"),
        frame_rate=_number(stream, "meta/video/frame_rate"),
        bitrate=round(_number(stream, "bw_video") / 1000),
        audio_bitrate=round(_number(stream, "bw_audio") / 1000),
    )


def _number(stream: ElementTree.Element, path: str) -> float:
    text = stream.findtext(path, "")
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return 0
    number = float(text)
    return int(number) if number.is_integer() else number


def _names_folder(name: str) -> bool:
    return is_folder(name) and UNREADABLE not in name and len(name.encode()) <= MAX_FOLDER
