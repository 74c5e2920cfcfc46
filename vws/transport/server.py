"""The Socket.IO server: connects clients to the program, and the program's messages to clients."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Protocol

import flask_socketio
import socketio
from socketio import packet

from vws.core import strict_json
from vws.errors import Refused
from vws.transport.clients import Client, Session
from vws.transport.engine import Engine
from vws.transport.frames import encode_text, text_header
from vws.transport.lanes import LONGEST, Lane, lanes
from vws.transport.manager import ClientManager
from vws.transport.packets import Incoming, Kind, TextPacket, decode
from vws.transport.visitor import Entrance

__all__ = ["Application", "Message", "Server", "SocketIO"]


MAX_CONNECTS, MAX_REFUSALS = 100, 64
"""CONNECT packets of one connection, and those of them that may be refused."""


class Application(Protocol):
    """What the server drives; none of these may raise anything but what is said."""

    @property
    def namespaces(self) -> Sequence[str]: ...

    @property
    def instant(self) -> Collection[str]:
        """Names of the events that never wait."""

    def connect(self, socket_id: str, namespace: str, *, address: str, auth: object) -> None:
        """Admit a client to a namespace; raise `Refused` with the message it is shown. May wait."""

    def event(self, socket_id: str, namespace: str, name: str, payload: bytes) -> Mapping[str, Any]:
        """Handle an event and return its acknowledgement.

        ``payload`` is the event's JSON array as it came, its name first: UTF-8, but maybe not JSON at all.
        May wait unless the event is one of `instant`; the client's next event waits, too.
        """

    def malformed(self, socket_id: str, namespace: str, name: str, *, size: int) -> Mapping[str, Any]:
        """Answer an event that could not be read; return its acknowledgement."""

    def disconnect(self, socket_id: str, reason: str) -> None:
        """Forget a client whose last namespace is closed."""


class Message(Protocol):
    """An event to be sent; ``args`` that are bytes are JSON already, without the array's brackets."""

    @property
    def to(self) -> Sequence[str]: ...

    @property
    def event(self) -> str: ...

    @property
    def args(self) -> tuple[Any, ...] | bytes: ...

    @property
    def concern(self) -> str:
        """The namespace on which it goes out where the client has it open, else on `/`, else any."""


