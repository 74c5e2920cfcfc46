"""What runs in the background outlives its own faults, each of which is a line in the log."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import gevent

from vws.background import repeat
from vws.config import Config
from vws.core.facts import Fact
from vws.core.rtmp import RtmpClient
from vws.factory import create_app
from vws.state.memory import MemoryState


def stumble(rounds: int) -> Callable[[], None]:
    """Make something that fails in its first rounds."""
    left = iter(range(rounds))

    def act() -> None:
        for number in left:
            raise ZeroDivisionError(f"round {number}\nand so on")

    return act


def test_a_fault_ends_one_round_and_none_after_it(log: io.StringIO) -> None:
    slept: list[None] = []
    repeat("walk", stumble(2), sleep=lambda: slept.append(None), done=lambda: len(slept) == 5)
    first, second = log.getvalue().splitlines()
    assert r' error failure during=walk error="ZeroDivisionError: round 0\nand so on" at=' in first
    assert "test_background.py:" in first
    assert "round 1" in second


def test_what_is_done_already_is_not_even_waited_for() -> None:
    repeat("walk", stumble(1), sleep=stumble(1), done=lambda: True)


class Shaky(MemoryState):
    """Fails in every first round of what is done in the background."""

    swept = looked_after = 0

    def sweep(self, *, when: int) -> None:
        self.swept += 1
        if self.swept == 1:
            raise ZeroDivisionError("cannot sweep")
        super().sweep(when=when)

    def expire_rtmp(self, *, when: int) -> list[tuple[RtmpClient, list[Fact]]]:
        self.looked_after += 1
        if self.looked_after == 1:
            raise ZeroDivisionError("cannot expire")
        return super().expire_rtmp(when=when)


def test_the_programs_own_tasks_go_on(tmp_path: Path, log: io.StringIO) -> None:
    state = Shaky()
    settings = {
        "VWS_ENV": "development",
        "DATABASE_URL": f"sqlite:///{tmp_path}/vws.db",
        "NGINX_HOST": "http://127.0.0.1:9",
        "NGINX_UPDATE_INTERVAL": "1",
    }
    create_app(Config.from_env(settings), state=state)
    with gevent.Timeout(30):
        while state.swept < 2 or state.looked_after < 2:
            gevent.sleep(0.1)
    failures = [line for line in log.getvalue().splitlines() if " failure " in line]
    assert len(failures) == 2
    assert any('during=sweep error="ZeroDivisionError: cannot sweep"' in line for line in failures)
    assert any('during=rtmp error="ZeroDivisionError: cannot expire"' in line for line in failures)
