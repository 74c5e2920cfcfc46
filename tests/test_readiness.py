"""Readiness is for anybody to ask, and costs the database next to nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeServer
from tests.support.server import until
from vws.readiness import FRESH, Readiness


class Database:
    """Takes connections and says nothing; those it holds end when it is told to let go."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port = listener.getsockname()[1]
        self.taken = 0
        self.patient = threading.Event()
        self.patient.set()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.taken += 1
                self.patient.wait(30)
                connection.close()


@pytest.fixture
def database() -> Iterator[Database]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        database = Database(listener)
        thread = threading.Thread(target=database.serve, daemon=True)
        thread.start()
        yield database
        database.patient.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_database_is_asked_once_a_second_however_many_ask(
    make_server: MakeServer, database: Database
) -> None:
    url = f"mysql://alice@127.0.0.1:{database.port}/vws"
    server = make_server(DATABASE_URL=url, ACCOUNT_RETRY="3600")
    database.patient.clear()
    before, began = database.taken, time.monotonic()
    with ThreadPoolExecutor(20) as crowd:
        answers = [crowd.submit(server.get, "/ready") for _ in range(20)]
        until(lambda: database.taken > before, what="the database to be asked")
        assert server.get("/health", timeout=1).ok
        database.patient.set()
        assert {answer.result().status_code for answer in answers} == {503}
    for _ in range(30):
        assert server.get("/ready").status_code == 503
    assert database.taken - before <= 1 + (time.monotonic() - began) * 1000 // FRESH


def test_what_was_found_is_good_for_a_second() -> None:
    now, found = 5_000, iter([{"database": ""}, {"database": "down"}])
    readiness = Readiness(lambda: next(found), clock=lambda: now)
    assert readiness() == readiness() == {"database": ""}
    now += FRESH - 1
    assert readiness() == {"database": ""}
    now += 1
    assert readiness() == {"database": "down"}


def test_a_look_that_fails_is_repeated() -> None:
    looks = 0

    def look() -> dict[str, str]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError
        return {}

    readiness = Readiness(look, clock=lambda: 5_000)
    with pytest.raises(RuntimeError):
        readiness()
    assert readiness() == {}
