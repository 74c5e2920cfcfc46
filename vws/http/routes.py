"""The table of routes: every address, what it asks of the caller, and what answers.

tests/test_openapi.py fails on a route that is not in this table or not in openapi.json.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, Generic, TypeVar

from flask import Flask, Response, request

from vws import logs
from vws.demo import DEMOS
from vws.errors import Refused, Unavailable
from vws.hls import Denied
from vws.http import hls
from vws.http.access import Access, Door
from vws.http.answers import register_answers, same_origin
from vws.http.api import Api
from vws.http.nginx import Callbacks
from vws.http.services import Services

__all__ = ["CALLBACKS", "ROUTES", "STREAMS", "Route", "register"]

Answerer = TypeVar("Answerer")


@dataclass(frozen=True, slots=True)
class Route(Generic[Answerer]):
    """One address, with or without a slash at its end, and what answers there.

    ``answer`` is a method, and takes the parts of the address that vary.
    """

    path: str
    access: Access
    answer: Callable[Concatenate[Answerer, ...], Response]
    methods: tuple[str, ...] = ("GET",)


ROUTES: tuple[Route[Api], ...] = (
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
    Route("/demo", Access.OPEN, Api.demos),
    *(Route(f"/demo/{name}", Access.OPEN, partial(Api.demo, name=name)) for name in DEMOS),
    *(
        Route(f"/socket.io/{name}", Access.OPEN, partial(Api.client, name=name))
        for name in ("socket.io.js", "socket.io.min.js")
    ),
)

POST = ("POST",)
CALLBACKS: tuple[Route[Callbacks], ...] = (
    Route("/nginx/on_publish", Access.OPERATOR, Callbacks.publish, POST),
    Route("/nginx/on_publish_done", Access.OPERATOR, Callbacks.publish_done, POST),
    Route("/nginx/on_play", Access.OPERATOR, Callbacks.play, POST),
    Route("/nginx/on_play_done", Access.OPERATOR, Callbacks.play_done, POST),
    Route("/nginx/on_update", Access.OPERATOR, Callbacks.update, POST),
)
"""What nginx calls; like `STREAMS` only where there is one."""

STREAMS: tuple[Route[hls.Streams], ...] = (Route(hls.PATH, Access.VIEWER, hls.Streams.answer, hls.METHODS),)


def register(app: Flask, services: Services) -> None:
    """Put every route into the app, with its check in front of it."""
    door = Door(services)
    register_answers(app, services.config)
    app.url_map.converters["anything"] = hls.Anything
    _add(app, ROUTES, Api(services, door), door)
    if services.nginx is not None:
        _add(app, CALLBACKS, Callbacks(services.nginx.rtmp), door)
        _add(app, STREAMS, hls.Streams(services.nginx.hls, door), door)


def _add(app: Flask, routes: Iterable[Route[Answerer]], answerer: Answerer, door: Door) -> None:
    for route in routes:
        app.add_url_rule(
            route.path,
            endpoint=route.path,
            view_func=_view(route.access, partial(route.answer, answerer), door),
            methods=route.methods,
            strict_slashes=False,
            provide_automatic_options=False,
        )


def _view(access: Access, answer: Callable[..., Response], door: Door) -> Callable[..., Response]:
    lines = logs.FewLines()

    def view(**parts: str) -> Response:
        try:
            door.admit(access, request)
            response = answer(**parts)
            return same_origin(response) if door.is_lenient(access, request) else response
        except Denied:  # the log has it, but for sessions that have ended
            raise
        except (Refused, Unavailable) as error:
            _log(lines, error, door.address(request))
            raise

    return view


def _log(lines: logs.FewLines, error: Refused | Unavailable, address: str) -> None:
    if isinstance(error, Unavailable):
        lines.event("api-failed", level=logging.WARNING, path=request.path, reason=error.message)
    else:
        lines.event("api-refused", path=request.path, address=address, reason=error.message)
