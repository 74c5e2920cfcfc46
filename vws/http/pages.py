"""Pages for people, and the Socket.IO client that pages load from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, current_app, make_response, render_template, request, send_from_directory

from vws.http.answers import text_answer

__all__ = ["client_file", "index_page", "wants_page"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CLIENT = Path("vendor", "node_modules", "socket.io-client", "dist")
CLIENT_AGE = 3600
"""Seconds that browsers may use the client's file without asking again."""


def wants_page() -> bool:
    """Tell browsers from programs: these take anything, and get JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def index_page(info: dict[str, Any], live: dict[str, Any]) -> Response:
    """Show what this server is and how it is doing, and what to tell a client to connect here."""
    socket_url = f"{'wss' if request.is_secure else 'ws'}://{request.host}"
    page = render_template("index.html", info=info, live=live, socket_url=socket_url, duration=say_duration)
    response = make_response(page)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def say_duration(milliseconds: int) -> str:
    """Say milliseconds as people do, like static/info/page.js does."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def client_file(name: str) -> Response:
    """Serve the official client for browsers, which is fetched apart from this program."""
    folder = Path(current_app.static_folder or "static") / CLIENT
    if not (folder / name).is_file():
        return text_answer("The Socket.IO client is not here yet: deploy/setup.sh fetches it.", 404)
    return send_from_directory(folder, name, mimetype="text/javascript", max_age=CLIENT_AGE)
