"""Answers: JSON or plain text, the headers that go with all of them, and errors as answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from vws.config import Config
from vws.errors import (
    BadInput,
    Forbidden,
    NotFound,
    Refused,
    TooMany,
    Unavailable,
    UpstreamBroken,
    UpstreamSlow,
    VWSError,
)

__all__ = ["json_answer", "register_answers", "same_origin", "status_of", "text_answer"]

PLAIN = "text/plain; charset=utf-8"

STATUSES: Sequence[tuple[type[VWSError], int]] = (
    (TooMany, 429),
    (Forbidden, 403),
    (UpstreamBroken, 502),
    (UpstreamSlow, 504),
    (BadInput, 400),
    (Refused, 401),
    (NotFound, 404),
    (Unavailable, 503),
)
"""The first that fits counts: a kind comes before the one that it is a kind of."""

OWN_PAGES = "Cross-Origin-Resource-Policy"

HEADERS = {
    # A page states its own policy; nothing else is meant to be rendered.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the API key may be in the address
    "Cache-Control": "no-store",
}

TLS_AGE = 31_536_000
"""Seconds that browsers remember to come over TLS only."""


def json_answer(payload: Any, status: int = 200) -> Response:
    """Answer with JSON in ASCII: a name holding half a surrogate pair is no reason to fail."""
    body = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    return Response(body, status, content_type="application/json")


def text_answer(text: str, status: int = 200) -> Response:
    """Answer with a sentence and nothing after it: plugins show the body as it is."""
    return Response(text, status, content_type=PLAIN)


def same_origin(response: Response) -> Response:
    """Keep an answer from the scripts of every other site, also of those that may connect."""
    response.headers[OWN_PAGES] = "same-origin"
    return response


def status_of(error: VWSError) -> int:
    """Return the HTTP status of one of the program's errors."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def register_answers(app: Flask, config: Config) -> None:
    """Give every answer its headers, and every error a plain text."""
    app.before_request(_check_query)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(VWSError, _refusal)
    app.after_request(_with_headers)
    app.after_request(lambda response: _with_origin(response, config.allowed_origins))
    if not config.development:
        app.after_request(_only_over_tls)


def _check_query() -> None:
    """Refuse a query that nothing could read."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise BadInput("The query is no text") from None


def _http_error(error: HTTPException) -> Response:
    response = Response(error.name, error.code, content_type=PLAIN)
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value  # the methods that are allowed, say
    return response


def _refusal(error: VWSError) -> Response:
    response = text_answer(error.message, status_of(error))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _only_over_tls(response: Response) -> Response:
    """Have browsers that came over TLS never come without."""
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={TLS_AGE}"
    return response


def _with_origin(response: Response, allowed: Sequence[str]) -> Response:
    """Let scripts of the origins that may connect read the answer; never with credentials.

    Pages are for people alone: what is filled in there for them is not for scripts of other sites.
    """
    if response.mimetype == "text/html" or OWN_PAGES in response.headers:
        return response
    if "*" in allowed:
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response
    response.vary.add("Origin")
    if request.headers.get("Origin") in allowed:
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
    return response
