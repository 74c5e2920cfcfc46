"""Calling the sites of customers: one bounded HTTP POST, in the greenlet of whoever asks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent
import requests

from vws.errors import Unavailable
from vws.plain_http import plain_session, read_at_most

__all__ = ["SiteCalls", "decode"]

MAX_ANSWER = 65_536
"""Bytes of an answer that are read at most."""

HOSTS = 64
"""Sites to which connections are kept."""

SHARE = 3
"""Calls of one site that may wait for each place that is free: it alone takes three quarters of them."""


class SiteCalls:
    """Calls one kind of sites, many at once over kept connections.

    ``site`` is what they are called in errors, ``timeout`` for a whole call in seconds, ``at_once`` how many
    may wait at the same time.
    """

    def __init__(self, site: str, *, timeout: float, at_once: int) -> None:
        self._site = site
        self._timeout = timeout
        self._free = at_once
        self._waiting: Counter[str] = Counter()
        self._http = plain_session(at_once=at_once, hosts=HOSTS)

    def post(
        self, url: str, *, form: Mapping[str, str] | None = None, payload: Any = None
    ) -> tuple[int, bytes]:
        """POST a form, or a payload as JSON; return the answer's status and body.

        Raises `Unavailable` when the site is slow or broken. Redirects are not followed: credentials go to
        no other address than the configured one.
        """
        slow = Unavailable(f"no answer in {self._timeout:g} seconds")
        try:
            with self._place(url), gevent.Timeout(self._timeout, slow):
                return self._post(url, form, payload)
        except (requests.RequestException, ValueError) as error:  # of names and redirects that cannot be read
            raise Unavailable(f"{type(error).__name__} from the {self._site}") from error

    @contextmanager
    def _place(self, url: str) -> Iterator[None]:
        """Hold a place; one site never takes all of them, however long it hangs."""
        if not self._free or self._waiting[url] >= SHARE * self._free:
            raise Unavailable(f"too many calls to {self._site}s are waiting")
        self._free -= 1
        self._waiting[url] += 1
        try:
            yield
        finally:
            self._free += 1
            self._waiting[url] -= 1
            if not self._waiting[url]:
                del self._waiting[url]

    def _post(self, url: str, form: Mapping[str, str] | None, payload: Any) -> tuple[int, bytes]:
        too_large = Unavailable(f"the {self._site}'s answer is larger than {MAX_ANSWER} bytes")
        with self._http.post(
            url, data=form, json=payload, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            return answer.status_code, read_at_most(answer, MAX_ANSWER, too_large)


def decode(body: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
