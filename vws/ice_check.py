"""The server's own test of its STUN and TURN servers."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from gevent import socket

from vws import logs
from vws.clock import Clock
from vws.config import SETTINGS
from vws.core.ice import IceReport, IceResult, IceURL
from vws.ice import IceServers

__all__ = ["IceCheck"]

FRESH = 300_000
"""Milliseconds that an outcome is good for."""

SECONDS = 8.0
"""What the servers have for their answers, all at once, the start of the process included."""

LIMIT = 9.0
"""Seconds until that process is ended, whatever it does."""

PATIENCE = 9.5
"""Seconds that somebody waits for the outcome."""

PROJECT = Path(__file__).resolve().parent.parent
OURS = frozenset(setting.name for setting in SETTINGS)
UNTRIED = {"error": "not tried: the test itself failed"}

Server = dict[str, str]


class IceCheck:
    """Tests what clients are given, one run at a time however many ask, and keeps the outcome for a while."""

    def __init__(self, ice: IceServers, *, clock: Clock) -> None:
        self._ice = ice
        self._clock = clock
        self._report: IceReport | None = None
        self._run: gevent.Greenlet[[], None] | None = None

    @property
    def running(self) -> bool:
        return self._run is not None

    def latest(self) -> IceReport | None:
        """Return the last outcome at once, None before there is one; start a run if it is too old."""
        if self._run is None and self._is_due():
            self._run = gevent.spawn(self._test)
        return self._report

    def wait(self) -> IceReport | None:
        """Return the outcome that `latest` starts a run for, in less than 10 seconds."""
        self.latest()
        if self._run is not None:
            self._run.join(PATIENCE)
        return self._report

    def _is_due(self) -> bool:
        return self._report is None or self._clock() - self._report.finished_at >= FRESH

    def _test(self) -> None:
        try:
            results = _probe(_servers(self._ice))
            self._report = IceReport(tuple(results), self._clock())
        finally:
            self._run = None
        _log(results)


def _servers(ice: IceServers) -> list[Server]:
    """List each address that clients are given, with credentials of our own for it."""
    entries: list[dict[str, Any]] = ice.peer_config("_server_", "test")["iceServers"]
    return [_server(entry, url) for entry in entries for url in entry["urls"]]


def _server(entry: Mapping[str, Any], url: str) -> Server:
    login = {name: str(entry[name]) for name in ("username", "credential") if name in entry}
    return {"url": url, **login}


def _probe(servers: Sequence[Server]) -> list[IceResult]:
    """Have another process try the servers, and return what it tells of each."""
    answers: dict[int, Mapping[str, Any]] = {}
    try:
        task = json.dumps({"deadline": time.monotonic() + SECONDS, "servers": servers})
        answers = {answer["index"]: answer for answer in map(json.loads, _converse(task).splitlines())}
    except (OSError, ValueError) as error:
        logs.event("ice-check-failed", level=logging.ERROR, error=type(error).__name__)
    return [_result(server["url"], answers.get(index, UNTRIED)) for index, server in enumerate(servers)]


def _result(url: str, answer: Mapping[str, Any]) -> IceResult:
    return IceResult(IceURL.parse(url), None if answer["error"] else answer["ms"], answer["error"])


def _converse(task: str) -> bytes:
    """Give a new process its task, and return the whole lines it writes until it ends or the time is up."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = _spawn(theirs.fileno())
        try:
            said = b"".join(_exchange(ours, task))
        finally:
            _end(pid)
    return said[: said.rfind(b"\n") + 1]


def _exchange(connection: socket.socket, task: str) -> Iterator[bytes]:
    with suppress(gevent.Timeout), gevent.Timeout(LIMIT):
        connection.sendall(task.encode())
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            yield chunk


def _spawn(descriptor: int) -> int:
    """Start the process; a fork would stop everything for as long as copying this one's memory map takes.

    Secrets of ours are no business of its environment.
    """
    variables = {name: value for name, value in os.environ.items() if name not in OURS}
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "vws.ice_probe"],
        {**variables, "PYTHONPATH": str(PROJECT)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, descriptor, 0),
            (os.POSIX_SPAWN_DUP2, descriptor, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )


def _end(pid: int) -> None:
    """Leave no process behind; one that closed its end of the conversation has ended by itself."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            gevent.sleep(0.01)


def _log(results: Sequence[IceResult]) -> None:
    for each in results:
        if not each.ok:
            url, error = each.url, each.error
            logs.event(
                "ice-check", level=logging.WARNING, transport=url.label, server=url.server, error=error
            )
