"""The page at `/` in Chromium: what it says of the server, and its STUN and TURN test at a real coturn."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from aioice import stun
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import Clients, MakeServer, finishing
from tests.support.browser import FLAGS
from tests.support.coturn import Coturn, MakeCoturn, running_coturn
from tests.support.looks import fit_to_be_seen
from tests.support.require import need
from tests.support.server import Server, free_port, until

KEY = "key-é-1"
TEST_SECONDS = 40
FAILED = re.compile("timeout|unreachable")


@pytest.fixture(scope="module")
def coturn() -> Iterator[Coturn]:
    with running_coturn() as running:
        yield running


@pytest.fixture(scope="module")
def module_server(start_server: MakeServer, coturn: Coturn) -> Iterator[Server]:
    servers = [start_server(**coturn.settings)]
    with finishing(servers):
        yield servers[0]


@pytest.fixture
def server(module_server: Server) -> Iterator[Server]:
    """Return a server that gives its clients the right coturn."""
    yield module_server
    module_server.idle()


@pytest.fixture
def said(context: BrowserContext) -> Iterator[list[str]]:
    """Return what the pages' consoles say; a breach of a page's policy is told there."""
    lines: list[str] = []
    context.on("console", lambda message: lines.append(message.text))
    context.on("weberror", lambda error: lines.append(str(error.error)))
    yield lines
    assert lines == []


@pytest.fixture
def page(context: BrowserContext, said: list[str]) -> Page:
    return context.new_page()


def watch_status(page: Page) -> None:
    """Have the page keep everything that the status of its test has said."""
    page.evaluate(
        """() => {
            const status = document.getElementById('browser-status');
            window.statuses = [];
            new MutationObserver(() => window.statuses.push(status.textContent))
                .observe(status, { childList: true, characterData: true, subtree: true });
        }"""
    )


def run(page: Page, server: Server) -> dict[str, str]:
    """Open the page and run its test; return the verdict on each transport."""
    if not page.url.startswith(server.url):
        page.goto(server.url)
    page.get_by_role("button", name="Test from this browser").click()
    expect(page.locator("#start")).to_be_enabled(timeout=TEST_SECONDS * 1000)
    return {row[1]: row[2] for row in rows(page, "#verdicts")}


def ask(page: Page, server: Server) -> dict[str, str]:
    """Do as `run` does up to the loop through the relay, and stop there: for the verdicts alone."""
    page.goto(server.url)
    page.get_by_role("button", name="Test from this browser").click()
    return stop_at_the_loop(page)


def stop_at_the_loop(page: Page) -> dict[str, str]:
    expect(page.locator("#loop")).to_be_visible(timeout=TEST_SECONDS * 1000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#browser-status")).to_have_text("Stopped.")
    return {row[1]: row[2] for row in rows(page, "#verdicts")}


def rows(page: Page, body: str) -> list[list[str]]:
    script = "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    found: list[list[str]] = page.locator(body).evaluate(script)
    return found


# --- the server ---


def test_the_page_says_what_goes_on_and_keeps_it_up_to_date(
    server: Server, clients: Clients, page: Page, coturn: Coturn
) -> None:
    page.goto(server.url)
    expect(page.locator("#own-summary")).to_have_text("STUN/TURN check passed")
    results = rows(page, "#own-results")
    assert [row[:2] for row in results] == [
        [coturn.server, name] for name in ("STUN", "TURN/UDP", "TURN/TCP")
    ]
    assert all(re.fullmatch(r"answered in \d+ ms", row[2]) for row in results)
    expect(page.locator("[data-live=clients]")).to_have_text("0")
    alice = clients.token(server=server)
    assert alice.call("publish", "Alice", "Lobby", {})["ok"]
    expect(page.locator("[data-live=clients]")).to_have_text("1", timeout=10_000)
    expect(page.locator("[data-live=broadcasters]")).to_have_text("1")
    expect(page.locator("[data-live=players]")).to_have_text("0")
    expect(page.locator("[data-live=uptime]")).to_have_text(re.compile(r"\d+ s"))


def test_without_scripts_the_page_shows_the_servers_own_test(
    make_server: MakeServer, browser: Browser, coturn: Coturn
) -> None:
    server = make_server(**coturn.settings | {"COTURN_PASSWORD": "not-the-password"})
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("#own-summary")).to_contain_text("wrong credentials", timeout=15_000)
    expect(page.locator("#own-results tr")).to_have_count(3)
    expect(page.locator("noscript p")).to_have_text("This test needs JavaScript.")
    expect(page.get_by_role("button")).to_have_count(0)
    context.close()


# --- the browser's test ---


def test_everything_answers_and_the_relay_relays(server: Server, page: Page, coturn: Coturn) -> None:
    page.goto(server.url)
    expect(page.locator("#browser")).to_contain_text("up to 30 MB out")
    watch_status(page)
    verdicts = run(page, server)
    assert set(verdicts) == {"STUN", "TURN/UDP", "TURN/TCP"}
    assert all(verdict.startswith("answered") for verdict in verdicts.values())
    assert page.evaluate("window.statuses") == [
        "Asking the servers…",
        *(f"Asking the servers: {done} of 3 checks done." for done in (1, 2, 3)),
        "Sending data through the relay…",
        "Every server answered. TURN relays.",
    ]

    candidates = rows(page, "#candidates")
    relays = [row for row in candidates if row[0] == "relay"]
    assert sorted((row[1], row[3]) for row in relays) == [("udp", "TURN/UDP"), ("udp over tcp", "TURN/TCP")]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", row[2]) for row in relays)
    assert all(re.fullmatch(r"\d+ ms", row[4]) for row in candidates)
    assert {"host", "relay"} <= {row[0] for row in candidates}

    expect(page.locator("#path")).to_have_text(re.compile(r"relay \((udp|tcp)\) to relay"))
    assert float(page.inner_text("#round-trip").removesuffix(" ms")) > 0
    for chart in ("#round-trip-chart", "#throughput-chart"):
        heights = {point.split(",")[1] for point in points(page, chart)}
        assert len(heights) > 2, "a line that is drawn from measurements"
    relayed = float(page.inner_text("#relayed").removesuffix(" MB")) * 1_000_000
    assert 100_000 < relayed < 31_000_000
    fit_to_be_seen(page, "server-tested")
    until(lambda: sent_by(coturn) > relayed, what=lambda: f"coturn to have sent {relayed} bytes")


def points(page: Page, chart: str) -> list[str]:
    return (page.locator(f"{chart} polyline").get_attribute("points") or "").split()


def sent_by(coturn: Coturn) -> int:
    """Return the bytes that coturn sent for the sessions it knows of, as it says in its log."""
    return sum(int(sent) for sent in re.findall(r" usage: .* sb=(\d+)", coturn.log()))


def test_a_wrong_password(make_server: MakeServer, page: Page, coturn: Coturn) -> None:
    verdicts = run(page, make_server(**coturn.settings | {"COTURN_PASSWORD": "not-the-password"}))
    assert verdicts["STUN"].startswith("answered")
    assert verdicts["TURN/UDP"] == verdicts["TURN/TCP"] == "wrong credentials"
    expect(page.locator("#browser-status")).to_have_text("2 of 3 checks failed. TURN does not relay.")
    expect(page.locator("#loop")).to_be_hidden()


def test_a_server_that_is_down(make_server: MakeServer, make_coturn: MakeCoturn, page: Page) -> None:
    coturn = make_coturn()
    coturn.stop()
    verdicts = run(page, make_server(**coturn.settings))
    assert len(verdicts) == 3
    assert all(FAILED.match(verdict) for verdict in verdicts.values()), verdicts
    expect(page.locator("#browser-status")).to_have_text("3 of 3 checks failed. TURN does not relay.")


def test_a_server_that_speaks_udp_only(make_server: MakeServer, make_coturn: MakeCoturn, page: Page) -> None:
    verdicts = run(page, make_server(**make_coturn(tcp=False).settings))
    assert verdicts["STUN"].startswith("answered")
    assert verdicts["TURN/UDP"].startswith("answered")
    assert FAILED.match(verdicts["TURN/TCP"])
    expect(page.locator("#browser-status")).to_have_text("1 of 3 checks failed. TURN relays.")
    expect(page.locator("#path")).to_have_text("relay (udp) to relay")


def test_a_certificate_that_the_browser_trusts_and_one_that_it_does_not(
    make_server: MakeServer, make_coturn: MakeCoturn, browser: Browser, page: Page
) -> None:
    server = make_server(**make_coturn(tls=True).settings)
    assert ask(page, server)["TURNS"] == "unreachable, or its certificate is not valid"

    trusting = browser.browser_type.launch(
        executable_path=need("chromium"), args=[*FLAGS, "--ignore-certificate-errors"]
    )
    verdicts = ask(trusting.new_page(), server)
    trusting.close()
    assert len(verdicts) == 4
    assert all(verdict.startswith("answered") for verdict in verdicts.values()), verdicts


def test_a_server_that_does_not_relay_to_itself(
    make_server: MakeServer, make_coturn: MakeCoturn, page: Page
) -> None:
    """Allocations alone prove nothing: this one gives them and lets no data through."""
    verdicts = run(page, make_server(**make_coturn(loopback_peers=False).settings))
    assert all(verdict.startswith("answered") for verdict in verdicts.values())
    expect(page.locator("#loop-status")).to_contain_text("No connection through the relay")
    expect(page.locator("#browser-status")).to_contain_text("TURN does not relay.")


def test_a_test_can_be_stopped_and_run_again(server: Server, page: Page) -> None:
    assert ask(page, server)["STUN"].startswith("answered")
    expect(page.locator("#loop-status")).to_have_text("Stopped.")
    expect(page.locator("#start")).to_be_enabled()
    assert run(page, server)["STUN"].startswith("answered")
    expect(page.locator("#browser-status")).to_have_text("Every server answered. TURN relays.")


# --- what a server may say ---

MISCHIEF = "<img src=/nothing onerror=document.title='taken'>"


@pytest.fixture
def rude_stun() -> Iterator[str]:
    """Return host:port of a STUN server whose refusals are HTML."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", free_port()))
        udp.settimeout(0.1)
        end = threading.Event()
        thread = threading.Thread(target=refuse_all, args=(udp, end))
        thread.start()
        yield f"127.0.0.1:{udp.getsockname()[1]}"
        end.set()
        thread.join()


