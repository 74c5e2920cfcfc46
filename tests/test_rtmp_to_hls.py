"""The whole way: ffmpeg publishes over RTMP, nginx makes HLS of it, viewers get it through the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.support.nginx import Rtmp, probe
from tests.support.server import Server, row, until

PATH = "/hls/Acme/Stage"
INDEX = f"{PATH}/index.m3u8"
ACME = row("Acme", broadcastPin="in", playbackPin="out", plan={"streamPlayers": 3})
SILENCE = 30  # seconds


def usage(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.api("/stats").get("Acme", {})
    return {name: count for name, count in found.items() if name != "issues"}


def told(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


def watch(server: Server) -> str:
    """Become a viewer; return the session."""
    answer = server.get(INDEX, pin="out")
    assert answer.ok, answer.text
    return answer.text.rpartition("session=")[2].strip()


def pieces(server: Server, session: str) -> list[str]:
    """Return the addresses of the pieces that the playlist has now."""
    playlist = server.get(INDEX, session=session)
    assert playlist.ok, playlist.text
    return re.findall(r"^\w+\.ts\?session=\S+$", playlist.text, re.MULTILINE)


@pytest.mark.timeout(180)
def test_viewers_watch_what_is_published_and_the_counts_return_to_zero(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[ACME])
    alice = rtmp.publish("Acme/Stage?pin=in").wait_live()
    rtmp.wait_hls("Acme/Stage")

    found = probe(f"{server.url}{INDEX}?pin=out")
    assert (found["video"]["codec_name"], found["audio"]["codec_name"]) == ("h264", "aac")
    bob = watch(server)
    assert usage(server)["players"] == 2
    ((name, listed),) = server.api("/channels")
    assert (name, listed["viewers"]) == ("Stage", 2)

    first = pieces(server, bob)
    until(lambda: pieces(server, bob)[-1] != first[-1], what="the stream to go on")
    piece = server.get(f"{PATH}/{pieces(server, bob)[-1]}")
    assert piece.content.startswith(b"G")
    assert len(piece.content) % 188 == 0  # whole packets of MPEG

    alice.stop()
    until(lambda: not any(usage(server).values()), timeout=SILENCE + 10, what="the counts to be zero")
    wrong = server.get(INDEX, pin="wrong")
    for path in (INDEX, f"{PATH}/0.ts"):
        ended = server.get(path, session=bob)
        assert told(ended) == told(wrong) == (403, "Forbidden")
        assert {**ended.headers, "Date": ""} == {**wrong.headers, "Date": ""}


def test_viewers_of_an_account_that_is_suspended_see_nothing_more(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[ACME])
    alice = rtmp.publish("Acme/Stage?pin=in").wait_live()
    rtmp.wait_hls("Acme/Stage")
    bob = watch(server)
    assert pieces(server, bob)
    server.sql("UPDATE accounts SET properties = ?", '{"suspended": true, "playbackPin": "out"}')
    server.api("/update-accounts")
    for answer in (server.get(INDEX, session=bob), server.get(INDEX, pin="out")):
        assert told(answer) == (403, "Forbidden")
    alice.wait_ended()


def test_the_plan_limits_viewers_and_its_publisher_is_none(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[ACME])
    rtmp.publish("Acme/Stage?pin=in").wait_live()
    rtmp.wait_hls("Acme/Stage")
    sessions = [watch(server) for _ in range(3)]
    assert told(server.get(INDEX, pin="out")) == (403, "Unfit: streamPlayers.")
    assert all(pieces(server, session) for session in sessions)
    assert server.api("/stats")["Acme"]["issues"] == {"streamPlayers": 1}
