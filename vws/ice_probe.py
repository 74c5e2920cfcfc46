"""Try STUN and TURN servers, as a program: ``python -m vws.ice_probe``.

A process of its own: aioice runs on asyncio and the server on gevent, which do not mix. Standard input
begins with a line ``{"deadline": …, "servers": [{"url": …, "username": …, "credential": …}, …]}``, as
arguments and the environment would show credentials to others on the machine; the deadline is one of
`time.monotonic`, which is the same for all processes. Its end is the end of this process: then nobody waits
for the outcome any more. Standard output is one line per server, in the order of their answers:
``{"index": 0, "ms": 12, "error": ""}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from aioice import stun, turn

from vws.core.ice import IceURL, Transport

__all__ = ["main"]

Server = Mapping[str, str]

DELETE_SECONDS = 1.0
"""How long the end of an allocation is waited for; it ends by itself soon enough."""

LIFETIME = 60
"""Seconds that an allocation is asked for; servers may give more."""

WRONG_CREDENTIALS = (401, 441)
LONGEST_REASON = 100


class _Watched(turn.TurnClientMixin):
    """Lets the network's refusal end the wait for an answer; aioice alone would wait until the time is up."""

    broken: asyncio.Future[None]

    def error_received(self, exc: Exception) -> None:
        if not self.broken.done():
            self.broken.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.error_received(exc or ConnectionResetError())


class _Datagrams(_Watched, turn.TurnClientUdpProtocol):
    pass


class _Stream(_Watched, turn.TurnClientTcpProtocol):
    pass


Protocol = _Datagrams | _Stream


def main() -> None:
    """Try what standard input says, all at once, and write each result as soon as it is known."""
    task = json.loads(sys.stdin.readline())
    left = max(0.0, task["deadline"] - time.monotonic())
    signal.alarm(int(left) + 2)  # a name server that hangs must not keep this process
    asyncio.run(_try_all(task["servers"], left))


async def _try_all(servers: list[Server], seconds: float) -> None:
    # All there was to read has been read.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)
    await asyncio.gather(*(_report(index, server, seconds) for index, server in enumerate(servers)))


async def _report(index: int, server: Server, seconds: float) -> None:
    begun, error = time.monotonic(), ""
    try:
        async with asyncio.timeout(seconds):
            await _try(IceURL.parse(server["url"]), server)
    except Exception as failure:
        error = _describe(failure)  # whatever a server does is a result
    milliseconds = round((time.monotonic() - begun) * 1000)
    sys.stdout.write(json.dumps({"index": index, "ms": milliseconds, "error": error}) + "\n")
    sys.stdout.flush()


async def _try(url: IceURL, server: Server) -> None:
    """Have a STUN server answer, or a TURN server relay for us; raise what goes wrong."""
    protocol = await _connect(url, server)
    try:
        await _unless_broken(protocol, _allocate(protocol) if url.relays else _bind(protocol))
    finally:
        protocol.transport.close()


async def _connect(url: IceURL, server: Server) -> Protocol:
    loop = asyncio.get_running_loop()
    protocol = (_Datagrams if url.transport is Transport.UDP else _Stream)(
        (url.host, url.port), server.get("username"), server.get("credential"), LIFETIME, LIFETIME
    )
    protocol.broken = loop.create_future()
    if isinstance(protocol, _Datagrams):
        await loop.create_datagram_endpoint(lambda: protocol, remote_addr=(url.host, url.port))
    else:
        context = ssl.create_default_context() if url.transport is Transport.TLS else None
        await loop.create_connection(lambda: protocol, url.host, url.port, ssl=context)
    return protocol


async def _unless_broken(protocol: Protocol, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, protocol.broken}, return_when=asyncio.FIRST_COMPLETED)
        await (task if task.done() else protocol.broken)
    finally:
        task.cancel()
        protocol.broken.cancel()


async def _bind(protocol: Protocol) -> None:
    await protocol.request(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))


async def _allocate(protocol: Protocol) -> None:
    await protocol.connect()
    with suppress(Exception):
        async with asyncio.timeout(DELETE_SECONDS):
            await protocol.delete()


def _describe(failure: Exception) -> str:
    """Say in a few words what to look at."""
    match failure:
        case stun.TransactionFailed():
            return _refusal(failure.response)
        case TimeoutError() | stun.TransactionTimeout():
            return "timeout"
        case ssl.SSLCertVerificationError():
            return f"certificate not trusted: {failure.verify_message}"
        case ssl.SSLError():
            return "no TLS there"
        case socket.gaierror():
            return "unknown host"
        case OSError():
            return "unreachable"
        case _:
            return f"unexpected answer ({type(failure).__name__})"


def _refusal(response: stun.Message) -> str:
    code, reason = response.attributes.get("ERROR-CODE", (0, "no reason given"))
    if code in WRONG_CREDENTIALS:
        return "wrong credentials"
    return f"refused: {code} {reason}"[:LONGEST_REASON]


if __name__ == "__main__":
    main()
