"""RTMP streams that nobody calls about: nginx may have been killed, and tells rates only when it is asked."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from vws import logs
from vws.accounts import AccountDirectory
from vws.clock import Clock
from vws.core.commands import StreamParams
from vws.core.wire.nginx import Publisher
from vws.errors import Unavailable
from vws.nginx_stat import NginxStat
from vws.notices import Notices
from vws.rtmp_news import RtmpNews
from vws.state.base import LiveState, RtmpView

__all__ = ["RtmpUpkeep"]


class RtmpUpkeep:
    """Looks after the streams every few seconds."""

    def __init__(
        self,
        state: LiveState,
        accounts: AccountDirectory,
        *,
        stat: NginxStat,
        news: RtmpNews,
        notices: Notices,
        clock: Clock,
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._stat = stat
        self._news = news
        self._notices = notices
        self._clock = clock
        self._measures = True

    def look_after(self) -> None:
        """Take out those nginx forgot, measure those who publish, and repeat what sites are told.

        Each of it is done, whatever fails; the failure is raised at the end.
        """
        with ExitStack() as steps:  # carried out from the last to the first
            steps.callback(self._notices.repeat)
            steps.callback(self._measure)
            for client, facts in self._state.expire_rtmp(when=self._clock()):
                steps.callback(self._news.tell, "rtmp-gone", client, facts)

    def _measure(self) -> None:
        if not self._state.rtmp_streams():
            return
        found = self._rates()
        for stream in self._state.rtmp_streams():
            params = found.get((f"{stream.account}/{stream.name}", stream.client_id))
            if params is not None and params.rate:
                self._weigh(stream, params)

    def _rates(self) -> dict[Publisher, StreamParams]:
        """Ask nginx; while it does not say, nothing is measured and the log says so once."""
        try:
            found = self._stat.publishers()
        except Unavailable as failure:
            if self._measures:
                logs.event("nginx-stat-failed", level=logging.WARNING, reason=failure.message)
            self._measures = False
            return {}
        self._measures = True
        return found

    def _weigh(self, stream: RtmpView, params: StreamParams) -> None:
        account = self._accounts.by_label(stream.account)
        issues = self._state.measure_rtmp(stream.name, params, account=account) if account else []
        if issues:
            logs.event("rtmp-dismissed", account=stream.account, stream=stream.name, reason=", ".join(issues))
