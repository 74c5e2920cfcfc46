"""Files of HLS streams: asked of nginx, and passed on piece by piece."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote

import gevent
import requests
from gevent.lock import BoundedSemaphore
from requests.adapters import HTTPAdapter

from vws.core.hls import HlsFile
from vws.errors import NotFound, TooMany, Unavailable, UpstreamBroken, UpstreamSlow

__all__ = ["Fetched", "Greedy", "NginxFiles"]

AT_ONCE = 4000
"""Answers of nginx that may be on their way to viewers at the same time."""

EACH = 16
"""How many of them may be one viewer's; players ask for a few things at once."""

PIECE = 65_536
MAX_PLAYLIST = 1_000_000
PLAYLIST = b"#EXTM3U"
"""How every playlist begins."""

PASSED = (200, 206, 304, 416)
"""Statuses that go on to the viewer, as does 404; any other says that something is wrong with nginx."""


class Greedy(TooMany):
    """A viewer has too much on its way already."""

    def __init__(self) -> None:
        super().__init__("Too many requests at once")


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


class NginxFiles:
    """Asks nginx at ``host``, with the key that opens its files; ``timeout`` in seconds for an answer."""

    def __init__(self, host: str, key: str, *, timeout: float) -> None:
        self._host = host
        self._key = key
        self._timeout = timeout
        self._places = BoundedSemaphore(AT_ONCE)
        self._taken: Counter[str] = Counter()
        self._http = requests.Session()
        self._http.trust_env = False  # neither a proxy nor a .netrc stands between the two
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=AT_ONCE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def open(
        self,
        file: HlsFile,
        *,
        viewer: str = "",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """Ask for a file, for somebody new or for a viewer.

        Raises `NotFound`, `Greedy`, `UpstreamBroken`, `UpstreamSlow`, or `Unavailable`: too busy.
        """
        with ExitStack() as undo:
            undo.enter_context(self._place(viewer))
            with self._in_time():
                answer = self._ask(file, method, headers or {})
            undo.callback(answer.close)
            _check(answer)
            return Fetched(answer, undo.pop_all().close)

    def playlist(self, file: HlsFile, *, viewer: str = "") -> str:
        """Return a playlist; raise like `open`."""
        fetched = self.open(file, viewer=viewer)
        try:
            with self._in_time():
                return _read(fetched)
        except OSError as error:
            raise _broken(error) from error
        finally:
            fetched.close()

    @contextmanager
    def _place(self, viewer: str) -> Iterator[None]:
        """Hold one of the places until the answer has been passed on."""
        if viewer and self._taken[viewer] >= EACH:
            raise Greedy
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many files are on their way")
        self._taken[viewer] += 1
        try:
            yield
        finally:
            self._places.release()
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


def _read(fetched: Fetched) -> str:
    if fetched.status != 200:
        raise UpstreamBroken(f"nginx answered {fetched.status}")
    body = b""
    for piece in fetched.pieces():
        body += piece
        if len(body) > MAX_PLAYLIST:
            raise UpstreamBroken(f"the playlist is larger than {MAX_PLAYLIST} bytes")
    if not body.startswith(PLAYLIST):
        raise UpstreamBroken("nginx answered something else than a playlist")
    return body.decode("utf-8", "replace")


def _broken(error: Exception) -> Unavailable:
    """Name what went wrong, not the address: that holds the key."""
    kind = UpstreamSlow if isinstance(error, requests.Timeout) else UpstreamBroken
    return kind(f"{type(error).__name__} from nginx")
