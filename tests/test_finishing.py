"""Servers that tests start are stopped whatever happens: none is left to the next test."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeServer, finishing
from tests.support.server import Server


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def servers(start_server: MakeServer) -> list[Server]:
    return [start_server() for _ in range(2)]


def test_servers_are_finished_when_the_block_raises(servers: list[Server]) -> None:
    pids = [server.pid for server in servers]
    with pytest.raises(ZeroDivisionError), finishing(servers):
        raise ZeroDivisionError
    assert alive(pids) == []


def test_the_others_are_finished_when_one_does_not_end_in_order(servers: list[Server]) -> None:
    pids = [server.pid for server in servers]
    with pytest.raises(AssertionError, match="exit code"), finishing(servers):
        os.kill(pids[1], signal.SIGKILL)
    assert alive(pids) == []
