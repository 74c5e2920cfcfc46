"""What has become of RTMP clients: a line in the log, the rooms that show the stream, its account's site."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vws import logs
from vws.announce import Announcer, Outgoing
from vws.clock import Clock
from vws.core.facts import Fact
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.notices import Notices

__all__ = ["RtmpNews"]


class RtmpNews:
    """Tells everybody whom a client's coming or going concerns."""

    def __init__(
        self,
        announcer: Announcer,
        *,
        deliver: Callable[[Iterable[Outgoing]], None],
        notices: Notices,
        wall: Clock,
    ) -> None:
        self._announcer = announcer
        self._deliver = deliver
        self._notices = notices
        self._wall = wall

    def tell(self, event: str, client: RtmpClient, facts: list[Fact], *, address: str | None = None) -> None:
        """Log the event, and pass on what it changed."""
        logs.event(
            event, account=client.account, stream=client.stream, client=client.client_id, address=address
        )
        if client.kind is RtmpKind.PUBLISH:
            self._notices.changed(client.account)
        self._deliver(self._announcer.tell(facts, at=self._wall()))
