"""HLS viewers: let in by a token or a pin, and known by a session from then on.

A session opens one stream and nothing else, and ends after VIEWER_TIMEOUT seconds of silence.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping

from vws import logs
from vws.clock import Clock
from vws.core.accounts import Account
from vws.core.attempts import TooManyAttempts
from vws.core.hls import INDEX, HlsFile, parse_path, playlist_for, rewrite
from vws.errors import Forbidden, NotFound, Refused, TooMany, Unavailable
from vws.nginx_files import Fetched, NginxFiles
from vws.state.base import LiveState
from vws.stream_access import NotLoaded, Refusals, StreamAccess, StreamRequest
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

    All operations raise `Denied`, `NotLoaded`, and what `NginxFiles` raises; `open` raises `TooManyAttempts`.
    """

    def __init__(
        self,
        state: LiveState,
        *,
        access: StreamAccess,
        files: NginxFiles,
        clock: Clock,
    ) -> None:
        self._state = state
        self._access = access
        self._files = files
        self._clock = clock
        self._arrivals = logs.FewLines()
        self._refusals = Refusals(refused="hls-refused", broken="stream-site-failed")

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
            self._state.open_viewer(
                session, file.stream, account=account, address=address, when=when, replaces=replaces
            )
            label, name = account.label, file.stream
            self._arrivals.event("hls-viewer", account=label, stream=name, address=address)
        return playlist_for(playlist, session, bandwidth=_bandwidth(account))

    def playlist(self, path: str, session: str) -> str:
        """Return a playlist to somebody who has a session."""
        file = self._found(path, session, self._state.serve_viewer)
        return rewrite(self._files.playlist(file, viewer=session), session)

    def piece(self, path: str, session: str, *, method: str, headers: Mapping[str, str]) -> Fetched:
        """Return nginx's answer for a file that is no playlist, to be closed by the caller."""
        file = self._found(path, session, self._state.serve_viewer)
        return self._files.open(file, viewer=session, method=method, headers=headers)

    def watched(self, path: str, session: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what is read of a file; whoever takes a piece is not silent."""
        for piece in pieces:
            yield piece
            try:
                self._found(path, session, self._state.keep_viewer)
            except Denied:
                raise ConnectionAbortedError("the viewer's session has ended") from None

    def _found(self, path: str, session: str, note: Callable[..., None]) -> HlsFile:
        """Find the file that the session opens, and have the state note that its viewer is there."""
        file = _parse(path)
        try:
            account = self._access.account(file.account)
            note(session, file.stream, account=account, when=self._clock())
        except TooMany:
            raise
        except (Refused, NotFound):
            raise Denied from None
        return file

    def _admit(self, file: HlsFile, *, token: str, pin: str, address: str) -> Account:
        request = StreamRequest(file.account, file.stream, Use.PLAYBACK, address, token, pin)
        try:
            return self._access.admit(request, self._clock())
        except (NotLoaded, TooManyAttempts):
            raise
        except (Refused, Unavailable) as refusal:
            self._refusals.log(refusal, account=file.account, stream=file.stream, address=address)
            raise Denied from refusal


def _parse(path: str) -> HlsFile:
    file = parse_path(path)
    if file is None:
        raise Denied
    return file


def _bandwidth(account: Account) -> int:
    """Return the most that the account's streams may need, bits per second."""
    limits = (account.plan.bitrate, account.plan.audio_bitrate)
    return int(sum(limit or 0 for limit in limits) or BANDWIDTH) * 1000
