"""Pages for people, and the Socket.IO client that pages load from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import (
    Response,
    current_app,
    make_response,
    render_template,
    request,
    send_from_directory,
    url_for,
)

from vws.config import Config
from vws.core.accounts import STATIC
from vws.demo import DEMOS
from vws.demo_login import has_demo_account
from vws.errors import NotFound
from vws.http.answers import text_answer

__all__ = ["client_file", "demo_list", "demo_page", "icon_file", "index_page", "wants_page"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DEVICES = ("camera", "microphone", "display-capture")
CLIENT = Path("vendor", "node_modules", "socket.io-client", "dist")
HLS_LIBRARY = "vendor/node_modules/hls.js/dist/hls.light.min.mjs"
FILE_AGE = 3600
"""Seconds that browsers may use such a file without asking again."""


def wants_page() -> bool:
    """Tell browsers from programs: these take anything, and get JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def index_page(info: dict[str, Any], live: dict[str, Any]) -> Response:
    """Show what this server is and how it is doing, and what to tell a client to connect here."""
    socket_url = f"{'wss' if request.is_secure else 'ws'}://{request.host}"
    return _page("index.html", info=info, live=live, socket_url=socket_url, duration=say_duration)


def demo_list(config: Config) -> Response:
    """Show which demos there are."""
    _check_demo(config)
    return _page("demo/index.html")


def demo_page(config: Config, name: str, *, relays: bool) -> Response:
    """Show a demo: in development there is nothing to type, in production visitors bring the secrets.

    ``relays`` says whether there is a TURN server.
    """
    _check_demo(config)
    demo = DEMOS[name]
    values = _values_of_call(config, relays=relays) if demo.calls else _values_of_hls(config)
    return _page(f"demo/{name}.html", devices=demo.calls, page=name, **values)


def _values_of_call(config: Config, *, relays: bool) -> dict[str, Any]:
    here = (_client_folder() / "socket.io.min.js").is_file()
    return {"relays": relays, "client_is_here": here, **(_credentials(config) if config.development else {})}


def _values_of_hls(config: Config) -> dict[str, Any]:
    """STATIC_TOKEN opens streams of an account that is always there."""
    return {
        "nginx": config.nginx_host,
        "rtmp": config.nginx_rtmp,
        "library": _library(),
        "account": STATIC,
        "token": config.static_token if config.development else "",
    }


def _library() -> str:
    """Return the address of hls.js, which is fetched apart from this program; blank where it was not."""
    here = (_static_folder() / HLS_LIBRARY).is_file()
    return url_for("static", filename=HLS_LIBRARY) if here else ""


def _check_demo(config: Config) -> None:
    if not config.demo:
        raise NotFound("Not Found")


def _credentials(config: Config) -> dict[str, str]:
    pin = config.static_token if has_demo_account(config) else ""
    return {"token": config.static_token, "account": config.static_account, "pin": pin}


def _page(template: str, *, devices: bool = False, **values: Any) -> Response:
    """Render a page; ``devices`` says whether it may ask for the camera."""
    response = make_response(render_template(template, **values))
    response.headers["Content-Security-Policy"] = POLICY
    allowed = "(self)" if devices else "()"
    response.headers["Permissions-Policy"] = ", ".join(f"{device}={allowed}" for device in DEVICES)
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
    folder = _client_folder()
    if not (folder / name).is_file():
        return text_answer("The Socket.IO client is not here yet: deploy/setup.sh fetches it.", 404)
    return send_from_directory(folder, name, mimetype="text/javascript", max_age=FILE_AGE)


def icon_file() -> Response:
    """Serve the icon that browsers ask for on their own, beside what is no page."""
    return send_from_directory(_static_folder(), "icon.svg", max_age=FILE_AGE)


def _client_folder() -> Path:
    return _static_folder() / CLIENT


def _static_folder() -> Path:
    return Path(current_app.static_folder or "static")
