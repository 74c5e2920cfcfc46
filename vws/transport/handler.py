"""Reads requests and shakes hands for WebSockets; what follows is a `Connection`'s.

gevent-websocket does the handshake. The answer is sent only when the application takes the connection over:
until then it can still refuse.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from http import HTTPStatus
from socket import SHUT_RDWR
from typing import Any

import gevent
from geventwebsocket.handler import WebSocketHandler

from vws.transport.guests import GUEST, host_of
from vws.transport.streams import shut_down

__all__ = ["Handler", "Upgrade"]

IDLE_TIMEOUT = 15
"""Seconds that a connection may take for the first line of its next request."""

HEAD_TIMEOUT = 10
"""Seconds that the rest of a request's head may take, however steadily it trickles."""

_LOGGER = logging.getLogger(__name__)


class Upgrade:
    """A handshake that is right, and not answered yet."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.accepted = False

    def accept(self) -> Handler:
        """Send the answer; return the handler, whose socket carries frames from now on."""
        self.accepted = True
        self._handler.write(b"")  # the answer that `upgrade_connection` prepared
        return self._handler


class Handler(WebSocketHandler):  # type: ignore[misc]  # gevent-websocket has no type information
    """Handles requests, with deadlines, and offers those that ask for a WebSocket as `Upgrade`."""

    websocket: Any = None

    def upgrade_websocket(self) -> Any:
        refusal = super().upgrade_websocket()
        return [b"Bad WebSocket handshake"] if refusal else None  # the stock texts are no bytes

    def upgrade_connection(self) -> Any:
        try:
            result = super().upgrade_connection()
        except ValueError:  # a key that is not base64
            self.start_response("400 Bad Request", [])
            return [b"Invalid key"]
        stock = self.websocket
        if stock is not None:
            stock.closed = True  # or it would send a close frame when it is collected
            self.websocket = self.environ["wsgi.websocket"] = Upgrade(self)
        return result

    def run_application(self) -> None:
        """Leave it to the application: it opens the WebSocket, or answers as it does to any request."""
        self.websocket = None
        self.result = self.upgrade_websocket()
        if self.result is not None:
            self.process_result()
            return
        try:
            super(WebSocketHandler, self).run_application()
        finally:
            taken = self._upgraded
            self.websocket = self.environ["wsgi.websocket"] = None
            if not taken:
                self._skip_body()

    def _skip_body(self) -> None:
        """Read past a body that nobody wanted, waiting for it no longer than for a head."""
        try:
            with gevent.Timeout(HEAD_TIMEOUT, TimeoutError("slow body")):
                self.wsgi_input._discard()  # noqa: SLF001 - what the server does after this, without a deadline
        except (OSError, ValueError):
            self.close_connection = True
            self.wsgi_input.content_length, self.wsgi_input.chunked_input = 0, False

    @property
    def _upgraded(self) -> bool:
        return isinstance(self.websocket, Upgrade) and self.websocket.accepted

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if self._upgraded:  # what the application answers after a WebSocket goes nowhere
            return lambda _data: None
        return super().start_response(status, headers, exc_info)

    def _prepare_response(self) -> None:
        """Take the head for a WebSocket's only where it is: an offer may be refused as any request."""
        if self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            super()._prepare_response()

    def process_result(self) -> None:
        if not self._upgraded:
            super().process_result()

    # --- `guests.Guest` ---

    @property
    def host(self) -> str:
        return host_of(self.client_address)

    def turn_out(self) -> None:
        """End the connection under its reader, who then closes it."""
        sock = getattr(self, "socket", None)
        if sock is not None and sock.fileno() >= 0:
            shut_down(sock.fileno(), SHUT_RDWR)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[GUEST] = self
        return environ

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Count the connection as a session's, no more as a guest, while the session answers a request."""
        self.server.guests.leave(self)
        try:
            yield
        finally:
            self.server.guests.enter(self)

    # --- requests ---

    def read_requestline(self) -> str:
        gevent.sleep(0)  # requests that are already there would be served without a turn for others
        with gevent.Timeout(IDLE_TIMEOUT, TimeoutError("no request")):
            line = str(super().read_requestline())
        if line:  # at the end there is none; who was turned out would turn others out in its place
            self.server.guests.enter(self)
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Read the head; folded lines, long out of HTTP, would get line breaks into answers' headers."""
        with gevent.Timeout(HEAD_TIMEOUT, TimeoutError("slow head")):
            read = bool(super().read_request(raw_requestline))
        if any("\n" in value or "\r" in value for value in self.headers.values()):
            raise ValueError("folded header")
        return read

    def _handle_client_error(self, _error: Exception) -> tuple[str, bytes]:
        """Refuse what is no request; the stock way prints a traceback for some of them."""
        return "400", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    def handle_error(self, kind: type[BaseException], error: BaseException, place: Any) -> None:
        """Say in one line that the program failed; a client that went away is no failure of it."""
        if issubclass(kind, OSError):
            self.close_connection = True
            return
        _LOGGER.error("request failed", exc_info=(kind, error, place))
        self._send_error_response_if_possible(500)

    def log_request(self) -> None:
        """Leave it to the program to say what happened."""
