"""The demo pages, as people use them: calls over a real TURN server, rooms, and whatever a peer may say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import TOKEN, Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.coturn import running_coturn
from tests.support.server import Server, until
from tests.support.visits import Visit, pictures, pictures_move

NO_STUN = "stun:127.0.0.1:9"  # nobody answers there: candidates of this machine are enough
STREAM = {"type": "webrtc", "width": 320, "height": 240, "bitrate": 150, "audioBitrate": 32, "frameRate": 15}
MISCHIEF = "<img src=/nothing onerror=document.title='taken'>"


@pytest.fixture(scope="module")
def demo_server(start_server: MakeServer) -> Iterator[Server]:
    servers = [start_server(STUN_SERVERS=NO_STUN, STATIC_ACCOUNT="", STATIC_LOGIN="")]
    with finishing(servers):
        yield servers[0]


@pytest.fixture
def server(demo_server: Server) -> Iterator[Server]:
    yield demo_server
    demo_server.idle()


@pytest.fixture(scope="module")
def relay_server(start_server: MakeServer) -> Iterator[Server]:
    """Return a server whose clients get credentials at a real coturn."""
    with running_coturn(secret="north") as turn:
        servers = [start_server(**cast("Any", turn.settings))]
        with finishing(servers):
            yield servers[0]


def go_live(visit: Visit, server: Server, name: str = "Alice", **parameters: str) -> Page:
    page = visit(server, "/demo/broadcast", name=name, **parameters)
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("^Live in"))
    return page


def watch(visit: Visit, server: Server, name: str = "Bob", **parameters: str) -> Page:
    page = visit(server, "/demo/watch", name=name, **parameters)
    page.get_by_role("button", name="Watch").click()
    return page


def join(visit: Visit, server: Server, name: str, **parameters: str) -> Page:
    page = visit(server, "/demo/room", name=name, **parameters)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("^You are in"))
    return page


def statistics(page: Page) -> list[list[str]]:
    """Return the lines of the statistics, once every one of them has a bitrate."""
    lines: list[list[str]] = []

    def measured() -> bool:
        rows = page.locator("#statistics tbody tr").all()
        lines[:] = [row.locator("th, td").all_inner_texts() for row in rows]
        return bool(lines) and all(not line[4].startswith("0 ") for line in lines)

    until(measured, what=lambda: f"bitrates: {lines}")
    return lines


# --- calls ---


def test_a_call_over_turn_takes_two_clicks_and_no_typing(
    relay_server: Server, visit: Visit, context: BrowserContext
) -> None:
    alice = visit(relay_server, "/demo/broadcast", relay="1")
    alice.get_by_role("button", name="Go live").click()
    expect(alice.get_by_role("status")).to_have_text("Live in Lobby.")
    with context.expect_page() as opened:
        alice.get_by_role("link", name="Watch it in another tab").click()
    bob = opened.value
    bob.get_by_role("button", name="Watch").click()
    expect(bob.get_by_role("status")).to_have_text(re.compile("^Watching"))
    name = bob.locator("#tiles li p").inner_text()
    pictures_move(bob, name)

    ((peer, direction, route, picture, bitrate, lost, _),) = statistics(bob)
    assert (peer, direction) == (name, "receiving")
    assert route.startswith("relay to relay, ")
    assert re.fullmatch(r"640x360, \d+ fps", picture)
    assert re.fullmatch(r"[1-9]\d* kbps", bitrate)
    assert re.fullmatch(r"\d+\.\d %", lost)
    ((_, direction, route, *_),) = statistics(alice)
    assert direction == "sending"
    assert route.startswith("relay to relay, ")


@pytest.mark.parametrize(("path", "button"), [("broadcast", "Go live"), ("watch", "Watch"), ("room", "Join")])
def test_without_a_turn_server_nothing_is_begun_that_needs_one(
    server: Server, visit: Visit, path: str, button: str
) -> None:
    go_live(visit, server)
    page = visit(server, f"/demo/{path}", relay="1", channel="Lobby" if path == "watch" else "Elsewhere")
    status = page.get_by_role("status")
    expect(status).to_have_text("No TURN server is configured here: nothing can be relayed.")
    page.get_by_role("button", name=button).click()
    expect(status).to_have_text("No TURN server is configured here: nothing can be relayed.")
    expect(page.locator("#call")).to_be_hidden()
    page.get_by_label("Only over the TURN server").uncheck()
    page.get_by_role("button", name=button).click()
    expect(status).to_have_text(re.compile("^(Live in Elsewhere|Watching Alice|You are in Elsewhere)"))


def test_an_offer_that_names_no_turn_server_is_not_answered_by_who_wants_to_relay(
    relay_server: Server, visit: Visit, clients: Clients
) -> None:
    page = watch(visit, relay_server, relay="1")
    expect(page.get_by_role("status")).to_have_text("Waiting for somebody to go live in Lobby.")
    alice = clients.token(server=relay_server)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    own = {"peerConfig": {"iceServers": [{"urls": NO_STUN}]}, "content": {"type": "offer", "sdp": ""}}
    assert alice.call("messagePeer", {"type": "offer", "target": "Bob", "channel": "Lobby", **own})["ok"]
    expect(page.get_by_role("status")).to_have_text("There is no TURN server to relay.")
    expect(page.locator("#tiles li")).to_have_count(0)


def test_a_viewer_waits_and_sees_whoever_goes_live_next(server: Server, visit: Visit) -> None:
    bob = watch(visit, server)
    expect(bob.get_by_role("status")).to_have_text("Waiting for somebody to go live in Lobby.")
    alice = go_live(visit, server)
    pictures_move(bob, "Alice")
    expect(alice.locator("#peers")).to_have_text("Bob connected")

    alice.get_by_role("button", name="Stop").click()
    expect(bob.get_by_role("status")).to_have_text("Alice stopped.")
    assert pictures(bob, "Alice") == 0
    go_live(visit, server, "Charlie")
    pictures_move(bob, "Charlie")

    bob.get_by_role("button", name="Stop").click()
    expect(bob.get_by_role("button", name="Watch")).to_be_visible()


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_calls_survive_a_restart_of_the_server(
    make_server: MakeServer, visit: Visit, end: Callable[[Server], object]
) -> None:
    server = make_server(STUN_SERVERS=NO_STUN)
    alice, bob = go_live(visit, server), watch(visit, server)
    pictures_move(bob, "Alice")
    end(server)
    server.start()
    until(lambda: len(server.api("/connections")) == 1 and len(server.api("/connections")[0][1]) == 2)
    pictures_move(bob, "Alice")
    expect(alice.get_by_role("status")).to_have_text("Live in Lobby.")


def test_refusals_are_shown_and_can_be_mended(make_server: MakeServer, visit: Visit) -> None:
    server = make_server(VWS_ENV="production", DEMO="true", STUN_SERVERS=NO_STUN)
    page = visit(server, "/demo/watch", name="Bob")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("status")).to_have_text("ERROR: Authentication error")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("status")).to_have_text("Waiting for somebody to go live in Lobby.")


def test_a_taken_channel_is_told(server: Server, visit: Visit) -> None:
    alice = go_live(visit, server)
    page = visit(server, "/demo/broadcast", name="Mallory")
    page.get_by_role("button", name="Go live").click()
    expect(page.get_by_role("status")).to_have_text("Channel already has a broadcaster.")
    expect(page.get_by_role("button", name="Go live")).to_be_visible()
    expect(alice.get_by_role("status")).to_have_text("Live in Lobby.")


# --- camera, microphone, screen ---


def colour(page: Page, sender: str) -> str:
    """Return the colour in the corner of a sender's picture: the fake camera's is green, nothing is black."""
    script = """sender => {
        const tile = [...document.querySelectorAll('#tiles li')].find((one) => one.dataset.sender === sender);
        const canvas = new OffscreenCanvas(1, 1).getContext('2d');
        canvas.drawImage(tile.querySelector('video'), 0, 0, 1, 1, 0, 0, 1, 1);
        const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
        return red < 40 && green < 40 && blue < 40 ? 'black' : red < 60 && green > 90 ? 'green' : 'other';
    }"""
    seen: str = page.evaluate(script, sender)
    return seen


def loudness(page: Page) -> float:
    """Return the loudest sample in 1.5 seconds of the page's first tile; the fake microphone beeps."""
    script = """async () => {
        if (!window.analyser) {
            const context = new AudioContext();
            window.analyser = new AnalyserNode(context, {fftSize: 2048});
            const stream = document.querySelector('#tiles video').srcObject;
            context.createMediaStreamSource(stream).connect(window.analyser);
        }
        const samples = new Float32Array(2048);
        let loudest = 0;
        for (const end = performance.now() + 1500; performance.now() < end; ) {
            window.analyser.getFloatTimeDomainData(samples);
            loudest = Math.max(loudest, ...samples.map(Math.abs));
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return loudest;
    }"""
    heard: float = page.evaluate(script)
    return heard


