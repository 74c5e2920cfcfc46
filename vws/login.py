"""Asking an account's login site about a user: one bounded HTTP call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vws.core.session import Role
from vws.errors import Refused, Unavailable
from vws.site_calls import SiteCalls, decode

__all__ = ["FAILED", "LoginAnswer", "LoginSites"]

MAX_MESSAGE = 255
FAILED = "User authentication failed"
DENIALS = (401, 403)
"""Statuses that say no to the user, whatever the body says: a guess all the same."""


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """The site let the user in, with this role."""

    role: Role


class LoginSites:
    """Calls login sites, many at once over kept connections; each waits in its own greenlet.

    ``timeout`` is for the whole call in seconds, ``at_once`` how many calls may wait at the same time.
    """

    def __init__(self, *, timeout: float, at_once: int) -> None:
        self._calls = SiteCalls("login site", timeout=timeout, at_once=at_once)

    def login(self, url: str, credentials: dict[str, Any]) -> LoginAnswer:
        """POST ``{account, token, user, pin}``; return when the answer is 2xx with ``login: true``.

        Raises `Refused` with the site's own message when it says no (by its JSON, or by status 401 or 403),
        `Unavailable` when it is slow, broken, redirects (credentials go to no other address than the
        configured one) or says nothing usable.
        """
        return _judge(*self._calls.post(url, payload=credentials))


def _judge(status: int, body: bytes) -> LoginAnswer:
    answer, success = decode(body), 200 <= status < 300
    if success and answer is None:
        raise Unavailable("the login site's answer is not a JSON object")
    answer = answer or {}
    if success and answer.get("login") is True:
        return LoginAnswer(Role.MODERATOR if answer.get("role") == Role.MODERATOR.value else Role.USER)
    if success or status in DENIALS or answer.get("login") is False:
        raise Refused(_message(answer))
    raise Unavailable(f"the login site answered {status}")


def _message(answer: dict[str, Any]) -> str:
    message = answer.get("message")
    return message[:MAX_MESSAGE] if isinstance(message, str) and message else FAILED
