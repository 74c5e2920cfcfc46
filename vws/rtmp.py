"""RTMP: nginx asks who may publish and play, says who is still there, and is told who has to go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from vws import logs
from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.attempts import FailedAttempts
from vws.core.channels import SHARED
from vws.core.commands import StreamParams
from vws.core.facts import Fact
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.core.wire import listings
from vws.core.wire.nginx import NginxCall
from vws.errors import NotFound, Refused, Unavailable
from vws.nginx_stat import NginxStat
from vws.notices import Notices
from vws.state.base import LiveState, RtmpView
from vws.stream_access import StreamAccess
from vws.stream_sites import Use

__all__ = ["Rtmp"]

USES = {RtmpKind.PUBLISH: Use.BROADCAST, RtmpKind.PLAY: Use.PLAYBACK}


Asker = tuple[RtmpKind, str]
"""What somebody wants who is not in yet, and nginx's number of the connection."""


class Rtmp:
    """Answers nginx's callbacks: what returns is let in, or may stay; what raises is not.

    ``hls_path`` is where nginx writes HLS, blank where that is not on this machine.
    """

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        access: StreamAccess,
        attempts: FailedAttempts,
        notices: Notices,
        announcer: Announcer,
        deliver: Callable[[Iterable[Outgoing]], None],
        stat: NginxStat,
        hls_path: str,
        clock: Clock,
        wall: Clock,
        shared_channels: bool = False,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._access = access
        self._attempts = attempts
        self._notices = notices
        self._announcer = announcer
        self._deliver = deliver
        self._stat = stat
        self._hls_path = hls_path
        self._clock = clock
        self._wall = wall
        self._shared_channels = shared_channels
        self._measures = True
        self._refusals = logs.FewLines()
        self._entering: dict[Asker, bool] = {}  # whether they have gone in the meantime

    def enter(self, call: NginxCall, kind: RtmpKind) -> None:
        """Let a client in, or raise `Refused` or `Unavailable`."""
        try:
            account = self._admit_if_there(call, kind)
            client = self._client(call, kind, account)
            if kind is RtmpKind.PUBLISH:
                self._make_folder(account)
            when, at = self._clock(), self._wall()
            facts = self._state.enter_rtmp(client, account=account, when=when, at=at)
        except (Refused, Unavailable) as refusal:
            self._refused(call, kind, refusal)
            raise
        _log(f"rtmp-{kind.value}", client, address=call.address)
        self._changed(client, facts)

    def update(self, call: NginxCall) -> None:
        """Say whether a client may stay; an unknown one, as after a restart, is checked like a new one."""
        if call.update is None:
            return
        try:
            client = self._client(call, call.update, self._access.account(call.account))
            self._state.renew_rtmp(client, when=self._clock())
        except NotFound:
            self.enter(call, call.update)
        except Refused as refusal:
            self._refused(call, call.update, refusal)
            self.leave(call, call.update)
            raise

    def leave(self, call: NginxCall, kind: RtmpKind) -> None:
        """Take a client out that has gone, or has to go; one that never was in is nothing to do."""
        client = RtmpClient(call.account, "", call.stream, kind, call.client_id)
        if (asker := (kind, call.client_id)) in self._entering:
            self._entering[asker] = True
        with suppress(NotFound):
            facts = self._state.leave_rtmp(client)
            _log(f"rtmp-{kind.value}-done", client)
            self._changed(client, facts)

    def look_after(self) -> None:
        """Take out those nginx forgot, measure those who publish, and repeat what sites are told."""
        for client, facts in self._state.expire_rtmp(when=self._clock()):
            _log("rtmp-gone", client)
            self._changed(client, facts)
        if self._state.rtmp_streams():
            self._measure()
        self._notices.repeat()

    def _admit_if_there(self, call: NginxCall, kind: RtmpKind) -> Account:
        """Admit a client that has not gone while a site answered: nginx would never speak of it again."""
        asker = (kind, call.client_id)
        self._entering[asker] = False
        try:
            account = self._admit(call, kind)
        finally:
            gone = self._entering.pop(asker, False)
        if gone:
            raise Refused("the client has gone", code="gone")
        return account

    def _admit(self, call: NginxCall, kind: RtmpKind) -> Account:
        self._attempts.check(call.address, self._clock())
        try:
            account = self._access.admit(
                call.account, call.stream, token=call.token, pin=call.pin, use=USES[kind]
            )
        except Refused as refusal:
            if refusal.code == "stream-key":
                self._attempts.failed(call.address, self._clock())
            raise
        self._attempts.check(call.address, self._clock())  # guesses that waited together are worth nothing
        return account

    def _client(self, call: NginxCall, kind: RtmpKind, account: Account) -> RtmpClient:
        """Describe the client; only who has a token chooses the room that shows the stream."""
        room = call.room if self._access.is_token(call.token, account) else ""
        return RtmpClient(
            account=account.label,
            scope=SHARED if self._shared_channels else account.scope,
            stream=call.stream,
            kind=kind,
            client_id=call.client_id,
            address=call.address,
            token=account.token,
            room=room,
            shown=listings.rtmp_shown(_hls_address(account.label, call.stream)),
        )

    def _make_folder(self, account: Account) -> None:
        """Make the account's folder: nginx makes those of streams in it, and no other."""
        if not self._hls_path:
            return
        try:
            (Path(self._hls_path) / account.label).mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(f"the account's folder for HLS: {error.strerror}") from error

    def _measure(self) -> None:
        try:
            found = self._stat.publishers()
        except Unavailable as failure:
            if self._measures:  # once, until it works again
                logs.event("nginx-stat-failed", level=logging.WARNING, reason=failure.message)
            self._measures = False
            return
        self._measures = True
        for stream in self._state.rtmp_streams():
            params, account = found.get(stream.client_id), self._accounts.by_label(stream.account)
            if params is not None and params.rate and account is not None:
                self._weigh(account, stream, params)

    def _weigh(self, account: Account, stream: RtmpView, params: StreamParams) -> None:
        issues = self._state.measure_rtmp(stream.name, params, account=account)
        if issues:
            logs.event("rtmp-dismissed", account=account.label, stream=stream.name, reason=", ".join(issues))

    def _changed(self, client: RtmpClient, facts: list[Fact]) -> None:
        self._deliver(self._announcer.tell(facts, at=self._wall()))
        if client.kind is RtmpKind.PUBLISH:
            self._notices.changed(client.account)

    def _refused(self, call: NginxCall, kind: RtmpKind, refusal: Refused | Unavailable) -> None:
        broken = isinstance(refusal, Unavailable)
        self._refusals.event(
            "rtmp-failed" if broken else "rtmp-refused",
            level=logging.WARNING if broken else logging.INFO,
            call=kind.value,
            account=call.account,
            stream=call.stream,
            address=call.address,
            reason=refusal.message,
        )


def _hls_address(account: str, stream: str) -> str:
    return f"/hls/{quote(account, safe='')}/{quote(stream, safe='')}/index.m3u8"


def _log(name: str, client: RtmpClient, address: str | None = None) -> None:
    logs.event(name, account=client.account, stream=client.stream, client=client.client_id, address=address)
