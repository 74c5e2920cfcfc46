"""A real login site on 127.0.0.1 that answers the server's login calls in every way a site can.

Point STATIC_LOGIN or an account's `loginURL` at `site.url("/ok")`. The paths:

========== ==========================================================================
/ok        lets everybody in, except with the pin `wrong` (refused: `Wrong pin`)
/refuse    `{"login": false, "message": "No entry today"}`
/moderator like /ok; a user whose name starts with `mod` gets `role: "moderator"`
/slow?s=2  answers like /ok after 2 seconds
/hold      answers like /ok once the test calls `site.release()`; `site.waiting` counts who waits
/broken    status 500
/redirect  302 to /ok
/text      200 with something that is not JSON
/truthy    `{"login": 1}`: not `true`
/huge      a body that does not end
/close     drops the connection without an answer
========== ==========================================================================

`site.requests` holds what was asked, oldest first, as `(path, JSON body)`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

__all__ = ["LoginSite", "login_site"]

Answer = dict[str, Any]


class LoginSite:
    """The site as a test sees it: its addresses, what it was asked, and the hold on /hold."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.requests: list[tuple[str, Answer]] = []
        self.waiting = 0
        self._changed = threading.Condition()
        self._released = threading.Event()

    def url(self, path: str) -> str:
        return self.base + path

    def release(self) -> None:
        """Answer everybody who waits at /hold, and whoever comes later."""
        self._released.set()

    def wait_for_waiting(self, count: int, *, timeout: float = 15) -> None:
        """Return once `count` calls wait at /hold."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self.waiting >= count, timeout)
            assert arrived, f"{self.waiting} of {count} login calls arrived in {timeout} s"

    def reset(self) -> None:
        """Forget the requests and hold /hold again."""
        self.requests.clear()
        self._released.clear()

    def hold(self) -> None:
        self._count(1)
        self._released.wait(60)
        self._count(-1)

    def _count(self, step: int) -> None:
        with self._changed:
            self.waiting += step
            self._changed.notify_all()


def _judge(asked: Answer) -> Answer:
    if asked.get("pin") == "wrong":
        return {"login": False, "message": "Wrong pin"}
    return {"login": True}


def _moderator(asked: Answer) -> Answer:
    role = {"role": "moderator"} if str(asked.get("user", "")).startswith("mod") else {}
    return _judge(asked) | role


JUDGES: dict[str, Callable[[Answer], Answer]] = {
    "/ok": _judge,
    "/slow": _judge,
    "/hold": _judge,
    "/moderator": _moderator,
    "/refuse": lambda _asked: {"login": False, "message": "No entry today"},
    "/truthy": lambda _asked: {"login": 1},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the server's calls reuse connections
    site: ClassVar[LoginSite]

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.site.requests.append((self.path, asked))
        if url.path == "/slow":
            time.sleep(float(parse_qs(url.query)["s"][0]))
        if url.path == "/hold":
            self.site.hold()
        if url.path in JUDGES:
            self._reply(200, json.dumps(JUDGES[url.path](asked)))
        else:
            self._misbehave(url.path)

    def do_GET(self) -> None:
        """Let in whoever follows the redirect, so that following it shows."""
        self.site.requests.append((self.path, {}))
        self._reply(200, json.dumps({"login": True}))

    def _misbehave(self, path: str) -> None:
        match path:
            case "/broken":
                self._reply(500, "Internal Server Error")
            case "/redirect":
                self._reply(302, "", Location="/ok")
            case "/text":
                self._reply(200, "<p>Welcome</p>")
            case "/huge":
                self._reply_endlessly()
            case "/close":
                self.close_connection = True
            case _:
                self._reply(404, "Not Found")

    def _reply(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _reply_endlessly(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.write(b'{"login": true, "padding": "')
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass  # the caller had enough: what the test wants to see

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # many log in at once

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet about callers that hang up, as a test may want them to."""


@contextmanager
def login_site() -> Iterator[LoginSite]:
    """Run the site in a thread for as long as the block lasts."""
    http = _HTTPServer(("127.0.0.1", 0), _Handler)
    site = LoginSite(http.server_address[1])
    http.RequestHandlerClass = type("_Bound", (_Handler,), {"site": site})
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.release()
        http.shutdown()
        http.server_close()
        thread.join()
