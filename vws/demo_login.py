"""The account of the demo's room, which needs users.

It exists in development where no other is set up for users. Whoever has the static token may be any of them:
their pin is the token.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any

from vws.config import Config
from vws.core.session import Role
from vws.errors import Refused
from vws.login import FAILED, LoginAnswer, LoginSites

__all__ = ["DemoLogins", "has_demo_account", "with_demo_account"]

ACCOUNT = "_demo"
LOGIN_URL = "demo:"
"""Stands where a login site's address stands; nothing is asked over the network."""


def with_demo_account(config: Config) -> Config:
    """Fill in STATIC_ACCOUNT where the demo room would have no users without it."""
    wanted = config.development and config.demo and config.static_token
    if not wanted or config.static_account or config.static_login:
        return config
    return replace(config, static_account=ACCOUNT, static_login=LOGIN_URL)


def has_demo_account(config: Config) -> bool:
    """Tell whether STATIC_ACCOUNT is the demo's own."""
    return config.static_login == LOGIN_URL


class DemoLogins(LoginSites):
    """Answers for the demo's account, and asks the login sites of all others."""

    def login(self, url: str, credentials: dict[str, Any]) -> LoginAnswer:
        if url != LOGIN_URL:
            return super().login(url, credentials)
        pin, token = (str(credentials[key]).encode("utf-8", "replace") for key in ("pin", "token"))
        if not hmac.compare_digest(pin, token):
            raise Refused(FAILED)
        return LoginAnswer(Role.USER)