class Server(socketio.Server):  # type: ignore[misc]  # python-socketio is untyped
    """Socket.IO over `Engine`, for one `Application`, which is told by `drive`.

    ``connect_timeout`` is the seconds that a client has to authenticate; ``messages_sent`` counts since the
    start, one for each recipient.
    """

    eio: Engine
    manager: ClientManager
    application: Application

    def __init__(
        self, *, engine_options: dict[str, Any], connect_timeout: float = 10, **options: Any
    ) -> None:
        self._connect_timeout = connect_timeout
        self.messages_sent = 0
        super().__init__(client_manager=ClientManager(), **options, **engine_options)
        self.packet_class = TextPacket
        self.clients = self.manager.clients
        self.eio.new_client, self.eio.on_end = self._new_client, self._ended
        self.eio.receive = self._receive

    def drive(self, application: Application) -> None:
        """Say whom clients and their events are for, before the first of them comes."""
        self.application = application
        self._never_wait = {None, *application.instant}  # without a name it is refused, which takes no time
        self._lanes: dict[bytes, Lane] = lanes(application.namespaces, application.instant)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # --- coming ---

    def _new_client(self, session: Session, address: str) -> Client:
        client = Client(self.eio.generate_id(), session, self, address=address)
        self.clients[client.id] = client
        self._renew_deadline(client)
        return client

    def _renew_deadline(self, client: Client) -> None:
        """Give the client some time to authenticate; without a deadline it needn't."""
        client.deadline = time.monotonic() + self._connect_timeout
        self.eio.timers.after(self._connect_timeout, partial(self._check_deadline, client))

    def _check_deadline(self, client: Client) -> None:
        """End a client whose time to authenticate is over."""
        if client.deadline is not None and time.monotonic() >= client.deadline - self.eio.timers.tick:
            client.session.close(reason="client did not authenticate")

    # --- arriving ---

    def _receive(self, client: Client, packet: bytes) -> None:
        """Take a packet, those with a lane of their own at once."""
        lane = self._lanes.get(packet[: packet.find(b'",', 0, LONGEST)])
        if lane is not None and client.backlog is None and lane.namespace in client.namespaces:
            self.application.event(client.id, lane.namespace, lane.event, packet[lane.start :])
        else:
            client.receive(packet)

    # `clients.Taker`

    def take_at_once(self, client: Client, packet: bytes) -> bool:
        """Handle a packet that needs no waiting for anything; False for others."""
        incoming = decode(packet[1:].decode())
        if incoming is None:
            return True
        if incoming.kind is Kind.CONNECT or incoming.event not in self._never_wait:
            return False
        self._take(client, incoming)
        return True

    def take(self, client: Client, packet: bytes) -> None:
        incoming = decode(packet[1:].decode())
        if incoming is not None:
            self._take(client, incoming)

    def _take(self, client: Client, incoming: Incoming) -> None:
        match incoming.kind:
            case Kind.CONNECT:
                client.connects += 1
                self._connect(client, incoming.namespace, incoming.data)
            case Kind.DISCONNECT:
                self._leave(client, incoming.namespace)
            case Kind.EVENT | Kind.BINARY_EVENT:
                self._take_event(client, incoming)
            case _:  # nobody is asked for acknowledgements, the rest is the server's to send
                pass

    def _connect(self, client: Client, namespace: str, auth: object) -> None:
        if client.overdrawn(MAX_CONNECTS, MAX_REFUSALS):
            client.session.close(reason="too many attempts to connect")
            return
        if namespace not in self.application.namespaces or namespace in client.namespaces:
            self._refuse(client, namespace, "Unable to connect")
            return
        deadline, client.deadline = client.deadline, None
        try:
            self.application.connect(client.id, namespace, address=client.address, auth=auth)
        except Refused as refusal:
            self._refuse(client, namespace, refusal.message)
            client.refusals += 1
            client.deadline = deadline
            self._check_deadline(client)  # that may have passed meanwhile, and its timer with it
            return
        if client.session.closed:  # it left while the login site was asked
            self._forget(client, self.reason.CLIENT_DISCONNECT)
            return
        client.open(namespace)
        client.session.admit()
        self._send(client, TextPacket(packet.CONNECT, {"sid": client.id}, namespace=namespace))

    def _refuse(self, client: Client, namespace: str, message: str) -> None:
        self._send(client, TextPacket(packet.CONNECT_ERROR, {"message": message}, namespace=namespace))

    def _take_event(self, client: Client, incoming: Incoming) -> None:
        namespace, name = incoming.namespace, incoming.event
        if namespace not in client.namespaces:
            return
        if incoming.kind is Kind.EVENT and name is not None:
            ack = self.application.event(client.id, namespace, name, incoming.payload)
        else:
            ack = self.application.malformed(client.id, namespace, name or "", size=len(incoming.payload))
        if incoming.id is not None:
            self._send(client, TextPacket(packet.ACK, [ack], namespace=namespace, id=incoming.id))

    # --- leaving ---

    def _leave(self, client: Client, namespace: str) -> None:
        if namespace not in client.namespaces:
            return
        client.leave(namespace)
        if not client.namespaces:
            self._renew_deadline(client)
            self._forget(client, self.reason.CLIENT_DISCONNECT)

    def _forget(self, client: Client, reason: str) -> None:
        if not client.namespaces:
            self.application.disconnect(client.id, reason)

    def _ended(self, client: Client, reason: str) -> None:
        """Take a client out whose session is over."""
        self.clients.pop(client.id, None)
        client.deadline = None
        if client.namespaces:
            client.close()
            self.application.disconnect(client.id, reason)

    # --- sending ---

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages in their order; each is encoded once, whoever it is for."""
        for message in messages:
            event, args, concern = message.event, message.args, message.concern
            if not isinstance(args, bytes):
                args = strict_json.dumps(args)[1:-1].encode()
            self.messages_sent += len(message.to)
            framed_for, frame = "", b""
            for sid in message.to:
                client = self.clients.get(sid)
                namespace = client and (client.namespace or client.namespace_for(concern))
                if client and namespace:
                    if namespace != framed_for:
                        framed_for = namespace
                        frame = _event_frame(_beginning(namespace, event), args)
                    client.session.push(frame)

    def _send(self, client: Client, pkt: packet.Packet) -> None:
        client.session.push(encode_text(b"4" + pkt.encode().encode()))

    def answers(self, sid: str) -> bool:
        """Say whether a client shows a sign of life when asked; waits for it, three seconds at most."""
        client = self.clients.get(sid)
        return client is not None and client.session.answers()

    def is_busy(self, sid: str, size: int = 0) -> bool:
        """Say whether a message of this size would be too much for a client for whom others wait already."""
        client = self.clients.get(sid)
        if client is None:
            return False
        waiting = client.session.waiting
        return waiting > 0 and waiting + size > self.eio.max_send_buffer // 2

    def drop(self, sid: str, reason: str) -> None:
        """Tell a client that it is disconnected, and close its connection."""
        client = self.clients.get(sid)
        if client is not None:
            self._say_goodbye(client)
            client.session.close(reason=reason)

    def shut_down(self) -> None:
        """Close every connection, and let nobody in any more.

        Nothing is said on Socket.IO: who is disconnected there stays away, and the server may soon be back.
        """
        self.eio.shut_down()

    def _say_goodbye(self, client: Client) -> None:
        for namespace in client.namespaces:
            self._send(client, TextPacket(packet.DISCONNECT, namespace=namespace))


def _event_frame(beginning: bytes, args: bytes) -> bytes:
    if not args:
        beginning = beginning.removesuffix(b",")
    header = text_header(len(beginning) + len(args) + 1)
    return b"".join((header, beginning, args, b"]"))


@cache
def _beginning(namespace: str, event: str) -> bytes:
    where = "" if namespace == "/" else f"{namespace},"
    return f'42{where}["{event}",'.encode()


class SocketIO(flask_socketio.SocketIO):  # type: ignore[misc]  # Flask-SocketIO has no type information
    """Flask-SocketIO around our `Server`; events never pass through Flask's request context."""

    entrance: Entrance
    """Where handshakes enter that need no request handler."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.async_mode = server.async_mode

    def init_app(self, app: Any, **_options: Any) -> None:
        """Mount the server in front of the Flask app, at `/socket.io/`."""
        app.extensions["socketio"] = self
        app.wsgi_app = socketio.WSGIApp(self.server, app.wsgi_app)