def refuse_all(udp: socket.socket, end: threading.Event) -> None:
    while not end.is_set():
        with contextlib.suppress(TimeoutError, ValueError):
            data, sender = udp.recvfrom(2048)
            asked = stun.parse_message(data)
            refusal = stun.Message(asked.message_method, stun.Class.ERROR, asked.transaction_id)
            refusal.attributes["ERROR-CODE"] = (486, MISCHIEF)
            udp.sendto(bytes(refusal), sender)


def test_what_servers_say_is_text(make_server: MakeServer, page: Page, rude_stun: str) -> None:
    verdicts = run(page, make_server(STUN_SERVERS=f"stun:{rude_stun}"))
    assert re.fullmatch(rf"refused: \d+ {re.escape(MISCHIEF)}", verdicts["STUN"])
    expect(page.locator("#own-summary")).to_contain_text(f"refused: 486 {MISCHIEF}")
    assert rows(page, "#own-results") == [[rude_stun, "STUN", f"refused: 486 {MISCHIEF}"]]
    assert page.locator("img").count() == 0
    assert page.title() != "taken"


# --- whose credentials ---


def test_visitors_of_a_production_server_test_with_credentials_that_expire(
    make_server: MakeServer, make_coturn: MakeCoturn, page: Page
) -> None:
    coturn = make_coturn(secret="north-remembers")
    server = make_server(VWS_ENV="production", API_KEY=KEY, **coturn.settings)
    verdicts = ask(page, server)
    assert all(verdict.startswith("answered") for verdict in verdicts.values())
    expect(page.locator("#key-form")).to_be_hidden()
    (expiry,) = set(re.findall(r"user <(\d+):_page_/127\.0\.0\.1>", coturn.log()))
    assert 0 < int(expiry) - time.time() <= 600


def test_the_password_of_a_production_server_is_for_those_with_the_key(
    make_server: MakeServer, page: Page, coturn: Coturn, said: list[str]
) -> None:
    server = make_server(VWS_ENV="production", API_KEY=KEY, **coturn.settings)
    assert set(run(page, server)) == {"STUN"}
    expect(page.locator("#browser-status")).to_contain_text("TURN was not tested: that needs the API key.")
    fit_to_be_seen(page, "server-key")

    page.get_by_label("API key").fill(KEY)
    page.get_by_label("API key").press("Enter")
    verdicts = stop_at_the_loop(page)
    assert set(verdicts) == {"STUN", "TURN/UDP", "TURN/TCP"}
    assert all(verdict.startswith("answered") for verdict in verdicts.values())
