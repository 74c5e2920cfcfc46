"""The three ways in: static token, account token, and account/user/pin by the account's login site."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vws import logs
from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.clock import Clock
from vws.core.accounts import STATIC, Account
from vws.core.attempts import FailedAttempts, TooManyAttempts
from vws.core.channels import SHARED
from vws.core.session import Role, Session
from vws.core.wire.names import SERVER_NAMES
from vws.core.wire.parse import is_name
from vws.errors import Refused, Unavailable
from vws.login import FAILED, LoginSites
from vws.state.base import LiveState

__all__ = ["Gatekeeper", "TokenAuth", "UserAuth", "parse_auth", "pin_in"]


@dataclass(frozen=True, slots=True)
class TokenAuth:
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserAuth:
    account: str
    user: str
    pin: str | int = field(repr=False)


def parse_auth(auth: object) -> TokenAuth | UserAuth:
    """Read what a client sends on connecting; raise `Refused` when it is none of the ways in."""
    if isinstance(auth, dict):
        given: Mapping[str, Any] = auth
        if is_name(given.get("token")):
            return TokenAuth(given["token"])
        pin = given.get("pin")
        if (
            is_name(given.get("account"))
            and is_name(given.get("user"))
            and given["user"] not in SERVER_NAMES
            and (is_name(pin) or type(pin) is int)
        ):
            return UserAuth(given["account"], given["user"], given["pin"])
    raise Refused("Authentication error", code="authentication")


def pin_in(auth: object) -> str | int | None:
    """Return the pin of credentials that were accepted, None for a token."""
    credentials = parse_auth(auth)
    return credentials.pin if isinstance(credentials, UserAuth) else None


class Gatekeeper:
    """Turns credentials into sessions, and says in the log why it didn't."""

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        announcer: Announcer,
        sites: LoginSites,
        attempts: FailedAttempts,
        clock: Clock,
        wall: Clock,
        shared_channels: bool = False,
        generic_refusals: bool = False,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._announcer = announcer
        self._sites = sites
        self._attempts = attempts
        self._clock = clock
        self._wall = wall
        self._shared_channels = shared_channels
        self._generic_refusals = generic_refusals

    def admit(self, auth: object, *, socket_id: str, address: str) -> Session:
        """Let a client in, or raise `Refused` with the message it is shown."""
        try:
            session = self._authenticate(auth, socket_id, address)
        except Refused as refusal:
            raise self._shown(refusal) from refusal
        logs.event("connect", socket=socket_id, account=session.account, user=session.user, address=address)
        return session

    def leave(self, session: Session, reason: str) -> list[Outgoing]:
        """Take a client that is gone out of everything; return what others are told of it."""
        facts = self._state.disconnect(session.socket_id, when=self._clock())
        logs.event(
            "disconnect",
            socket=session.socket_id,
            account=session.account,
            user=session.user,
            reason=reason,
        )
        return self._announcer.tell(facts, at=self._wall())

    def confirm(self, auth: object, session: Session, *, pin: str | int | None) -> None:
        """Check what a client that is in already brings along once more; nothing at all is fine, too."""
        try:
            same = not auth or parse_auth(auth) == _credentials_of(session, pin)
        except Refused:
            same = False
        if not same:
            raise self._shown(Refused("Authentication error", code="authentication"))

    def _authenticate(self, auth: object, socket_id: str, address: str) -> Session:
        who: dict[str, Any] = {"socket": socket_id, "address": address}
        try:
            self._attempts.check(address, self._clock())
            credentials = parse_auth(auth)
            if isinstance(credentials, UserAuth):
                who |= {"account": credentials.account, "user": credentials.user}
            account, role = self._identify(credentials, address)
            return self._connect(account, credentials, role, socket_id=socket_id, address=address)
        except Refused as refusal:
            if refusal.code == "authentication":
                self._attempts.failed(address, self._clock())
            if not isinstance(refusal, TooManyAttempts) or self._attempts.is_news(address, self._clock()):
                logs.event("refused", reason=_without_pin(refusal.message, auth), **who)
            raise
        except Unavailable as failure:
            logs.event("login-site-failed", level=logging.WARNING, reason=failure.message, **who)
            raise Refused(FAILED) from failure

    def _identify(self, credentials: TokenAuth | UserAuth, address: str) -> tuple[Account, Role]:
        if isinstance(credentials, TokenAuth):
            account = self._accounts.by_token(credentials.token)
            if account is None:
                raise self._unknown("Authentication error")
            return _active(account), Role.USER
        account = self._accounts.by_name(credentials.account)
        if account is None:
            raise self._unknown("Account not found")
        if not account.login_url:
            raise Refused("This account does not support user/pin authentication", code="authentication")
        return account, self._log_in(_active(account), credentials, address)

    def _unknown(self, message: str) -> Refused:
        """Hold nothing against a client whose account could not be read from the database yet."""
        return Refused(message, code="authentication" if self._accounts.loaded else "not-loaded")

    def _log_in(self, account: Account, credentials: UserAuth, address: str) -> Role:
        body = {
            "account": account.name,
            "token": account.token,
            "user": credentials.user,
            "pin": credentials.pin,
        }
        try:
            role = self._sites.login(account.login_url, body).role
        except Refused as refusal:
            self._attempts.check(address, self._clock())
            raise Refused(refusal.message, code="authentication") from refusal
        # Guesses that were waiting together are worth nothing once the address has failed too often: right
        # and wrong ones get the same answer then.
        self._attempts.check(address, self._clock())
        return role

    def _connect(
        self,
        account: Account,
        credentials: TokenAuth | UserAuth,
        role: Role,
        *,
        socket_id: str,
        address: str,
    ) -> Session:
        session = Session(
            socket_id=socket_id,
            account=account.label,
            scope=SHARED if self._shared_channels else account.scope,
            user=credentials.user if isinstance(credentials, UserAuth) else None,
            role=role,
            address=address,
            token=account.token,
        )
        current = self._accounts.by_label(account.label)  # a reload may have come while the site answered
        if current is None or current.token != account.token:
            raise Refused("Account not found")
        self._state.connect(session, _active(current))
        return session

    def _shown(self, refusal: Refused) -> Refused:
        """Word a refusal as clients expect it, which is all that some of them show."""
        if isinstance(refusal, TooManyAttempts):
            return refusal
        message = "Authentication failed" if self._generic_refusals else refusal.message
        return Refused(f"ERROR: {message}", code=refusal.code)

    def outdated(self) -> list[tuple[Session, str]]:
        """Return the sessions that a reload left without a right to be here, each with the reason."""
        found = []
        for session in self._state.sessions():
            account = self._accounts.by_label(session.account)
            if account is None:
                found.append((session, "account deleted"))
            elif account.suspended:
                found.append((session, "account suspended"))
            elif account.token != session.token and session.scope != STATIC:
                found.append((session, "account token changed"))
        return found


def _without_pin(message: str, auth: object) -> str:
    """Return a login site's message as it may be logged: some sites repeat what they were sent."""
    pin = auth.get("pin") if isinstance(auth, dict) else None
    return message.replace(str(pin), "***") if pin else message


def _credentials_of(session: Session, pin: str | int | None) -> TokenAuth | UserAuth:
    """Return what the session's client was admitted for; accounts answer to their label and their token."""
    if session.user is None or pin is None:
        return TokenAuth(session.token)
    return UserAuth(session.account, session.user, pin)


def _active(account: Account) -> Account:
    if account.suspended:
        raise Refused(f"Account is suspended: {account.name}", code="suspended")
    return account
