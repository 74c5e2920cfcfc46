"""Sessions of HLS viewers over time, with a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.raw_site import raw_site
from tests.test_hls_upstream import PLAYLIST, TOKEN, ok
from vws.accounts import AccountDirectory
from vws.config import Config
from vws.core.account_rows import Rows
from vws.core.attempts import FailedAttempts
from vws.core.hls import INDEX
from vws.errors import TooMany
from vws.hls import Denied, Hls
from vws.nginx_files import NginxFiles
from vws.state.memory import MemoryState
from vws.stream_access import StreamAccess
from vws.stream_sites import StreamSites


class Watcher:
    """The use case with a clock of the test's own."""

    def __init__(self, host: str) -> None:
        self.now = 0
        self.state = MemoryState()
        accounts = AccountDirectory(Config.from_env({"STATIC_TOKEN": TOKEN}), lambda: Rows((), ()))
        self.hls = Hls(
            self.state,
            access=StreamAccess(
                accounts,
                StreamSites(timeout=5, at_once=1),
                guesses=FailedAttempts(0),
                questions=FailedAttempts(0),
            ),
            files=NginxFiles(host, "", timeout=5),
            clock=lambda: self.now,
        )

    def open(self) -> str:
        playlist = self.hls.open(f"_static/Stage/{INDEX}", token=TOKEN, pin="", address="")
        return playlist.rpartition("session=")[2].strip()

    def playlist(self, session: str) -> str:
        return self.hls.playlist(f"_static/Stage/{INDEX}", session)


@pytest.fixture(scope="module")
def nginx() -> Iterator[str]:
    """Return the address of what stands for nginx, with a stream that anybody may see."""
    with raw_site() as site:
        site.answer = ok(PLAYLIST)
        yield site.url.removesuffix("/login")


@pytest.fixture
def watcher(nginx: str) -> Watcher:
    return Watcher(nginx)


def test_a_session_ends_after_30_seconds_of_silence(watcher: Watcher) -> None:
    session = watcher.open()
    for _ in range(5):
        watcher.now += 29_999
        assert f"0.ts?session={session}" in watcher.playlist(session)
    assert watcher.state.usage()["_static"].players == 1
    watcher.now += 30_000
    with pytest.raises(Denied, match=r"^Forbidden$"):
        watcher.playlist(session)
    assert watcher.state.usage() == {}


def test_a_session_serves_one_player(watcher: Watcher) -> None:
    session = watcher.open()
    for _ in range(100):  # as much as fills a player's buffer
        watcher.playlist(session)
    with pytest.raises(TooMany):
        watcher.playlist(session)
    for _ in range(60):
        watcher.now += 200
        watcher.playlist(session)
    with pytest.raises(TooMany):
        watcher.playlist(session)
    watcher.playlist(watcher.open())


def test_who_takes_a_large_piece_is_not_silent(watcher: Watcher) -> None:
    session = watcher.open()
    pieces = watcher.hls.watched("_static/Stage/0.ts", session, iter([b"a"] * 5))
    for _ in range(5):
        assert next(pieces) == b"a"
        watcher.now += 20_000
    assert watcher.playlist(session)


def test_who_stops_taking_it_is(watcher: Watcher) -> None:
    session = watcher.open()
    pieces = watcher.hls.watched("_static/Stage/0.ts", session, iter([b"a"] * 5))
    next(pieces)
    watcher.now += 30_000
    with pytest.raises(ConnectionAbortedError):
        next(pieces)
