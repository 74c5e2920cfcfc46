"""One client as Socket.IO sees it: its id, its namespaces, and its packets one after another."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Protocol

import gevent

__all__ = ["Client", "Session", "Taker"]

MAX_BACKLOG = 256
MAX_BACKLOG_SIZE = 262_144
"""Packets, and bytes of them, that may wait behind one that takes time; then its client is not read."""

_LOGGER = logging.getLogger(__name__)


class Session(Protocol):
    """The Engine.IO session under a client: over a WebSocket, or polled for."""

    sid: str
    closed: bool

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken yet."""

    def push(self, frame: bytes) -> None:
        """Send a text frame, an Engine.IO packet in it; never waits."""

    def answers(self) -> bool: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def admit(self) -> None:
        """Hear that the client may send messages of full size."""

    def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None: ...


class Taker(Protocol):
    """Who handles packets."""

    def take_at_once(self, client: Client, packet: bytes) -> bool:
        """Handle a packet that needs no waiting for anything; False for others."""

    def take(self, client: Client, packet: bytes) -> None:
        """Handle a packet; may wait."""


class Client:
    """``id`` is what others see of it; ``namespace`` is the one it has open, None when it isn't just one.

    ``backlog`` holds the packets that wait behind an event that takes time, None while there is none.
    """

    __slots__ = (
        "_backlog_size",
        "_taker",
        "address",
        "backlog",
        "connects",
        "deadline",
        "id",
        "namespace",
        "namespaces",
        "refusals",
        "session",
        "worker",
    )

    def __init__(self, socket_id: str, session: Session, taker: Taker, *, address: str) -> None:
        self.id = socket_id
        self.session = session
        self.address = address
        self.namespaces: tuple[str, ...] = ()
        self.namespace: str | None = None
        self.deadline: float | None = None
        self.connects = self.refusals = 0
        self.worker: Any = None
        self._taker = taker
        self.backlog: deque[bytes] | None = None
        self._backlog_size = 0

    def open(self, namespace: str) -> None:
        self._set((*self.namespaces, namespace))

    def leave(self, namespace: str) -> None:
        self._set(tuple(name for name in self.namespaces if name != namespace))

    def close(self) -> None:
        """Leave every namespace: nothing reaches the client any more."""
        self._set(())

    def _set(self, namespaces: tuple[str, ...]) -> None:
        self.namespaces = namespaces
        self.namespace = namespaces[0] if len(namespaces) == 1 else None

    def namespace_for(self, prefer: str) -> str | None:
        """Return where an event goes: the preferred namespace, else `/`, else any that is open."""
        for name in (prefer, "/"):
            if name in self.namespaces:
                return name
        return self.namespaces[0] if self.namespaces else None

    def overdrawn(self, connects: int, refusals: int) -> bool:
        """Say whether the client has tried to connect too often, or for too long."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or self.connects > connects or self.refusals >= refusals

    # --- packets, in order ---

    @property
    def busy(self) -> bool:
        """Whether an event of this client waits for something."""
        return self.backlog is not None

    def receive(self, packet: bytes) -> None:
        """Have a packet handled: now, or in a greenlet, after those that came before it."""
        if self.backlog is not None:
            self._put(self.backlog, packet)
        elif not self._taker.take_at_once(self, packet):
            self.backlog = deque([packet])
            self._backlog_size = len(packet)
            self.worker = gevent.spawn(self._work)

    def _put(self, backlog: deque[bytes], packet: bytes) -> None:
        backlog.append(packet)
        self._backlog_size += len(packet)
        if self.crowded:
            self.session.pause()

    @property
    def crowded(self) -> bool:
        """Whether so much waits that the client must not send more."""
        waiting = len(self.backlog) if self.backlog is not None else 0
        return waiting > MAX_BACKLOG or self._backlog_size > MAX_BACKLOG_SIZE

    def _work(self) -> None:
        """Handle what waits until nothing does, giving others a turn now and then."""
        backlog, crowded = self.backlog, False
        try:
            while backlog and not self.session.closed:
                crowded = crowded or self.crowded
                packet = backlog.popleft()
                self._backlog_size -= len(packet)
                self._taker.take(self, packet)
                gevent.sleep(0)
        except Exception:  # as on the hub: a fault of the program costs this client alone
            _LOGGER.error("message failed", exc_info=True)
            self.session.close(abort=True, reason="internal error")
        finally:
            self.backlog = self.worker = None
            if crowded and not self.session.closed:
                self.session.resume()
