"""Taking a name or a channel that somebody holds: alive is checked, not assumed."""

from __future__ import annotations

from collections.abc import Callable

from vws.core.channels import Held
from vws.core.facts import Fact

__all__ = ["Alive", "settle"]

Alive = Callable[[str], bool]
"""Ask a socket for a sign of life; may wait for it, so the asker's own events wait too."""


def settle(attempt: Callable[[frozenset[str]], list[Fact]], alive: Alive) -> list[Fact]:
    """Try an operation until nobody alive is in its way; raise `Held` for the first who is.

    ``attempt`` takes the sockets found dead so far, which lose their places if they still have them.
    """
    dead: frozenset[str] = frozenset()
    while True:
        try:
            return attempt(dead)
        except Held as held:
            if held.holder in dead or alive(held.holder):
                raise
            dead |= {held.holder}
