"""Running the program: `python app.py` listens by this; gunicorn brings its own and uses `stop_in_order`."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import gevent
from gevent.event import Event

from vws import __version__, logs
from vws.config import Config
from vws.demo import DEMOS
from vws.errors import Unavailable, VWSError
from vws.transport.server import SocketIO
from vws.transport.wsgi import WebServer, tls_context

__all__ = ["prepare", "refuse", "serve", "stop_in_order"]

CANNOT_START = 3
"""Exit code; the one at which gunicorn does not start the worker again and again."""

STOP_TIMEOUT = 3.0
"""Seconds that clients have to hear of the end."""

LAST_ANSWERS = 0.5
"""Seconds in which requests that are under way then may still be answered."""


def refuse(error: VWSError) -> NoReturn:
    """End the process with what is wrong, in a sentence."""
    sys.stderr.write(f"VWS cannot start: {error.message}\n")
    sys.exit(CANNOT_START)


def serve(config: Config, app: Any, socketio: SocketIO) -> None:
    """Listen until SIGTERM or SIGINT, then tell the clients and return."""
    prepare()
    try:
        server = _listen(config, app)
    except VWSError as error:
        refuse(error)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    logs.event("start", version=__version__, host=config.host, port=server.server_port)
    sys.stdout.write(_welcome(config, int(server.server_port or 0)))
    sys.stdout.flush()
    stop.wait()
    server.close()
    _stop_clients(socketio)
    server.stop(timeout=LAST_ANSWERS)
    logs.event("stop")


def _listen(config: Config, app: Any) -> WebServer:
    tls = config.tls
    options = {"ssl_context": tls_context(tls.key, tls.cert)} if tls else {}
    server = WebServer((config.host, config.port), app, **options)
    try:
        server.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # gevent's own repeats the address
        raise Unavailable(f"HOST {config.host}, PORT {config.port}: {reason}") from error
    return server


def stop_in_order(socketio: SocketIO) -> None:
    """Have SIGTERM tell the clients, too, where something else handles it: gunicorn's worker."""
    handle = signal.getsignal(signal.SIGTERM)
    if not callable(handle):
        return

    def stop(number: int, frame: FrameType | None) -> None:
        handle(number, frame)
        gevent.spawn(_leave, socketio)

    signal.signal(signal.SIGTERM, stop)


def _leave(socketio: SocketIO) -> None:
    """End the process: the worker would wait for connections that are only kept alive, until it is killed."""
    _stop_clients(socketio)
    logs.event("stop")
    gevent.sleep(LAST_ANSWERS)
    sys.exit()


def _stop_clients(socketio: SocketIO) -> None:
    """Tell every client that the server goes, close its connection and wait a little until it is closed."""
    socketio.server.shut_down()
    deadline = time.monotonic() + STOP_TIMEOUT
    while socketio.server.eio.sockets and time.monotonic() < deadline:
        gevent.sleep(0.05)


def prepare() -> None:
    """Let the process hold as many sockets as the system allows it; the usual soft limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _welcome(config: Config, port: int) -> str:
    secure = "s" if config.tls else ""
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    where = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    mode = "development" if config.development else "production"
    lines = [
        f"VWS {__version__}, {mode}",
        f"  server       http{secure}://{where}/",
        f"  API          http{secure}://{where}/openapi.json",
    ]
    if config.development:
        lines.append(f"  connections  http{secure}://{where}/connections")
    if config.demo:
        lines.append(f"  demos        http{secure}://{where}/demo")
        lines += [f"  {name:<12} http{secure}://{where}/demo/{name}" for name in DEMOS]
    lines.append("")
    if config.static_token:
        lines += ["Client configuration:", _client_config(config, f"ws{secure}://{where}"), ""]
    return "\n".join(lines) + "\n"


def _client_config(config: Config, url: str) -> str:
    token = config.static_token if config.development else "the value of STATIC_TOKEN"
    settings = {"socket": url, "authentication": "token", "token": token}
    return json.dumps({"videowhisperServer": settings}, indent=2)
