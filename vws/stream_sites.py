"""Asking an account's `streamUrl` about a stream: one bounded HTTP call."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import gevent
import requests
from gevent.lock import BoundedSemaphore
from requests.adapters import HTTPAdapter

from vws.errors import Refused, Unavailable

__all__ = ["StreamProperties", "StreamSites", "Use"]

MAX_ANSWER = 65_536
"""Bytes of an answer that are read at most."""


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
        self._timeout = timeout
        self._places = BoundedSemaphore(at_once)
        self._http = requests.Session()
        self._http.trust_env = False  # no .netrc of the server's user goes to a customer's site
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=64, pool_maxsize=at_once)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def ask(self, url: str, *, token: str, stream: str, use: Use) -> StreamProperties:
        """POST ``token, stream, type``; return the properties.

        Raises `Refused` with the site's ``info`` when it denies the stream, `Unavailable` when it is slow,
        broken, redirects or says nothing usable.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many calls to stream sites are waiting")
        try:
            with gevent.Timeout(self._timeout, Unavailable(f"no answer in {self._timeout:g} seconds")):
                return _judge(*self._post(url, {"token": token, "stream": stream, "type": use.value}))
        except requests.RequestException as error:
            raise Unavailable(f"{type(error).__name__} from the stream site") from error
        finally:
            self._places.release()

    def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        with self._http.post(
            url, data=form, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            return answer.status_code, _read(answer)


def _read(answer: requests.Response) -> bytes:
    body = b""
    for chunk in answer.iter_content(8192):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unavailable(f"the stream site's answer is larger than {MAX_ANSWER} bytes")
    return body


def _judge(status: int, body: bytes) -> StreamProperties:
    if not 200 <= status < 300:
        raise Unavailable(f"the stream site answered {status}")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable("the stream site's answer is not a JSON object")
    if answer.get("deny") not in (None, False, 0, "", "0"):
        raise Refused(f"denied by the stream site: {answer.get('info', '')}")
    return StreamProperties(_pin(answer.get("broadcastPin")), _pin(answer.get("playbackPin")))


def _pin(value: Any) -> str:
    """Read a pin, which PHP may write as a number."""
    return str(value) if isinstance(value, str) or type(value) is int else ""
