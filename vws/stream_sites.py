"""Asking an account's `streamUrl` about a stream, and telling its `notifyUrl` which ones are live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vws.errors import Refused, Unavailable
from vws.site_calls import SiteCalls, decode

__all__ = ["StreamProperties", "StreamSites", "Use"]


class Use(StrEnum):
    """What somebody wants of a stream, as the site is told it."""

    BROADCAST = "broadcast"
    PLAYBACK = "playback"


@dataclass(frozen=True, slots=True)
class StreamProperties:
    """What the site says about one stream; an empty pin opens nothing."""

    broadcast_pin: str = field(default="", repr=False)
    playback_pin: str = field(default="", repr=False)


class StreamSites:
    """Calls stream sites, many at once over kept connections; each waits in its own greenlet.

    ``timeout`` is for the whole call in seconds, ``at_once`` how many calls may wait at the same time.
    """

    def __init__(self, *, timeout: float, at_once: int) -> None:
        self._calls = SiteCalls("stream site", timeout=timeout, at_once=at_once)

    def ask(self, url: str, *, token: str, stream: str, use: Use) -> StreamProperties:
        """POST ``token, stream, type``; return the properties.

        Raises `Refused` with the site's ``info`` when it denies the stream, `Unavailable` when it is slow,
        broken, redirects or says nothing usable.
        """
        form = {"token": token, "stream": stream, "type": use.value}
        return _properties(_answer("stream site", *self._calls.post(url, form=form)))

    def notify(self, url: str, *, token: str, streams: Mapping[str, Any]) -> dict[str, str]:
        """POST ``token, streams``; return the streams that the site wants to end, each with its reason.

        Raises `Unavailable` when it is slow, broken, redirects or says nothing usable.
        """
        form = {"token": token, "streams": json.dumps(streams)}
        return _unwanted(_answer("notify site", *self._calls.post(url, form=form)))


def _answer(site: str, status: int, body: bytes) -> dict[str, Any]:
    answer = decode(body)
    if not 200 <= status < 300:
        raise Unavailable(f"the {site} answered {status}")
    if answer is None:
        raise Unavailable(f"the {site}'s answer is not a JSON object")
    return answer


def _properties(answer: dict[str, Any]) -> StreamProperties:
    if answer.get("deny") not in (None, False, 0, "", "0"):
        raise Refused(f"denied by the stream site: {answer.get('info', '')}")
    return StreamProperties(_pin(answer.get("broadcastPin")), _pin(answer.get("playbackPin")))


def _unwanted(answer: dict[str, Any]) -> dict[str, str]:
    """Find what is to be disconnected; PHP writes an empty object as ``[]``."""
    streams = answer.get("streams")
    told = streams.items() if isinstance(streams, dict) else ()
    wanted = {name: stream.get("disconnect") for name, stream in told if isinstance(stream, dict)}
    return {name: str(reason) for name, reason in wanted.items() if reason not in (None, False, 0, "", "0")}


def _pin(value: Any) -> str:
    """Read a pin, which PHP may write as a number."""
    return str(value) if isinstance(value, str) or type(value) is int else ""
