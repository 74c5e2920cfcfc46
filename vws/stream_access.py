"""Who may use a stream: by a token, or by a pin of the account or of the stream itself."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field
from typing import Any

from vws import logs
from vws.accounts import AccountDirectory
from vws.core.accounts import STATIC, Account
from vws.core.attempts import FailedAttempts
from vws.errors import Refused, Unavailable
from vws.stream_sites import StreamProperties, StreamSites, Use

__all__ = ["NotLoaded", "Refusals", "StreamAccess", "StreamRequest", "WrongKey"]

SNAPSHOT = "/stream"
"""What addresses of snapshots have after the token."""


class WrongKey(Refused):
    """What somebody brought opens nothing: it may be a guess."""

    code = "stream-key"


class NotLoaded(Unavailable):
    """The account may be in the database, which could not be read yet."""

    code = "not-loaded"

    def __init__(self) -> None:
        super().__init__("the accounts are not loaded yet")


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What somebody at an address wants of a stream, and brings for it: a token, a pin, or both."""

    account: str
    stream: str
    use: Use
    address: str
    token: str = field(repr=False)
    pin: str = field(repr=False)


class StreamAccess:
    """Checks what a stream's address brings: ``account/stream?token=&pin=``, either of them will do.

    ``guesses`` are wrong keys by address, ``questions`` those to sites that came to nothing.
    """

    def __init__(
        self,
        accounts: AccountDirectory,
        sites: StreamSites,
        *,
        guesses: FailedAttempts,
        questions: FailedAttempts,
    ) -> None:
        self._accounts = accounts
        self._sites = sites
        self._guesses = guesses
        self._questions = questions

    def admit(self, request: StreamRequest, when: int) -> Account:
        """Return the account that the stream is of.

        Raises `WrongKey`, which counts as a failed attempt of the address, `TooManyAttempts`, another
        `Refused`, and `Unavailable` when the account's site does not say.
        """
        self._guesses.check(request.address, when)
        try:
            account = self._open(request, when)
        except WrongKey:
            self._guesses.failed(request.address, when)
            raise
        self._guesses.check(request.address, when)  # guesses that waited together are worth nothing
        return account

    def account(self, name: str) -> Account:
        """Return the account of this name as it is now; raise `Refused`, `NotLoaded`."""
        found = self._accounts.static if name == STATIC else self._accounts.by_name(name)
        if found is None:
            raise WrongKey("no such account") if self._accounts.loaded else NotLoaded()
        if found.suspended:
            raise Refused("the account is suspended", code="suspended")
        return found

    def is_token(self, token: str, account: Account) -> bool:
        """Tell whether the token opens all of the account's streams: its own, or STATIC_TOKEN."""
        static = self._accounts.static
        wanted = [account.token, *([static.token] if static else [])]
        given = (token, token.removesuffix(SNAPSHOT))
        return any(_same(each, right) for each in given for right in wanted)

    def _open(self, request: StreamRequest, when: int) -> Account:
        account = self.account(request.account)
        if self.is_token(request.token, account) or _same(request.pin, _pin(account, request.use)):
            return account
        if request.pin and account.stream_url and self._site_opens(account, request, when):
            return self._still(account)
        raise WrongKey("neither the token nor the pin is right")

    def _site_opens(self, account: Account, request: StreamRequest, when: int) -> bool:
        """Ask the account's site about the pin; until it says yes, the address has asked in vain."""
        self._questions.check(request.address, when)
        self._questions.failed(request.address, when)
        found = self._sites.ask(
            account.stream_url, token=account.token, stream=request.stream, use=request.use
        )
        opens = _same(request.pin, _pin(found, request.use))
        if opens:
            self._questions.take_back(request.address)
        return opens

    def _still(self, account: Account) -> Account:
        """Return the account as a reload may have left it while a site answered."""
        current = self.account(account.label)
        if current.token != account.token:
            raise WrongKey("no such account")
        return current


class Refusals:
    """Says in the log, in few lines, why somebody may not use a stream.

    ``refused`` and ``broken`` are what the lines are called: a rule says no, or something does not work.
    """

    def __init__(self, *, refused: str, broken: str) -> None:
        self._refused = refused
        self._broken = broken
        self._lines = logs.FewLines()

    def log(self, refusal: Refused | Unavailable, **who: Any) -> None:
        if isinstance(refusal, Unavailable):
            self._lines.event(self._broken, level=logging.WARNING, **who, reason=refusal.message)
        else:
            self._lines.event(self._refused, **who, reason=refusal.message)


def _pin(pins: Account | StreamProperties, use: Use) -> str:
    return pins.broadcast_pin if use is Use.BROADCAST else pins.playback_pin


def _same(given: str, right: str) -> bool:
    """Compare in constant time; what is empty opens nothing."""
    same = hmac.compare_digest(*(each.encode("utf-8", "surrogatepass") for each in (given, right)))
    return same and bool(right)
