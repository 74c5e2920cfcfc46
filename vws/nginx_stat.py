"""Reading nginx's page of statistics."""

from __future__ import annotations

import gevent
import requests

from vws.core.commands import StreamParams
from vws.core.wire.nginx import Publisher, parse_statistics
from vws.errors import BadInput, Unavailable
from vws.plain_http import plain_session, read_at_most

__all__ = ["NginxStat"]

MAX_PAGE = 16_777_216
"""Bytes of the page that are read at most: thousands of clients."""


class NginxStat:
    """The page at ``url``, a blank one has nothing to tell; ``timeout`` for all of it in seconds."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._http = plain_session(at_once=1)

    def publishers(self) -> dict[Publisher, StreamParams]:
        """Return what each publisher sends; raise `Unavailable`."""
        if not self._url:
            return {}
        slow = Unavailable(f"no statistics in {self._timeout:g} seconds")
        try:
            with gevent.Timeout(self._timeout, slow):
                return parse_statistics(self._page())
        except (BadInput, requests.RequestException, ValueError) as error:
            raise Unavailable(f"no statistics: {type(error).__name__}") from error

    def _page(self) -> bytes:
        too_large = Unavailable(f"nginx's statistics are larger than {MAX_PAGE} bytes")
        with self._http.get(self._url, timeout=self._timeout, allow_redirects=False, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise Unavailable(f"nginx's statistics answered {answer.status_code}")
            return read_at_most(answer, MAX_PAGE, too_large)
