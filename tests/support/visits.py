"""Chromium on the server's own pages, as a person sees them.

    def test_watching(visit: Visit, server: Server) -> None:
        page = visit(server, "/demo/watch", channel="Lobby")

A script error, anything on the console, and a request to another address than the server's fail the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.server import Server, until

__all__ = ["Visit", "pictures", "pictures_move", "visit"]

expect.set_options(timeout=15_000)  # milliseconds, as long as everything else here waits


class Visit(Protocol):
    """What `visit` is: a server, a path, and query parameters."""

    def __call__(self, server: Server, path: str, /, **parameters: str) -> Page: ...


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Visit]:
    """Open pages of servers as tabs, also those that they open themselves."""
    wrong: list[str] = []
    asked: set[str] = set()
    hosts: set[str] = set()

    def complain(page: Page, message: str) -> None:
        if "ERR_CONNECTION_REFUSED" not in message:  # a server that is down is no fault of the page
            wrong.append(f"{page.url}: {message}")

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("console", lambda message: complain(page, message.text))
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: asked.add(urlsplit(socket.url).netloc))

    def open_(server: Server, path: str, /, **parameters: str) -> Page:
        hosts.add(urlsplit(server.url).netloc)
        page = context.new_page()
        page.goto(f"{server.url}{path}{'?' if parameters else ''}{urlencode(parameters)}")
        return page

    context.on("page", listen)
    yield open_
    assert wrong == []
    assert asked - {""} <= hosts, "what a data: address holds has no host"


def pictures(page: Page, sender: str) -> int:
    """Return how many pictures of this sender the page has shown; 0 while there is no tile of it."""
    script = """sender => {
        const tile = [...document.querySelectorAll('#tiles li')].find((one) => one.dataset.sender === sender);
        return tile?.querySelector('video').getVideoPlaybackQuality().totalVideoFrames ?? 0;
    }"""
    shown: int = page.evaluate(script, sender)
    return shown


def pictures_move(page: Page, sender: str, *, by: int = 10, timeout: float = 30) -> None:
    """Return once the page has shown `by` more pictures of this sender; a new call counts anew."""
    first = last = pictures(page, sender)

    def moved() -> bool:
        nonlocal first, last
        now = pictures(page, sender)
        first, last = (now if now < last else first), now
        return last >= first + by

    until(moved, timeout=timeout, what=lambda: f"{by} pictures of {sender}: {page.inner_text('body')}")