def test_camera_and_microphone_can_be_muted(server: Server, visit: Visit) -> None:
    alice, bob = go_live(visit, server), watch(visit, server)
    pictures_move(bob, "Alice")
    until(lambda: colour(bob, "Alice") == "green", what="a picture")
    until(lambda: loudness(bob) > 0.01, what="a beep")

    for name in ("Hide picture", "Mute microphone"):
        alice.get_by_role("button", name=name).click()
        expect(alice.get_by_role("button", name=name, pressed=True)).to_be_visible()
    until(lambda: colour(bob, "Alice") == "black", what="darkness")
    until(lambda: loudness(bob) < 0.001, what="silence")

    alice.get_by_role("button", name="Hide picture").click()
    alice.get_by_role("button", name="Mute microphone").click()
    until(lambda: colour(bob, "Alice") == "green", what="the picture again")
    until(lambda: loudness(bob) > 0.01, what="a beep again")


def test_the_camera_can_be_changed_in_a_call(server: Server, visit: Visit) -> None:
    alice, bob = go_live(visit, server), watch(visit, server)
    pictures_move(bob, "Alice")
    camera = alice.locator("#camera")
    label = "document.querySelector('#tiles video').srcObject.getVideoTracks()[0].label"
    expect(camera.locator("option")).to_have_text([f"fake_device_{number}" for number in range(3)])
    assert alice.evaluate(label) == "fake_device_0"
    camera.select_option(label="fake_device_2")
    until(lambda: alice.evaluate(f"{label.replace('[0]', '[0]?')}") == "fake_device_2", what="another camera")
    pictures_move(bob, "Alice")


