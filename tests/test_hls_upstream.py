"""HLS through the server when nginx is gone, slow, or says what it should not."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.conftest import MakeServer, finishing
from tests.support.raw_site import RawSite
from tests.support.raw_site import raw_site as run_raw_site
from tests.support.server import Runner, Server, row, until
from vws.core.hls import INDEX, HlsFile
from vws.errors import Unavailable
from vws.nginx_files import NginxFiles

PLAYLIST = "#EXTM3U\n#EXTINF:1.0,\n0.ts\n"
PATH = "/hls/Acme/Stage/index.m3u8"
PIECE = "/hls/Acme/Stage/0.ts"
TOKEN = "Acme-token"


def ok(body: str | bytes, *headers: str, length: int | None = None) -> bytes:
    """Make an answer as nginx gives it; ``length`` is what it says of its body, whatever there is."""
    data = body.encode() if isinstance(body, str) else body
    size = len(data) if length is None else length
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {size}", *headers, "", ""]).encode() + data


@pytest.fixture(scope="module")
def module_upstream() -> Iterator[RawSite]:
    with run_raw_site() as site:
        yield site


@pytest.fixture
def upstream(module_upstream: RawSite) -> RawSite:
    """Return what stands for nginx, with a stream that anybody may see."""
    module_upstream.reset()
    module_upstream.answer = ok(PLAYLIST)
    return module_upstream


@pytest.fixture(scope="module")
def server(start_server: MakeServer, module_upstream: RawSite) -> Iterator[Server]:
    host = module_upstream.url.removesuffix("/login")
    server = start_server(NGINX_HOST=host, NGINX_KEY="a key&more", accounts=[row("Acme"), row("Quiet")])
    with finishing([server]):
        yield server


def watch(server: Server) -> str:
    return server.get(PATH, token=TOKEN).text.rpartition("session=")[2].strip()


def told(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


def test_nginx_is_asked_with_the_key_and_nothing_of_the_viewers(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    headers = {
        "Cookie": "a=b",
        "Authorization": "Bearer x",
        "X-Forwarded-For": "10.0.0.1",
        "Range": "bytes=0-1",
    }
    server.get(PIECE, session=session, headers=headers)
    asked = upstream.calls[-1][1]
    assert asked.startswith("GET /hls/Acme/Stage/0.ts?key=a+key%26more HTTP/1.1\r\n")
    assert {line.partition(":")[0] for line in asked.splitlines()[1:] if line} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Connection",
        "Range",
    }


def test_connections_to_nginx_are_kept(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    for _ in range(3):
        assert server.get(PATH, session=session).ok
    assert len({number for number, _ in upstream.calls}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",  # a wrong NGINX_KEY
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        ok("", "Content-Encoding: gzip"),
        ok("#EXTM3U\n" + "#\n" * 600_000),
        ok("#EXTM3U\n", length=100) + b"\r\n",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n\r\n#EXTM3U",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\r\nContent-Length: 0\r\n\r\n",
        ok("<html>It works!</html>"),
        ok(""),
        b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n#EXTM3U",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n#EXTM3U",
    ],
    ids=range(16),
)
def test_an_answer_that_nginx_should_not_give(server: Server, upstream: RawSite, answer: bytes) -> None:
    session = watch(server)
    upstream.answer = answer
    upstream.hang_up = True
    started = time.monotonic()
    for key in (f"token={TOKEN}", f"session={session}"):
        assert server.get(f"{PATH}?{key}").status_code == 502
    assert time.monotonic() - started < 3
    assert all("/elsewhere" not in head for _, head in upstream.calls)
    server.wait_log("warning api-failed path=/hls/Acme/Stage/index.m3u8")
    assert "a+key" not in server.log()


@pytest.mark.parametrize("length", ["-3", "abc", "+3", "3_0", ""])
def test_a_length_that_is_none_is_not_passed_on(server: Server, upstream: RawSite, length: str) -> None:
    session = watch(server)
    upstream.answer = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabc".encode()
    upstream.hang_up = True
    assert server.get(PIECE, session=session).status_code == 502


def test_the_key_is_never_logged(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    for answer in (ok(PLAYLIST, "no header"), ok(PLAYLIST, "\0: x"), b"nonsense\r\n\r\n", b""):
        upstream.answer, upstream.hang_up = answer, True
        server.get(PATH, session=session)
    assert "a+key" not in server.log()
    assert "a key" not in server.log()


def test_nobody_is_counted_while_nginx_fails(server: Server, upstream: RawSite) -> None:
    upstream.answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    assert server.get("/hls/Quiet/Stage/index.m3u8", token="Quiet-token").status_code == 502
    assert "Quiet" not in server.api("/stats"), "an account of whose streams no other test is a viewer"


def test_nginx_that_is_down(make_server: MakeServer, unused_port: int) -> None:
    server = make_server(NGINX_HOST=f"http://127.0.0.1:{unused_port}", accounts=[row("Acme")])
    started = time.monotonic()
    answer = server.get(PATH, token=TOKEN)
    assert (answer.status_code, answer.text) == (502, "ConnectionError from nginx")
    assert time.monotonic() - started < 2


def test_slow_nginx_is_waited_for_5_seconds_and_by_nobody_else(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    upstream.answer = b"H" + ok(PLAYLIST)
    answers: list[int] = []

    def ask(path: str, key: str) -> None:
        answers.append(requests.get(f"{server.url}{path}?{key}", timeout=20).status_code)

    files = ((PATH, f"token={TOKEN}"), (PATH, f"session={session}"), (PIECE, f"session={session}"))
    askers, started = [], time.monotonic()
    for pace in (0.5, 60):  # it trickles, and it is silent
        calls, upstream.pace = len(upstream.calls), pace
        for file in files:
            askers.append(threading.Thread(target=ask, args=file))
            askers[-1].start()
        until(lambda: len(upstream.calls) == calls + len(files))  # noqa: B023  # called before it changes
    assert server.get("/health", timeout=1).ok
    for asker in askers:
        asker.join()
    assert answers == [504] * 6
    assert 4.5 < time.monotonic() - started < 7


def test_a_piece_that_breaks_off_ends_the_viewers_connection(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    upstream.answer = ok(b"x" * 200_000, length=300_000)
    upstream.hang_up = True
    with requests.get(f"{server.url}{PIECE}?session={session}", stream=True, timeout=10) as answer:
        assert answer.headers["Content-Length"] == "300000"
        with pytest.raises(requests.RequestException):
            answer.content  # noqa: B018  # reads it
    assert server.get("/health").ok


class Faucet:
    """Stands for nginx with a file without end.

    ``sent`` is how much of it was taken; ``stuck`` is set when that was nothing for a second, and ``left``
    when whoever took it has gone.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.sent = 0
        self.stuck, self.left, self.closed = (threading.Event() for _ in range(3))

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while b".m3u8" in connection.recv(65_536):
                connection.sendall(ok(PLAYLIST))
            connection.sendall(ok("", length=10**12))
            connection.settimeout(1)
            while not self.closed.is_set():
                self._pour(connection)
        self.left.set()

    def _pour(self, connection: socket.socket) -> None:
        try:
            self.sent += connection.send(b"x" * 65_536)
        except TimeoutError:
            self.stuck.set()


