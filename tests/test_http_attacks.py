"""HTTP that no client sends: it is answered or cut off, quietly, and others notice nothing."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator

import pytest

from tests.conftest import TOKEN, Clients, MakeServer
from tests.support.pair import Pair
from tests.support.raw import CLOSE, TEXT, Raw, frame, request, upgrade
from tests.support.server import Server, noise, until

POLLING = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
def quiet(server: Server) -> Iterator[Server]:
    """Return the session's server, which logs nothing alarming during the test and still serves after it."""
    before = len(server.log())
    yield server
    assert server.get("/health").ok
    assert noise(server.log()[before:]) == []


def open_polling(raw: Raw) -> str:
    """Open an Engine.IO session by polling; return its id."""
    raw.send(request("GET", POLLING))
    assert raw.status() == 200
    found = re.search(rb'"sid":"([^"]+)"', raw.until(b"}"))
    assert found
    return found[1].decode()


# --- requests ---

BAD_REQUESTS = {
    "garbage": b"\x00\x01\x02\xff\xfe garbage\r\n\r\n",
    "one word": b"GET\r\n\r\n",
    "four words": b"GET / HTTP/1.1 extra\r\n\r\n",
    "no version number": b"GET / HTTP/x.y\r\n\r\n",
    "half a version": b"GET / HTTP/1\r\nHost: a\r\n\r\n",
    "a version of letters": b"GET / HTTP/one.one\r\n\r\n",
    "version 9": b"GET / HTTP/9.9\r\n\r\n",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version without a slash": b"GET / HTTP1.1\r\n\r\n",
    "POST of HTTP/0.9": b"POST /\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c403030000") + b"\r\n\r\n",
    "101 headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
    "10,000 headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "a header of 70 KB": b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    "a negative length": b"POST " + POLLING.encode() + b" HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a length of letters": b"POST " + POLLING.encode() + b" HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    "a length of 5,000 digits": b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "HEAD with a body": b"HEAD / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("data", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_is_no_request_is_refused(quiet: Server, data: bytes) -> None:
    with Raw(quiet) as raw:
        raw.try_send(data)
        assert raw.status() == 400
        raw.all()


@pytest.mark.parametrize("index", ["0", "x", ""])
def test_nobody_gets_a_script(quiet: Server, index: str) -> None:
    assert quiet.get(f"{POLLING}&j={index}").status_code == 400


@pytest.mark.parametrize(("query", "status"), [("", 200), ("&j=0", 400), ("&sid=x", 400)])
def test_what_is_polled_is_kept_by_no_cache_and_shown_as_no_page(
    quiet: Server, query: str, status: int
) -> None:
    answer = quiet.get(f"{POLLING}{query}")
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_line_without_an_end_is_refused(quiet: Server) -> None:
    with Raw(quiet) as raw:
        raw.try_send(b"GET /" + b"x" * 100_000)
        assert raw.status() == 414


