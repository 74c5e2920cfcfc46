"""The example for coturn's configuration, at a real coturn: whom it lets in, where to, and what it says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aioice import stun, turn

from tests.conftest import MakeServer
from tests.support.coturn import Coturn, ExampleCoturn, running_coturn
from tests.support.server import until
from vws.config import Config
from vws.ice import IceServers

SECRET = "north-remembers"
ADDRESS = "127.0.0.1"
FORBIDDEN = 403
INSIDE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.2", "169.254.169.254", "172.16.0.1", "172.31.255.254"),
    *("192.0.0.1", "192.168.1.1", "198.18.0.1", "203.0.113.8", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
]
OUTSIDE = ["8.8.8.8", "100.63.255.255", "172.15.0.1", "172.32.0.1", "192.167.1.1", "198.20.0.1"]


@pytest.fixture(scope="module")
def coturn() -> Iterator[Coturn]:
    with running_coturn(ExampleCoturn, secret=SECRET, tls=True) as running:
        yield running


def test_all_that_clients_are_given_answers(make_server: MakeServer, coturn: Coturn, tmp_path: Path) -> None:
    coturn.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = make_server(**coturn.settings, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    assert server.api("/")["webrtc-test"] == "STUN/TURN check passed"
    results = server.api("/live")["webrtcTest"]["results"]
    assert [each["transport"] for each in results] == ["STUN", "TURN/UDP", "TURN/TCP", "TURNS"]


def test_nobody_is_let_in_without_the_secret(make_server: MakeServer, coturn: Coturn) -> None:
    server = make_server(**coturn.settings | {"COTURN_SECRET": "another"})
    assert server.api("/")["turn"] is False
    with running_coturn(ExampleCoturn, secret="", tls=True) as open_to_all:
        settings = {"COTURN_SERVER": open_to_all.server, "COTURN_SECRET": ""}
        for login in ({"COTURN_USER": "vws", "COTURN_PASSWORD": "pw"}, {"COTURN_SECRET": SECRET}):
            assert make_server(**cast("Any", {**settings, **login})).api("/")["turn"] is False


def test_its_log_tells_accounts_and_users(coturn: Coturn) -> None:
    async def call() -> None:
        async with relay(coturn):
            pass

    asyncio.run(call())
    until(lambda: re.search(r"\d+:My%20Shop/Alice", coturn.log()), what=coturn.log)


def test_two_who_both_need_the_relay_reach_each_other(coturn: Coturn) -> None:
    async def call() -> bytes:
        async with relay(coturn) as alice, relay(coturn) as bob:
            heard = bob.receiver = cast("Any", _Ear())
            await bob.send_data(b"", cast("Any", alice.relayed_address))  # lets packets of hers in
            await alice.send_data(b"hello", cast("Any", bob.relayed_address))
            return await asyncio.wait_for(heard.said, 5)

    assert asyncio.run(call()) == b"hello"


def test_nothing_is_relayed_into_networks_that_are_not_public(coturn: Coturn) -> None:
    async def answers() -> dict[str, int]:
        async with relay(coturn) as alice:
            return {peer: await permission(alice, peer) for peer in (*INSIDE, *OUTSIDE, ADDRESS)}

    found = asyncio.run(answers())
    assert {peer for peer, code in found.items() if code == FORBIDDEN} == set(INSIDE)
    assert {peer for peer, code in found.items() if code == 0} == {*OUTSIDE, ADDRESS}


class _Ear(asyncio.DatagramProtocol):
    """Keeps the first words it hears."""

    def __init__(self) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if data and not self.said.done():
            self.said.set_result(data)


@asynccontextmanager
async def relay(coturn: Coturn) -> AsyncIterator[turn.TurnClientUdpProtocol]:
    """Have an address at the relay, with credentials as a client is given them."""
    config = Config.from_env({**coturn.settings})
    login = IceServers(config).peer_config("My Shop", "Alice")["iceServers"][1]
    address = (ADDRESS, coturn.port)
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol(address, login["username"], login["credential"], 60, 60),
        remote_addr=address,
    )
    await protocol.connect()
    try:
        yield protocol
    finally:
        await protocol.delete()


async def permission(client: turn.TurnClientUdpProtocol, peer: str) -> int:
    """Ask to relay to an address; return the error's code, 0 for none."""
    request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
    request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
    try:
        await client.request_with_retry(request)
    except stun.TransactionFailed as refusal:
        code: int = refusal.response.attributes["ERROR-CODE"][0]
        return code
    return 0
