"""A WebSocket over a request's socket, and the request handler that opens it.

gevent-websocket does the handshake. Its own frame reader buffers frames of any declared length and works
byte by byte, so frames are read by `vws.transport.frames` instead.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from geventwebsocket.handler import WebSocketHandler

from vws.transport.frames import CloseCode, Frame, FrameError, Opcode, Reader, encode

__all__ = ["Handler", "WebSocket"]

TURN = 16
"""Messages of one client that are handled before others have their turn."""

READ_SIZE = 16_384
"""Bytes that one client may send before the others have their turn."""

IDLE_TIMEOUT = 60
"""Seconds that a connection may take for the first line of its next request."""

HEAD_TIMEOUT = 10
"""Seconds that the rest of a request's head may take, however steadily it trickles."""

_LOGGER = logging.getLogger(__name__)


class WebSocket:
    """One client's connection; errors of the peer or the network end it, they are never raised.

    Has the attributes that python-engineio's gevent driver looks at.
    """

    version = protocol = None

    def __init__(
        self,
        environ: dict[str, Any],
        connection: Any,
        rfile: Any,
        max_size: int,
        *,
        upgrade: Callable[[], None],
    ) -> None:
        self.path = environ.get("PATH_INFO")
        self.origin = environ.get("HTTP_ORIGIN")
        self.opened = self.closed = False
        self._upgrade = upgrade
        self._connection = connection
        self._rfile = rfile
        self._reader = Reader(max_size)
        self._messages: deque[str | bytes] = deque()
        self._writing = BoundedSemaphore(1)
        self._since_turn = 0

    def open(self) -> None:
        """Accept the client's handshake: from here on there are frames."""
        self.opened = True
        self._upgrade()

    def receive(self) -> str | bytes | None:
        """Wait for a message; None when the connection has ended."""
        try:
            self._give_way()
            while not self._messages and not self.closed:
                self._read()
        except FrameError as error:
            self.close(error.code)
        except (OSError, ValueError):  # ValueError: the file was closed under a waiting reader
            self.cut()
        return self._messages.popleft() if self._messages else None

    def _give_way(self) -> None:
        """Let others have a turn now and then: neither a full buffer nor one to be read is waited for."""
        self._since_turn += 1
        if self._since_turn >= TURN:
            self._since_turn = 0
            gevent.sleep(0)

    def _read(self) -> None:
        self._since_turn = TURN
        self._give_way()
        data = self._rfile.read1(READ_SIZE)
        if not data:
            self.cut()
            return
        for frame in self._reader.feed(data):
            self._take(frame)
            if self.closed:  # nothing counts after a close frame
                return

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT:
                self._messages.append(frame.data.decode())
            case Opcode.BINARY:
                self._messages.append(frame.data)
            case Opcode.PING:
                self._write(Opcode.PONG, frame.data)
            case Opcode.CLOSE:
                self.close(_answer_to_close(frame.data))

    def send(self, message: str | bytes) -> None:
        """Send a message; raise OSError when the connection has ended."""
        if self.closed:
            raise BrokenPipeError(errno.EPIPE, "closed")
        opcode, data = (
            (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
        )
        self._write(opcode, data)

    def _write(self, opcode: Opcode, data: bytes) -> None:
        with self._writing:  # two greenlets may write, and frames must not mix
            self._connection.sendall(encode(opcode, data))

    def close(self, code: CloseCode = CloseCode.NORMAL) -> None:
        """Say goodbye, if there is still somebody to hear it, and end the connection."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(OSError):
            self._write(Opcode.CLOSE, code.to_bytes(2, "big"))
        self._shut_down()

    def cut(self) -> None:
        """End the connection without a word, waking whoever waits on it."""
        self.closed = True
        self._shut_down()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # a TLS socket without its peer has no attributes
            self._connection.shutdown(socket.SHUT_RDWR)


def _answer_to_close(payload: bytes) -> CloseCode:
    """Answer a close frame in kind; a malformed one is a protocol error."""
    if not payload:
        return CloseCode.NORMAL
    code = int.from_bytes(payload[:2], "big")
    known = 1000 <= code <= 1003 or 1007 <= code <= 1011 or 3000 <= code <= 4999
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        known = False
    return CloseCode.NORMAL if known and len(payload) >= 2 else CloseCode.PROTOCOL_ERROR


class Handler(WebSocketHandler):  # type: ignore[misc]  # gevent-websocket has no type information
    """Handles requests; upgrades those that ask for it to `WebSocket`."""

    max_message_size = 1_000_000
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
            self.websocket = WebSocket(
                self.environ, self.socket, self.rfile, self.max_message_size, upgrade=self._upgrade
            )
            self.environ["wsgi.websocket"] = self.websocket
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
            if self._upgraded:
                self.websocket.close()
            self.websocket = self.environ["wsgi.websocket"] = None
            self._skip_body()

    def _skip_body(self) -> None:
        """Read past a body that nobody wanted, waiting for it no longer than for a head."""
        try:
            with gevent.Timeout(HEAD_TIMEOUT, TimeoutError("slow body")):
                self.wsgi_input._discard()  # noqa: SLF001 - what the server does after this, without a deadline
        except (OSError, ValueError):
            self.close_connection = True
            self.wsgi_input.content_length, self.wsgi_input.chunked_input = 0, False

    def _upgrade(self) -> None:
        self.socket.settimeout(None)
        self.write(b"")  # the answer that `upgrade_connection` prepared

    @property
    def _upgraded(self) -> bool:
        return isinstance(self.websocket, WebSocket) and self.websocket.opened

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if self._upgraded:  # what the application answers after a WebSocket goes nowhere
            return lambda _data: None
        return super().start_response(status, headers, exc_info)

    def _prepare_response(self) -> None:
        if self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            super()._prepare_response()

    def process_result(self) -> None:
        if not self._upgraded:
            super().process_result()

    def read_requestline(self) -> str:
        gevent.sleep(0)  # requests that are already there would be served without a turn for others
        with gevent.Timeout(IDLE_TIMEOUT, TimeoutError("no request")):
            return str(super().read_requestline())

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
