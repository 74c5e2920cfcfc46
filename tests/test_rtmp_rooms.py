"""RTMP streams in rooms, as participants see them: named by a room's meta, by a token, and taken out again.

nginx's callbacks are posted here; tests/test_rtmp.py has a real nginx make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Clients, MakeServer, finishing
from tests.support.client import Client
from tests.support.login_site import LoginSite
from tests.support.server import Server, row

CONNECTIONS = {"Acme/Stage": 3, "Acme/Balcony": 4, "Shop/Stage": 5}


@pytest.fixture(scope="module")
def module_server(start_server: MakeServer, session_login_site: LoginSite) -> Iterator[Server]:
    login = session_login_site.url("/moderator")
    accounts = [row("Acme", loginURL=login, broadcastPin="in"), row("Shop", broadcastPin="in")]
    server = start_server(NGINX_HOST="http://127.0.0.1:9", NGINX_UPDATE_INTERVAL="60", accounts=accounts)
    with finishing([server]):
        yield server


@pytest.fixture
def server(module_server: Server) -> Iterator[Server]:
    yield module_server
    for stream in CONNECTIONS:
        report(module_server, "on_publish_done", stream)
    module_server.idle()


def report(server: Server, what: str, stream: str, arguments: str = "") -> bool:
    form = f"addr=127.0.0.1&clientid={CONNECTIONS[stream]}&name={stream}&{arguments}"
    return server.post(f"/nginx/{what}", form.encode()).ok


@pytest.fixture
def enter(server: Server, clients: Clients, request: pytest.FixtureRequest) -> Callable[[str], Client]:
    """Return a function that brings a user of Acme into a room that no other test uses."""

    def come(user: str) -> Client:
        client = clients.verified(user, account="Acme", server=server)
        assert client.call("roomJoin", {"room": request.node.name})["ok"]
        return client

    return come


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


Enter = Callable[[str], Client]


def test_what_the_meta_names_is_shown_whenever_it_begins(server: Server, enter: Enter, room: str) -> None:
    assert report(server, "on_publish", "Acme/Stage", "pin=in")
    moderator, bob = enter("moderator"), enter("Bob")
    assert bob.update("streams")["streams"] == {}
    meta = {"rtmp": ["Stage", "Balcony"]}
    assert moderator.call("roomAction", {"room": room, "action": "meta", "meta": meta})["ok"]
    for client in (moderator, bob):
        shown = client.update("streamNew")["streamNew"]
        assert (shown["streamId"], shown["type"]) == ("Stage", "rtmp")
        assert shown["hls"] == "/hls/Acme/Stage/index.m3u8"
    assert report(server, "on_publish", "Acme/Balcony", "pin=in")
    assert bob.update("streamNew")["streamNew"]["streamId"] == "Balcony"
    late = enter("Charlie")
    assert set(late.update("streams")["streams"]) == {"Stage", "Balcony"}
    assert report(server, "on_publish_done", "Acme/Stage")
    for client in (moderator, bob, late):
        assert client.update("streamRemove")["streamRemove"] == "Stage"


def test_a_room_names_no_stream_of_another_account(server: Server, enter: Enter, room: str) -> None:
    moderator = enter("moderator")
    meta = {"rtmp": ["Stage", "Shop/Stage", "../Shop/Stage"]}
    assert moderator.call("roomAction", {"room": room, "action": "meta", "meta": meta})["ok"]
    assert report(server, "on_publish", "Shop/Stage", f"token=Shop-token&room={room}")
    assert report(server, "on_publish", "Acme/Balcony", f"token=Acme-token&room={room}")
    assert moderator.update("streamNew")["streamNew"]["streamId"] == "Balcony"  # the first and only one
    assert server.api("/rooms")[0]["streams"] == ["Balcony"]


@pytest.mark.parametrize("named", ["Stage", True, [1], [None], {"Stage": True}, [""]])
def test_a_meta_that_names_no_streams_is_refused(enter: Enter, room: str, named: object) -> None:
    moderator = enter("moderator")
    answer = moderator.call("roomAction", {"room": room, "action": "meta", "meta": {"rtmp": named}})
    assert answer["error"]["message"] == "meta.rtmp must be a list of names of streams"


def test_only_who_keeps_order_names_and_removes_streams(server: Server, enter: Enter, room: str) -> None:
    bob = enter("Bob")
    answer = bob.call("roomAction", {"room": room, "action": "meta", "meta": {"rtmp": ["Stage"]}})
    assert answer["error"]["code"] == "not-moderator"
    assert report(server, "on_publish", "Acme/Stage", f"token=Acme-token&room={room}")
    bob.update("streamNew")
    unpublish = {"room": room, "stream": "Stage"}
    assert bob.call("roomUnpublish", unpublish)["error"]["message"] == "This is not your stream."

    moderator = enter("moderator")
    assert moderator.call("roomUnpublish", unpublish)["ok"]
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert [name for name, _ in server.api("/channels")] == ["Stage"]  # it goes on elsewhere
    assert enter("Charlie").update("streams")["streams"] == {}


def test_a_stream_with_a_pin_alone_chooses_no_room(server: Server, enter: Enter, room: str) -> None:
    bob = enter("Bob")
    assert report(server, "on_publish", "Acme/Stage", f"pin=in&room={room}")
    assert report(server, "on_publish", "Acme/Balcony", f"token=Acme-token&room={room}")
    assert bob.update("streamNew")["streamNew"]["streamId"] == "Balcony"


def test_streams_of_one_name_keep_apart_where_accounts_share_rooms(
    make_server: MakeServer, clients: Clients, session_login_site: LoginSite
) -> None:
    login = session_login_site.url("/moderator")
    accounts = [row("Acme", loginURL=login), row("Shop")]
    server = make_server(SHARED_CHANNELS="1", NGINX_HOST="http://127.0.0.1:9", accounts=accounts)
    bob = clients.verified("Bob", account="Acme", server=server)
    assert bob.call("roomJoin", {"room": "Hall"})["ok"]
    for account in ("Acme", "Shop"):
        assert report(server, "on_publish", f"{account}/Stage", f"token={account}-token&room=Hall")
    assert bob.update("streamNew")["streamNew"]["hls"] == "/hls/Acme/Stage/index.m3u8"
    assert report(server, "on_publish_done", "Shop/Stage")
    assert server.api("/rooms")[0]["streams"] == ["Stage"]
    assert report(server, "on_publish", "Acme/Balcony", "token=Acme-token&room=Hall")
    assert bob.update("streamNew")["streamNew"]["streamId"] == "Balcony"
    bob.nothing("roomUpdate", lambda update: "streamRemove" in update)
    assert report(server, "on_publish_done", "Acme/Stage")
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert report(server, "on_publish_done", "Acme/Balcony")
