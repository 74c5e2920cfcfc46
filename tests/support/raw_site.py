"""A site that answers with whatever bytes the test says, and remembers how it was called.

    with raw_site() as site:
        site.answer = json_answer(403, {"message": "Not you"}, "Set-Cookie: id=1")
        site.pace = 0.1

It stands for a customer's site, or for nginx. The pace is the pause between the bytes of an answer, in
seconds; with `hang_up` the connection ends with the answer. `site.calls` lists the calls, oldest first, as
`(number of the connection, head of the request)`, and `site.bodies` what they sent.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["RawSite", "json_answer", "raw_site"]


def json_answer(status: int, body: Any, *headers: str) -> bytes:
    """Make an HTTP answer of a status, a JSON body and more header lines."""
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(text)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + text


class RawSite:
    """The site as a test sees it; `url` is its address."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/login"
        self.calls: list[tuple[int, str]] = []
        self.bodies: list[bytes] = []
        self.reset()

    def reset(self) -> None:
        """Forget the calls, and let everybody in again."""
        self.calls.clear()
        self.bodies.clear()
        self.answer = json_answer(200, {"login": True})
        self.pace = 0.0
        self.hang_up = False

    def serve(self) -> None:
        for number in range(1_000_000):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the end
                return
            threading.Thread(target=self._converse, args=(number, connection), daemon=True).start()

    def _converse(self, number: int, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while read := _read_request(connection):
                head, body = read
                answer, pace = self.answer, self.pace  # a test that saw the call may change them
                self.bodies.append(body)
                self.calls.append((number, head))
                _reply(connection, answer, pace)
                if self.hang_up:
                    return


def _reply(connection: socket.socket, answer: bytes, pace: float) -> None:
    if not pace:
        connection.sendall(answer)
        return
    for byte in answer:
        connection.sendall(bytes([byte]))
        time.sleep(pace)


def _read_request(connection: socket.socket) -> tuple[str, bytes] | None:
    """Read one request; return its head and body, or None when the caller hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    missing = int(length[1] if length else 0) - len(body)
    while missing > 0:
        body += (piece := connection.recv(missing))
        missing -= len(piece)
    return head.decode("latin-1"), body


@contextmanager
def raw_site() -> Iterator[RawSite]:
    """Run the site in threads for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = RawSite(listener)
        thread = threading.Thread(target=site.serve, daemon=True)
        thread.start()
        yield site
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
