"""The one timer behind all deadlines: a wheel, turned by gevent's loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from vws.transport.timers import TimerWheel

__all__ = ["Clock"]


class Clock:
    """Runs callbacks on the hub after some seconds; they must not wait."""

    tick = 0.1

    def __init__(self) -> None:
        self._wheel: TimerWheel | None = None
        self._timer: Any = None

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        """Call back after ``delay`` seconds, up to a tick earlier."""
        if self._wheel is None:
            self._wheel = self._start()
        self._wheel.after(delay, callback)

    def _start(self) -> TimerWheel:
        """Start here and not with the server: gunicorn forks in between."""
        wheel = TimerWheel(self.tick, time.monotonic())
        self._timer = gevent.get_hub().loop.timer(self.tick, self.tick, ref=False)
        self._timer.start(lambda: wheel.advance(time.monotonic()), update=True)
        return wheel
