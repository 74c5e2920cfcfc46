"""The table of routes: every address, what it asks of the caller, and what answers.

tests/test_openapi.py fails on a route that is not in this table or not in openapi.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, request

from vws import logs
from vws.errors import Refused
from vws.http.access import Access, Door
from vws.http.answers import register_answers
from vws.http.api import Api
from vws.http.hls import register_hls
from vws.http.services import Services

__all__ = ["CALLBACKS", "ROUTES", "Route", "register"]


@dataclass(frozen=True, slots=True)
class Route:
    """One address, with or without a slash at its end, for GET only or for POST only."""

    path: str
    access: Access
    answer: Callable[[Api], Response]


ROUTES = (
    Route("/", Access.OPEN, Api.index),
    Route("/live", Access.OPEN, Api.live),
    Route("/ice-servers", Access.OPEN, Api.ice_servers),
    Route("/connections", Access.OPERATOR, Api.connections),
    Route("/channels", Access.OPERATOR, Api.channels),
    Route("/stats", Access.OPERATOR, Api.stats),
    Route("/rooms", Access.OPERATOR, Api.rooms),
    Route("/status", Access.OWNER, Api.status),
    Route("/update-accounts", Access.OPERATOR, Api.update_accounts),
    Route("/health", Access.OPEN, Api.health),
    Route("/ready", Access.OPEN, Api.ready),
    Route("/metrics", Access.OPERATOR, Api.metrics),
    Route("/openapi.json", Access.OPEN, Api.description),
    Route("/favicon.ico", Access.OPEN, Api.icon),
    Route("/demo", Access.OPEN, Api.demo),
    Route("/demo/broadcast", Access.OPEN, Api.demo_broadcast),
    Route("/demo/watch", Access.OPEN, Api.demo_watch),
    Route("/demo/room", Access.OPEN, Api.demo_room),
    Route("/demo/hls", Access.OPEN, Api.demo_hls),
    Route("/socket.io/socket.io.js", Access.OPEN, Api.client),
    Route("/socket.io/socket.io.min.js", Access.OPEN, Api.client_minified),
)

CALLBACKS = (
    Route("/nginx/on_publish", Access.OPERATOR, Api.on_publish),
    Route("/nginx/on_publish_done", Access.OPERATOR, Api.on_publish_done),
    Route("/nginx/on_play", Access.OPERATOR, Api.on_play),
    Route("/nginx/on_play_done", Access.OPERATOR, Api.on_play_done),
    Route("/nginx/on_update", Access.OPERATOR, Api.on_update),
)
"""What nginx calls, by POST."""


def register(app: Flask, services: Services) -> None:
    """Put every route into the app, with its check in front of it."""
    door = Door(services)
    api = Api(services, door)
    register_answers(app, services.config)
    register_hls(app, services.hls, door)
    for method, route in [*(("GET", each) for each in ROUTES), *(("POST", each) for each in CALLBACKS)]:
        app.add_url_rule(
            route.path,
            endpoint=route.path,
            view_func=_view(route, api, door),
            methods=[method],
            strict_slashes=False,
            provide_automatic_options=False,
        )


def _view(route: Route, api: Api, door: Door) -> Callable[[], Response]:
    lines = logs.FewLines()

    def view() -> Response:
        try:
            door.admit(route.access, request)
            return route.answer(api)
        except Refused as refusal:
            address = door.address(request)
            lines.event("api-refused", path=route.path, address=address, reason=refusal.message)
            raise

    return view
