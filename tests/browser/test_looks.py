"""How the pages look, and whether the keyboard is enough: pictures are taken, see `tests.support.looks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_demo import go_live, join, watch
from tests.conftest import MakeServer, finishing
from tests.support.looks import fit_to_be_seen, load_axe, obstacles
from tests.support.server import Server
from tests.support.visits import Visit, pictures_move
from vws.demo import DEMOS

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.fixture(scope="module")
def demo_server(start_server: MakeServer) -> Iterator[Server]:
    servers = [start_server(STUN_SERVERS="stun:127.0.0.1:9", STATIC_ACCOUNT="", STATIC_LOGIN="")]
    with finishing(servers):
        yield servers[0]


Scene = Callable[[Visit, Server], Page]


def blank(path: str) -> Scene:
    return lambda visit, server: visit(server, path, channel="Lobby", name="Alice")


def broadcasting(visit: Visit, server: Server) -> Page:
    page = go_live(visit, server)
    watch(visit, server)
    watch(visit, server, LONG)
    expect(page.locator("#peers .ok")).to_have_count(2)
    return page


def watching(visit: Visit, server: Server) -> Page:
    go_live(visit, server)
    page = watch(visit, server)
    pictures_move(page, "Alice", by=30)
    return page


def meeting(visit: Visit, server: Server) -> Page:
    page = join(visit, server, "Alice")
    others = [join(visit, server, name) for name in ("Bob", LONG)]
    for other in others:
        other.get_by_label("Message").fill("Hello everybody, can you hear me?")
        other.get_by_role("button", name="Send").click()
    expect(page.locator("#peers .ok")).to_have_count(2)
    page.get_by_text("Streams and their parameters").click()
    return page


def refused(visit: Visit, server: Server) -> Page:
    page = visit(server, "/demo/watch", name="Bob")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("status")).to_have_class("failed")
    return page


SCENES: dict[str, Scene] = {
    "server": blank("/"),
    "demos": blank("/demo"),
    "broadcast": blank("/demo/broadcast"),
    "watch": blank("/demo/watch"),
    "room": blank("/demo/room"),
    "hls-without-nginx": blank("/demo/hls"),
    "broadcasting": broadcasting,
    "watching": watching,
    "meeting": meeting,
    "refused": refused,
}


@pytest.mark.parametrize("name", SCENES)
def test_a_page_is_fit_to_be_seen_in_every_theme_and_width(
    visit: Visit, demo_server: Server, name: str
) -> None:
    fit_to_be_seen(SCENES[name](visit, demo_server), name)


def test_axe_would_notice(visit: Visit, demo_server: Server) -> None:
    page = visit(demo_server, "/demo/watch")
    load_axe(page)
    page.evaluate("document.querySelector('label').replaceWith(document.querySelector('label input'))")
    assert [each.partition(":")[0] for each in obstacles(page)] == ["label"]


@pytest.mark.parametrize("path", ["/", "/demo", *(f"/demo/{name}" for name in DEMOS)])
def test_the_focus_is_seen_wherever_the_keyboard_leads(visit: Visit, demo_server: Server, path: str) -> None:
    page = visit(demo_server, path)
    focused = "document.activeElement.outerHTML.slice(0, 80)"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    seen: list[tuple[str, str]] = []
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement !== document.body") and len(seen) < 50:
        seen.append((page.evaluate(focused), page.evaluate(outline)))
        page.keyboard.press("Tab")
    assert seen
    assert [element for element, style in seen if style == "none"] == []


def test_a_call_can_be_begun_and_ended_by_keyboard(visit: Visit, demo_server: Server) -> None:
    page = visit(demo_server, "/demo/watch")
    page.get_by_label("Your name").press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Watch")).to_be_visible()
