"""One event's way: client and budget, table, parser, use case, messages out; errors are mapped here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Any

from vws import logs
from vws.announce import Outgoing
from vws.auth import Gatekeeper, pin_in
from vws.core import strict_json
from vws.core.counters import Counters
from vws.core.rate import NEVER_CHARGED, Allowance, Rate
from vws.core.session import Session
from vws.core.wire import build
from vws.core.wire.names import Event
from vws.errors import BadInput, Refused, VWSError
from vws.namespaces.base import UNKNOWN, EventTable, Handler, Run

__all__ = ["Dispatcher"]

Deliver = Callable[[Sequence[Outgoing]], None]

MAY_WAIT = frozenset({Event.PUBLISH, Event.SUBSCRIBE, Event.ROOM_PUBLISH})
"""Events that may ask the holder of a place for a sign of life."""

SHOWING = frozenset({Event.PUBLISH, Event.ROOM_PUBLISH, Event.ROOM_JOIN})
"""Events that bring back as much as others have made it: who is in a channel, what is in a room."""

ANSWER_UNIT = 2048
"""Bytes of what such an event brings back that count as one more of its client's."""

QUIET = frozenset({Event.MESSAGE_PEER, Event.MESSAGE})
"""Events whose refusals are no news: peers come and go while signals are under way."""

TOO_MANY_EVENTS = "too-many-events"

LOG_RATE = Rate(1, burst=10)
"""Lines of the log that one client's refused events may take."""


@dataclass(slots=True)
class _Client:
    """What is kept of each client; for its rates, see `Rate`."""

    session: Session
    pin: str | int | None
    whole_at: float = NEVER_CHARGED
    lines: Allowance = field(default_factory=partial(Allowance, LOG_RATE))


class Dispatcher:
    """`transport.server.Application`: the program as the Socket.IO server sees it.

    ``rate`` is the number of events a client may send per second, with bursts of twice that.
    """

    def __init__(
        self,
        tables: Mapping[str, EventTable],
        gatekeeper: Gatekeeper,
        *,
        deliver: Deliver,
        rate: int,
        counters: Counters,
    ) -> None:
        self.namespaces = tuple(tables)
        self.instant = frozenset(event.value for event in Event if event not in MAY_WAIT)
        self._tables = {name: self._handlers(table) for name, table in tables.items()}
        self._gatekeeper = gatekeeper
        self._deliver = deliver
        self._rate = Rate(rate, burst=2 * rate)
        self._counters = counters
        self._clients: dict[str, _Client] = {}

    def _handlers(self, table: EventTable) -> dict[str, Handler]:
        """Make those that show something have it paid for; all others are called as they are."""
        paid = {e: replace(h, run=self._paid(h.run)) if e in SHOWING else h for e, h in table.items()}
        return {event.value: handler for event, handler in paid.items()}

    # --- transport.server.Application ---

    def connect(self, socket_id: str, namespace: str, *, address: str, auth: object) -> None:
        """Admit a client, or let one that is here already open one more namespace."""
        client = self._clients.get(socket_id)
        try:
            if client is None:
                self._admit(socket_id, address, auth)
            else:
                self._gatekeeper.confirm(auth, client.session, pin=client.pin)
        except Refused:
            raise
        except Exception as error:  # whatever it is, the client gets an answer and nobody else notices
            logs.failure("connect", error)
            raise Refused("ERROR: Internal error") from error
        if client is not None:
            logs.event("namespace", socket=socket_id, namespace=namespace)

    def _admit(self, socket_id: str, address: str, auth: object) -> None:
        session = self._gatekeeper.admit(auth, socket_id=socket_id, address=address)
        self._clients[socket_id] = _Client(session, pin_in(auth))
        self._counters.connects += 1

    def event(self, socket_id: str, namespace: str, name: str, payload: bytes) -> Mapping[str, Any]:
        """Carry out an event and send what comes of it; return the acknowledgement."""
        client = self._clients.get(socket_id)
        if client is None:
            return build.ack_error(Refused("This connection is closed.", code="disconnected"))
        handler = self._tables[namespace].get(name, UNKNOWN)
        try:
            self._charge(client, len(payload) // handler.unit)
            outgoing = handler.run(client.session, handler.parse(payload))
        except VWSError as error:
            return self._refused(client, handler, name, payload, error)
        except Exception as error:
            logs.failure(name, error)
            return self._refused(client, handler, name, payload, VWSError("Internal error", code="internal"))
        self._counters.events[name] += 1
        self._deliver(outgoing)
        return build.ACK_OK

    def malformed(self, socket_id: str, namespace: str, name: str, *, size: int) -> Mapping[str, Any]:
        """Refuse an event whose payload could not be read or has attachments."""
        client = self._clients.get(socket_id)
        handler = self._tables[namespace].get(name, UNKNOWN)
        error: VWSError = BadInput("payload is not JSON that this server accepts")
        if client is None:
            return build.ack_error(error)
        try:
            self._charge(client, size // handler.unit)
        except Refused as refusal:
            error = refusal
        return self._refused(client, handler, name, b"", error)

    def disconnect(self, socket_id: str, reason: str) -> None:
        client = self._clients.pop(socket_id, None)
        if client is not None:
            self._counters.disconnects[reason] += 1
            self._deliver(self._gatekeeper.leave(client.session, reason))

    # --- the pieces ---

    def _charge(self, client: _Client, units: int) -> None:
        """Charge an event, a large one as several: what is relayed costs its recipients, too."""
        whole_at = self._rate.charge(client.whole_at, monotonic(), 1 + units)
        if whole_at is None:
            raise Refused("Too many events.", code=TOO_MANY_EVENTS)
        client.whole_at = whole_at

    def _paid(self, run: Run) -> Run:
        """Charge clients for what comes back to them; later events are refused until that is paid off."""

        def run_and_charge(session: Session, command: Any) -> list[Outgoing]:
            own, outgoing, size = session.socket_id, run(session, command), 0
            for number, message in enumerate(outgoing):
                if own in message.to:
                    outgoing[number] = answer = _encoded(message)
                    size += len(answer.args)
            client = self._clients.get(own)
            if client is not None:  # it may have left while the event waited
                client.whole_at = self._rate.owe(client.whole_at, monotonic(), size // ANSWER_UNIT)
            return outgoing

        return run_and_charge

    def _refused(
        self, client: _Client, handler: Handler, name: str, payload: bytes, error: VWSError
    ) -> Mapping[str, Any]:
        self._counters.refusals[error.code] += 1
        if name not in QUIET and client.lines.take(monotonic()):
            _log("refused", client.session, event=name, reason=error.message)
        unpaid = error.code == TOO_MANY_EVENTS and len(payload) >= handler.unit  # not even worth reading
        self._deliver(handler.refuse(client.session, b"" if unpaid else payload, error))
        return build.ack_error(error)


def _encoded(message: Outgoing) -> Outgoing:
    """Return the message as it will go out, so that it can be measured."""
    if isinstance(message.args, bytes):
        return message
    return Outgoing(
        message.to, message.event, strict_json.dumps(message.args)[1:-1].encode(), message.concern
    )


def _log(name: str, session: Session, **fields: Any) -> None:
    logs.event(name, socket=session.socket_id, account=session.account, user=session.user, **fields)
