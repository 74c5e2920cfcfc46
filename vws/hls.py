"""HLS viewers: let in by a token or a pin, and known by a session from then on.

A session opens one stream and nothing else, and ends after VIEWER_TIMEOUT seconds of silence.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping

from vws import logs
from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.attempts import FailedAttempts
from vws.core.hls import INDEX, HlsFile, parse_path, playlist_for, rewrite
from vws.errors import Forbidden, NotFound, Refused, Unavailable
from vws.nginx_files import Fetched, NginxFiles
from vws.state.base import LiveState
from vws.stream_access import StreamAccess
from vws.stream_sites import Use

__all__ = ["Denied", "Hls"]

SESSION_BYTES = 18
BANDWIDTH = 2_000
"""What a stream is said to need where no plan limits it, kbps; it is the only one to choose."""


class Denied(Forbidden):
    """Not for this viewer. All are told the same; why is for the log."""

    code = "denied"

    def __init__(self) -> None:
        super().__init__("Forbidden")


class Hls:
    """Answers viewers: first a playlist that holds their session, then what the session opens.

    All operations raise `Denied`, and what `NginxFiles` raises.
    """

    def __init__(
        self,
        state: LiveState,
        *,
        access: StreamAccess,
        files: NginxFiles,
        attempts: FailedAttempts,
        clock: Clock,
    ) -> None:
        self._state = state
        self._access = access
        self._files = files
        self._attempts = attempts
        self._clock = clock
        self._arrivals, self._refusals = logs.FewLines(), logs.FewLines()

    def open(
        self, path: str, *, token: str, pin: str, address: str, replaces: str = "", count: bool = True
    ) -> str:
        """Return a viewer's first playlist; raise `Unfit` over the plan.

        ``replaces`` is a session that the viewer had before. Without ``count`` there is no viewer yet, only
        the same playlist as one would get.
        """
        file, session = _parse(path), secrets.token_urlsafe(SESSION_BYTES)
        if file.name != INDEX:
            raise Denied
        account = self._admit(file, token=token, pin=pin, address=address)
        playlist = self._files.playlist(file)
        if count:
            when = self._clock()
            self._state.open_viewer(session, file.stream, account=account, when=when, replaces=replaces)
            label, name = account.label, file.stream
            self._arrivals.event("hls-viewer", account=label, stream=name, address=address)
        return playlist_for(playlist, session, bandwidth=_bandwidth(account))

    def playlist(self, path: str, session: str) -> str:
        """Return a playlist to somebody who has a session."""
        file = self._keep(path, session)
        return rewrite(self._files.playlist(file, viewer=session), session)

    def piece(self, path: str, session: str, *, method: str, headers: Mapping[str, str]) -> Fetched:
        """Return nginx's answer for a file that is no playlist, to be closed by the caller."""
        file = self._keep(path, session)
        return self._files.open(file, viewer=session, method=method, headers=headers)

    def watched(self, path: str, session: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what is read of a file; whoever takes a piece is not silent."""
        for piece in pieces:
            yield piece
            try:
                self._keep(path, session)
            except Denied:
                raise ConnectionAbortedError("the viewer's session has ended") from None

    def _keep(self, path: str, session: str) -> HlsFile:
        """Find the file that the session opens."""
        file = _parse(path)
        try:
            account = self._access.account(file.account)
            self._state.keep_viewer(session, file.stream, account=account, when=self._clock())
        except (Refused, NotFound):
            raise Denied from None
        return file

    def _admit(self, file: HlsFile, *, token: str, pin: str, address: str) -> Account:
        self._attempts.check(address, self._clock())
        try:
            account = self._access.admit(file.account, file.stream, token=token, pin=pin, use=Use.PLAYBACK)
        except (Refused, Unavailable) as refusal:
            if refusal.code == "stream-key":
                self._attempts.failed(address, self._clock())
            self._log_refusal(file, refusal, address)
            raise Denied from refusal
        self._attempts.check(address, self._clock())  # guesses that waited together are worth nothing now
        return account

    def _log_refusal(self, file: HlsFile, refusal: Refused | Unavailable, address: str) -> None:
        broken = isinstance(refusal, Unavailable)
        self._refusals.event(
            "stream-site-failed" if broken else "hls-refused",
            level=logging.WARNING if broken else logging.INFO,
            account=file.account,
            stream=file.stream,
            address=address,
            reason=refusal.message,
        )


def _parse(path: str) -> HlsFile:
    file = parse_path(path)
    if file is None:
        raise Denied
    return file


def _bandwidth(account: Account) -> int:
    """Return the most that the account's streams may need, bits per second."""
    limits = (account.plan.bitrate, account.plan.audio_bitrate)
    return int(sum(limit or 0 for limit in limits) or BANDWIDTH) * 1000
