"""TLS through the front door: handshakes of all speeds, those that never end, and what follows them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import socketio
import trustme

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.pair import Pair
from tests.support.raw import TEXT, Raw, frame, request, upgrade
from tests.support.server import Runner, Server, noise, until

POLLING = "/socket.io/?EIO=4&transport=polling"
CONNECT = frame(TEXT, f'40{{"token":"{TOKEN}"}}')
CONNECTED = b'40{"sid"'
HELLO = bytes.fromhex("16030100c8010000c40303")  # the beginning of one
GARBAGE = {
    "nothing": b"",
    "half a hello": HELLO,
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    "a broken hello": b"\x16\x03\x01\x00\x05hello",
    "zeros": bytes(1000),
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
}
DEADLINE = 10  # seconds


class Slow:
    """A client whose bytes all wait until they are sent: ``steps`` of the handshake, and what follows."""

    def __init__(self, server: Server, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.raw = Raw(server, tls=False)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=server.ca)
        context.maximum_version = version
        self._session = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")

    def steps(self) -> Iterator[bytes]:
        """Shake hands; yield what is to be sent before the server goes on."""
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                yield self._out.read()
                self._in.write(self.raw.socket.recv(65_536))
            else:
                yield self._out.read()
                return

    def encrypted(self, data: bytes) -> bytes:
        self._session.write(data)
        return self._out.read()

    def until(self, end: bytes) -> bytes:
        data = b""
        while end not in data:
            try:
                data += self._session.read(65_536)
            except ssl.SSLWantReadError:
                received = self.raw.socket.recv(65_536)
                assert received
                self._in.write(received)
        return data

    def trickle(self, data: bytes) -> None:
        for at in range(len(data)):
            self.raw.send(data[at : at + 1])


@pytest.fixture(scope="module")
def shared(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(tls=True)
    with finishing([server]):
        yield server


@pytest.fixture
def secure(shared: Server) -> Iterator[Server]:
    """Return a server with a certificate, which after the test holds nothing and has logged nothing bad."""
    assert shared.get("/health").ok  # its connection is kept alive for this session's requests
    before, said = shared.open_files(), len(shared.log())
    yield shared
    until(lambda: shared.open_files() <= before, what="all descriptors to be closed")
    assert shared.get("/health").ok
    assert noise(shared.log()[said:]) == []


def ended(raw: Raw) -> bool:
    """Tell whether the server has ended the connection, whatever it said before."""
    raw.socket.setblocking(False)
    try:
        while raw.socket.recv(65_536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True


# --- handshakes ---


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_everything_may_come_byte_by_byte(secure: Server, version: ssl.TLSVersion) -> None:
    slow = Slow(secure, version)
    with slow.raw:
        for step in slow.steps():
            slow.trickle(step)
        slow.trickle(slow.encrypted(upgrade()))
        slow.trickle(slow.encrypted(CONNECT))
        assert b"HTTP/1.1 101" in slow.until(CONNECTED)


def test_everything_may_come_at_once(secure: Server) -> None:
    """Records behind the head are decrypted with it, or wait in the socket; nothing of them may be lost."""
    calls = b"".join(frame(TEXT, f'42{number}["subscribe"]') for number in range(500))
    data = upgrade() + CONNECT + calls
    for size in (100, 5000, 16_384, 100_000):
        slow = Slow(secure)
        with slow.raw:
            steps = slow.steps()
            slow.raw.send(next(steps))
            records = list(steps)
            records += [slow.encrypted(data[at : at + size]) for at in range(0, len(data), size)]
            slow.raw.send(b"".join(records))
            slow.until(b"43499[")


def test_a_certificate_longer_than_what_the_system_takes_at_once_arrives(
    make_server: MakeServer, authority: trustme.CA, tmp_path: Path
) -> None:
    leaf = authority.issue_cert("127.0.0.1", *(f"{number:x}.{'x' * 60}.example" for number in range(1100)))
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    server = make_server(tls=True, CERTIFICATE=str(tmp_path / "tls"))
    slow = Slow(server)
    slow.raw.close()
    slow.raw.socket = narrow_socket(server)
    with slow.raw:
        for step in slow.steps():
            slow.raw.send(step)
            assert server.get("/health").ok  # which takes a while, in which nothing is read here
        slow.raw.send(slow.encrypted(upgrade()))
        assert b"HTTP/1.1 101" in slow.until(b"\r\n\r\n")


def narrow_socket(server: Server) -> socket.socket:
    """Connect in a way that lets the server's system take little at once."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
    narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 500)
    narrow.settimeout(15)
    narrow.connect(("127.0.0.1", server.port))
    return narrow


@pytest.mark.parametrize("runner", Runner)
def test_sessions_are_resumed(make_server: MakeServer, runner: Runner) -> None:
    server = make_server(tls=True, runner=runner)
    context = ssl.create_default_context(cafile=server.ca)
    session = None
    for resumed in (False, True, True):
        with Raw(server, tls=False) as raw:
            raw.socket = context.wrap_socket(raw.socket, server_hostname="127.0.0.1", session=session)
            raw.send(request("GET", "/health"))
            assert raw.status() == 200
            assert raw.socket.session_reused is resumed
            session = raw.socket.session


