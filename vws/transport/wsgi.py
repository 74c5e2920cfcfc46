"""The web server under it all: gevent's, with deadlines, and quiet about broken clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import gevent
from gevent import pywsgi
from geventwebsocket.gunicorn.workers import GeventWebSocketWorker

from vws.errors import ConfigError
from vws.transport.handler import Handler

__all__ = ["WebServer", "Worker", "check_certificate"]

HANDSHAKE_TIMEOUT = 10
REQUEST_TIMEOUT = 60
"""Seconds in which a request must make progress; a WebSocket lifts it."""


def check_certificate(key: str, cert: str) -> None:
    """Raise `ConfigError` for files that are no key and certificate, which would show only with a client."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except OSError as error:
        raise ConfigError(f"CERTIFICATE must lead to a key and its certificate in PEM: {error}") from None


class WebServer(pywsgi.WSGIServer):
    """Serves requests by `Handler`; clients that break TLS or HTTP are dropped without a traceback."""

    handler_class = Handler

    def __init__(self, *args: Any, **options: Any) -> None:
        options["log"] = options["error_log"] = None
        super().__init__(*args, **options)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        try:
            with gevent.Timeout(HANDSHAKE_TIMEOUT):
                secured = self._secure(client_socket)
        except (ssl.SSLError, OSError, gevent.Timeout):
            client_socket.close()
            return None
        with secured:
            return self.handle(secured, address)

    def _secure(self, client_socket: Any) -> Any:
        server: Any = self  # gevent's type information gets this attribute wrong
        return server.wrap_socket(client_socket, **server.ssl_args)

    def handle(self, sock: Any, address: Any) -> None:
        sock.settimeout(REQUEST_TIMEOUT)
        if sock.family != socket.AF_UNIX:  # small packets leave at once: waiting for more costs 40 ms each
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the client went away, or was too slow
            super().handle(sock, address)


class Worker(GeventWebSocketWorker):  # type: ignore[misc]  # no type information
    """gunicorn's worker with this web server."""

    server_class = WebServer
    wsgi_handler = Handler
