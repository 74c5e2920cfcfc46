"""Looking after RTMP streams: a part of it that fails keeps nobody from the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.support.raw_site import RawSite, raw_site
from tests.support.states import account
from vws.accounts import AccountDirectory
from vws.announce import Announcer, Outgoing
from vws.config import Config
from vws.core.account_rows import AccountRow, Rows
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.ice import IceServers
from vws.nginx_stat import NginxStat
from vws.notices import EVERY, Notices
from vws.rtmp_news import RtmpNews
from vws.rtmp_upkeep import RtmpUpkeep
from vws.state.base import StateLimits
from vws.state.memory import MemoryState
from vws.stream_sites import StreamSites


class Delivery:
    """Delivers nothing; the first time it fails."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, messages: Iterable[Outgoing]) -> None:  # noqa: ARG002  # as servers are called
        self.times += 1
        if self.times == 1:
            raise ConnectionError("the first delivery fails")


@pytest.fixture
def site() -> Iterator[RawSite]:
    with raw_site() as running:
        yield running


def test_a_delivery_that_fails_keeps_nobody_from_the_rest(site: RawSite) -> None:
    now = 0
    rows = Rows(accounts=(AccountRow(1, "Acme", "T", f'{{"notifyUrl": "{site.url}"}}'),))
    accounts = AccountDirectory(Config(), lambda: rows)
    accounts.reload()
    state, deliver = MemoryState(StateLimits(rtmp_update=1000)), Delivery()
    notices = Notices(
        state,
        accounts,
        sites=StreamSites(timeout=5, at_once=10),
        spawn=lambda act, *args: act(*args),
        clock=lambda: now,
    )
    news = RtmpNews(Announcer(IceServers(Config())), deliver=deliver, notices=notices, wall=lambda: now)
    stat = NginxStat(site.url, timeout=5)
    upkeep = RtmpUpkeep(state, accounts, stat=stat, news=news, notices=notices, clock=lambda: now)
    for stream in ("Stage", "Balcony"):
        client = RtmpClient("Acme", "Acme", stream, RtmpKind.PUBLISH, stream)
        state.enter_rtmp(client, account=account("Acme"), when=0, at=0)
    now = EVERY
    state.enter_rtmp(
        RtmpClient("Acme", "Acme", "Cellar", RtmpKind.PUBLISH, "3"), account=account("Acme"), when=now, at=0
    )
    with pytest.raises(ConnectionError):
        upkeep.look_after()
    assert deliver.times == 2
    assert [head.partition(" ")[0] for _, head in site.calls] == ["POST", "POST", "GET", "POST"]
