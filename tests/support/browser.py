"""Chromium for tests, with fake cameras, and the pages in `tests/browser/pages` that make calls.

    def test_call(open_page: OpenPage, server: Server) -> None:
        page = open_page("watch.html", server=server.url, token=TOKEN, name="Bob", channel="Lobby")
        frames_advance(page, "Alice")

Each test has a browser profile of its own; its pages are tabs there. A script error on any page fails the
test.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.require import need
from tests.support.server import until

__all__ = ["OpenPage", "browser", "frames", "frames_advance", "open_page", "pages_url"]

PAGES = Path(__file__).resolve().parents[1] / "browser" / "pages"
FLAGS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream=device-count=3",  # the second is a depth camera
    "--use-fake-ui-for-media-stream",  # the camera is allowed without a question
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",  # nothing resolves .local names here
]


class OpenPage(Protocol):
    """What `open_page` is: a page's file name and its query parameters."""

    def __call__(self, page: str, /, **parameters: str) -> Page: ...


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture(scope="session")
def pages_url() -> Iterator[str]:
    """Serve the pages on 127.0.0.1, an origin of their own, as a site that embeds calls is."""
    handler = functools.partial(_Handler, directory=str(PAGES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium for the tests of a module."""
    executable = need("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Return an empty profile; it takes the certificates of the tests for good."""
    profile = browser.new_context(ignore_https_errors=True)
    yield profile
    profile.close()


@pytest.fixture
def open_page(context: BrowserContext, pages_url: str) -> Iterator[OpenPage]:
    """Open the tests' pages as tabs; a script error on one of them fails the test."""
    errors: list[str] = []

    def open_(name: str, /, **parameters: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(f"{name}: {error}"))
        page.goto(f"{pages_url}/{name}?{urlencode(parameters)}")
        return page

    yield open_
    assert errors == []


def frames(page: Page, sender: str) -> int:
    """Return how many video frames of this sender the page has decoded; 0 while there is no call."""
    decoded: int = page.evaluate("sender => window.framesDecoded?.(sender) ?? 0", sender)
    return decoded


def frames_advance(page: Page, sender: str, *, by: int = 10, timeout: float = 15) -> None:
    """Return once the page has decoded `by` more frames of this sender than at the time of asking."""
    target = frames(page, sender) + by

    def advanced() -> bool:
        return frames(page, sender) >= target

    until(advanced, timeout=timeout, what=lambda: f"{target} frames from {sender}: {page.inner_text('body')}")
