"""Files of HLS streams: asked of nginx, and passed on piece by piece."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from urllib.parse import quote

import gevent
import requests
from gevent.lock import BoundedSemaphore

from vws.core.hls import HlsFile
from vws.errors import NotFound, TooMany, Unavailable, UpstreamBroken, UpstreamSlow
from vws.plain_http import PIECE, plain_session, read_at_most

__all__ = ["Fetched", "NginxFiles"]

PIECES, PLAYLISTS = 3000, 1000
"""Answers of nginx that may be on their way to viewers at the same time.

Playlists have places of their own: who takes pieces slowly keeps nobody from beginning.
"""

EACH = 16
"""How many of them may be one viewer's; players ask for a few things at once."""

MAX_PLAYLIST = 1_000_000
PLAYLIST = b"#EXTM3U"
"""How every playlist begins."""

PASSED = (200, 206, 304, 416)
"""Statuses that go on to the viewer, as does 404; any other says that something is wrong with nginx."""


class Fetched:
    """An answer of nginx, its body not read yet; to be closed whatever happens."""

    def __init__(self, answer: requests.Response, close: Callable[[], None]) -> None:
        self.status = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self.close = close
        self._answer = answer

    def pieces(self) -> Iterator[bytes]:
        """Read no more of the body than is taken; raise `OSError` where it breaks off."""
        return self._answer.iter_content(PIECE)

    def text(self) -> str:
        """Read it all, which must be a playlist."""
        if self.status != requests.codes.ok:
            raise UpstreamBroken(f"nginx answered {self.status}")
        too_large = UpstreamBroken(f"the playlist is larger than {MAX_PLAYLIST} bytes")
        body = read_at_most(self._answer, MAX_PLAYLIST, too_large)
        if not body.startswith(PLAYLIST):
            raise UpstreamBroken("nginx answered something else than a playlist")
        return body.decode("utf-8", "replace")


class NginxFiles:
    """Asks nginx at ``host``, with the key that opens its files; ``timeout`` in seconds for an answer.

    ``pieces`` and ``playlists`` are how many of each it fetches at once.
    """

    def __init__(
        self, host: str, key: str, *, timeout: float, pieces: int = PIECES, playlists: int = PLAYLISTS
    ) -> None:
        self._host = host
        self._key = key
        self._timeout = timeout
        self._pieces = BoundedSemaphore(pieces)
        self._playlists = BoundedSemaphore(playlists)
        self._taken: Counter[str] = Counter()
        self._http = plain_session(at_once=pieces + playlists)

    def open(self, file: HlsFile, *, viewer: str, method: str, headers: Mapping[str, str]) -> Fetched:
        """Ask for a piece of video.

        Raises `NotFound`, `TooMany`, `UpstreamBroken`, `UpstreamSlow`, or `Unavailable`: too busy.
        """
        return self._open(file, self._pieces, viewer=viewer, method=method, headers=headers)

    def playlist(self, file: HlsFile, *, viewer: str = "") -> str:
        """Return a playlist, to somebody new or to a viewer; raise like `open`."""
        fetched = self._open(file, self._playlists, viewer=viewer, method="GET", headers={})
        try:
            with self._in_time():
                return fetched.text()
        except OSError as error:
            raise _broken(error) from error
        finally:
            fetched.close()

    def _open(
        self,
        file: HlsFile,
        places: BoundedSemaphore,
        *,
        viewer: str,
        method: str,
        headers: Mapping[str, str],
    ) -> Fetched:
        with ExitStack() as undo:
            undo.enter_context(self._place(places, viewer))
            with self._in_time():
                answer = self._ask(file, method, headers)
            undo.callback(answer.close)
            _check(answer)
            return Fetched(answer, undo.pop_all().close)

    @contextmanager
    def _place(self, places: BoundedSemaphore, viewer: str) -> Iterator[None]:
        """Hold one of the places until the answer has been passed on."""
        if viewer and self._taken[viewer] >= EACH:
            raise TooMany("Too many requests at once")
        if not places.acquire(blocking=False):
            raise Unavailable("too many files are on their way")
        self._taken[viewer] += 1
        try:
            yield
        finally:
            places.release()
            self._taken[viewer] -= 1
            if not self._taken[viewer]:
                del self._taken[viewer]

    def _in_time(self) -> gevent.Timeout:
        return gevent.Timeout(
            self._timeout, UpstreamSlow(f"no answer from nginx in {self._timeout:g} seconds")
        )

    def _ask(self, file: HlsFile, method: str, headers: Mapping[str, str]) -> requests.Response:
        path = "/".join(quote(part, safe="") for part in (file.account, file.stream, file.name))
        ask = partial(
            self._http.request,
            method,
            f"{self._host}/hls/{path}",
            params={"key": self._key},
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=self._timeout,
            allow_redirects=False,  # files come from this host and no other
            stream=True,
        )
        try:
            with suppress(requests.ConnectionError):  # a kept connection may end at the moment it is used
                return ask()
            return ask()
        except (requests.RequestException, ValueError) as error:  # ValueError: a redirect of odd bytes
            raise _broken(error) from error


def _check(answer: requests.Response) -> None:
    if answer.status_code == 404:
        raise NotFound("Not Found")
    if answer.status_code not in PASSED:
        raise UpstreamBroken(f"nginx answered {answer.status_code}")
    if "Content-Encoding" in answer.headers:
        raise UpstreamBroken("nginx answered in an encoding that nobody asked for")
    if not re.fullmatch("[0-9]+", answer.headers.get("Content-Length", "0")):
        raise UpstreamBroken("nginx told a length that is none")


def _broken(error: Exception) -> Unavailable:
    """Name what went wrong, not the address: that holds the key."""
    kind = UpstreamSlow if isinstance(error, requests.Timeout) else UpstreamBroken
    return kind(f"{type(error).__name__} from nginx")
