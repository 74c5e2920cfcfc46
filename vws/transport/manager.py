"""Who is connected: python-socketio's client manager over one table of clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import socketio

from vws.transport.clients import Client

__all__ = ["ClientManager"]


class Emitted(NamedTuple):
    """A `server.Message`."""

    to: list[str]
    event: str
    args: tuple[Any, ...]
    concern: str


class ClientManager(socketio.Manager):  # type: ignore[misc]  # python-socketio is untyped
    """Clients by id, one id whatever the namespace.

    They are addressed by id alone, never by Socket.IO rooms: so nobody can get into somebody's. The stock
    tables would cost some 3 KB for each client, and leaving a look through all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[str, Client] = {}

    def get_namespaces(self) -> Iterable[str]:
        return {name for client in self.clients.values() for name in client.namespaces}

    def is_connected(self, sid: str, namespace: str) -> bool:
        client = self.clients.get(sid)
        return client is not None and namespace in client.namespaces

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        return self.clients[sid].session.sid if self.is_connected(sid, namespace) else None

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """Yield the clients of a namespace, or those of them that are named."""
        named: Iterable[str] = (
            list(self.clients) if room is None else [room] if isinstance(room, str) else room
        )
        for sid in named:
            eio_sid = self.eio_sid_from_sid(sid, namespace)
            if eio_sid is not None:
                yield sid, eio_sid

    def emit(self, event: str, data: Any, namespace: str, room: Any = None, **options: Any) -> None:
        """Send an event for Flask-SocketIO's users; the program itself uses `Server.deliver`."""
        args = data if isinstance(data, tuple) else () if data is None else (data,)
        skipped: Sequence[str | None] = options.get("skip_sid") or ()
        skipped = [skipped] if isinstance(skipped, str) else skipped
        to = [
            sid
            for sid, _ in self.get_participants(namespace, options.get("to") or room)
            if sid not in skipped
        ]
        self.server.deliver([Emitted(to, event, args, namespace)])
