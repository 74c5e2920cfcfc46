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
from typing import Any

from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from vws.transport.frames import CloseCode, Frame, FrameError, Opcode, Reader, encode

__all__ = ["Handler", "WebSocket"]

READ_SIZE = 65_536
_LOGGER = logging.getLogger(__name__)


class WebSocket:
    """One client's connection; errors of the peer or the network end it, they are never raised.

    Has the attributes that python-engineio's gevent driver looks at.
    """

    version = protocol = None

    def __init__(self, environ: dict[str, Any], connection: Any, rfile: Any, max_size: int) -> None:
        self.path = environ.get("PATH_INFO")
        self.origin = environ.get("HTTP_ORIGIN")
        self.closed = False
        self._connection = connection
        self._rfile = rfile
        self._reader = Reader(max_size)
        self._messages: deque[str | bytes] = deque()

    def receive(self) -> str | bytes | None:
        """Wait for a message; None when the connection has ended."""
        try:
            while not self._messages and not self.closed:
                self._read()
        except FrameError as error:
            self.close(error.code)
        except (OSError, ValueError):  # ValueError: the file was closed under a waiting reader
            self.cut()
        return self._messages.popleft() if self._messages else None

    def _read(self) -> None:
        data = self._rfile.read1(READ_SIZE)
        if not data:
            self.cut()
            return
        for frame in self._reader.feed(data):
            self._take(frame)

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

    def upgrade_websocket(self) -> Any:
        refusal = super().upgrade_websocket()
        return [b"Bad WebSocket handshake"] if refusal else None  # the stock texts are no bytes

    def upgrade_connection(self) -> Any:
        try:
            result = super().upgrade_connection()
        except ValueError:  # a key that is not base64
            self.start_response("400 Bad Request", [])
            return [b"Invalid key"]
        stock = getattr(self, "websocket", None)
        if stock is not None:
            stock.closed = True  # or it would send a close frame when it is collected
            self.socket.settimeout(None)
            self.websocket = WebSocket(self.environ, self.socket, self.rfile, self.max_message_size)
            self.environ["wsgi.websocket"] = self.websocket
        return result

    def run_websocket(self) -> None:
        try:
            list(self.application(self.environ, lambda *_: []))
        finally:
            self.websocket.close()
            self.environ["wsgi.websocket"] = None
            del self.websocket

    def read_request(self, raw_requestline: str) -> bool:
        """Read the head; folded lines, long out of HTTP, would get line breaks into answers' headers."""
        read = bool(super().read_request(raw_requestline))
        if any("\n" in value or "\r" in value for value in self.headers.values()):
            raise ValueError("folded header")
        return read

    def _handle_client_error(self, _error: Exception) -> tuple[str, bytes]:
        """Refuse what is no request; the stock way prints a traceback for some of them."""
        answer: tuple[str, bytes] = ("400", pywsgi._BAD_REQUEST_RESPONSE)  # noqa: SLF001 - as it does
        return answer

    def handle_error(self, kind: type[BaseException], error: BaseException, place: Any) -> None:
        """Say in one line that the program failed; a client that went away is no failure of it."""
        if issubclass(kind, OSError):
            self.close_connection = True
            return
        _LOGGER.error("request failed", exc_info=(kind, error, place))
        self._send_error_response_if_possible(500)

    def log_request(self) -> None:
        """Leave it to the program to say what happened."""
