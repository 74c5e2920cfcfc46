"""Faults of the program's own: the client gets an answer, the log one line, nobody else notices."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from vws.announce import Outgoing
from vws.auth import Gatekeeper
from vws.core.session import Session
from vws.core.wire.names import Event
from vws.errors import Refused
from vws.namespaces.base import Handler, no_event
from vws.namespaces.dispatcher import Dispatcher


class Doorman:
    """Lets everybody in but Mallory, at whom it stumbles."""

    def admit(self, auth: dict[str, Any], *, socket_id: str, address: str) -> Session:
        if auth["user"] == "Mallory":
            raise ZeroDivisionError("the door is broken")
        return Session(socket_id, account="Acme", scope="Acme", user=auth["user"], address=address)


def stumble(_session: Session, _payload: bytes) -> list[Outgoing]:
    raise ZeroDivisionError("the handler is broken")


@pytest.fixture
def dispatcher() -> Dispatcher:
    table = {Event.MESSAGE: Handler(parse=bytes, run=stumble, refuse=no_event)}
    gatekeeper = cast("Gatekeeper", Doorman())
    return Dispatcher({"/": table}, gatekeeper, deliver=lambda _outgoing: None, rate=10)


def auth(user: str) -> dict[str, str]:
    return {"account": "Acme", "user": user, "pin": "1234"}


def test_a_fault_in_a_use_case_is_answered_and_logged_in_one_line(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    with caplog.at_level(logging.ERROR, logger="vws"):
        answer = dispatcher.event("alice", "/", "message", b'["message",{}]')
    assert answer == {"ok": False, "error": {"code": "internal", "message": "Internal error"}}
    [record] = caplog.records
    fields = cast("Any", record).fields
    assert fields["error"] == "ZeroDivisionError: the handler is broken"
    assert "test_dispatcher.py:" in fields["at"]
    assert record.exc_info is None


def test_a_fault_on_connecting_refuses_the_client(dispatcher: Dispatcher) -> None:
    with pytest.raises(Refused, match="ERROR: Internal error"):
        dispatcher.connect("mallory", "/", address="127.0.0.1", auth=auth("Mallory"))
    answer = dispatcher.event("mallory", "/", "message", b'["message",{}]')
    assert answer["error"]["code"] == "disconnected"


def test_an_event_that_comes_after_the_client_was_forgotten_is_refused(dispatcher: Dispatcher) -> None:
    assert dispatcher.event("nobody", "/", "message", b'["message",{}]')["error"]["code"] == "disconnected"
    assert dispatcher.malformed("nobody", "/", "message", size=20)["ok"] is False


def test_unreadable_events_spend_the_budget_as_well(dispatcher: Dispatcher) -> None:
    dispatcher.connect("alice", "/", address="127.0.0.1", auth=auth("Alice"))
    codes = [dispatcher.malformed("alice", "/", "message", size=20)["error"]["code"] for _ in range(21)]
    assert codes == ["bad-input"] * 20 + ["too-many-events"]
