"""HLS over HTTP: addresses and headers; who gets what is decided in vws/hls.py."""

from __future__ import annotations

import re

from flask import Response, request
from werkzeug.routing import PathConverter

from vws.core.hls import PLAYLIST_TYPE, media_type
from vws.hls import Hls
from vws.http.access import Door

__all__ = ["METHODS", "PATH", "Anything", "Streams"]

PATH = "/hls/<anything:path>"
METHODS = ("GET", "HEAD", "OPTIONS")

ASKED = ("If-Modified-Since", "If-None-Match", "If-Range")
TOLD = ("Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Last-Modified")
ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")

PIECE_AGE = 10
"""Seconds that a piece of video may be used again: names begin anew with every broadcast."""

PREFLIGHT_AGE = 3600


class Anything(PathConverter):
    """A path however odd: it is refused as any other, and not by the router in words of its own."""

    regex = "(?s:.*)"
    part_isolating = False


class Streams:
    """Answers viewers."""

    def __init__(self, hls: Hls, door: Door) -> None:
        self._hls = hls
        self._door = door

    def answer(self, path: str) -> Response:
        """Answer with the file at a path below /hls/."""
        if request.method == "OPTIONS":
            return _preflight()
        session = request.args.get("session")
        if session is None:
            return self._first_playlist(path)
        if media_type(path) == PLAYLIST_TYPE:
            return _playlist(self._hls.playlist(path, session))
        return self._piece(path, session)

    def _first_playlist(self, path: str) -> Response:
        playlist = self._hls.open(
            path,
            token=request.args.get("token", ""),
            pin=request.args.get("pin", ""),
            address=self._door.address(request),
            replaces=request.args.get("replaces", ""),
            count=request.method == "GET",
        )
        return _playlist(playlist)

    def _piece(self, path: str, session: str) -> Response:
        """Pass on what nginx answers, as fast as the viewer takes it and no faster."""
        fetched = self._hls.piece(path, session, method=request.method, headers=_conditions())
        empty = fetched.status in (304, 416)
        pieces = () if empty else self._hls.watched(path, session, fetched.pieces())
        response = Response(pieces, fetched.status, content_type=media_type(path))
        response.call_on_close(fetched.close)
        for name in TOLD:
            if name in fetched.headers and not (empty and name == "Content-Length"):
                response.headers[name] = fetched.headers[name]
        response.headers["Cache-Control"] = f"private, max-age={PIECE_AGE}"
        response.headers["Access-Control-Expose-Headers"] = "Content-Length, Content-Range"
        return response


def _playlist(text: str) -> Response:
    response = Response(text, content_type=PLAYLIST_TYPE)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _conditions() -> dict[str, str]:
    """Return what nginx is to be told of the request; several ranges at once come whole."""
    headers = {name: request.headers[name] for name in ASKED if name in request.headers}
    wanted = request.headers.get("Range", "")
    return {**headers, "Range": wanted} if ONE_RANGE.fullmatch(wanted) else headers


def _preflight() -> Response:
    """Let scripts of other origins ask for ranges; which origins, is decided for all answers at once."""
    # HTML, the default, would make it a page, and those are not for scripts of other origins.
    response = Response(status=204, mimetype="text/plain")
    response.headers["Access-Control-Allow-Methods"] = "GET, HEAD"
    response.headers["Access-Control-Allow-Headers"] = "Range"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_AGE)
    return response
