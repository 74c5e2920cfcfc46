"""The description of the HTTP API holds: every route is in it, and real answers are as it says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import requests
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import ConnectRefused
from tests.support.raw_site import raw_site
from tests.support.server import Server, row, until
from tests.test_hls_upstream import PLAYLIST
from tests.test_hls_upstream import ok as served
from tests.test_http_api import KEY, STREAM, ok
from tests.test_nginx_stat import PAGE
from vws import __version__
from vws.config import Config
from vws.factory import create_app
from vws.http.access import Access
from vws.http.routes import CALLBACKS, ROUTES, STREAMS, Route

PATHS = [route.path for route in ROUTES]
POSTED = [route.path for route in CALLBACKS]
ALL: tuple[Route[Any], ...] = (*ROUTES, *CALLBACKS, *STREAMS)
DESCRIBED = {"/hls/<anything:path>": "/hls/{account}/{stream}/{file}"}
"""Addresses that the description spells otherwise than the table."""
PLAN = {
    "connections": 4,
    "totalBitrate": 9000,
    "bitrate": 1000,
    "audioBitrate": 64,
    "frameRate": 59.94,
    "width": 1280,
    "height": 720,
    "streamPlayers": 10,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """Return the whole program, nothing listening; production without a key."""
    database = tmp_path_factory.mktemp("app") / "vws.db"
    settings = {"DATABASE_URL": f"sqlite:///{database}", "NGINX_HOST": "http://127.0.0.1:9"}
    return create_app(Config.from_env(settings))[0]


@pytest.fixture(scope="module")
def busy(start_server: MakeServer) -> Iterator[Server]:
    """Return a production server where everything the API can show is going on."""
    accounts = [row("Acme", plan=PLAN), row("Shop"), row("Odd", roomOwner="perhaps")]
    with raw_site() as files, raw_site() as statistics:
        files.answer, statistics.answer = served(PLAYLIST), served(PAGE)
        server = start_server(
            VWS_ENV="production",
            API_KEY=KEY,
            NGINX_HOST=files.url.removesuffix("/login"),
            NGINX_STAT=statistics.url,
            NGINX_UPDATE_INTERVAL="300",
            accounts=accounts,
        )
        server.sql("INSERT INTO accounts (name, token, properties, created) VALUES ('Broken', 'b', '{', 0)")
        clients = Clients(lambda: server)
        with finishing([server]), contextlib.closing(clients):
            fill(clients)
            broadcast(server)
            yield server


def fill(clients: Clients) -> None:
    alice, bob = clients.token("Acme-token"), clients.token("Acme-token")
    ok(alice, "publish", "Alice", "Lobby", STREAM)
    ok(bob, "subscribe", "Bob", "Lobby")
    ok(bob, "subscribe", "Bob", "Waiting")
    assert not bob.call("publish", "Bob", "Too large", {"width": 4000})["ok"]
    charlie = clients.verified("Charlie")
    ok(charlie, "roomJoin", {"room": "Hall"})
    parameters = {"type": "webrtc", **STREAM}
    ok(charlie, "roomPublish", {"room": "Hall", "stream": "Stage", "parameters": parameters})
    ok(charlie, "roomMessage", {"room": "Hall", "message": "hello"})


def broadcast(server: Server) -> None:
    """Have nginx say that a stream is live."""
    assert server.post("/nginx/on_publish", b"clientid=3&name=Acme/Stage&token=Acme-token", apikey=KEY).ok


@pytest.fixture(scope="module")
def document(busy: Server) -> Any:
    return busy.api("/openapi.json")


def check(answer: requests.Response, document: Any, path: str, method: str = "get") -> Any:
    """Hold an answer against its description; return its JSON, or its text."""
    described = document["paths"][path][method]["responses"][str(answer.status_code)]
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    schema = {**described["content"][media_type]["schema"], "components": document["components"]}
    payload = answer.json() if media_type == "application/json" else answer.text
    jsonschema.Draft202012Validator(schema).validate(payload)
    return payload


# --- policies ---


def test_the_document_is_valid(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["version"] == __version__


def test_every_address_is_in_the_table_of_routes(app: Flask) -> None:
    """The table says what each address asks of the caller: nothing is open by accident."""
    known = {*(route.path for route in ALL), "/static/<path:filename>"}
    assert {rule.rule for rule in app.url_map.iter_rules()} == known


def test_every_address_is_described_and_nothing_else(document: Any) -> None:
    assert sorted(document["paths"]) == sorted(DESCRIBED.get(route.path, route.path) for route in ALL)
    for path, item in document["paths"].items():
        assert set(item) == {"post" if path in POSTED else "get"}


def test_the_description_asks_for_the_same_keys_as_the_table(document: Any) -> None:
    keys: list[dict[str, list[str]]] = [{"keyInQuery": []}, {"keyInHeader": []}, {"keyAsBearer": []}]
    described = {
        path: operation.get("security", document["security"])
        for path, item in document["paths"].items()
        for operation in item.values()
    }
    asked: dict[Access, list[dict[str, list[str]]]] = {
        Access.OPEN: [],
        Access.OPERATOR: keys,
        Access.OWNER: [*keys, {"accountToken": []}],
        Access.VIEWER: [{"streamToken": []}, {"streamPin": []}, {"viewerSession": []}],
    }
    assert described == {DESCRIBED.get(route.path, route.path): asked[route.access] for route in ALL}


@pytest.mark.parametrize("route", [*ROUTES, *CALLBACKS], ids=lambda route: route.path)
def test_the_server_asks_for_the_keys_that_the_table_says(app: Flask, route: Any) -> None:
    """No key is set in this production app, so whatever asks for one is closed."""
    answer = app.test_client().open(route.path, method=route.methods[0])
    closed = route.access is not Access.OPEN
    assert (answer.status_code == 401) == closed
    answer.close()


# --- real answers ---


@pytest.mark.parametrize("path", PATHS)
def test_what_the_operator_gets_is_as_described(busy: Server, document: Any, path: str) -> None:
    payload = check(busy.get(path, apikey=KEY), document, path)
    assert payload, "an empty answer proves nothing"


def test_the_busy_server_shows_everything_that_is_described(busy: Server, document: Any) -> None:
    """Whatever is optional in the description was there when the answers were checked."""
    schemas = document["components"]["schemas"]
    status = busy.get("/status", apikey=KEY).json()
    assert set(status["stats"]["Acme"]) == set(schemas["Usage"]["properties"])
    kinds = {peer["type"] for _, peers in status["connections"] for peer in peers.values()}
    assert kinds == {"broadcaster", "player"}
    assert len(status["webrtc"]) == 2
    measured = schemas["RtmpStream"]["properties"].keys() | schemas["RtmpChannel"]["properties"].keys()
    until(lambda: rtmp(busy)[0][1].keys() == measured, what="the stream to be measured")
    assert busy.get("/hls/Acme/Stage/index.m3u8", token="Acme-token").ok
    ((name, stream),) = check(busy.get("/status", apikey=KEY), document, "/status")["rtmp"]
    assert (name, stream["width"]) == ("Stage", 640)
    assert stream["viewers"]
    assert [name, stream] in check(busy.get("/channels", apikey=KEY), document, "/channels")
    (room,) = busy.get("/rooms", apikey=KEY).json()
    assert room["participants"]
    assert room["streams"]
    reload = busy.get("/update-accounts", apikey=KEY).json()
    assert reload["skipped"]
    assert reload["warnings"]


def rtmp(server: Server) -> Any:
    return server.get("/status", apikey=KEY).json()["rtmp"]


def test_what_nginx_gets_is_as_described(busy: Server, make_server: MakeServer, document: Any) -> None:
    right, wrong = b"clientid=9&name=Acme/Balcony&token=Acme-token", b"clientid=9&name=Acme"
    elsewhere = make_server()
    for path in POSTED:
        for answer, status in (
            (busy.post(path, right, apikey=KEY), 200),
            (busy.post(path, wrong, apikey=KEY), 403),
            (busy.post(path, right), 401),
            (elsewhere.post(path, right), 404),
        ):
            assert answer.status_code == status
            check(answer, document, path, "post")


def test_what_viewers_get_is_as_described(busy: Server, make_server: MakeServer, document: Any) -> None:
    path = "/hls/Acme/Stage/index.m3u8"
    session = busy.get(path, token="Acme-token").text.rpartition("session=")[2].strip()
    for answer, status in (
        (busy.get(path, session=session), 200),
        (busy.get("/hls/Acme/Stage/0.ts", session=session), 200),
        (busy.get(path, token="wrong"), 403),
        (make_server().get(path), 404),
    ):
        assert answer.status_code == status
        check(answer, document, "/hls/{account}/{stream}/{file}")


def test_what_an_owner_gets_is_as_described(busy: Server, document: Any) -> None:
    status = check(busy.get("/status", token="Acme-token"), document, "/status")
    assert set(status) == set(document["components"]["schemas"]["AccountStatus"]["properties"])
    assert status["plan"] == PLAN
    assert status["webrtc"] == {"Lobby": STREAM}
    assert set(status["rtmp"]) == {"Stage"}
    assert "stats" not in check(busy.get("/status", token="Shop-token"), document, "/status")


def test_refusals_are_as_described(make_server: MakeServer, document: Any) -> None:
    server = make_server(VWS_ENV="production", API_KEY=KEY, AUTH_RATE_LIMIT="1")
    for route in ROUTES:
        if route.access is not Access.OPEN:
            answer = server.get(route.path)
            assert answer.status_code == 401
            check(answer, document, route.path)
    for token, status in (("", 400), ("wrong", 401), ("wrong", 429)):
        answer = server.get("/status", token=token)
        assert answer.status_code == status
        check(answer, document, "/status")


def test_failures_are_as_described(make_server: MakeServer, document: Any) -> None:
    server = make_server(accounts=[row("Acme")])
    (server.folder / "vws.db").rename(server.folder / "away.db")
    (server.folder / "vws.db").mkdir()
    for path in ("/update-accounts", "/ready"):
        answer = server.get(path)
        assert answer.status_code == 503
        check(answer, document, path)


def test_an_account_over_its_plan_is_described_too(make_server: MakeServer, document: Any) -> None:
    server = make_server(accounts=[row("Acme", plan={"connections": 1})])
    clients = Clients(lambda: server)
    clients.token("Acme-token")
    with pytest.raises(ConnectRefused):
        clients.token("Acme-token")
    clients.close()
    until(lambda: server.api("/stats")["Acme"]["connections"] == 0)
    assert check(server.get("/stats"), document, "/stats")["Acme"]["issues"] == {"connections": 1}


def test_an_answer_that_says_more_than_is_described_is_noticed(document: Any) -> None:
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Type"] = "application/json"
    answer._content = b'{"status": "ok", "secret": 1}'
    with pytest.raises(jsonschema.ValidationError):
        check(answer, document, "/health")
