"""`/metrics`: numbers that a Prometheus can read, and that are right."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Clients, MakeServer, finishing
from tests.support.raw_site import raw_site
from tests.support.server import Server, row, until
from tests.test_http_api import ok

KEY = "scraper"


@pytest.fixture
def production(start_server: MakeServer) -> Iterator[Server]:
    server = start_server(VWS_ENV="production", API_KEY=KEY, accounts=[row("Acme")])
    with finishing([server]):
        yield server


@pytest.fixture
def clients(production: Server) -> Iterator[Clients]:
    with contextlib.closing(Clients(lambda: production)) as clients:
        yield clients


def scrape(server: Server) -> dict[tuple[str, str], float]:
    """Return the samples by name and the value of their label."""
    answer = requests.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}, timeout=5)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_clients_do_is_counted(production: Server, clients: Clients) -> None:
    alice, bob = clients.token("Acme-token"), clients.token("Acme-token")
    ok(alice, "publish", "Alice", "Lobby", {})
    ok(bob, "subscribe", "Bob", "Lobby")
    for _ in range(3):
        ok(bob, "messagePeer", {"type": "candidate", "target": "Alice"})
    assert not bob.call("messagePeer", {"type": "candidate", "target": "Nobody"})["ok"]
    assert not bob.call("nonsense", {})["ok"]
    numbers = scrape(production)
    assert numbers["vws_clients", ""] == 2
    assert numbers["vws_peers", "broadcaster"] == 1
    assert numbers["vws_peers", "player"] == 1
    assert numbers["vws_connects_total", ""] == 2
    assert numbers["vws_events_total", "publish"] == 1
    assert numbers["vws_events_total", "messagePeer"] == 3
    assert numbers["vws_refusals_total", "no-such-peer"] == 1
    assert numbers["vws_refusals_total", "unknown-event"] == 1
    assert ("vws_events_total", "nonsense") not in numbers
    assert numbers["vws_messages_sent_total", ""] >= 3
    assert numbers["process_open_fds", ""] > 2


def test_clients_that_leave_are_counted_with_the_reason(production: Server, clients: Clients) -> None:
    alice, bob = clients.token("Acme-token"), clients.token("Acme-token")
    alice.drop()
    bob.close()
    until(lambda: scrape(production)["vws_clients", ""] == 0)
    gone = {label: value for (name, label), value in scrape(production).items() if "disconnects" in name}
    assert sum(gone.values()) == 2
    assert "transport close" in gone


def test_streams_of_nginx_are_counted(make_server: MakeServer) -> None:
    with raw_site() as nginx:
        nginx.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n#EXTM3U\n"
        host = nginx.url.removesuffix("/login")
        server = make_server(VWS_ENV="production", API_KEY=KEY, NGINX_HOST=host, accounts=[row("Acme")])
        assert numbers_of_nginx(server) == {"rtmp_streams": 0, "hls_viewers": 0, "clients": 0}
        for number, kind in enumerate(("publish", "play")):
            form = f"call={kind}&clientid={number}&name=Acme/Stage&token=Acme-token"
            assert server.post(f"/nginx/on_{kind}", form, apikey=KEY).ok
        for _ in range(3):
            assert server.get("/hls/Acme/Stage/index.m3u8", token="Acme-token").ok
        assert numbers_of_nginx(server) == {"rtmp_streams": 1, "hls_viewers": 3, "clients": 2}
        assert scrape(server)["vws_peers", "player"] == 4


def numbers_of_nginx(server: Server) -> dict[str, float]:
    numbers = scrape(server)
    return {name: numbers[f"vws_{name}", ""] for name in ("rtmp_streams", "hls_viewers", "clients")}
