"""Asking an account's login site about a user: one bounded HTTP call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import gevent
import requests
from gevent.lock import BoundedSemaphore
from requests.adapters import HTTPAdapter

from vws.core.session import Role
from vws.errors import Refused, Unavailable

__all__ = ["FAILED", "LoginAnswer", "LoginSites"]

MAX_ANSWER = 65_536
"""Bytes of an answer that are read at most."""

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
        self._timeout = timeout
        self._places = BoundedSemaphore(at_once)
        self._http = requests.Session()
        self._http.trust_env = False  # no .netrc of the server's user goes to a customer's site
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # nor one user's cookies
        adapter = HTTPAdapter(pool_connections=64, pool_maxsize=at_once)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def login(self, url: str, credentials: dict[str, Any]) -> LoginAnswer:
        """POST ``{account, token, user, pin}``; return when the answer is 2xx with ``login: true``.

        Raises `Refused` with the site's own message when it says no (by its JSON, or by status 401 or 403),
        `Unavailable` when it is slow, broken, redirects (credentials go to no other address than the
        configured one) or says nothing usable.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many logins are waiting")
        try:
            with gevent.Timeout(self._timeout, Unavailable(f"no answer in {self._timeout:g} seconds")):
                return _judge(*self._post(url, credentials))
        except requests.RequestException as error:
            raise Unavailable(f"{type(error).__name__} from the login site") from error
        finally:
            self._places.release()

    def _post(self, url: str, credentials: dict[str, Any]) -> tuple[int, bytes]:
        with self._http.post(
            url, json=credentials, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            return answer.status_code, _read(answer)


def _read(answer: requests.Response) -> bytes:
    body = b""
    for chunk in answer.iter_content(8192):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unavailable(f"the login site's answer is larger than {MAX_ANSWER} bytes")
    return body


def _judge(status: int, body: bytes) -> LoginAnswer:
    answer, success = _decode(body), 200 <= status < 300
    if success and answer is None:
        raise Unavailable("the login site's answer is not a JSON object")
    answer = answer or {}
    if success and answer.get("login") is True:
        return LoginAnswer(Role.MODERATOR if answer.get("role") == Role.MODERATOR.value else Role.USER)
    if success or status in DENIALS or answer.get("login") is False:
        raise Refused(_message(answer))
    raise Unavailable(f"the login site answered {status}")


def _decode(body: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _message(answer: dict[str, Any]) -> str:
    message = answer.get("message")
    return message[:MAX_MESSAGE] if isinstance(message, str) and message else FAILED
