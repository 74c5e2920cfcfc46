"""A site that adds pages of its own to the program sends events by Flask-SocketIO, as its manual says."""

from __future__ import annotations

from typing import Any

from tests.conftest import Clients, MakeServer
from tests.support.client import Client
from tests.support.server import Runner, Server

SITE = """
from app import app, socketio
from flask import request

@app.post("/tell")
def answer():
    options = {name: value for name, value in request.args.items() if name != "text"}
    socketio.emit("news", {"text": request.args["text"]}, **options)
    socketio.emit("nothing", **options)
    socketio.emit("pair", (1, request.args["text"]), **options)
    return "told"
"""


def make_site(make_server: MakeServer) -> Server:
    server = make_server(start=False, runner=Runner.GUNICORN)
    (server.folder / "telling.py").write_text(SITE)
    server.program = "telling:app"
    return server.start()


def tell(server: Server, text: str, **options: Any) -> None:
    assert server.post("/tell", text=text, **options).text == "told"


def heard(client: Client, last: str) -> list[str]:
    """Return the news that a client was told, up to some that it waits for."""
    client.wait("pair", lambda one, two: (one, two) == (1, last))
    return [told["text"] for (told,) in client.received("news")]


def test_its_events_reach_everybody_or_those_it_names(make_server: MakeServer, clients: Clients) -> None:
    server = make_site(make_server)
    alice, bob = clients.token(server=server), clients.token(server=server)
    chatting = clients.token(server=server, namespace="/chat")
    tell(server, "all")
    tell(server, "Alice", to=alice.sid)
    tell(server, "others", skip_sid=alice.sid)
    tell(server, "chat", namespace="/chat")
    tell(server, "last")
    assert heard(alice, "last") == ["all", "Alice", "last"]
    assert heard(bob, "last") == ["all", "others", "last"]
    assert heard(chatting, "chat") == ["chat"]
    assert bob.received("nothing") == [[], [], []]