def test_the_screen_can_be_shared_and_the_camera_comes_back(server: Server, visit: Visit) -> None:
    alice, bob = go_live(visit, server), watch(visit, server)
    pictures_move(bob, "Alice")
    track = "document.querySelector('#tiles video').srcObject.getVideoTracks()[0]"
    shown = f"{track}?.getSettings().displaySurface"
    share = alice.get_by_role("button", name="Share screen")
    share.click()
    expect(alice.get_by_role("button", name="Share screen", pressed=True)).to_be_visible()
    assert alice.evaluate(shown)
    pictures_move(bob, "Alice")

    share.click()
    expect(alice.get_by_role("button", name="Share screen", pressed=False)).to_be_visible()
    until(lambda: alice.evaluate(shown) is None, what="the camera")
    pictures_move(bob, "Alice")


SLOW = """([method]) => {
    const devices = navigator.mediaDevices, ask = devices[method].bind(devices);
    devices[method] = async (wanted) => {
        const picked = await ask(wanted);
        await new Promise((pick) => Object.assign(window, { pick, picked }));
        return picked;
    };
}"""
"""Makes the browser ask, and be answered when the test calls `pick`."""


@pytest.mark.parametrize("method", ["getDisplayMedia", "getUserMedia"])
def test_what_is_picked_after_the_end_goes_off_again(server: Server, visit: Visit, method: str) -> None:
    alice = go_live(visit, server)
    share = alice.get_by_role("button", name="Share screen")
    if method == "getUserMedia":  # the camera comes back after the screen
        share.click()
        expect(alice.get_by_role("button", name="Share screen", pressed=True)).to_be_visible()
    alice.evaluate(SLOW, [method])
    share.click()
    until(lambda: alice.evaluate("Boolean(window.pick)"), what="the browser to ask")
    alice.get_by_role("button", name="Stop").click()
    expect(alice.get_by_role("status")).to_have_text("Stopped.")
    assert alice.evaluate("picked.getTracks().map((track) => track.readyState)") == ["live"]
    alice.evaluate("pick()")
    until(lambda: alice.evaluate("picked.getTracks()[0].readyState") == "ended", what="it to go off")
    expect(alice.locator("#tiles li")).to_have_count(0)
    expect(alice.get_by_role("status")).to_have_text("Stopped.")
    expect(alice.locator("#screen")).to_have_attribute("aria-pressed", "false")


