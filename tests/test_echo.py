"""The echo server of docs/websocket-conformance.md still runs, and sends back what comes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import websocket

from tests.support.raw import WEBSOCKET
from tests.support.server import ROOT, free_port, until


@pytest.fixture
def port() -> Iterator[int]:
    """Run the echo server for this test; return its port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.echo", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield port
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_text_and_binary_messages_come_back_as_they_are(port: int) -> None:
    until(lambda: listens(port), what="the echo server to start")
    echo = websocket.create_connection(f"ws://127.0.0.1:{port}{WEBSOCKET}", timeout=10)
    for opcode, data in [(1, "héllo".encode()), (2, bytes(range(256))), (1, b""), (2, b"x" * 1_000_000)]:
        echo.send(data, opcode)
        assert echo.recv_data() == (opcode, data)
    echo.close()
