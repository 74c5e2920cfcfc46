"""Taking a connection over from the request handler that shook hands on it."""

from __future__ import annotations

import contextlib
from typing import Any

from vws.transport.handler import Upgrade
from vws.transport.streams import Stream, detach

__all__ = ["take_over"]

EARLY = 131_072
"""Bytes that may have arrived together with the handshake: a first read, and what TLS has decrypted."""


def take_over(environ: dict[str, Any]) -> tuple[Stream, bytes]:
    """Accept the handshake and return the connection, with what its client has sent already.

    The handler that owned it finds no socket any more when the application returns, and ends.
    """
    pending = environ["wsgi.websocket"]
    if isinstance(pending, Upgrade):
        handler = pending.accept()
    else:  # gevent-websocket's own, under its own worker: the handshake is complete
        handler = pending.handler
        pending.closed = True  # or a close frame would follow
    return _detach_from(handler)


def _detach_from(handler: Any) -> tuple[Stream, bytes]:
    sock = handler.socket
    sock.settimeout(0)
    early = _buffered(handler.rfile)
    handler.socket = None  # or the handler would read on exit what is ours
    handler.close_connection = True
    return detach(sock), early


def _buffered(rfile: Any) -> bytes:
    """Read what is there already: left in a buffer, be it that of TLS, it would wake nobody."""
    data = b""
    with contextlib.suppress(OSError):  # a TLS socket says so when there is nothing
        while len(data) < EARLY and (more := rfile.read1(EARLY)):
            data += more
    return data
