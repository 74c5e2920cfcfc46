"""Non-blocking byte streams over an accepted socket, plain and TLS, for whoever watches the descriptor."""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
import ssl
from typing import Any, Protocol

from gevent.socket import socket as GeventSocket  # noqa: N812 - a class, whatever its case
from gevent.ssl import SSLSocket

__all__ = [
    "READ",
    "WRITE",
    "PlainStream",
    "Stream",
    "TlsStream",
    "WriteFirst",
    "attach",
    "detach",
    "secure",
    "shut_down",
]

READ, WRITE = 1, 2
"""What gevent's loop can watch a stream's descriptor for."""

READ_SIZE = 65_536
"""Bytes that one client may send before the others have their turn."""


class WriteFirst(BlockingIOError):
    """Nothing can be read before the peer has taken more of what TLS itself has to send."""


class Stream(Protocol):
    """What a connection needs of its socket."""

    fd: int

    @property
    def ready(self) -> bool:
        """Whether the peer can send something already: over TLS, after its handshake."""

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

    ready = True

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> bytes:
        return os.read(self.fd, READ_SIZE)

    def write(self, data: bytes) -> int:
        return os.write(self.fd, data)

    def finish(self) -> None:
        shut_down(self.fd, socket.SHUT_WR)

    def close(self) -> None:
        os.close(self.fd)


class TlsStream:
    """A descriptor and its TLS session; reading from it shakes hands first."""

    __slots__ = ("fd", "session", "shell")

    def __init__(self, fd: int, session: Any, shell: Any) -> None:
        self.fd = fd
        self.session = session
        self.shell = shell  # an empty socket; the session refers to it weakly, and asks it whether to wait

    @property
    def ready(self) -> bool:
        return self.session.version() is not None

    def read(self) -> bytes:
        """Read whole records: what is decrypted already would wake no watcher."""
        try:
            data: bytes = self.session.read(READ_SIZE)
            while pending := self.session.pending():
                data += self.session.read(pending)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            raise WriteFirst from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return data

    def write(self, data: bytes) -> int:
        try:
            return int(self.session.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def finish(self) -> None:
        shut_down(self.fd, socket.SHUT_WR)

    def close(self) -> None:
        os.close(self.fd)


def secure(fd: int, context: Any) -> TlsStream:
    """Begin TLS, as its server, over a descriptor, which will not block any more."""
    # Of what family it is matters to nobody here, and not to say would cost system calls.
    shell = _Shell(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    shell.setblocking(False)
    session = context._wrap_socket(shell, True)  # noqa: SLF001 - what every kind of SSLSocket is made of
    shell.detach()
    return TlsStream(fd, session, shell)


class _Shell(_socket.socket):
    """A socket that can be referred to weakly, and nothing around it."""

    __slots__ = ("__weakref__",)


def attach(stream: Stream, family: int) -> Any:
    """Put a stream into a socket of gevent's, which owns the descriptor from now on."""
    if isinstance(stream, TlsStream):
        return _TlsSocket(stream, family)
    return GeventSocket(family, fileno=stream.fd)


class _TlsSocket(SSLSocket):
    """gevent's TLS socket around a session that exists already."""

    def __init__(self, stream: TlsStream, family: int) -> None:
        GeventSocket.__init__(self, family, socket.SOCK_STREAM, 0, fileno=stream.fd)
        self.server_side = self.suppress_ragged_eofs = True
        self.shell = stream.shell
        self._sslobj = stream.session
        self._connected = True


def detach(sock: Any) -> Stream:
    """Take the descriptor out of gevent's socket, which is of no use afterwards."""
    session = getattr(sock, "_sslobj", None)
    shell = getattr(sock, "shell", None) or sock._sock  # noqa: SLF001 - the one that the session refers to
    fd = sock.detach()
    return PlainStream(fd) if session is None else TlsStream(fd, session, shell)


def shut_down(fd: int, how: int) -> None:
    """Shut a socket's descriptor down, and leave it open."""
    borrowed = socket.socket(fileno=fd)
    with contextlib.suppress(OSError):  # the peer may be gone
        borrowed.shutdown(how)
    borrowed.detach()
