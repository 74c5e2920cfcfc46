"""Real databases for tests: a MariaDB server of our own, and fixtures that run a test on both engines.

Fixtures (load with ``pytest_plugins = ["tests.support.mariadb"]``):

``mariadb``       one server for the session; ``mariadb.new_database()`` returns the URL of an empty database
``engine``        ``"sqlite"``, then ``"mariadb"``: whoever asks for it runs twice
``database_url``  the URL of an empty database of that engine
``database``      the same, opened with ``open_database``; no tables yet
``unused_port``   a port of 127.0.0.1 where nobody listens
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
import pymysql
import pytest

from tests.support.require import need
from vws.db import open_database

__all__ = ["MariaDB", "database", "database_url", "engine", "mariadb", "unused_port"]

USER = "alice"
PASSWORD = "p@ss/w:rd %41"  # every character that a URL would mistake for its own
START_SECONDS = 60


class MariaDB:
    """One MariaDB server in a folder of its own, on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "socket"
        self._numbers = itertools.count(1)
        self.port = _free_port()
        self._process = self._start()

    def new_database(self, options: str = "") -> str:
        """Make an empty database and return its URL; ``options`` as in ``CHARACTER SET latin1``."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def url(self, name: str, *, password: str = PASSWORD) -> str:
        return f"mysql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements as the server's own root and return the rows of the last."""
        with pymysql.connect(unix_socket=str(self._socket), user="root", autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        data = self._folder / "data"
        user = ["--user=root"] if os.geteuid() == 0 else []  # root must be told to stay root
        install = [need("mariadb-install-db"), "--no-defaults", "--skip-test-db", f"--datadir={data}"]
        subprocess.run(
            [*install, *user, "--auth-root-authentication-method=normal"], check=True, capture_output=True
        )
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [need("mariadbd"), "--no-defaults", *user, *self._settings(data)], stdout=log, stderr=log
            )
        self._process = process
        self._wait()
        self.run(
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON `test\\_%`.* TO '{USER}'@'%'",
        )
        return process

    def _settings(self, data: Path) -> list[str]:
        return [
            f"--datadir={data}",
            f"--socket={self._socket}",
            f"--port={self.port}",
            f"--pid-file={self._folder / 'pid'}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=latin1",  # as old servers are: what we create must not depend on it
            # Nothing here outlives the session, so nothing waits for a disk.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--sync-frm=0",
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                log = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"mariadbd did not start:\n{log}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    need("mariadbd")
    need("mariadb-install-db")
    # Not pytest's tmp_path: its name can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="vws-mariadb-"))
    try:
        server = MariaDB(folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if engine == "sqlite":
        return f"sqlite:///{tmp_path}/accounts.db"
    server: MariaDB = request.getfixturevalue("mariadb")
    return server.new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[peewee.Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def unused_port() -> int:
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
