"""Connections that are no sessions: nobody is locked out by those of others, however many there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.conftest import Clients, MakeServer
from tests.support.pair import Pair
from tests.support.raw import Raw, request, upgrade
from tests.support.server import Runner, Server, until
from vws.transport.guests import HEADROOM

AT_ONCE = 10
POLLING = "/socket.io/?EIO=4&transport=polling"
HEALTH = request("GET", "/health")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def idle(server: Server, stack: ExitStack, count: int, said: bytes) -> list[Raw]:
    """Open connections that do nothing after what they have said."""
    found = []
    for _ in range(count):
        raw = stack.enter_context(Raw(server))
        raw.send(said)
        if said == HEALTH:
            raw.until(b"}")
        found.append(raw)
    return found


def is_closed(raw: Raw) -> bool:
    raw.socket.settimeout(0.01)
    try:
        return raw._more() == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize("said", [b"", b"GET /socket.io/?", b"POST / HTTP/1.1\r\n", HEALTH])
@pytest.mark.parametrize("runner", [Runner.APP, Runner.GUNICORN])
def test_who_is_idle_makes_room_for_who_comes(
    make_server: MakeServer, clients: Clients, stack: ExitStack, runner: Runner, said: bytes
) -> None:
    server = make_server(runner=runner, MAX_CONNECTIONS=str(AT_ONCE))
    pair = Pair(clients, server)
    raws = idle(server, stack, AT_ONCE + HEADROOM + 50, said)
    until(lambda: sum(map(is_closed, raws[:60])) >= 40, what="the oldest to be closed")  # more or less
    assert not is_closed(raws[-1])
    clients.token(server=server)
    assert server.get("/health").ok
    pair.undisturbed()


@pytest.mark.parametrize("said", [b"", b"GET /socket.io/?", HEALTH])
def test_an_address_has_its_limit_for_connections_that_are_no_sessions(
    make_server: MakeServer, clients: Clients, stack: ExitStack, said: bytes
) -> None:
    server = make_server(MAX_CONNECTIONS_PER_ADDRESS="5")
    other = Pair(clients, server)
    raws = idle(server, stack, 20, said)
    until(lambda: sum(map(is_closed, raws)) >= 16, what="all but those that may stay to be closed")
    assert not is_closed(raws[-1])
    other.undisturbed()


def test_proxies_may_have_any_number_of_connections(make_server: MakeServer, stack: ExitStack) -> None:
    server = make_server(MAX_CONNECTIONS_PER_ADDRESS="5", TRUSTED_PROXIES="127.0.0.1")
    raws = idle(server, stack, 20, HEALTH)
    assert not any(map(is_closed, raws))


def test_a_poll_is_not_idle(make_server: MakeServer, stack: ExitStack) -> None:
    server = make_server(MAX_CONNECTIONS_PER_ADDRESS="3")
    sid = str(requests.get(server.url + POLLING, timeout=10).text.partition('"sid":"')[2].partition('"')[0])
    poll = stack.enter_context(Raw(server))
    poll.send(request("GET", f"{POLLING}&sid={sid}"))
    for _ in range(5):  # so that the poll has begun
        server.get("/health")
    idle(server, stack, 20, HEALTH)
    requests.post(f"{server.url}{POLLING}&sid={sid}", '40{"token":"static-token"}', timeout=10)
    assert b'40{"sid"' in poll.until(b"}")


def test_where_sessions_take_all_the_room_newcomers_are_told_so(
    make_server: MakeServer, clients: Clients
) -> None:
    server = make_server(MAX_CONNECTIONS_PER_ADDRESS="2")
    Pair(clients, server)
    for _ in range(5):
        with Raw(server) as raw:
            raw.send(upgrade())
            assert raw.status() == 503


def test_a_connection_without_a_next_request_is_closed_soon(server: Server) -> None:
    started = time.monotonic()
    with Raw(server, timeout=30) as raw:
        raw.send(HEALTH)
        raw.all()
    assert 10 < time.monotonic() - started < 25


def test_idle_connections_over_tls_make_room_too(make_server: MakeServer, clients: Clients) -> None:
    server = make_server(tls=True, MAX_CONNECTIONS_PER_ADDRESS="5")
    with ExitStack() as stack:
        raws = idle(server, stack, 12, HEALTH)
        plain = [stack.enter_context(Raw(server, tls=False)) for _ in range(12)]
        until(lambda: all(map(is_closed, [*raws, *plain[:7]])), what="the oldest to be closed")
        clients.token(server=server)
