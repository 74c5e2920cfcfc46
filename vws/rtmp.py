"""RTMP: nginx asks who may publish and play, says who is still there, and is told who has to go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.attempts import TooManyAttempts
from vws.core.channels import SHARED
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.core.wire import listings
from vws.core.wire.nginx import NginxCall
from vws.errors import NotFound, Refused, Unavailable
from vws.rtmp_news import RtmpNews
from vws.state.base import LiveState
from vws.stream_access import Refusals, StreamAccess, StreamRequest
from vws.stream_sites import Use

__all__ = ["Rtmp"]

ENTERED = {RtmpKind.PUBLISH: "rtmp-publish", RtmpKind.PLAY: "rtmp-play"}
LEFT = {RtmpKind.PUBLISH: "rtmp-publish-done", RtmpKind.PLAY: "rtmp-play-done"}
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
        *,
        access: StreamAccess,
        news: RtmpNews,
        hls_path: str,
        clock: Clock,
        wall: Clock,
        shared_channels: bool = False,
    ) -> None:
        self._state = state
        self._access = access
        self._news = news
        self._hls_path = hls_path
        self._clock = clock
        self._wall = wall
        self._shared_channels = shared_channels
        self._refusals = Refusals(refused="rtmp-refused", broken="rtmp-failed")
        self._entering: dict[Asker, bool] = {}  # whether they have gone in the meantime

    def enter(self, call: NginxCall, kind: RtmpKind) -> None:
        """Let a client in, or raise `Refused` or `Unavailable`."""
        with self._telling(call, kind):
            self._enter(call, kind)

    def update(self, call: NginxCall) -> None:
        """Say whether a client may stay; an unknown one, as after a restart, is checked like a new one.

        While that cannot be said it stays: it was let in once, and nginx asks again.
        """
        if call.update is None:
            return
        with suppress(Unavailable, TooManyAttempts), self._telling(call, call.update):
            self._renew(call, call.update)

    def leave(self, call: NginxCall, kind: RtmpKind) -> None:
        """Take a client out that has gone, or has to go; one that never was in is nothing to do."""
        client = RtmpClient(call.account, "", call.stream, kind, call.client_id)
        if (asker := (kind, call.client_id)) in self._entering:
            self._entering[asker] = True
        with suppress(NotFound):
            facts = self._state.leave_rtmp(client)
            self._news.tell(LEFT[kind], client, facts)

    def _enter(self, call: NginxCall, kind: RtmpKind) -> None:
        account = self._admit_if_there(call, kind)
        client = self._client(call, kind, account)
        if kind is RtmpKind.PUBLISH:
            self._make_folder(account)
        when, at = self._clock(), self._wall()
        facts = self._state.enter_rtmp(client, account=account, when=when, at=at)
        self._news.tell(ENTERED[kind], client, facts, address=call.address)

    def _renew(self, call: NginxCall, kind: RtmpKind) -> None:
        try:
            client = self._client(call, kind, self._access.account(call.account))
            self._state.renew_rtmp(client, when=self._clock())
        except NotFound:
            self._enter(call, kind)
        except Refused:
            self.leave(call, kind)
            raise

    def _admit_if_there(self, call: NginxCall, kind: RtmpKind) -> Account:
        """Admit a client that has not gone while a site answered: nginx would never speak of it again."""
        asker = (kind, call.client_id)
        self._entering[asker] = False
        try:
            account = self._access.admit(_request(call, kind), self._clock())
        finally:
            gone = self._entering.pop(asker, False)
        if gone:
            raise Refused("the client has gone", code="gone")
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

    @contextmanager
    def _telling(self, call: NginxCall, kind: RtmpKind) -> Iterator[None]:
        """Say in the log why somebody is refused, or cannot be judged."""
        try:
            yield
        except (Refused, Unavailable) as refusal:
            who = {"account": call.account, "stream": call.stream, "address": call.address}
            self._refusals.log(refusal, call=kind.value, **who)
            raise


def _request(call: NginxCall, kind: RtmpKind) -> StreamRequest:
    return StreamRequest(call.account, call.stream, USES[kind], call.address, call.token, call.pin)


def _hls_address(account: str, stream: str) -> str:
    return f"/hls/{quote(account, safe='')}/{quote(stream, safe='')}/index.m3u8"