# --- rooms ---


def test_three_people_meet_in_a_room_and_chat(server: Server, visit: Visit) -> None:
    names = ["Alice", "Bob", "Charlie"]
    pages = {name: join(visit, server, name, channel="Meeting") for name in names}
    for viewer, sender in [(viewer, sender) for viewer in names for sender in names if sender != viewer]:
        pictures_move(pages[viewer], sender)
    assert pages["Alice"].locator("#peers li").all_inner_texts() == [
        "Alice you",
        "Bob connected",
        "Charlie connected",
    ]
    assert [line[:2] for line in statistics(pages["Alice"])] == [
        ["Bob", "receiving"],
        ["Charlie", "receiving"],
        ["Bob", "sending"],
        ["Charlie", "sending"],
    ]

    pages["Bob"].get_by_label("Message").fill("Hello everybody")
    pages["Bob"].get_by_role("button", name="Send").click()
    for page in pages.values():
        expect(page.get_by_role("log")).to_contain_text("Hello everybody")
        expect(page.locator("#chat b")).to_have_text("Bob")

    pages["Bob"].get_by_role("button", name="Leave").click()
    expect(pages["Alice"].locator("#peers li")).to_have_text(["Alice you", "Charlie connected"])
    expect(pages["Alice"].locator("#tiles li")).to_have_text(["Alice (you)", "Charlie"])
    pictures_move(pages["Alice"], "Charlie")
    late = join(visit, server, "Dora", channel="Meeting")
    expect(late.get_by_role("log")).to_contain_text("Hello everybody")


def test_a_room_of_an_account_asks_its_login_site(make_server: MakeServer, visit: Visit) -> None:
    server = make_server(VWS_ENV="production", DEMO="true", STUN_SERVERS=NO_STUN)
    page = visit(server, "/demo/room", name="Alice")
    page.get_by_label("Account").fill("Test Account")
    page.get_by_label("Pin").fill("wrong")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("status")).to_have_text("ERROR: Wrong pin")
    page.get_by_label("Pin").fill("1234")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("status")).to_have_text("You are in Lobby.")


# --- what others say ---


def test_what_people_in_a_room_say_is_text(server: Server, visit: Visit, clients: Clients) -> None:
    alice = join(visit, server, "Alice", channel=MISCHIEF)
    eve = clients.verified(MISCHIEF, account="_demo", pin=TOKEN, server=server)
    room = {"room": MISCHIEF}
    eve.call("roomJoin", room)
    parameters = {**STREAM, "title": MISCHIEF}
    assert eve.call("roomPublish", {**room, "stream": f"{MISCHIEF}-1", "parameters": parameters})["ok"]
    eve.call("roomMessage", {**room, "message": {"text": MISCHIEF, "html": MISCHIEF}})
    eve.call("roomMessage", {**room, "message": {"text": {"toString": MISCHIEF}}})

    expect(alice.locator("#chat p")).to_have_text([MISCHIEF, ""])
    expect(alice.locator("#peers")).to_contain_text(MISCHIEF)
    alice.get_by_text("Streams and their parameters").click()
    expect(alice.locator("#streams")).to_contain_text(f'"title": "{MISCHIEF}"')
    expect(alice.get_by_role("status")).to_have_text(f"You are in {MISCHIEF}.")
    harmless(alice)


