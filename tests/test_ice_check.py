"""The server's own test of its STUN and TURN servers, against a real coturn."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Clients, MakeServer
from tests.support.coturn import Coturn, MakeCoturn, running_coturn
from tests.support.pair import Pair
from tests.support.server import ROOT, Runner, Server, free_port, until
from vws.config import Config
from vws.ice import IceServers
from vws.ice_check import IceCheck

PASSED = "STUN/TURN check passed"
UNTRIED = "not tried: the test itself failed"
MINUTE = 60_000


@pytest.fixture(scope="module")
def coturn() -> Iterator[Coturn]:
    with running_coturn() as running:
        yield running


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Return host:port where packets and connections arrive and nobody ever says anything."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = free_port()
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
        tcp.listen()
        yield f"127.0.0.1:{port}"


@pytest.fixture
def drip() -> Iterator[str]:
    """Return host:port where every packet and connection is answered, by a byte now and then."""
    with (
        socket.create_server(("127.0.0.1", free_port())) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        host, port = tcp.getsockname()
        udp.bind((host, port))
        end = threading.Event()
        threads = [threading.Thread(target=drip_into, args=(each, end)) for each in (tcp, udp)]
        for thread in threads:
            thread.start()
        yield f"{host}:{port}"
        end.set()
        for thread in threads:
            thread.join()


def drip_into(listener: socket.socket, end: threading.Event) -> None:
    """Say a byte to everybody who came, and again, until the end."""
    listener.settimeout(0.1)
    with contextlib.ExitStack() as stack:
        heard: list[Callable[[bytes], object]] = []
        while not end.is_set():
            with contextlib.suppress(TimeoutError):
                if listener.type == socket.SOCK_DGRAM:
                    _, sender = listener.recvfrom(2048)
                    heard.append(partial(_send_to, listener, sender))
                else:
                    heard.append(stack.enter_context(listener.accept()[0]).sendall)
            for say in heard:
                with contextlib.suppress(OSError):
                    say(b"\x00")


def _send_to(udp: socket.socket, address: Any, data: bytes) -> None:
    udp.sendto(data, address)


def outcome(server: Server) -> dict[str, str]:
    """Have the server test; return what it says of each transport: "ok", or the error."""
    info = server.api("/")
    results = server.api("/live")["webrtcTest"]["results"]
    errors = {each["transport"]: each["error"] or "ok" for each in results}
    for name in ("stun", "turn"):
        said = [error == "ok" for transport, error in errors.items() if transport.lower().startswith(name)]
        assert info[name] is (all(said) if said else None)
    assert (info["webrtc-test"] == PASSED) == (set(errors.values()) == {"ok"})
    return errors


def allocations(coturn: Coturn) -> int:
    return coturn.log().count("ALLOCATE processed, success")


# --- what it finds ---


@pytest.mark.parametrize("runner", Runner)
def test_everything_answers(make_server: MakeServer, coturn: Coturn, runner: Runner) -> None:
    server = make_server(runner=runner, **coturn.settings)
    assert outcome(server) == {"STUN": "ok", "TURN/UDP": "ok", "TURN/TCP": "ok"}
    info = server.api("/")
    assert (info["webrtc-test"], info["stun"], info["turn"]) == (PASSED, True, True)
    assert 0 <= info["webrtcTestAge"] < MINUTE
    for result in server.api("/live")["webrtcTest"]["results"]:
        assert result["server"] == coturn.server
        assert 0 <= result["ms"] < 8000


def test_stun_alone_is_enough_where_nothing_else_is_configured(
    make_server: MakeServer, coturn: Coturn
) -> None:
    server = make_server(STUN_SERVERS=f"stun:{coturn.server}")
    assert outcome(server) == {"STUN": "ok"}
    assert server.api("/")["turn"] is None


def test_a_wrong_password(make_server: MakeServer, coturn: Coturn) -> None:
    server = make_server(**coturn.settings | {"COTURN_PASSWORD": "not-the-password"})
    assert outcome(server) == {
        "STUN": "ok",
        "TURN/UDP": "wrong credentials",
        "TURN/TCP": "wrong credentials",
    }
    assert server.api("/")["webrtc-test"] == (
        f"Error: TURN/UDP {coturn.server}: wrong credentials; TURN/TCP {coturn.server}: wrong credentials"
    )
    assert len(server.wait_log("ice-check .*wrong credentials", count=2)) == 2


def test_a_server_that_is_down(make_server: MakeServer, make_coturn: MakeCoturn) -> None:
    coturn = make_coturn()
    coturn.stop()
    server = make_server(**coturn.settings)
    assert set(outcome(server).values()) == {"unreachable"}


def test_a_server_that_speaks_udp_only(make_server: MakeServer, make_coturn: MakeCoturn) -> None:
    server = make_server(**make_coturn(tcp=False).settings)
    assert outcome(server) == {"STUN": "ok", "TURN/UDP": "ok", "TURN/TCP": "unreachable"}


def test_a_name_that_does_not_exist(make_server: MakeServer) -> None:
    server = make_server(STUN_SERVERS="stun:nowhere.invalid:3478")
    assert outcome(server) == {"STUN": "unknown host"}


def test_tls_with_a_trusted_certificate_and_with_another(
    make_server: MakeServer, make_coturn: MakeCoturn, tmp_path: Path
) -> None:
    coturn = make_coturn(tls=True)
    coturn.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusting = make_server(**coturn.settings, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    assert outcome(trusting) == {"STUN": "ok", "TURN/UDP": "ok", "TURN/TCP": "ok", "TURNS": "ok"}
    assert outcome(make_server(**coturn.settings))["TURNS"].startswith("certificate not trusted")


def test_a_port_without_tls(make_server: MakeServer, session_server: Server) -> None:
    """A web server is at the port: it is no STUN server, and speaks no TLS."""
    address = f"127.0.0.1:{session_server.port}"
    server = make_server(STUN_SERVERS=f"stuns:{address}")
    assert outcome(server)["STUNS"] in {"no TLS there", "unreachable"}


def test_credentials_are_made_for_the_test_when_they_expire(
    make_server: MakeServer, make_coturn: MakeCoturn
) -> None:
    coturn = make_coturn(secret="north-remembers")
    server = make_server(**coturn.settings)
    assert outcome(server) == {"STUN": "ok", "TURN/UDP": "ok", "TURN/TCP": "ok"}
    assert ":_server_/test>" in coturn.log()
    wrong = make_server(**coturn.settings | {"COTURN_SECRET": "south"})
    assert outcome(wrong)["TURN/UDP"] == "wrong credentials"


# --- when it runs ---


def test_many_who_ask_at_once_wait_for_one_run(make_server: MakeServer, make_coturn: MakeCoturn) -> None:
    coturn = make_coturn()
    server = make_server(**coturn.settings)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(requests.get(server.url, timeout=15).json()))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["webrtc-test"] for answer in answers] == [PASSED] * 20
    assert server.api("/")["webrtc-test"] == PASSED
    assert allocations(coturn) == 2, "one over UDP and one over TCP"


def test_an_outcome_is_good_for_five_minutes(make_coturn: MakeCoturn) -> None:
    coturn, now = make_coturn(), 1_000_000
    check = IceCheck(IceServers(Config.from_env(coturn.settings)), clock=lambda: now)
    first = check.wait()
    assert first is not None
    assert (first.summary, first.finished_at) == (PASSED, now)

    coturn.stop()
    now += 5 * MINUTE - 1
    assert check.wait() is first
    now += 1
    assert check.latest() is first, "nobody has to wait for the next one"
    assert check.running
    second = check.wait()
    assert second is not None
    assert (second.finished_at, second.turn) == (now, False)
    assert not check.running


@pytest.mark.parametrize("slow", ["black_hole", "drip"])
def test_one_that_never_answers_holds_nobody_up(
    make_server: MakeServer, clients: Clients, slow: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(slow)
    turn: dict[str, Any] = {"COTURN_SERVER": address, "COTURN_USER": "vws", "COTURN_PASSWORD": "pw"}
    turn["COTURN_TLS_PORT"] = address.rpartition(":")[2]
    server = make_server(EVENT_RATE_LIMIT="0", **turn)  # the call asks as fast as it can
    pair = Pair(clients, server)
    answers: list[requests.Response] = []
    asking = threading.Thread(target=lambda: answers.append(requests.get(server.url, timeout=20)))
    begun = time.monotonic()
    asking.start()
    until(lambda: server.api("/live")["webrtcTest"]["running"])
    page = server.get("/", headers={"Accept": "text/html"}, timeout=1)
    assert "The test is running." in page.text, "people see the page at once"
    slowest = 0.0
    while asking.is_alive():
        slowest = max(slowest, pair.relay())
    assert time.monotonic() - begun < 10
    assert slowest < 1, "a call was held up"
    assert "timeout" in answers[0].json()["webrtc-test"]
    errors = outcome(server)
    assert len(errors) == 4
    assert {errors[name] for name in ("STUN", "TURN/UDP", "TURN/TCP")} == {"timeout"}
    assert errors["TURNS"] in {"timeout", "no TLS there"}
    pair.undisturbed()


# --- what it leaves behind, and what it shows ---


def children(pid: int) -> list[int]:
    """List the processes that this one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_credentials_are_in_no_argument_no_variable_no_answer_and_no_log(
    make_server: MakeServer, black_hole: str
) -> None:
    secrets: dict[str, Any] = {"COTURN_SECRET": "north-remembers", "API_KEY": "the-key"}
    server = make_server(COTURN_SERVER=black_hole, VWS_ENV="production", **secrets)
    assert server.api("/live")["webrtcTest"]["running"]
    until(lambda: children(server.pid))
    (child,) = children(server.pid)
    arguments = Path(f"/proc/{child}/cmdline")
    until(lambda: b"ice_probe" in arguments.read_bytes())
    seen = arguments.read_bytes() + Path(f"/proc/{child}/environ").read_bytes()
    shown = seen.decode() + server.get("/live").text + server.get("/").text + server.log()
    for secret in (*secrets.values(), "static-token"):
        assert secret not in shown


