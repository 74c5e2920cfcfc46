"""The server under test: the real program in a process of its own, in a folder of its own.

    def test_something(server: Server) -> None:              # one server for the whole session
        assert server.get("/health").ok

    def test_limits(make_server: MakeServer) -> None:         # a server with other settings, for this test
        server = make_server(ENFORCE_SDP="1", accounts=[row("Acme", plan={"bitrate": 500})])

Settings are environment variables; every server gets HOST, PORT, VWS_ENV=development and nothing from
outside. `accounts` are rows put into its SQLite database before it starts, the way the WordPress plugin does
it. The process is asked to stop by SIGTERM and has 5 seconds; whatever it wrote is in `server.log()`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from bench.process import resident_kb

__all__ = ["ROOT", "Row", "Runner", "Server", "free_port", "noise", "row", "until"]

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 5
START_SECONDS = 20
NOISE = re.compile(r"Traceback|\b(fail\w*|exception|greenlet)\b", re.IGNORECASE)
BARE_WORKER = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
CREATED = 1_700_000_000  # unix seconds


class Runner(StrEnum):
    """How the server is started: `WORKER` is gunicorn without our settings, as gevent-websocket says."""

    APP = "python app.py"
    GUNICORN = "gunicorn"
    WORKER = "gunicorn -k GeventWebSocketWorker"


@dataclass(frozen=True, slots=True)
class Row:
    """An account to have in the database, with a plan of its own when `plan` is given."""

    name: str
    token: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] | None = None


def row(name: str, token: str = "", *, plan: Mapping[str, Any] | None = None, **properties: Any) -> Row:
    """Describe an account; its token is `<name>-token` unless given, its properties are the keywords."""
    return Row(name, token or f"{name}-token", properties, plan)


class Server:
    """One running server. `url` is its address, `folder` where it runs, `settings` what it was given.

    `program` is what gunicorn runs, this one's own unless set otherwise before the start.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        runner: Runner = Runner.APP,
        accounts: Iterable[Row] = (),
        ca: str | None = None,
    ) -> None:
        self.folder = folder
        self.runner = runner
        self.program = "app:app"
        self.ca = ca
        self.port = free_port()
        self.settings = {"HOST": "127.0.0.1", "VWS_ENV": "development", "PORT": str(self.port), **settings}
        self.url = f"{'https' if self.settings.get('CERTIFICATE') else 'http'}://127.0.0.1:{self.port}"
        self._session = requests.Session()
        self._session.trust_env = False
        # As browsers do where an idle connection is closed just when it is to be used again.
        again = Retry(1, allowed_methods=["GET"], respect_retry_after_header=False)
        self._session.mount(self.url, HTTPAdapter(max_retries=again))
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving: subprocess.Popen[bytes] | None = None  # a process that was asked to stop
        accounts = list(accounts)
        if accounts:
            self.run_cli("migrate")
            self.add_accounts(*accounts)

    # Starting and stopping

    def start(self) -> Server:
        """Start the process and return once it answers; raise AssertionError with its log if it does not."""
        self._spawn()
        try:
            until(self._answers, timeout=START_SECONDS, what=lambda: f"the server to start:\n{self.log()}")
        except BaseException:
            self.kill()
            raise
        return self

    def start_refused(self) -> int:
        """Start a process that is expected to end by itself; return its exit code."""
        process = self._spawn()
        self._process = None
        try:
            return process.wait(START_SECONDS)
        finally:
            process.kill()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._process

    def stop(self) -> int:
        """Ask the process to stop and return its exit code (0 when it stopped in order). Safe to repeat."""
        self._session.close()
        if self._process is None:
            return 0
        self.ask_to_stop()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop in {STOP_SECONDS} s:\n{self.log()}") from None

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal that means the end, once: a process about to end has no handler for it any more."""
        if self._process is not None and self._process is not self._leaving and self._process.poll() is None:
            self._process.send_signal(number)
            self._leaving = self._process

    def finish(self) -> None:
        """Stop, and assert that it ended in order and never logged a traceback."""
        code = self.stop()
        assert code == 0, f"exit code {code}:\n{self.log()}"
        assert "Traceback" not in self.log(), self.log()

    def kill(self) -> None:
        """End the process, and its workers, without asking."""
        process, self._process = self._process, None
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self) -> Server:
        """Stop, and start again on the same port and folder."""
        self.stop()
        return self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def open_files(self) -> int:
        """Return how many descriptors the process holds, connections among them."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self) -> int:
        """Return the resident memory of the process in KB."""
        return resident_kb(self.pid)

    def environment(self) -> dict[str, str]:
        """Return the environment of the process: its settings and nothing stray."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        }
        return {**base, **kept, **self.settings}

    def _command(self) -> list[str]:
        if self.runner is Runner.APP:
            return [sys.executable, str(ROOT / "app.py")]
        options = ["-c", str(ROOT / "gunicorn.conf.py")] if self.runner is Runner.GUNICORN else self._bare()
        return [sys.executable, "-m", "gunicorn", *options, self.program]

    def _bare(self) -> list[str]:
        options = ["-k", BARE_WORKER, "-b", f"{self.settings['HOST']}:{self.port}"]
        if certificate := self.settings.get("CERTIFICATE"):
            options += ["--keyfile", f"{certificate}.key", "--certfile", f"{certificate}.crt"]
        return options

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (
            f"the server ended with {self._process.returncode}:\n{self.log()}"
        )
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return self.get("/health", timeout=START_SECONDS).ok
        return False

    # Asking

    def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, timeout: float = 10, **params: Any
    ) -> requests.Response:
        """GET a path with query parameters; redirects are not followed."""
        return self._session.get(
            self.url + path,
            params=params,
            headers=headers,
            timeout=timeout,
            verify=self.ca or True,
            allow_redirects=False,
        )

    def post(self, path: str, data: Any = None, *, timeout: float = 10, **params: Any) -> requests.Response:
        """POST form data (a mapping, or the raw body) to a path with query parameters."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url = self.url + path
        return self._session.post(
            url, data=data, params=params, headers=form, timeout=timeout, verify=self.ca or True
        )

    def api(self, path: str, **params: Any) -> Any:
        """GET the JSON of an API path, with the server's own API key."""
        key = self.settings.get("API_KEY")
        answer = self.get(path, headers={"X-API-Key": key} if key else None, **params)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def idle(self, *, timeout: float = 15) -> None:
        """Return once nobody is in a channel or room; fail when somebody stays behind."""
        left: dict[str, Any] = {}

        def empty() -> bool:
            left.update({path: self.api(path) for path in ("/connections", "/channels", "/rooms")})
            return not any(left.values())

        until(empty, timeout=timeout, what=lambda: f"the server to be idle: {left}")

    # Its log

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    def log(self) -> str:
        """Return everything the server wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern: str, *, count: int = 1, timeout: float = 15) -> list[str]:
        """Return the lines of the log that match, once there are `count` of them."""

        def lines() -> list[str]:
            return [line for line in self.log().splitlines() if re.search(pattern, line)]

        until(lambda: len(lines()) >= count, timeout=timeout, what=lambda: f"{pattern!r} in:\n{self.log()}")
        return lines()

    # Its database

    def run_cli(self, *arguments: str) -> str:
        """Run `python -m vws` with the server's settings in its folder; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "vws", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, f"vws {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement on the server's SQLite database (after `run_cli("migrate")`); return the rows."""
        with contextlib.closing(sqlite3.connect(self.folder / "vws.db", timeout=5)) as database, database:
            return database.execute(statement, values).fetchall()

    def add_accounts(self, *accounts: Row) -> None:
        """Put accounts and their plans into the database; `/update-accounts` tells a running server."""
        for each in accounts:
            plan_id = 0 if each.plan is None else self._add_plan(f"{each.name} plan", each.plan)
            self.sql(
                "INSERT INTO accounts (name, token, properties, planId, created) VALUES (?, ?, ?, ?, ?)",
                *(each.name, each.token, json.dumps(each.properties), plan_id, CREATED),
            )

    def _add_plan(self, name: str, properties: Mapping[str, Any]) -> int:
        statement = "INSERT INTO plans (name, properties) VALUES (?, ?) RETURNING id"
        plan_id: int = self.sql(statement, name, json.dumps(properties))[0][0]
        return plan_id


def until(
    condition: Callable[[], object], *, timeout: float = 15, what: str | Callable[[], str] = "it"
) -> None:
    """Poll a condition until it holds; AssertionError with `what` when it does not in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(0.02)


def noise(log: str) -> list[str]:
    """Return the lines that an operator would have to look into."""
    return [line for line in log.splitlines() if NOISE.search(line)]


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, outside the range that outgoing connections draw from."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