def test_what_viewers_and_broadcasters_are_called_is_text(server: Server, visit: Visit) -> None:
    alice = go_live(visit, server, MISCHIEF, channel=MISCHIEF)
    bob = watch(visit, server, f"Bob {MISCHIEF}", channel=MISCHIEF)
    pictures_move(bob, MISCHIEF)
    expect(bob.get_by_role("status")).to_have_text(f"Watching {MISCHIEF}.")
    expect(alice.locator("#peers")).to_have_text(f"Bob {MISCHIEF} connected")
    expect(alice.locator("#statistics tbody th")).to_have_text(f"Bob {MISCHIEF}")

    harmless(bob)
    harmless(alice)


def test_an_offer_that_is_none_is_told_as_text(server: Server, visit: Visit, clients: Clients) -> None:
    bob = watch(visit, server)
    expect(bob.get_by_role("status")).to_have_text("Waiting for somebody to go live in Lobby.")
    eve = stranger(clients, server)
    assert offer(eve, "Bob", content={"type": "offer", "sdp": MISCHIEF})["ok"]
    expect(bob.get_by_role("status")).to_have_class("failed")
    assert offer(eve, "Bob", content={"type": MISCHIEF})["ok"]
    expect(bob.get_by_role("status")).to_contain_text(MISCHIEF)
    harmless(bob)
    go_live(visit, server)
    pictures_move(bob, "Alice")


@pytest.mark.parametrize("channel", ["Lobby", "", None])
def test_nobody_else_in_the_channel_can_show_a_viewer_something(
    server: Server, visit: Visit, clients: Clients, channel: str | None
) -> None:
    go_live(visit, server)
    bob = watch(visit, server)
    pictures_move(bob, "Alice")
    assert offer(stranger(clients, server), "Bob", channel=channel)["ok"]
    pictures_move(bob, "Alice")
    expect(bob.get_by_role("status")).to_have_text("Watching Alice.")
    expect(bob.locator("#peers")).to_have_text("Alice connected")


def test_participants_show_only_what_the_room_knows_of(
    server: Server, visit: Visit, clients: Clients
) -> None:
    join(visit, server, "Alice")
    bob = join(visit, server, "Bob")
    pictures_move(bob, "Alice")
    eve = clients.verified("Eve", account="_demo", pin=TOKEN, server=server)
    assert eve.call("roomJoin", {"room": "Lobby"})["ok"]
    for channel in ("Lobby-Alice", None):
        assert offer(eve, "Bob", channel=channel)["ok"]
    pictures_move(bob, "Alice")
    expect(bob.get_by_role("status")).to_have_text("You are in Lobby.")
    expect(bob.locator("#peers li")).to_have_text(["Alice connected", "Bob you", "Eve"])


def stranger(clients: Clients, server: Server) -> Client:
    eve = clients.token(server=server)
    assert eve.call("subscribe", "Eve", "Lobby")["ok"]
    return eve


def offer(
    client: Client, target: str, *, channel: str | None = "Lobby", content: object = MISCHIEF
) -> dict[str, Any]:
    """Offer somebody what is no call, which is told on the page of who takes it for one."""
    message = {"type": "offer", "target": target, "channel": channel, "content": content}
    answer: dict[str, Any] = client.call("messagePeer", message)
    return answer


def test_what_the_address_says_is_text(server: Server, visit: Visit) -> None:
    for path in ("/demo/broadcast", "/demo/watch", "/demo/room"):
        page = visit(server, path, channel=f'">{MISCHIEF}', name=f'">{MISCHIEF}')
        expect(page.locator("[name=channel]")).to_have_value(f'">{MISCHIEF}')
        harmless(page)


def harmless(page: Page) -> None:
    assert page.locator("img").count() == 0
    assert page.title() != "taken"
