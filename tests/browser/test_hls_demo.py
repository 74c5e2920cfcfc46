"""The demo of HLS in Chromium, which plays what ffmpeg publishes over RTMP, by hls.js and by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import TOKEN
from tests.support.looks import fit_to_be_seen
from tests.support.nginx import Rtmp
from tests.support.require import need_file
from tests.support.server import ROOT, Server, row, until
from tests.support.visits import Visit

LIBRARY = ROOT / "static/vendor/node_modules/hls.js/dist/hls.light.min.mjs"
PATH = "/demo/hls"
KNOWS_HLS = "document.createElement('video').canPlayType('application/vnd.apple.mpegurl')"


@pytest.fixture
def live(rtmp: Rtmp) -> Server:
    """Return a server with a stream that is live, the one that the page plays without typing."""
    need_file(LIBRARY)
    server = rtmp.server()
    rtmp.publish(f"_static/Stage?token={TOKEN}").wait_live()
    rtmp.wait_hls("_static/Stage")
    return server


def shown(page: Page) -> int:
    """Return how many pictures the video has shown."""
    count: int = page.evaluate("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames")
    return count


def plays(page: Page) -> None:
    """Wait until pictures come, and go on coming."""
    expect(page.get_by_role("status")).to_have_text("Playing.", timeout=20_000)
    before = shown(page)
    until(lambda: shown(page) > before + 20, timeout=20, what=lambda: f"pictures: {page.inner_text('main')}")


def play(page: Page) -> None:
    page.get_by_role("button", name="Play").click()


def test_one_click_plays_what_is_broadcast(live: Server, visit: Visit) -> None:
    page = visit(live, PATH)
    play(page)
    plays(page)
    assert live.api("/stats")["_static"]["players"] == 1
    expect(page.locator("#player")).to_have_text(re.compile(r"^hls\.js \d"))
    expect(page.locator("#picture")).to_have_text("160x120")
    expect(page.locator("#behind")).to_have_text(re.compile(r"^\d+\.\d s$"))
    assert page.evaluate("document.querySelector('video').audioTracks?.length ?? 1") == 1

    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Play")).to_be_focused()


def test_a_browser_that_knows_hls_plays_it_by_itself(live: Server, visit: Visit) -> None:
    page = visit(live, PATH)
    if not page.evaluate(KNOWS_HLS):
        pytest.skip("this Chromium does not know HLS")
    page.evaluate("document.getElementById('join').dataset.library = ''")
    play(page)
    plays(page)
    expect(page.locator("#player")).to_have_text("the browser")


def test_a_stream_is_waited_for_and_refusals_are_told(rtmp: Rtmp, context: BrowserContext) -> None:
    """A context without `visit`: that the console tells of refusals is right here."""
    need_file(LIBRARY)
    server = rtmp.server(accounts=[row("Acme", playbackPin="out", plan={"streamPlayers": 1})])
    page = context.new_page()
    page.goto(f"{server.url}{PATH}?account=Acme&stream=<i>Stage")
    status = page.get_by_role("status")
    page.get_by_label("Or playback pin").fill("wrong")
    play(page)
    expect(status).to_have_text("Not let in: the token or the pin is wrong, or the account is suspended.")

    page.get_by_label("Or playback pin").fill("out")
    play(page)
    expect(status).to_have_text("Not live yet: asking again.")
    expect(page.locator("#caption")).to_have_text("Acme/<i>Stage")
    page.get_by_role("button", name="Stop").click()

    page.get_by_label("Stream").fill("Stage")
    play(page)
    expect(status).to_have_text("Not live yet: asking again.")
    rtmp.publish("Acme/Stage?token=Acme-token").wait_live()
    plays(page)

    another = context.new_page()
    another.goto(f"{server.url}{PATH}?account=Acme")
    play(another)
    expect(another.get_by_role("status")).to_have_text("The account has as many viewers as its plan allows.")


@pytest.mark.parametrize("player", ["hls.js", "the browser"])
def test_the_page_is_one_viewer_however_often_it_is_reloaded(rtmp: Rtmp, visit: Visit, player: str) -> None:
    need_file(LIBRARY)
    server = rtmp.server(accounts=[row("Acme", plan={"streamPlayers": 1})])
    rtmp.publish("Acme/Stage?token=Acme-token").wait_live()
    rtmp.wait_hls("Acme/Stage")
    page = visit(server, PATH, account="Acme")
    if player == "the browser" and not page.evaluate(KNOWS_HLS):
        pytest.skip("this Chromium does not know HLS")
    for _ in range(3):
        if player == "the browser":
            page.evaluate("document.getElementById('join').dataset.library = ''")
        page.get_by_label("Token").fill("Acme-token")
        play(page)
        plays(page)
        assert server.api("/stats")["Acme"]["players"] == 1
        page.reload()
    play(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")


def test_a_broadcast_that_begins_again_is_played_again(rtmp: Rtmp, context: BrowserContext) -> None:
    need_file(LIBRARY)
    server = rtmp.server()
    alice = rtmp.publish(f"_static/Stage?token={TOKEN}").wait_live()
    page = context.new_page()
    page.goto(f"{server.url}{PATH}")
    play(page)
    plays(page)
    alice.stop()
    server.idle()
    expect(page.get_by_role("status")).to_have_text(re.compile("asking again"), timeout=60_000)
    rtmp.publish(f"_static/Stage?token={TOKEN}").wait_live()
    plays(page)


def test_the_page_is_fit_to_be_seen_in_every_theme_and_width(live: Server, visit: Visit) -> None:
    page = visit(live, PATH)
    fit_to_be_seen(page, "hls")
    play(page)
    plays(page)
    page.get_by_text("What OBS wants to know").click()
    fit_to_be_seen(page, "hls-playing")