def with_aioice(folder: Path, source: str) -> dict[str, Any]:
    """Return settings for a server that finds this aioice, and not the one that is installed."""
    (folder / "aioice.py").write_text(source)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def test_a_test_that_cannot_run_says_so_and_the_log_why(
    make_server: MakeServer, coturn: Coturn, tmp_path: Path
) -> None:
    broken = with_aioice(tmp_path, "raise ImportError('the wheel is broken')")
    server = make_server(**coturn.settings | broken)
    assert set(outcome(server).values()) == {UNTRIED}
    server.wait_log('error ice-check-failed error="ImportError: the wheel is broken"')
    until(lambda: not children(server.pid))


def test_a_test_that_says_nonsense_is_not_begun_again_at_once(
    make_server: MakeServer, coturn: Coturn, tmp_path: Path
) -> None:
    odd = with_aioice(tmp_path, """print('{"index": []}', flush=True); raise SystemExit""")
    server = make_server(**coturn.settings | odd)
    assert set(outcome(server).values()) == {UNTRIED}
    for _ in range(3):
        assert server.api("/live")["webrtcTest"]["running"] is False
    assert server.log().count("failure during=ice-check") == 1


def test_files_in_the_current_folder_are_not_run(make_server: MakeServer, coturn: Coturn) -> None:
    server = make_server(**coturn.settings)
    (server.folder / "aioice.py").write_text("raise ImportError")
    assert set(outcome(server).values()) == {"ok"}


def test_the_process_is_gone_after_the_test(make_server: MakeServer, coturn: Coturn) -> None:
    server = make_server(**coturn.settings)
    outcome(server)
    until(lambda: not children(server.pid))


def test_a_server_that_stops_in_a_test_leaves_no_process(make_server: MakeServer, black_hole: str) -> None:
    server, begun = make_server(STUN_SERVERS=f"stun:{black_hole}"), time.monotonic()
    assert server.api("/live")["webrtcTest"]["running"]
    until(lambda: children(server.pid))
    (child,) = children(server.pid)
    server.finish()
    with contextlib.suppress(FileNotFoundError):
        until(lambda: not Path(f"/proc/{child}").exists(), timeout=6)
    assert time.monotonic() - begun < 7, "it may have ended by itself"
