"""The whole way: ffmpeg publishes over RTMP, nginx makes HLS of it, viewers get it through the server."""

from __future__ import annotations

import re
from typing import Any

import requests

from tests.support.nginx import SILENCE_SECONDS, Publisher, Rtmp, probe
from tests.support.server import Server, row, until

PLAN = {"streamPlayers": 3}


def index(account: str) -> str:
    return f"/hls/{account}/Stage/index.m3u8"


def go_live(live: Rtmp, account: str) -> tuple[Server, Publisher]:
    """Publish a stream of an account that no other test has: its files stay with nginx for a while."""
    server = live.accounts(row(account, broadcastPin="in", playbackPin="out", plan=PLAN))
    publisher = live.publish(f"{account}/Stage?pin=in").wait_live()
    live.wait_hls(f"{account}/Stage")
    return server, publisher


def usage(server: Server, account: str) -> dict[str, Any]:
    found: dict[str, Any] = server.api("/stats").get(account, {})
    return {name: count for name, count in found.items() if name != "issues"}


def told(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


def watch(server: Server, account: str) -> str:
    """Become a viewer; return the session."""
    answer = server.get(index(account), pin="out")
    assert answer.ok, answer.text
    return answer.text.rpartition("session=")[2].strip()


def pieces(server: Server, account: str, session: str) -> list[str]:
    """Return the addresses of the pieces that the playlist has now."""
    playlist = server.get(index(account), session=session)
    assert playlist.ok, playlist.text
    return re.findall(r"^\w+\.ts\?session=\S+$", playlist.text, re.MULTILINE)


def test_viewers_watch_what_is_published_and_the_counts_return_to_zero(live: Rtmp) -> None:
    server, alice = go_live(live, "Watched")

    found = probe(f"{server.url}{index('Watched')}?pin=out")
    assert (found["video"]["codec_name"], found["audio"]["codec_name"]) == ("h264", "aac")
    bob = watch(server, "Watched")
    assert usage(server, "Watched")["players"] == 2
    ((name, listed),) = server.api("/channels")
    assert (name, listed["viewers"]) == ("Stage", 2)

    first = pieces(server, "Watched", bob)
    until(lambda: pieces(server, "Watched", bob)[-1] != first[-1], what="the stream to go on")
    piece = server.get(f"/hls/Watched/Stage/{pieces(server, 'Watched', bob)[-1]}")
    assert piece.content.startswith(b"G")
    assert len(piece.content) % 188 == 0  # whole packets of MPEG

    alice.stop()
    until(
        lambda: not any(usage(server, "Watched").values()),
        timeout=SILENCE_SECONDS + 10,
        what="the counts to be zero",
    )
    wrong = server.get(index("Watched"), pin="wrong")
    for path in (index("Watched"), "/hls/Watched/Stage/0.ts"):
        ended = server.get(path, session=bob)
        assert told(ended) == told(wrong) == (403, "Forbidden")
        assert {**ended.headers, "Date": ""} == {**wrong.headers, "Date": ""}


def test_viewers_of_an_account_that_is_suspended_see_nothing_more(live: Rtmp) -> None:
    server, alice = go_live(live, "Shut")
    bob = watch(server, "Shut")
    assert pieces(server, "Shut", bob)
    server.sql("UPDATE accounts SET properties = ?", '{"suspended": true, "playbackPin": "out"}')
    server.api("/update-accounts")
    for answer in (server.get(index("Shut"), session=bob), server.get(index("Shut"), pin="out")):
        assert told(answer) == (403, "Forbidden")
    alice.wait_ended()


def test_the_plan_limits_viewers_and_its_publisher_is_none(live: Rtmp) -> None:
    server, _ = go_live(live, "Small")
    sessions = [watch(server, "Small") for _ in range(3)]
    assert told(server.get(index("Small"), pin="out")) == (403, "Unfit: streamPlayers.")
    assert all(pieces(server, "Small", session) for session in sessions)
    assert server.api("/stats")["Small"]["issues"] == {"streamPlayers": 1}
