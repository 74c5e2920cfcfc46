"""Signs of life: what every session has in common, whatever carries it."""

from __future__ import annotations

from gevent.event import Event

__all__ = ["PROBE_TIMEOUT", "Pulse"]

PROBE_TIMEOUT = 3.0
"""Seconds for an answer to a ping out of turn, and for the probe of an upgrade."""


class Pulse:
    """Whether a client was heard of since somebody asked; ``silent`` is one that did not answer."""

    __slots__ = ("_asked", "silent")

    def __init__(self) -> None:
        self.silent = False
        self._asked: Event | None = None

    def heard(self) -> None:
        """Note a sign of life; wake whoever asked for one."""
        self.silent = False
        if self._asked is not None:
            self._asked.set()
            self._asked = None

    def wait(self) -> bool:
        """Wait PROBE_TIMEOUT seconds at most for a sign of life; say whether there was one.

        A client that gives none is not worth asking until it is heard of.
        """
        if self._asked is None:
            self._asked = Event()
        self.silent = not self._asked.wait(PROBE_TIMEOUT)
        return not self.silent
