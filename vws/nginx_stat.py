"""Reading nginx's page of statistics."""

from __future__ import annotations

import gevent
import requests

from vws.core.commands import StreamParams
from vws.core.wire.nginx import Publisher, parse_statistics
from vws.errors import BadInput, Unavailable

__all__ = ["NginxStat"]

MAX_PAGE = 16_777_216
"""Bytes of the page that are read at most: thousands of clients."""

TIMEOUT = 5
"""Seconds for the whole page."""


class NginxStat:
    """The page at ``url``; a blank one has nothing to tell."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False

    def publishers(self) -> dict[Publisher, StreamParams]:
        """Return what each publisher sends; raise `Unavailable`."""
        if not self._url:
            return {}
        try:
            with gevent.Timeout(TIMEOUT, Unavailable(f"no statistics in {TIMEOUT} seconds")):
                return parse_statistics(self._page())
        except (BadInput, requests.RequestException, ValueError) as error:
            raise Unavailable(f"no statistics: {type(error).__name__}") from error

    def _page(self) -> bytes:
        with self._http.get(self._url, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise Unavailable(f"nginx's statistics answered {answer.status_code}")
            page = b""
            for chunk in answer.iter_content(65_536):
                page += chunk
                if len(page) > MAX_PAGE:
                    raise Unavailable(f"nginx's statistics are larger than {MAX_PAGE} bytes")
            return page
