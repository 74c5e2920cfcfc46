"""Who may use a stream: by a token, or by a pin of the account or of the stream itself."""

from __future__ import annotations

import hmac

from vws.accounts import AccountDirectory
from vws.core.accounts import STATIC, Account
from vws.errors import Refused, Unavailable
from vws.stream_sites import StreamProperties, StreamSites, Use

__all__ = ["NotLoaded", "StreamAccess"]

SNAPSHOT = "/stream"
"""What addresses of snapshots have after the token."""


class NotLoaded(Unavailable):
    """The account may be in the database, which could not be read yet."""

    code = "not-loaded"

    def __init__(self) -> None:
        super().__init__("the accounts are not loaded yet")


class StreamAccess:
    """Checks what a stream's address brings: ``account/stream?token=&pin=``, either of them will do."""

    def __init__(self, accounts: AccountDirectory, sites: StreamSites) -> None:
        self._accounts = accounts
        self._sites = sites

    def admit(self, name: str, stream: str, *, token: str, pin: str, use: Use) -> Account:
        """Return the account that the stream is of.

        Raises `Refused`, with the code ``stream-key`` for what may be a guess, and `Unavailable` when the
        account's site does not say.
        """
        account = self.account(name)
        if self.is_token(token, account):
            return account
        if pin and self._is_pin(pin, account, stream, use):
            return self._still(account)
        raise Refused("neither the token nor the pin is right", code="stream-key")

    def account(self, name: str) -> Account:
        """Return the account of this name as it is now; raise `Refused`, `NotLoaded`."""
        found = self._accounts.static if name == STATIC else self._accounts.by_name(name)
        if found is None:
            raise Refused("no such account", code="stream-key") if self._accounts.loaded else NotLoaded()
        if found.suspended:
            raise Refused("the account is suspended", code="suspended")
        return found

    def is_token(self, token: str, account: Account) -> bool:
        """Tell whether the token opens all of the account's streams: its own, or STATIC_TOKEN."""
        static = self._accounts.static
        wanted = [account.token, *([static.token] if static else [])]
        given = (token, token.removesuffix(SNAPSHOT))
        return any(_same(each, right) for each in given for right in wanted)

    def _is_pin(self, pin: str, account: Account, stream: str, use: Use) -> bool:
        if _same(pin, account.broadcast_pin if use is Use.BROADCAST else account.playback_pin):
            return True
        if not account.stream_url:
            return False
        found: StreamProperties = self._sites.ask(
            account.stream_url, token=account.token, stream=stream, use=use
        )
        return _same(pin, found.broadcast_pin if use is Use.BROADCAST else found.playback_pin)

    def _still(self, account: Account) -> Account:
        """Return the account as a reload may have left it while a site answered."""
        current = self.account(account.label)
        if current.token != account.token:
            raise Refused("no such account", code="stream-key")
        return current


def _same(given: str, right: str) -> bool:
    """Compare in constant time; what is empty opens nothing."""
    same = hmac.compare_digest(*(each.encode("utf-8", "surrogatepass") for each in (given, right)))
    return same and bool(right)