ODD_REQUESTS = {
    "no header at all": b"GET /health HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nnonsense\r\n\r\n",
    "a header of bytes": b"GET /health HTTP/1.1\r\nA: \xff\xfe\x00\r\n\xff: b\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nOrigin: http://a\r\n b\r\nA:\r\n\tc\r\n\r\n",
    "a folded first header": b"GET /health HTTP/1.1\r\n folded: a\r\n\r\n",
    "a nameless header": b"GET /health HTTP/1.1\r\n: a\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "an absolute address": b"GET http://elsewhere/health HTTP/1.1\r\n\r\n",
    "an address of bytes": b"GET /\xff\x00%00%ff%zz?\xff=%ff&%00 HTTP/1.1\r\n\r\n",
    "a query of bytes": b"GET /status?token=\xff HTTP/1.1\r\n\r\n",
    "an unknown method": b"BREW /health HTTP/1.1\r\n\r\n",
    "an unknown method on socket.io": b"BREW " + POLLING.encode() + b" HTTP/1.1\r\n\r\n",
    "a WebSocket without an upgrade of the connection": b"GET /socket.io/?EIO=4&transport=websocket"
    b" HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "a WebSocket on a connection to be closed": b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
    b"Host: a\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n",
    "rubbish in the query": b"GET /socket.io/?EIO=4&EIO=3&sid=%00%ff&transport=x&j=y HTTP/1.1\r\n\r\n",
    "an unknown transport": b"GET /socket.io/?EIO=4&transport=flash HTTP/1.1\r\n\r\n",
    "an old protocol": b"GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\n\r\n",
    "JSONP by name": b"GET " + POLLING.encode() + b"&j=x HTTP/1.1\r\n\r\n",
    "an unknown session": b"GET " + POLLING.encode() + b"&sid=__init__ HTTP/1.1\r\n\r\n",
    "a POST to an unknown session": b"POST "
    + POLLING.encode()
    + b"&sid=x HTTP/1.1\r\nContent-Length: 2\r\n\r\n40",
    "a folded origin": b"GET " + POLLING.encode() + b" HTTP/1.1\r\nOrigin: http://a\r\n X: b\r\n\r\n",
    "an origin of bytes": b"GET " + POLLING.encode() + b" HTTP/1.1\r\nOrigin: \xff\xfe\x01\r\n\r\n",
    "headers asked for by bytes": b"OPTIONS "
    + POLLING.encode()
    + b" HTTP/1.1\r\nOrigin: a\r\nAccess-Control-Request-Headers: \xff\x01\r\n b\r\n\r\n",
    "a bad forwarded address": b"GET "
    + POLLING.encode()
    + b" HTTP/1.1\r\nX-Forwarded-For: ,\xff,::,\r\n\r\n",
    "a broken chunk": b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "both lengths": b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    b"0\r\n\r\n",
    "a huge cookie and key": b"GET /connections HTTP/1.1\r\nCookie: "
    + b"a=b;" * 9000
    + b"\r\nAuthorization: Bearer \xff\r\n\r\n",
    "a range of ranges": b"GET /static/x HTTP/1.1\r\nRange: bytes=" + b"0-," * 9000 + b"\r\n\r\n",
    "a path out of the folder": b"GET /static/../../app.py HTTP/1.1\r\n\r\n",
    "an escaped path out of the folder": b"GET /static/%2e%2e/%2e%2e/app.py HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", ODD_REQUESTS.values(), ids=ODD_REQUESTS)
def test_odd_requests_are_answered(quiet: Server, data: bytes) -> None:
    with Raw(quiet) as raw:
        raw.send(data)
        raw.socket.shutdown(1)
        answer = raw.all()
        assert answer, "no answer"
        status = int(answer.split()[1]) if answer.startswith(b"HTTP/") else 200
        assert 200 <= status < 500, answer
        assert b"monkey.patch_all" not in answer


def test_an_answer_has_no_header_that_the_client_wrote(quiet: Server) -> None:
    with Raw(quiet) as raw:
        raw.send(b"GET " + POLLING.encode() + b" HTTP/1.1\r\nOrigin: http://a\r\n\tX-Forged: b\r\n\r\n")
        assert b"\r\nX-Forged" not in raw.until(b"\r\n\r\n").replace(b"\t", b"").replace(b"\n ", b"\n")


def test_nobody_is_led_to_a_host_that_the_client_wrote(quiet: Server) -> None:
    for path in ("/demo//hls", "//demo", "/hls//Acme", "/static//vws.css", "//elsewhere//%2f.."):
        with Raw(quiet) as raw:
            raw.send(request("GET", path, Host="elsewhere", X_Forwarded_Host="elsewhere"))
            assert "elsewhere" not in raw.head()


# --- requests that stop half-way ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: te",
        b"POST " + POLLING.encode() + b" HTTP/1.1\r\nContent-Length: 100\r\n\r\n40",
        upgrade()[:60],
        upgrade(),
        upgrade() + b"\x81",
        upgrade() + frame(TEXT, b"40{", length=50_000),
    ],
    ids=lambda data: f"{len(data)}",
)
@pytest.mark.parametrize("how", ["reset", "close"])
def test_connections_that_end_half_way_are_forgotten(quiet: Server, data: bytes, how: str) -> None:
    raw = Raw(quiet)
    raw.send(data)
    if data.startswith(upgrade()[:20]) and data.count(b"\r\n\r\n"):
        raw.status()
    getattr(raw, how)()


def test_two_hundred_connections_reset_at_once(quiet: Server, clients: Clients) -> None:
    pair = Pair(clients)
    sockets = [Raw.websocket(quiet) for _ in range(100)] + [Raw(quiet) for _ in range(100)]
    for number, raw in enumerate(sockets[:100]):
        raw.send(
            frame(TEXT, f'40{{"token":"{TOKEN}"}}') + frame(TEXT, f'42["subscribe","P{number}","Reset"]')
        )
    for raw in sockets:
        raw.reset()
    pair.relay()
    until(lambda: len(quiet.api("/connections")) == 1, what="those who left to be forgotten")