@pytest.fixture
def faucet() -> Iterator[Faucet]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        faucet = Faucet(listener)
        thread = threading.Thread(target=faucet.serve, daemon=True)
        thread.start()
        yield faucet
        faucet.closed.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_what_a_viewer_does_not_take_stays_with_nginx(make_server: MakeServer, faucet: Faucet) -> None:
    server = make_server(NGINX_HOST=faucet.url, accounts=[row("Acme")])
    session, before = watch(server), server.memory()
    with socket.create_connection(("127.0.0.1", server.port), 10) as viewer:
        viewer.sendall(f"GET {PIECE}?session={session} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        until(faucet.stuck.is_set, what="nothing more to be taken")
        assert server.get("/health", timeout=1).ok
        assert (server.memory() - before) * 1024 < 4_000_000
        taken = faucet.sent
        until(lambda: viewer.recv(1_000_000) and faucet.sent > taken, what="more to be taken")
        assert not faucet.left.is_set()
    until(faucet.left.is_set, what="the fetching to end with the viewer")
    assert server.get("/health").ok


@pytest.mark.parametrize(
    ("runner", "tls"),
    [(Runner.APP, False), (Runner.APP, True), (Runner.GUNICORN, True), (Runner.WORKER, False)],
)
def test_streams_pass_however_the_server_is_run(
    make_server: MakeServer, upstream: RawSite, runner: Runner, tls: bool
) -> None:
    host = upstream.url.removesuffix("/login")
    server = make_server(
        runner=runner, tls=tls, VWS_ENV="production", NGINX_HOST=host, accounts=[row("Acme")]
    )
    session, body = watch(server), os.urandom(3_000_000)
    upstream.answer = ok(body)
    for _ in range(2):
        assert server.get(PIECE, session=session).content == body


def test_one_address_leaves_room_for_viewers_elsewhere(make_server: MakeServer, upstream: RawSite) -> None:
    server = make_server(
        NGINX_HOST=upstream.url.removesuffix("/login"),
        MAX_VIEWERS_PER_ADDRESS="2",
        TRUSTED_PROXIES="127.0.0.1",
        accounts=[row("Acme")],
    )

    def begin(address: str) -> int:
        return server.get(PATH, token=TOKEN, headers={"X-Forwarded-For": address}).status_code

    assert [begin("192.0.2.1") for _ in range(3)] == [200, 200, 503]
    assert begin("192.0.2.2") == 200
    assert server.api("/stats")["Acme"]["players"] == 3


def test_playlists_are_fetched_while_pieces_have_all_their_places(upstream: RawSite) -> None:
    files = NginxFiles(upstream.url.removesuffix("/login"), "", timeout=5, pieces=1)
    piece = HlsFile("Acme", "Stage", "0.ts")
    fetched = files.open(piece, viewer="a", method="GET", headers={})
    with pytest.raises(Unavailable, match="too many files"):
        files.open(piece, viewer="b", method="GET", headers={})
    assert files.playlist(HlsFile("Acme", "Stage", INDEX), viewer="b") == PLAYLIST
    fetched.close()
    files.open(piece, viewer="b", method="GET", headers={}).close()


def test_an_account_that_is_suspended_loses_its_viewers(server: Server, upstream: RawSite) -> None:
    session = watch(server)
    assert server.get(PATH, session=session).ok
    server.sql("UPDATE accounts SET properties = ?", '{"suspended": true}')
    server.api("/update-accounts")
    assert told(server.get(PATH, session=session)) == (403, "Forbidden")
    server.sql("UPDATE accounts SET properties = ?", "{}")
    server.api("/update-accounts")
    assert server.get(PATH, session=session).ok
