"""The web server under it all: gevent's, with deadlines, and quiet about broken clients."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import socket
import ssl
from typing import Any

from gevent import pywsgi
from geventwebsocket.gunicorn.workers import GeventWebSocketWorker

from vws.errors import ConfigError
from vws.transport.handler import Handler
from vws.transport.streams import PlainStream, Stream, attach, secure
from vws.transport.visitor import Entrance, Visitor

__all__ = ["WebServer", "Worker", "tls_context"]

TICKETS = 1
"""Tickets that a client gets for its next TLS handshake; one is enough for those that come one by one."""

SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the system lacks when it has no descriptor, or no memory, for one more connection."""

ROOM_MADE = 100
"""Idle connections that are closed when it is so."""

BACKLOG = 2048
"""Connections that may wait to be accepted: after a restart all clients return at once."""

REQUEST_TIMEOUT = 60
"""Seconds in which a request must make progress; a WebSocket lifts it."""

_LOGGER = logging.getLogger(__name__)


def tls_context(key: str, cert: str) -> ssl.SSLContext:
    """Make what all TLS connections share; raise `ConfigError` for files that are no key and certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise ConfigError(f"CERTIFICATE must lead to a key and its certificate in PEM: {error}") from None
    return context


class WebServer(pywsgi.WSGIServer):
    """Serves requests by `Handler`; clients that break TLS or HTTP are dropped without a traceback.

    Connections are given to `Visitor` first; those that begin with a handshake for a WebSocket never cost a
    greenlet. ``ssl_context`` makes it speak TLS.
    """

    handler_class = Handler
    backlog = BACKLOG

    def __init__(self, listener: Any, application: Any = None, **options: Any) -> None:
        options["log"] = options["error_log"] = None
        self._context: Any = options.get("ssl_context")
        if self._context is not None:
            self._context.num_tickets = TICKETS
        super().__init__(listener, application, **options)
        self._entrance: Entrance = application.extensions["socketio"].entrance
        self.guests = self._entrance.guests

    def init_socket(self) -> None:
        super().init_socket()
        self._handle = self.handle  # gevent's own would shake hands again

    def update_environ(self) -> None:
        """Ask no name server what this machine is called: at every start clients would wait for that."""
        if isinstance(self.address, tuple):
            self.environ.setdefault("SERVER_NAME", str(self.address[0]))
        super().update_environ()

    @classmethod
    def get_listener(cls, *where: Any) -> Any:
        """Listen so that small packets leave at once: waiting for more would cost 40 ms each.

        Those who connect before the server accepts inherit it, too. gunicorn's own listener has it already.
        """
        listener = super().get_listener(*where)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener

    def do_read(self) -> Any:
        """Accept a connection; a bare descriptor will do, no request handler is needed yet."""
        listener: Any = self.socket
        try:
            accepted: tuple[int, Any] = listener._accept()  # noqa: SLF001 - as gevent's own server does
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in SHORT_OF:
                raise
            self._pause(error)
            return None
        return accepted

    def _pause(self, error: OSError) -> None:
        """Accept nobody for a while; who waits to be accepted would wake the loop at once again.

        Room for them is made of connections that do nothing.
        """
        _LOGGER.error("cannot accept connections: %s", error.strerror)
        for _ in range(ROOM_MADE):
            self.guests.turn_out_oldest()
        base: Any = self  # what follows is how gevent's own server pauses
        base.stop_accepting()
        base._timer = base.loop.timer(base.max_delay)  # noqa: SLF001
        base._timer.start(base._start_accepting_if_started)  # noqa: SLF001

    def do_handle(self, *args: Any) -> None:
        fd, address = args
        Visitor(self._stream(fd), address, entrance=self._entrance, house=self)

    def _stream(self, fd: int) -> Stream:
        if self._context is not None:
            return secure(fd, self._context)
        os.set_blocking(fd, False)
        return PlainStream(fd)

    def hand_over(self, stream: Stream, address: Any, early: bytes) -> None:
        """Serve a connection of which ``early`` was read already."""
        if self.closed or self.full():  # waiting for a free place is not possible here
            stream.close()
            return
        base: Any = super()
        base.do_handle(attach(stream, self.family), address, early)

    def handle(self, sock: Any, address: Any, early: bytes = b"") -> None:
        sock.settimeout(REQUEST_TIMEOUT)
        rfile = io.BufferedReader(_Replay(early, sock)) if early else None
        with contextlib.suppress(OSError):  # the client went away, or was too slow
            self._serve(self.handler_class(sock, address, self, rfile))

    def _serve(self, handler: Handler) -> None:
        self.guests.enter(handler)
        try:
            handler.handle()
        finally:
            self.guests.leave(handler)


class _Replay(io.RawIOBase):
    """A socket of which some bytes were read already."""

    def __init__(self, early: bytes, sock: Any) -> None:
        self._early = early
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._early:
            return int(self._sock.recv_into(buffer))
        size = min(len(buffer), len(self._early))
        buffer[:size], self._early = self._early[:size], self._early[size:]
        return size


class Worker(GeventWebSocketWorker):  # type: ignore[misc]  # no type information
    """gunicorn's worker with this web server."""

    server_class = WebServer
    wsgi_handler = Handler
