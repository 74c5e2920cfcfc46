"""Ending in order when the program is told to."""

from __future__ import annotations

import signal
import sys

__all__ = ["end_in_order"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_in_order() -> None:
    """Have SIGTERM and SIGINT, also one ignored as by shells in the background, unwind what was started."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # another would break off the unwinding
    sys.exit(128 + number)
