"""Who may ask: by API key, or by an account's own token."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from enum import Enum

from flask import Request

from vws.core.accounts import Account
from vws.core.address import client_address
from vws.core.wire.parse import is_name
from vws.errors import BadInput, Refused
from vws.http.services import Services

__all__ = ["Access", "Door"]


class Access(Enum):
    """What a route asks of whoever calls it."""

    OPEN = "nothing"
    OPERATOR = "the API key"
    OWNER = "the API key, or an account's token"
    VIEWER = "a stream's token or pin, or a session"


class Door:
    """Checks keys and tokens; a wrong token counts as a failed attempt of its address."""

    def __init__(self, services: Services) -> None:
        self._config = services.config
        self._accounts = services.accounts
        self._clock = services.clock
        self._attempts = services.attempts

    def admit(self, access: Access, request: Request) -> None:
        """Raise `Refused` without the key; tokens are for `Door.account` to check, and streams' for `Hls`."""
        if access is Access.OPERATOR and not self.is_operator(request):
            raise Refused("Invalid API key", code="api-key")

    def is_lenient(self, access: Access, request: Request) -> bool:
        """Tell whether the request gets by development alone what elsewhere takes a key, or a token."""
        has_token = access is Access.OWNER and "token" in request.args
        closed = access in (Access.OPERATOR, Access.OWNER)
        return closed and not has_token and not self.has_key(request)

    def is_operator(self, request: Request) -> bool:
        """Tell whether the request may see everything; in development everybody may."""
        return self._config.development or self.has_key(request)

    def has_key(self, request: Request) -> bool:
        """Tell whether the request brings the API key; nothing matches when there is none."""
        wanted = self._config.api_key.encode()
        matches = [hmac.compare_digest(key, wanted) for key in _keys(request)]
        return bool(wanted) and any(matches)

    def account(self, request: Request) -> Account:
        """Return the account whose token is asked for.

        Raises `BadInput` for what cannot be a token, `Refused` for a wrong one, `TooManyAttempts`.
        """
        address, when = self.address(request), self._clock()
        self._attempts.check(address, when)
        token = request.args["token"]
        if not is_name(token):
            raise BadInput("Invalid token format")
        account = self._accounts.by_token(token)
        if account is None:
            if self._accounts.loaded:
                self._attempts.failed(address, when)
            raise Refused("Invalid account token", code="account-token")
        return account

    def address(self, request: Request) -> str:
        """Return the client's address, through trusted proxies."""
        return client_address(request.environ, self._config.trusted_proxies)


def _keys(request: Request) -> Iterator[bytes]:
    """Yield every key the request brings, as bytes: a key need not be ASCII."""
    yield request.args.get("apikey", "").encode("utf-8", "replace")
    yield _header_bytes(request.headers.get("X-API-Key", ""))
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield _header_bytes(credentials.strip())


def _header_bytes(value: str) -> bytes:
    """Undo WSGI's reading of headers as Latin-1."""
    return value.encode("latin-1", "replace")
