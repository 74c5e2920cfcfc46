"""The HTTP API: one method per answer; vws/http/routes.py says which address asks for which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Response, request

from vws import __version__, usage
from vws.core.wire.listings import reload_failed
from vws.errors import Refused, Unavailable
from vws.http import pages
from vws.http.access import Door
from vws.http.answers import json_answer, same_origin, status_of
from vws.http.metrics import CONTENT_TYPE, Metrics
from vws.http.services import Services

__all__ = ["Api"]

PAGE_CREDENTIALS = 600
"""Seconds that TURN credentials for the page's test are good for, as anybody may have them."""

DESCRIPTION = Path(__file__).with_name("openapi.json")


class Api:
    """Answers requests; that they may have an answer was checked before, but for tokens."""

    def __init__(self, services: Services, door: Door) -> None:
        self._services = services
        self._state = services.state
        self._door = door
        self._metrics = Metrics(services)
        self._description = _describe()

    def index(self) -> Response:
        """Introduce the server: to programs with its STUN and TURN test done, to people at once."""
        response = self._page() if pages.wants_page() else self._introduction()
        response.vary.add("Accept")
        return response

    def _introduction(self) -> Response:
        report = self._services.ice_check.wait()
        return json_answer(usage.describe_server(self._services.config, report, when=self._services.clock()))

    def _page(self) -> Response:
        live = self._live()
        report = self._services.ice_check.latest()
        info = usage.describe_server(self._services.config, report, when=self._services.clock())
        return pages.index_page(info, live)

    def live(self) -> Response:
        return json_answer(self._live())

    def _live(self) -> dict[str, Any]:
        services = self._services
        report = services.ice_check.latest()
        return usage.show_live(
            self._state,
            report,
            running=services.ice_check.running,
            started_at=services.started_at,
            when=services.clock(),
        )

    def ice_servers(self) -> Response:
        """Give the page at `/` what its test needs; a password that lasts only to who has the key."""
        ice, withheld = self._services.ice, False
        if ice.shares_password and not self._door.is_operator(request):
            config, withheld = ice.public_config(), True
        else:
            config = ice.peer_config("_page_", self._door.address(request), lifetime=PAGE_CREDENTIALS)
        return same_origin(json_answer({**config, "keyNeeded": withheld}))

    def connections(self) -> Response:
        return json_answer(usage.list_connections(self._state))

    def channels(self) -> Response:
        return json_answer([*usage.list_channels(self._state), *usage.list_rtmp(self._state)])

    def stats(self) -> Response:
        return json_answer(usage.sum_up_usage(self._state))

    def rooms(self) -> Response:
        return json_answer(usage.list_rooms(self._state))

    def status(self) -> Response:
        """Show everything to who has the key, else one account to who has its token."""
        if not self._door.has_key(request) and "token" in request.args:
            return json_answer(usage.show_account(self._state, self._door.account(request)))
        if not self._door.is_operator(request):
            raise Refused("Invalid API key and no account token", code="api-key")
        return json_answer(usage.show_everything(self._state))

    def update_accounts(self) -> Response:
        try:
            return json_answer(usage.summarize_reload(self._services.reload()))
        except Unavailable as error:
            return json_answer(reload_failed(error.message), status_of(error))

    def health(self) -> Response:
        """Tell that the process answers, whatever it depends on."""
        return json_answer({"status": "ok"})

    def ready(self) -> Response:
        """Tell whether clients can be served; what exactly is wrong is for the operator."""
        problems = self._services.ready()
        details = self._door.is_operator(request)
        components = {
            name: (problem if details else "failed") if problem else "ok"
            for name, problem in problems.items()
        }
        failed = any(problems.values())
        answer = {"status": "failed" if failed else "ok", "components": components}
        response = json_answer(answer, 503 if failed else 200)
        return same_origin(response) if details and not self._door.has_key(request) else response

    def metrics(self) -> Response:
        return Response(self._metrics.render(), content_type=CONTENT_TYPE)

    def description(self) -> Response:
        return json_answer(self._description)

    def icon(self) -> Response:
        return pages.icon_file()

    def demos(self) -> Response:
        return pages.demo_list(self._services.config)

    def demo(self, name: str) -> Response:
        return pages.demo_page(self._services.config, name, relays=self._services.ice.relays)

    def client(self, name: str) -> Response:
        return pages.client_file(name)


def _describe() -> dict[str, Any]:
    """Read the OpenAPI document, and put this program's version into it."""
    document: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    document["info"]["version"] = __version__
    return document
