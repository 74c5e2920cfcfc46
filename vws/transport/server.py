"""The Socket.IO server: connects clients to the program, and the program's messages to clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import flask_socketio
import socketio
from socketio import packet

from vws.errors import Refused
from vws.transport.engine import Connection, Engine
from vws.transport.packets import Incoming, Kind, TextPacket, decode

__all__ = ["Application", "ClientManager", "Server", "SocketIO"]


MAX_BEFORE_CONNECT = 32_768
"""Characters of a packet that are looked at before its sender is connected to a namespace."""

MAX_CONNECTS, MAX_REFUSALS = 100, 64
"""CONNECT packets of one connection, and those of them that may be refused."""


class Application(Protocol):
    """What the server drives; none of these may raise anything but what is said."""

    namespaces: Sequence[str]

    def connect(self, socket_id: str, namespace: str, *, address: str, auth: object) -> None:
        """Admit a client to a namespace; raise `Refused` with the message it is shown. May wait."""

    def event(
        self, socket_id: str, namespace: str, name: str, args: list[Any], *, size: int
    ) -> dict[str, Any]:
        """Handle an event of ``size`` characters and return its acknowledgement.

        May wait; the client's next event waits, too.
        """

    def malformed(self, socket_id: str, namespace: str, name: str, *, size: int) -> dict[str, Any]:
        """Answer an event that could not be read; return its acknowledgement."""

    def disconnect(self, socket_id: str, reason: str) -> None:
        """Forget a client whose last namespace is closed."""


class ClientManager(socketio.Manager):  # type: ignore[misc]  # python-socketio is untyped
    """Keeps who is connected to which namespace, one public id per client whatever the namespace.

    Clients are addressed by id alone, never by Socket.IO rooms: so nobody can get into somebody's.
    """

    def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        sid: str = self.server.connection(eio_sid).public_id
        if sid in self.rooms.get(namespace, {}).get(None, {}):
            return None
        self.basic_enter_room(sid, namespace, None, eio_sid=eio_sid)
        self.basic_enter_room(sid, namespace, sid, eio_sid=eio_sid)
        self.pending_connect.setdefault(namespace, set()).add(sid)
        return sid

    def basic_disconnect(self, sid: str, namespace: str, **_options: Any) -> None:
        """Forget the client's own two rooms; the stock way looks through everybody's."""
        for room in (sid, None):
            self.basic_leave_room(sid, namespace, room)
        self.pending_connect.get(namespace, set()).discard(sid)

    def open_namespaces(self, sid: str) -> list[str]:
        return [name for name in self.rooms if self.is_connected(sid, name)]


class Server(socketio.Server):  # type: ignore[misc]  # python-socketio is untyped
    """Socket.IO over `Engine`, for one `Application`."""

    def __init__(self, *, application: Application, engine_options: dict[str, Any], **options: Any) -> None:
        self.application = application
        super().__init__(client_manager=ClientManager(), **options, **engine_options)
        self.packet_class = TextPacket

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def connection(self, eio_sid: str) -> Connection:
        connection: Connection = self.eio.sockets[eio_sid]
        return connection

    def _connection_of(self, sid: str) -> Connection | None:
        namespace = self._namespace_for(sid, ("/",))
        if namespace is None:
            return None
        connection: Connection | None = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, namespace))
        return connection

    # --- arriving ---

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        """Keep nothing of the request: its environment would hold some 10 KB for each client."""

    def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        """Handle a packet; those of one client one after the other, also when it posts them at once."""
        connection = self.eio.sockets.get(eio_sid)
        if connection is None or not isinstance(data, str):
            return
        if len(data) > MAX_BEFORE_CONNECT and not self.manager.open_namespaces(connection.public_id):
            return
        incoming = decode(data)
        if incoming is None:
            return
        with connection.turn:
            if not connection.closed:
                self._take(connection, incoming)

    def _take(self, connection: Connection, incoming: Incoming) -> None:
        match incoming.kind:
            case Kind.CONNECT:
                connection.connects += 1
                self._handle_connect(connection.sid, incoming.namespace, incoming.data)
            case Kind.DISCONNECT:
                self._handle_disconnect(connection.sid, incoming.namespace, self.reason.CLIENT_DISCONNECT)
            case Kind.EVENT | Kind.BINARY_EVENT:
                self._take_event(connection, incoming)
            case _:  # nobody is asked for acknowledgements, the rest is the server's to send
                pass

    def _handle_connect(self, eio_sid: str, namespace: str, data: object) -> None:
        connection = self.connection(eio_sid)
        if connection.overdrawn(MAX_CONNECTS, MAX_REFUSALS):
            connection.close(reason="too many attempts to connect")
            return
        sid = None
        if namespace in self.application.namespaces:
            sid = self.manager.pre_connect(eio_sid, namespace)
        if sid is None:
            self._refuse(eio_sid, namespace, "Unable to connect")
            return
        deadline, connection.deadline = connection.deadline, None
        try:
            self.application.connect(sid, namespace, address=connection.address, auth=data)
        except Refused as refusal:
            self._refuse(eio_sid, namespace, refusal.message)
            self.manager.disconnect(sid, namespace, ignore_queue=True)
            connection.refusals += 1
            connection.deadline = deadline
            return
        if connection.closed:  # it left while the login site was asked
            self._leave(connection, sid, namespace)
            self._forget(sid, self.reason.CLIENT_DISCONNECT)
            return
        self._send_packet(eio_sid, self.packet_class(packet.CONNECT, {"sid": sid}, namespace=namespace))
        self.manager.connect(sid, namespace)

    def _refuse(self, eio_sid: str, namespace: str, message: str) -> None:
        refusal = self.packet_class(packet.CONNECT_ERROR, {"message": message}, namespace=namespace)
        self._send_packet(eio_sid, refusal)

    def _take_event(self, connection: Connection, incoming: Incoming) -> None:
        namespace, size = incoming.namespace, incoming.size
        if not self.manager.is_connected(connection.public_id, namespace):
            return
        if incoming.kind is Kind.EVENT and incoming.valid:
            name, args = incoming.data[0], incoming.data[1:]
            ack = self.application.event(connection.public_id, namespace, name, args, size=size)
        else:
            ack = self.application.malformed(connection.public_id, namespace, incoming.event, size=size)
        if incoming.id is not None:
            answer = self.packet_class(packet.ACK, [ack], namespace=namespace, id=incoming.id)
            self._send_packet(connection.sid, answer)

    # --- leaving ---

    def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        connection = self.eio.sockets.get(eio_sid)
        if connection is not None and self.manager.is_connected(connection.public_id, namespace):
            self._leave(connection, connection.public_id, namespace)
            self._forget(connection.public_id, reason or self.reason.CLIENT_DISCONNECT)

    def _leave(self, connection: Connection, sid: str, namespace: str) -> None:
        self.manager.disconnect(sid, namespace, ignore_queue=True)
        if not self.manager.open_namespaces(sid):
            connection.renew_deadline()

    def _forget(self, sid: str, reason: str) -> None:
        if not self.manager.open_namespaces(sid):
            self.application.disconnect(sid, reason)

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        for namespace in list(self.application.namespaces):
            self._handle_disconnect(eio_sid, namespace, reason)

    # --- sending ---

    def deliver(
        self, socket_ids: Sequence[str], event: str, args: tuple[Any, ...], *, prefer: Sequence[str]
    ) -> None:
        """Send an event, encoded once per namespace; each client gets it on one.

        That is the first of ``prefer`` that the client has open, else any that it has.
        """
        by_namespace: dict[str, list[str]] = {}
        for sid in socket_ids:
            namespace = self._namespace_for(sid, prefer)
            if namespace is not None:
                by_namespace.setdefault(namespace, []).append(sid)
        for namespace, sids in by_namespace.items():
            self.manager.emit(event, args, namespace=namespace, room=sids)

    def _namespace_for(self, sid: str, prefer: Sequence[str]) -> str | None:
        for namespace in prefer:
            if self.manager.is_connected(sid, namespace):
                return namespace
        return next(iter(self.manager.open_namespaces(sid)), None)

    def answers(self, sid: str) -> bool:
        """Say whether a client shows a sign of life when asked; waits for it, three seconds at most."""
        connection = self._connection_of(sid)
        return connection is not None and connection.answers()

    def is_busy(self, sid: str) -> bool:
        """Say whether too much already waits for a client."""
        connection = self._connection_of(sid)
        return connection is not None and connection.busy

    def drop(self, sid: str, reason: str) -> None:
        """Tell a client that it is disconnected, and close its connection."""
        connection = self._connection_of(sid)
        if connection is not None:
            self._say_goodbye(connection)
            connection.close(reason=reason)

    def shut_down(self) -> None:
        """Do the same to every client, for good."""
        for connection in list(self.eio.sockets.values()):
            self._say_goodbye(connection)
        self.eio.shut_down()

    def _say_goodbye(self, connection: Connection) -> None:
        for namespace in self.manager.open_namespaces(connection.public_id):
            goodbye = self.packet_class(packet.DISCONNECT, namespace=namespace)
            self._send_packet(connection.sid, goodbye)


class SocketIO(flask_socketio.SocketIO):  # type: ignore[misc]  # Flask-SocketIO has no type information
    """Flask-SocketIO around our `Server`; events never pass through Flask's request context."""

    server: Server

    def init_app(self, app: Any, **options: Any) -> None:
        """Mount the server in front of the Flask app, at `/socket.io/`."""
        self.server = Server(**self.server_options, **options)
        self.async_mode = self.server.async_mode
        app.extensions["socketio"] = self
        app.wsgi_app = socketio.WSGIApp(self.server, app.wsgi_app)

    def answers(self, sid: str) -> bool:
        """See `Server.answers`."""
        return self.server.answers(sid)

    def is_busy(self, sid: str) -> bool:
        """See `Server.is_busy`."""
        return self.server.is_busy(sid)

    def drop(self, sid: str, reason: str) -> None:
        """See `Server.drop`."""
        self.server.drop(sid, reason)
