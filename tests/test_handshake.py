"""The handshake that needs no request handler, and what happens to everybody who begins otherwise."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.conftest import TOKEN, Clients, MakeServer
from tests.support.raw import TEXT, Raw, frame, request, upgrade
from tests.support.server import Server, until
from vws.transport.handshake import read

PATH = "/socket.io/?EIO=4&transport=websocket"
HEAD = upgrade(PATH)
CONNECT = frame(TEXT, f'40{{"token":"{TOKEN}"}}')


def test_the_answer_is_the_one_of_rfc_6455() -> None:
    lines = [f"GET {PATH} HTTP/1.1", "Host: x", "Upgrade: WebSocket", "Connection: keep-alive, Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: http://x"]
    found = read("\r\n".join([*lines, "X-Forwarded-For: 192.0.2.1", "", ""]).encode(), "127.0.0.1")
    assert found is not None
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.answer
    assert found.origin == "http://x"
    assert found.environ == {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}


@pytest.mark.parametrize(
    "change",
    [
        (b"GET", b"POST"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"EIO=4", b"EIO=3"),
        (b"transport=websocket", b"transport=polling"),
        (b"transport=websocket", b"transport=websocket&sid=x"),
        (b"transport=websocket", b"transport=websocket&j=0"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x"),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: \xc3\xa4"),
        (b"Host: ", b"Host: a\r\nHost: "),
        (b"Host: ", b" folded: "),
        (b"Host: ", b"No colon\r\nHost: "),
        (b"Host: ", b"Content-Length: 5\r\nHost: "),
        (b"Host: ", b"Transfer-Encoding: chunked\r\nHost: "),
        (b"Host: ", b"X-Break: a\nb\r\nHost: "),
    ],
    ids=lambda change: change[1].decode("latin-1"),
)
def test_anything_else_is_left_to_the_web_server(change: tuple[bytes, bytes]) -> None:
    assert read(HEAD, "127.0.0.1") is not None
    changed = HEAD.replace(*change, 1)
    assert changed != HEAD
    assert read(changed, "127.0.0.1") is None


def test_a_head_may_come_in_pieces_and_with_frames_behind_it(server: Server) -> None:
    sent = HEAD + CONNECT
    for cut in (1, 20, len(HEAD) - 1, len(HEAD), len(HEAD) + 3):
        with Raw(server) as raw:
            raw.send(sent[:cut])
            raw.send(sent[cut:])
            assert b'40{"sid"' in raw.until(b'40{"sid"')


@pytest.mark.parametrize("kept_alive", [False, True])
def test_what_comes_behind_a_handshake_that_the_web_server_has_to_do_is_not_lost(
    server: Server, kept_alive: bool
) -> None:
    calls = b"".join(frame(TEXT, f'42{number}["subscribe"]') for number in range(1000))
    with Raw(server) as raw:
        if kept_alive:
            raw.send(request("GET", "/health"))
            raw.until(b"}")
        raw.send(HEAD.replace(b"Host: ", b"X-A: 1\r\nX-A: 2\r\nHost: ", 1) + CONNECT + calls)
        assert b"43999[" in raw.until(b"43999[")


def test_a_request_that_begins_like_a_handshake_is_served(server: Server) -> None:
    with Raw(server) as raw:
        for piece in (b"GET /", b"health HTTP/1.1\r\nHost: x\r\n", b"Connection: close\r\n\r\n"):
            raw.send(piece)
        assert raw.status() == 200


def test_full_is_said_before_the_handshake_and_only_while_it_lasts(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(MAX_CONNECTIONS_PER_ADDRESS="2")
    inside = [clients.token(server=server) for _ in range(2)]
    with ExitStack() as stack:
        for _ in range(3):
            raw = stack.enter_context(Raw(server))
            raw.send(HEAD)
            assert raw.status() == 503
    inside[0].close()
    clients.token(server=server)


def test_an_origin_that_is_not_allowed_is_refused(make_server: MakeServer) -> None:
    server = make_server(ALLOWED_ORIGINS="https://good.example")
    for origin, status in ((b"https://good.example", 101), (b"https://evil.example", 400)):
        with Raw(server) as raw:
            raw.send(HEAD.replace(b"Host: ", b"Origin: " + origin + b"\r\nHost: ", 1))
            assert raw.status() == status


def test_who_hangs_up_in_the_middle_of_a_head_is_forgotten(server: Server) -> None:
    assert server.get("/health").ok  # its connection is kept alive
    before = server.open_files()
    for piece in (b"", b"G", b"GET /socket.io/?E", HEAD[:-1]):
        for leave in (Raw.close, Raw.reset):
            raw = Raw(server)
            raw.send(piece)
            leave(raw)
    assert server.get("/health").ok  # by now it has let them in
    until(lambda: server.open_files() <= before, what="the connections to be closed")
