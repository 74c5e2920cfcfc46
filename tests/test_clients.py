"""A client's packets, one after another: at once, or in a greenlet behind one that takes time."""

from __future__ import annotations

import logging

import gevent
import pytest
from gevent.event import Event

from vws.transport.clients import MAX_BACKLOG, MAX_BACKLOG_SIZE, Client


class Session:
    """`clients.Session` of a client that is always there, and what it was told to do."""

    sid = "session"
    waiting = 0

    def __init__(self) -> None:
        self.closed = False
        self.told: list[str] = []

    def push(self, frame: bytes) -> None:
        raise NotImplementedError

    def answers(self) -> bool:
        return True

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def admit(self) -> None:
        raise NotImplementedError

    def close(self, wait: bool = False, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        self.closed = True
        self.told.append(f"close: {reason}")


class Taker:
    """Packets that begin with ``w`` wait until `go` is set, those with ``f`` are a fault of the program."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.go = Event()

    def take_at_once(self, client: Client, packet: bytes) -> bool:
        if packet.startswith((b"w", b"f")):
            return False
        self.take(client, packet)
        return True

    def take(self, client: Client, packet: bytes) -> None:  # noqa: ARG002
        if packet.startswith(b"w"):
            self.go.wait()
        if packet.startswith(b"f"):
            raise ZeroDivisionError("broken")
        self.taken.append(packet)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def client(session: Session, taker: Taker) -> Client:
    return Client("alice", session, taker, address="127.0.0.1")


def finish(client: Client) -> None:
    gevent.joinall([client.worker], timeout=10, raise_error=True)
    assert not client.busy


def test_what_need_not_wait_is_taken_at_once(client: Client, taker: Taker) -> None:
    client.receive(b"1")
    assert taker.taken == [b"1"]
    assert not client.busy


def test_packets_behind_one_that_waits_keep_their_order(
    client: Client, session: Session, taker: Taker
) -> None:
    sent = [b"1", b"w2", b"3", b"w4", b"5"]
    for packet in sent:
        client.receive(packet)
    assert client.busy
    assert taker.taken == [b"1"]
    taker.go.set()
    finish(client)
    client.receive(b"6")
    assert taker.taken == [*sent, b"6"]
    assert session.told == []


@pytest.mark.parametrize("packets", [[b"x"] * (MAX_BACKLOG + 1), [b"x" * (MAX_BACKLOG_SIZE // 3)] * 4])
def test_a_long_line_stops_the_reading_until_it_is_worked_off(
    client: Client, session: Session, taker: Taker, packets: list[bytes]
) -> None:
    for packet in [b"w", *packets]:
        client.receive(packet)
    assert client.crowded
    assert set(session.told) == {"pause"}
    taker.go.set()
    finish(client)
    assert taker.taken == [b"w", *packets]
    assert session.told[-1] == "resume"
    assert not client.crowded


def test_nothing_is_taken_of_a_client_that_is_gone(client: Client, session: Session, taker: Taker) -> None:
    for packet in (b"w1", b"2", b"3"):
        client.receive(packet)
    gevent.sleep(0)  # the first is waiting now
    session.closed = True
    taker.go.set()
    finish(client)
    assert taker.taken == [b"w1"]
    assert session.told == []


def test_a_fault_costs_its_client_the_connection_and_is_logged(
    client: Client, session: Session, taker: Taker, caplog: pytest.LogCaptureFixture
) -> None:
    for packet in (b"1", b"f", b"2"):
        client.receive(packet)
    finish(client)
    assert taker.taken == [b"1"]
    assert session.told == ["close: internal error"]
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "message failed")
