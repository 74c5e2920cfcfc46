"""Calls between browsers: pictures must keep arriving, whoever reloads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.conftest import ACCOUNT, TOKEN, MakeServer, finishing
from tests.support.browser import OpenPage, frames_advance
from tests.support.server import Server, row

CHANNEL = "Lobby"


@pytest.fixture(scope="module")
def call_server(start_server: MakeServer) -> Iterator[Server]:
    servers = [start_server()]
    with finishing(servers):
        yield servers[0]


@pytest.fixture
def server(call_server: Server) -> Iterator[Server]:
    yield call_server
    call_server.idle()


def broadcast(open_page: OpenPage, server: Server, *, name: str = "Alice", token: str = TOKEN) -> Page:
    page = open_page("broadcast.html", server=server.url, token=token, name=name, channel=CHANNEL)
    page.get_by_text("live").wait_for()
    return page


def watch(open_page: OpenPage, server: Server, name: str, *, token: str = TOKEN) -> Page:
    return open_page("watch.html", server=server.url, token=token, name=name, channel=CHANNEL)


def test_two_viewers_see_the_broadcaster_and_recover_from_reloads(
    server: Server, open_page: OpenPage
) -> None:
    bob = watch(open_page, server, "Bob")  # before there is anything to see
    alice = broadcast(open_page, server)
    charlie = watch(open_page, server, "Charlie")  # and after
    frames_advance(bob, "Alice")
    frames_advance(charlie, "Alice")

    bob.reload()
    frames_advance(bob, "Alice")
    frames_advance(charlie, "Alice")

    alice.reload()
    alice.get_by_text("live").wait_for()
    frames_advance(bob, "Alice")
    frames_advance(charlie, "Alice")


def test_three_people_in_a_room_see_each_other_and_chat(server: Server, open_page: OpenPage) -> None:
    names = ["Alice", "Bob", "Charlie"]
    pages = {name: join(open_page, server, name) for name in names}
    for viewer, sender in [(viewer, sender) for viewer in names for sender in names if sender != viewer]:
        frames_advance(pages[viewer], sender)

    pages["Bob"].evaluate("chat('Hello everybody')")
    for page in pages.values():
        page.get_by_text("Bob: Hello everybody").wait_for()


def test_plan_limits_reach_the_offer_and_the_call_still_works(
    make_server: MakeServer, open_page: OpenPage
) -> None:
    plan = {"bitrate": 200, "width": 320, "height": 240, "frameRate": 15}
    server = make_server(ENFORCE_SDP="1", accounts=[row("Acme", plan=plan)])
    broadcast(open_page, server, token="Acme-token")
    bob = watch(open_page, server, "Bob", token="Acme-token")
    frames_advance(bob, "Alice")

    video = bob.evaluate("offeredSDP('Alice')").partition("m=video")[2]
    assert re.findall(r"^b=(.+?)\r$", video, re.MULTILINE) == ["AS:200", "TIAS:200000"]
    assert re.findall(r"^a=framerate:(.+?)\r$", video, re.MULTILINE) == ["15"]


def test_a_call_is_signalled_over_tls(make_server: MakeServer, open_page: OpenPage) -> None:
    server = make_server(tls=True)
    broadcast(open_page, server)
    bob = watch(open_page, server, "Bob")
    frames_advance(bob, "Alice")


def join(open_page: OpenPage, server: Server, user: str) -> Page:
    page = open_page("room.html", server=server.url, account=ACCOUNT, user=user, pin="1234", room="Meeting")
    page.get_by_text(f"{user} joined").wait_for()
    return page
