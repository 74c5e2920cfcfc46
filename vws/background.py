"""What is done again and again beside everything else, for as long as the program runs."""

from __future__ import annotations

from collections.abc import Callable

from vws import logs

__all__ = ["repeat"]


def repeat(
    name: str,
    act: Callable[[], object],
    *,
    sleep: Callable[[], object],
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Act after every sleep until it is done; what nobody foresaw is a line in the log, and not the end."""
    while not done():
        sleep()
        try:
            act()
        except Exception as error:  # whatever it is, nobody would come and go on
            logs.failure(name, error)
