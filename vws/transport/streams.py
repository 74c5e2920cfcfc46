"""Non-blocking byte streams over an accepted socket, plain and TLS, for whoever watches the descriptor."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from typing import Any, Protocol

__all__ = ["PlainStream", "Stream", "TlsStream", "detach"]

READ_SIZE = 65_536
"""Bytes that one client may send before the others have their turn."""


class Stream(Protocol):
    """What a connection needs of its socket."""

    fd: int

    def read(self) -> bytes:
        """Return what is there, b"" at the end; raise BlockingIOError when nothing is, else OSError."""

    def write(self, data: bytes) -> int:
        """Return how many bytes were taken; raise BlockingIOError for none, else OSError.

        Over TLS the next call must begin with the same data.
        """

    def finish(self) -> None:
        """Tell the peer that nothing more will be sent."""

    def close(self) -> None: ...


class PlainStream:
    """A socket's file descriptor: the system's own calls and nothing around them."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> bytes:
        return os.read(self.fd, READ_SIZE)

    def write(self, data: bytes) -> int:
        return os.write(self.fd, data)

    def finish(self) -> None:
        _shut_down(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class TlsStream:
    """A descriptor and its TLS session, whose handshake is done."""

    __slots__ = ("_low", "_session", "fd")

    def __init__(self, fd: int, session: Any, low: Any) -> None:
        self.fd = fd
        self._session = session
        self._low = low  # the session refers to it weakly

    def read(self) -> bytes:
        """Read whole records: what is decrypted already would wake no watcher."""
        try:
            data: bytes = self._session.read(READ_SIZE)
            while pending := self._session.pending():
                data += self._session.read(pending)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return data

    def write(self, data: bytes) -> int:
        try:
            return int(self._session.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def finish(self) -> None:
        _shut_down(self.fd)

    def close(self) -> None:
        os.close(self.fd)


def detach(sock: Any) -> Stream:
    """Take the descriptor out of gevent's socket, which is of no use afterwards."""
    session, low = getattr(sock, "_sslobj", None), getattr(sock, "_sock", None)
    fd = sock.detach()
    if session is None:
        return PlainStream(fd)
    return TlsStream(fd, session, low)


def _shut_down(fd: int) -> None:
    borrowed = socket.socket(fileno=fd)
    with contextlib.suppress(OSError):  # the peer may be gone
        borrowed.shutdown(socket.SHUT_WR)
    borrowed.detach()
