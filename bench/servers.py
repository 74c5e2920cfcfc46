"""The two servers: how each is started, asked and stopped. Every measurement has a fresh one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.loop import Failed
from bench.process import children, cpu_seconds, end, resident_kb

__all__ = ["ROOT", "TOKEN", "Contender", "Launch", "Server", "attached", "free_port", "started"]

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "bench" / "peer"
ACCOUNT = "Bench"
TOKEN = "bench-token"  # noqa: S105  # of a server that nobody else reaches
API_KEY = "bench-key"
START_SECONDS = 30
STOP_SECONDS = 15


class Contender(StrEnum):
    """Who is measured."""

    OURS = "ours"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Launch:
    """What servers are started with; ``source`` is the tree that ours is started from."""

    source: Path = ROOT
    login_url: str = ""
    certificate: str = ""  # path of .key and .crt without the ending; blank: plain HTTP
    settings: Mapping[str, str] = field(default_factory=dict)  # more of them, for ours


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``pid`` is the process that serves."""

    contender: Contender
    port: int
    pid: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    token: str = field(default=TOKEN, repr=False)

    def auth(self, user: str = "") -> dict[str, str]:
        """Return what a client shows to be let in, as a user when it is to enter rooms."""
        if user and self.contender is Contender.OURS:
            return {"account": ACCOUNT, "user": user, "pin": "1"}
        return {"token": self.token, "user": user} if user else {"token": self.token}

    def cpu(self) -> float:
        """Return the CPU seconds spent so far."""
        return cpu_seconds(self.pid)

    def memory(self) -> int:
        """Return the resident memory in KB."""
        return resident_kb(self.pid)

    def count(self) -> tuple[int, int]:
        """Return the connections and players that the server itself counts."""
        usage = self._stats().values()
        return sum(each["connections"] for each in usage), sum(each["players"] for each in usage)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self._stats()
            return True
        return False

    def _stats(self) -> dict[str, dict[str, Any]]:
        with contextlib.closing(self._connection()) as connection:
            connection.request("GET", "/stats", headers={"X-API-Key": API_KEY})
            stats: dict[str, dict[str, Any]] = json.loads(connection.getresponse().read())
            return stats

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.tls)


@contextmanager
def started(contender: Contender, launch: Launch) -> Iterator[Server]:
    """Run a server while the block lasts; Failed, with its log, when it does not start."""
    with tempfile.TemporaryDirectory(prefix="vws-bench-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        log = Path(folder, "server.log")
        process = _spawn(contender, launch, port=port, log=log)
        try:
            tls = _trusting() if launch.certificate else None
            _wait(process, Server(contender, port, process.pid, tls), log)
            pid = children(process.pid)[0] if contender is Contender.OURS else process.pid
            yield Server(contender, port, pid, tls)
        finally:
            end(process, STOP_SECONDS)


@contextmanager
def attached(port: int, pid: int, token: str) -> Iterator[Server]:
    """Take a server of ours that is running already; it stays when the block ends."""
    yield Server(Contender.OURS, port, pid, token=token)


def _spawn(contender: Contender, launch: Launch, *, port: int, log: Path) -> subprocess.Popen[bytes]:
    command, settings = _ours(launch) if contender is Contender.OURS else _node()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(log.parent),
        "LANG": "C.UTF-8",
        "PORT": str(port),
        "STATIC_TOKEN": TOKEN,
        **({"CERTIFICATE": launch.certificate} if launch.certificate else {}),
        **settings,
    }
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  # our own command line
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _ours(launch: Launch) -> tuple[list[str], dict[str, str]]:
    config = str(launch.source / "gunicorn.conf.py")
    settings = {
        "PYTHONPATH": str(launch.source),
        "HOST": "127.0.0.1",
        "VWS_ENV": "production",
        "API_KEY": API_KEY,
        "STATIC_ACCOUNT": ACCOUNT,
        "STATIC_LOGIN": launch.login_url,
        **launch.settings,
    }
    return [sys.executable, "-m", "gunicorn", "-c", config, "app:app"], settings


def _node() -> tuple[list[str], dict[str, str]]:
    return ["node", str(PEER / "server.js")], {"NODE_ENV": "production"}


def _wait(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not server.answers():
        if process.poll() is not None or time.monotonic() > end:
            raise Failed(f"{server.contender} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # made a moment ago, for this run
    return context


def free_port() -> int:
    """Return a free port, outside the range that outgoing connections draw from."""
    while True:
        port = random.randrange(20000, 30000)  # noqa: S311  # no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