# --- those who are no clients ---


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_who_speaks_no_tls_is_forgotten(secure: Server, data: bytes) -> None:
    for leave in (Raw.close, Raw.reset):
        raw = Raw(secure, tls=False)
        raw.send(data)
        leave(raw)


def test_who_hangs_up_amid_the_handshake_or_the_head_is_forgotten(secure: Server) -> None:
    for leave in (Raw.close, Raw.reset):
        halfway = Slow(secure)
        halfway.raw.send(next(halfway.steps()))
        halfway.raw.socket.recv(100)
        for data in (b"", b"GET /socket.io/?E"):
            raw = Raw(secure)
            raw.send(data)
            leave(raw)
        leave(halfway.raw)


def test_who_does_not_get_ahead_is_given_up_after_ten_seconds(secure: Server) -> None:
    begun = time.monotonic()
    silent, half_hello, halfway = Raw(secure, tls=False), Raw(secure, tls=False), Slow(secure)
    half_hello.send(HELLO)
    halfway.raw.send(next(halfway.steps()))
    half_head, patient = Raw(secure), Raw(secure)
    half_head.send(b"GET /socket.io/?E")
    stuck = [silent, half_hello, halfway.raw, half_head]
    until(lambda: all(ended(raw) for raw in stuck), timeout=DEADLINE + 3, what="the slow to be cut off")
    assert time.monotonic() - begun > DEADLINE - 2
    patient.send(request("GET", "/health"))  # who has shaken hands may say later what it wants
    assert patient.status() == 200
    for raw in (*stuck, patient):
        raw.close()


def test_a_thousand_half_handshakes_bother_nobody(secure: Server, clients: Clients) -> None:
    pair = Pair(clients, secure)
    with ExitStack() as stack:
        for number in range(1000):
            raw = stack.enter_context(Raw(secure, tls=False))
            raw.send(HELLO[: number % len(HELLO)])
        assert max(pair.relay() for _ in range(20)) < 1
        assert secure.get("/health").ok
        Raw.websocket(secure).close()
    pair.undisturbed()
    clients.close()


@pytest.mark.parametrize("runner", Runner)
def test_half_handshakes_do_not_delay_the_end(
    make_server: MakeServer, clients: Clients, runner: Runner
) -> None:
    server = make_server(tls=True, runner=runner)
    alice = clients.token(server=server)
    with ExitStack() as stack:
        late = stack.enter_context(Raw(server))
        for data in (b"", HELLO):
            stack.enter_context(Raw(server, tls=False)).send(data)
        threading.Timer(0.5, late.try_send, [request("GET", "/health")]).start()
        alice.freeze()  # so that the end takes a while
        assert server.stop() == 0


# --- what comes after the handshake ---


@pytest.mark.parametrize("runner", Runner)
def test_pages_polling_and_websockets_share_the_port(
    make_server: MakeServer, python_client: Callable[..., socketio.Client], clients: Clients, runner: Runner
) -> None:
    server = make_server(tls=True, runner=runner)
    with Raw(server) as raw:
        for _ in range(3):
            raw.send(request("GET", "/health"))
            assert raw.status() == 200
            raw.until(b"}")
        raw.send(request("GET", POLLING))
        assert raw.status() == 200
        sid = raw.until(b"}").partition(b'"sid":"')[2].partition(b'"')[0].decode()
    for size in (2, 30_000, 500_000):
        with Raw(server) as raw:
            body = b"40{" + b" " * size
            sent = request("POST", f"{POLLING}&sid={sid}", body)
            raw.send(sent[: len(sent) // 2])
            raw.send(sent[len(sent) // 2 :])
            assert raw.status() == 200
    upgraded = python_client(server, auth={"token": TOKEN})
    assert upgraded.transport() == "websocket"
    assert upgraded.call("publish", ("Upgraded", "Lobby", {}))["ok"]
    assert clients.token(server=server).call("subscribe", "Bob", "Lobby")["ok"]


@pytest.mark.parametrize("runner", Runner)
def test_what_is_decrypted_with_a_late_handshake_is_not_left_behind(
    make_server: MakeServer, runner: Runner
) -> None:
    calls = b"".join(frame(TEXT, f'42{number}["subscribe"]') for number in range(500))
    with Raw(make_server(tls=True, runner=runner)) as raw:
        raw.send(request("GET", "/health"))
        raw.until(b"}")
        raw.send(upgrade() + CONNECT + calls)  # in one record
        assert b"43499[" in raw.until(b"43499[")


def test_full_is_said_before_the_upgrade(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(tls=True, MAX_CONNECTIONS_PER_ADDRESS="2")
    inside = [clients.token(server=server) for _ in range(2)]
    for _ in range(3):
        with Raw(server) as raw:
            raw.send(upgrade())
            assert raw.status() == 503
    inside[0].close()
    clients.token(server=server)
