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

__all__ = ["LoginAnswer", "LoginSites"]

MAX_ANSWER = 65_536
"""Bytes of an answer that are read at most."""

MAX_MESSAGE = 255
FAILED = "User authentication failed"


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

        Raises `Refused` with the site's own message when it says no, `Unavailable` when it is slow, broken,
        redirects (credentials go to no other address than the configured one) or says nothing usable.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many logins are waiting")
        try:
            with gevent.Timeout(self._timeout, Unavailable(f"no answer in {self._timeout:g} seconds")):
                return _judge(self._post(url, credentials))
        except requests.RequestException as error:
            raise Unavailable(f"{type(error).__name__} from the login site") from error
        finally:
            self._places.release()

    def _post(self, url: str, credentials: dict[str, Any]) -> Any:
        with self._http.post(
            url, json=credentials, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            if not 200 <= answer.status_code < 300:
                raise Unavailable(f"the login site answered {answer.status_code}")
            return _decode(_read(answer))


def _read(answer: requests.Response) -> bytes:
    body = b""
    for chunk in answer.iter_content(8192):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unavailable(f"the login site's answer is larger than {MAX_ANSWER} bytes")
    return body


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable("the login site's answer is not JSON") from None


def _judge(answer: Any) -> LoginAnswer:
    if not isinstance(answer, dict):
        raise Unavailable("the login site's answer is not an object")
    if answer.get("login") is not True:
        message = answer.get("message")
        raise Refused(message[:MAX_MESSAGE] if isinstance(message, str) and message else FAILED)
    role = Role.MODERATOR if answer.get("role") == Role.MODERATOR.value else Role.USER
    return LoginAnswer(role)