# --- opening a WebSocket ---

KEY = base64.b64encode(b"0123456789abcdef").decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Key": "x"},
        {"Sec_WebSocket_Key": "a" * 25},
        {"Sec_WebSocket_Key": "é" * 24},
        {"Sec_WebSocket_Key": base64.b64encode(b"short").decode()},
        {"Sec_WebSocket_Key": "A" * 60_000},
        {"Sec_WebSocket_Version": "12"},
        {"Sec_WebSocket_Version": ""},
        {"Sec_WebSocket_Version": "é"},
    ],
    ids=lambda headers: str(headers)[:50],
)
def test_a_handshake_that_breaks_the_rules_is_refused(quiet: Server, headers: dict[str, str]) -> None:
    with Raw(quiet) as raw:
        raw.send(upgrade(**headers))
        assert raw.status() in {400, 426}


def test_a_handshake_of_http_1_0_is_refused(quiet: Server) -> None:
    with Raw(quiet) as raw:
        raw.send(upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert 400 <= raw.status() < 500


def test_a_websocket_elsewhere_leads_nowhere(quiet: Server) -> None:
    for path in ("/", "/health", "/socket.io/", "/socket.io/?EIO=4&transport=websocket&sid=nobody"):
        with Raw(quiet) as raw:
            raw.send(upgrade(path))
            raw.status()
            raw.try_send(frame(TEXT, b"40"))
            raw.all()


# --- polling ---


EMPTY = [
    b"",
    b"b",
    b"b!!!",
    b"bAAAA",
    b"5",
    b"4",
    b"40",
    b"4" * 900_000,
    b"4[" + b"[" * 500_000,
    b'42["publish"',
]
"""Packets that mean nothing, and leave the session as it is."""

NO_PACKETS = [
    *(b"\xff\xfe", b"0", b"2", b"6", b"7", b"9", b"x", b"\x1e\x1e\x1e", b"d=", b"d=%", b"40\x1e"),
    b"40\x1e" * 5000 + b"40",
    "²".encode(),
]


@pytest.mark.parametrize(
    ("body", "status"),
    [*((body, 200) for body in EMPTY), *((body, 400) for body in NO_PACKETS)],
    ids=lambda value: str(value[:12]) if isinstance(value, bytes) else "",
)
def test_rubbish_posted_to_a_session_is_answered(quiet: Server, body: bytes, status: int) -> None:
    with Raw(quiet) as raw:
        sid = open_polling(raw)
        raw.send(request("POST", f"{POLLING}&sid={sid}", body, Content_Length=str(len(body))))
        assert raw.status() == status


@pytest.mark.parametrize("length", [1_000_001, 2**31, 2**40, 2**64])
def test_a_post_that_promises_too_much_is_refused_before_it_comes(quiet: Server, length: int) -> None:
    with Raw(quiet) as raw:
        sid = open_polling(raw)
        raw.send(request("POST", f"{POLLING}&sid={sid}", Content_Length=str(length)))
        assert raw.status() == 400


def test_a_post_without_a_length_is_answered(quiet: Server) -> None:
    with Raw(quiet) as raw:
        sid = open_polling(raw)
        raw.send(request("POST", f"{POLLING}&sid={sid}"))
        assert raw.status() == 200


def test_a_post_by_chunks_is_answered(quiet: Server) -> None:
    with Raw(quiet) as raw:
        sid = open_polling(raw)
        raw.send(
            request("POST", f"{POLLING}&sid={sid}", Transfer_Encoding="chunked") + b"2\r\n40\r\n0\r\n\r\n"
        )
        assert raw.status() == 200


def test_two_polls_and_a_post_at_once(quiet: Server) -> None:
    with Raw(quiet) as first, Raw(quiet) as second, Raw(quiet) as post:
        address = f"{POLLING}&sid={open_polling(post)}"
        first.send(request("GET", address))
        second.send(request("GET", address))
        with Raw(quiet) as other:
            other.send(request("POST", address, f'40{{"token":"{TOKEN}"}}'.encode()))
            assert other.status() == 200
            other.send(request("POST", address, b"1"))
            assert other.status() == 200
        assert first.status() == second.status() == 200


def test_a_post_after_the_end_of_its_session_is_refused(quiet: Server) -> None:
    with Raw(quiet) as raw:
        address = f"{POLLING}&sid={open_polling(raw)}"
    for body, status in ((b"1", 200), (b"40", 400), (b"40", 400)):
        with Raw(quiet) as raw:
            raw.send(request("POST", address, body))
            assert raw.status() == status


# --- from polling to a WebSocket ---

PROBES = {
    "rubbish": [b"rubbish"],
    "a connect": [b"40"],
    "an empty frame": [b""],
    "another probe": [b"2probe2"],
    "an upgrade without a probe": [b"5"],
    "two probes": [b"2probe", b"2probe"],
    "deep": [b"4" + b"[" * 100_000],
    "binary": [b"2probe", b"\xff"],
}


@pytest.mark.parametrize("frames", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("end", ["close", "reset", "goodbye"])
def test_an_upgrade_that_fails_leaves_the_session(quiet: Server, frames: list[bytes], end: str) -> None:
    with Raw(quiet) as polling:
        sid = open_polling(polling)
        raw = Raw(quiet)
        goodbye = frame(CLOSE, b"\x03\xe8") if end == "goodbye" else b""
        probes = b"".join(frame(TEXT, each) for each in frames)
        raw.send(upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}") + probes + goodbye)
        if end != "reset":
            raw.status()
        getattr(raw, "reset" if end == "reset" else "close")()


def test_two_upgrades_of_one_session_at_once(quiet: Server) -> None:
    with Raw(quiet) as polling, Raw(quiet) as first, Raw(quiet) as second:
        sid = open_polling(polling)
        for raw in (first, second):
            raw.send(upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}"))
        assert sorted(raw.status() for raw in (first, second)) == [101, 400]
    assert quiet.get("/health").ok


def test_an_upgrade_that_failed_does_not_disturb_the_next(quiet: Server) -> None:
    with Raw(quiet) as polling, Raw(quiet) as first, Raw(quiet) as second:
        address = f"/socket.io/?EIO=4&transport=websocket&sid={open_polling(polling)}"
        first.send(upgrade(address) + frame(TEXT, b"rubbish"))
        assert first.status() == 101
        assert first.close_code() == 1002
        second.send(upgrade(address) + frame(TEXT, b"2probe"))
        second.until(b"3probe")
        first.close()
        assert quiet.get("/health").ok  # by now the server has seen that
        second.send(frame(TEXT, b"5") + frame(TEXT, f'40{{"token":"{TOKEN}"}}'))
        assert b'40{"sid"' in second.until(b'40{"sid"')


def test_a_poll_of_an_upgraded_session_is_refused(quiet: Server) -> None:
    with Raw(quiet) as polling, Raw(quiet) as raw:
        sid = open_polling(polling)
        raw.send(upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}"))
        assert raw.status() == 101
        raw.send(frame(TEXT, b"2probe"))
        raw.until(b"3probe")
        raw.send(frame(TEXT, b"5"))
        with Raw(quiet) as late:
            late.send(request("POST", f"{POLLING}&sid={sid}", b"40"))
            assert late.status() == 400


# --- slow ones, and TLS ---


def ended(raw: Raw) -> bool:
    """Tell whether the server has ended the connection; send it one more byte."""
    try:
        raw.socket.sendall(b"a")
        raw.socket.setblocking(False)
        return raw.socket.recv(1000) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        raw.socket.settimeout(5)


def test_who_is_slow_or_speaks_no_tls_is_cut_off_and_delays_nobody(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(tls=True)
    silent, half_hello = Raw(server, tls=False), Raw(server, tls=False)
    half_hello.send(bytes.fromhex("16030100c8010000c40303"))
    slow_head = Raw(server)
    slow_head.send(b"GET / HTTP/1.1\r\nHost: test\r\nA: ")
    with Raw(server, tls=False) as plain:
        plain.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 10)
        assert b"HTTP/1.1 200" not in plain.all()
    for data in (b"", b"\x16\x03\x01", bytes(100), b"\x16\x03\x01\x00\x05hello"):
        with Raw(server, tls=False) as raw:
            raw.try_send(data)
    pair = Pair(clients, server)
    for raw in (half_hello, slow_head):
        until(lambda raw=raw: pair.relay() < 1 and ended(raw), timeout=14, what="the slow to be cut off")  # type: ignore[misc]
    for raw in (silent, half_hello, slow_head):
        raw.reset()
    assert noise(server.log()) == []
