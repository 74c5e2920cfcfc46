"""A machine whose clock is set: deadlines go on as they were, and people are shown the new time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests

from tests.conftest import Clients, MakeServer
from tests.support.server import ROOT, Server, row
from tests.test_http_api import STREAM, ok

SETTABLE = """
import os, time

def set_by(clock, unit):
    return lambda: clock() + int(open(os.environ["CLOCK_SET_BY"]).read()) * unit

time.time, time.time_ns = set_by(time.time, 1), set_by(time.time_ns, 1_000_000_000)
"""
"""What Python runs before the program: there the clock is off by the seconds that a file holds."""

DAY = 86_400


class Machine:
    """A server on a machine of which the test sets the clock."""

    def __init__(self, server: Server, offset: Path) -> None:
        self.server = server
        self._offset = offset

    def set_clock(self, seconds: int) -> None:
        self._offset.write_text(str(seconds))

    def publish(self, client: int) -> requests.Response:
        """Ask as nginx does whether somebody may broadcast."""
        form = f"call=publish&addr=10.0.0.1&clientid={client}&name=Acme/Stage&pin=in"
        return self.server.post("/nginx/on_publish", form.encode())


@pytest.fixture
def machine(make_server: MakeServer, tmp_path: Path) -> Machine:
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(SETTABLE)
    server = make_server(
        PYTHONPATH=f"{tmp_path}:{ROOT}",
        CLOCK_SET_BY=str(offset),
        NGINX_HOST="http://127.0.0.1:9",
        AUTH_RATE_LIMIT="1",
        CHAT_HISTORY_TTL="60",
        accounts=[row("Acme", broadcastPin="in")],
    )
    return Machine(server, offset)


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_set_moves_no_deadline(machine: Machine, days: int) -> None:
    server = machine.server
    assert server.get("/status", token="wrong").status_code == 401
    assert machine.publish(1).ok
    machine.set_clock(days * DAY)
    assert server.get("/status", token="wrong").status_code == 429
    assert machine.publish(2).text == "Stream is already live."
    assert 0 <= server.api("/live")["uptime"] < 600_000


def test_people_are_shown_the_time_as_it_is_set(machine: Machine, clients: Clients) -> None:
    machine.set_clock(DAY)
    assert machine.publish(1).ok
    ok(clients.token("Acme-token", server=machine.server), "publish", "Alice", "Lobby", STREAM)
    times = {name: shown["time"] for name, shown in machine.server.api("/channels")}
    tomorrow = (time.time() + DAY) * 1000
    assert set(times) == {"Lobby", "Stage"}
    assert all(abs(shown - tomorrow) < 60_000 for shown in times.values())


def test_who_is_banned_stays_so_when_the_clock_is_set(machine: Machine, clients: Clients) -> None:
    mod = clients.verified("mod Mary", server=machine.server)
    bob = clients.verified("Bob", server=machine.server)
    for who in (mod, bob):
        ok(who, "roomJoin", {"room": "Hall"})
    ok(mod, "roomAction", {"room": "Hall", "action": "ban", "user": "Bob", "minutes": 5})
    machine.set_clock(DAY)
    refused = bob.call("roomJoin", {"room": "Hall"})
    assert refused["error"]["message"] == "You are banned from this room."
