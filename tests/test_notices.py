"""Notices to an account's `notifyUrl` over time.

tests/test_nginx_callbacks.py has them through the front door.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.raw_site import RawSite, json_answer, raw_site
from vws.accounts import AccountDirectory
from vws.config import Config
from vws.core.account_rows import AccountRow, Rows
from vws.core.rtmp import RtmpClient, RtmpKind
from vws.notices import Notices
from vws.state.memory import MemoryState
from vws.stream_sites import StreamSites

STAGE = RtmpClient("Told", "Told", "Stage", RtmpKind.PUBLISH, "1")
FAILS, HEARS = json_answer(500, {}), json_answer(200, {})


class Watch:
    """An account whose site is told; the test moves the clock, and says when greenlets run."""

    def __init__(self, site: RawSite) -> None:
        rows = Rows(accounts=(AccountRow(1, "Told", "T", json.dumps({"notifyUrl": site.url})),))
        accounts = AccountDirectory(Config(), lambda: rows)
        accounts.reload()
        owner = accounts.by_name("Told")
        assert owner is not None
        self.now = 0
        self.site = site
        self.spawned: list[Callable[[], Any]] = []
        self.state = MemoryState()
        self.state.enter_rtmp(STAGE, account=owner, when=0, at=0)
        self._notices = Notices(
            self.state,
            accounts,
            sites=StreamSites(timeout=5, at_once=10),
            spawn=lambda act, *args: self.spawned.append(partial(act, *args)),
            clock=lambda: self.now,
        )

    def repeat(self, when: int) -> None:
        self.now = when
        self._notices.repeat()
        self.run()

    def change(self, answer: bytes, *, times: int = 1) -> None:
        """Have something change; the site gives this answer to the notice of it, and hears all later ones."""
        self.site.answer = answer
        for _ in range(times):
            self._notices.changed("Told")
        self.run()
        self.site.answer = HEARS

    def run(self) -> None:
        while self.spawned:
            self.spawned.pop()()

    def told(self) -> list[list[str]]:
        """Return the streams of each notice that was sent."""
        forms = [parse_qs(body.decode()) for body in self.site.bodies]
        return [list(json.loads(form["streams"][0])) for form in forms]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with raw_site() as site:
        site.answer = HEARS
        yield Watch(site)


def test_notices_of_what_goes_on_are_repeated_every_30_seconds(watch: Watch) -> None:
    watch.repeat(29_999)
    assert watch.told() == []
    for when in (30_000, 30_000, 59_999):
        watch.repeat(when)
        assert watch.told() == [["Stage"]]
    watch.repeat(60_000)
    assert watch.told() == [["Stage"]] * 2


def test_a_notice_that_was_not_heard_comes_again(watch: Watch) -> None:
    watch.state.leave_rtmp(STAGE)
    watch.change(FAILS)
    for when in (30_000, 60_000):
        watch.repeat(when)
        assert watch.told() == [[], []]


def test_a_notice_is_not_owed_once_a_later_one_was_heard(watch: Watch) -> None:
    watch.state.leave_rtmp(STAGE)
    watch.change(FAILS)
    watch.change(HEARS)
    watch.repeat(30_000)
    assert watch.told() == [[], []]


def test_changes_that_wait_together_are_one_notice(watch: Watch) -> None:
    watch.change(HEARS, times=3)
    assert watch.told() == [["Stage"]]
    watch.change(HEARS)
    assert watch.told() == [["Stage"]] * 2
