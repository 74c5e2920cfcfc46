"""The server's own test of its STUN and TURN servers."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
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

LONGEST_COMPLAINT = 4096
"""Bytes that are read of what the process says when it fails."""

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
    urls = [server["url"] for server in servers]
    task = json.dumps({"deadline": time.monotonic() + SECONDS, "servers": servers})
    try:
        said, complaints = _converse(task)
        answers = {answer["index"]: answer for answer in map(json.loads, said.splitlines())}
        results = [_result(url, answers.get(index, UNTRIED)) for index, url in enumerate(urls)]
    except Exception as error:  # whatever it is, it would be the same at once
        logs.failure("ice-check", error)
        return [_result(url, UNTRIED) for url in urls]
    if len(answers) < len(urls):
        logs.event("ice-check-failed", level=logging.ERROR, error=_last_line(complaints))
    return results


def _result(url: str, answer: Mapping[str, Any]) -> IceResult:
    return IceResult(IceURL.parse(url), None if answer["error"] else answer["ms"], answer["error"])


def _last_line(complaints: bytes) -> str:
    lines = complaints.decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it did not end in time")


def _converse(task: str) -> tuple[bytes, bytes]:
    """Give a new process its task; return the whole lines it writes until it ends or the time is up.

    The second is the end of what it complains of.
    """
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as complaints:
        with theirs:
            pid = _spawn(theirs.fileno(), complaints.fileno())
        try:
            said = b"".join(_exchange(ours, task))
        finally:
            _end(pid)
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - LONGEST_COMPLAINT))
        return said[: said.rfind(b"\n") + 1], complaints.read()


def _exchange(connection: socket.socket, task: str) -> Iterator[bytes]:
    with suppress(gevent.Timeout, OSError), gevent.Timeout(LIMIT):
        connection.sendall(task.encode() + b"\n")
        while chunk := connection.recv(65536):
            yield chunk


def _spawn(conversation: int, complaints: int) -> int:
    """Start the process; a fork would stop everything for as long as copying this one's memory map takes.

    Secrets of ours are no business of its environment, and files in the current folder none of its own (-P).
    """
    variables = {name: value for name, value in os.environ.items() if name not in OURS}
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "vws.ice_probe"],
        {**variables, "PYTHONPATH": os.pathsep.join(paths)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, conversation, 0),
            (os.POSIX_SPAWN_DUP2, conversation, 1),
            (os.POSIX_SPAWN_DUP2, complaints, 2),
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
