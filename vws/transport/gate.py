"""The door in front of Socket.IO: full is full, and the browser client's files are no packets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from vws.transport.clock import Clock
from vws.transport.engine import Engine
from vws.transport.guests import Guests
from vws.transport.handshake import Handshake
from vws.transport.streams import Stream

__all__ = ["Gate"]

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

PLAIN = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
]
"""Headers of answers that are for one client and no pages, whatever of its own words is in them."""

CLIENT_FILES = ("/socket.io/socket.io.js", "/socket.io/socket.io.min.js")
PREFIX = "/socket.io/"


class Gate:
    """WSGI middleware around the Socket.IO middleware.

    ``at_once`` and ``per_address`` limit open connections, 0 lifts them; beyond them a new one gets a 503
    before it is upgraded. ``is_proxy`` tells addresses that stand for many clients.
    """

    def __init__(
        self,
        sockets: Wsgi,
        pages: Wsgi,
        engine: Engine,
        *,
        at_once: int,
        per_address: int,
        is_proxy: Callable[[str], bool] = lambda _address: False,
    ) -> None:
        self._sockets = sockets
        self._pages = pages
        self._engine = engine
        self._at_once = at_once
        self._per_address = per_address
        self.guests = Guests(engine, at_once=at_once, per_address=per_address, exempt=is_proxy)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in CLIENT_FILES:
            return self._pages(environ, start_response)
        if path.startswith(PREFIX):
            return self._packets(environ, _plain(start_response))
        return self._sockets(environ, start_response)

    def _packets(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if _wants_script(environ):  # nothing is escaped for it
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"JSONP is not supported"]
        if _is_new(environ) and self._full(environ):
            start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Retry-After", "5")])
            return [b"Too many connections"]
        return self._sockets(environ, start_response)

    @property
    def timers(self) -> Clock:
        return self._engine.timers

    def welcome(self, handshake: Handshake, stream: Stream, early: bytes) -> bool:
        """`visitor.Entrance`: begin a session, unless its origin needs a closer look or all is full."""
        allowed = self._engine.cors_allowed_origins
        if allowed != "*" and handshake.origin not in (*allowed, ""):
            return False
        if self._full(handshake.environ):
            return False
        address = self._engine.address_of(handshake.environ)
        self._engine.open(stream, early, address=address, answer=handshake.answer)
        return True

    def _full(self, environ: dict[str, Any]) -> bool:
        if self._engine.closing or 0 < self._at_once <= len(self._engine.sockets):
            return True
        open_here = self._engine.addresses[self._engine.address_of(environ)]
        return 0 < self._per_address <= open_here


def _plain(start_response: Any) -> Any:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, *PLAIN], exc_info)

    return start


def _is_new(environ: dict[str, Any]) -> bool:
    return "sid" not in parse_qs(environ.get("QUERY_STRING", ""))


def _wants_script(environ: dict[str, Any]) -> bool:
    return "j" in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
