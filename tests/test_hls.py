"""HLS through the server, from a real nginx: who gets in, what is passed on, what is refused.

The files lie where nginx's RTMP module would have put them; tests/test_rtmp_to_hls.py has it do that.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import TOKEN, MakeServer, finishing
from tests.support.nginx import KEY, make_rtmp, probe
from tests.support.raw import Raw, request
from tests.support.raw_site import RawSite, json_answer
from tests.support.raw_site import raw_site as run_raw_site
from tests.support.require import need
from tests.support.server import Server, row, until

INDEX = "/hls/Acme/Stage/index.m3u8"
PIN = "1234"
SEGMENTS = 4
STREAMS = (
    "Acme/Stage",
    "Acme/Balcony",
    "My shop/Bühne 1",
    "Gone/Stage",
    "Site/Stage",
    "Wide/Stage",
    "Small/Stage",
    "Single/Stage",
    "Quiet/Stage",
    "Head/Stage",
)
REFUSAL = (403, "Forbidden")


@pytest.fixture(scope="module")
def site() -> Iterator[RawSite]:
    """Return a site for `streamUrl`."""
    with run_raw_site() as running:
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a short stream in it, as nginx's RTMP module writes them."""
    folder = tmp_path_factory.mktemp("recording")
    picture = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=10", "-f", "lavfi", "-i", "sine=frequency=440"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    pieces = ["-t", str(SEGMENTS), "-f", "hls", "-hls_time", "1", "-hls_segment_filename", "%d.ts"]
    command = [need("ffmpeg"), "-nostdin", "-loglevel", "error", *picture, *codecs, *pieces, "index.m3u8"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    tomorrow = time.time() + 86_400
    for file in folder.iterdir():
        os.utime(file, (tomorrow, tomorrow))  # nginx removes what has not changed for a while
    return folder


@pytest.fixture(scope="module")
def server(start_server: MakeServer, site: RawSite, recording: Path) -> Iterator[Server]:
    accounts = [
        row("Acme", playbackPin=PIN, broadcastPin="b-pin"),
        row("My shop", playbackPin=5678),
        row("Open", playbackPin=""),
        row("Gone", playbackPin=PIN, suspended=True),
        row("Site", playbackPin="site-pin", streamUrl=f"{site.url}?shop=1"),
        row("Wide", plan={"bitrate": 500, "audioBitrate": 64}),
        row("Small", playbackPin=PIN, plan={"streamPlayers": 2}),
        row("Quiet", playbackPin=PIN, broadcastPin="b-pin"),
        row("Head", playbackPin=PIN),
        row("Single", playbackPin=PIN, plan={"streamPlayers": 1}),
    ]
    servers: list[Server] = []

    def make(**options: Any) -> Server:
        started = start_server(AUTH_RATE_LIMIT="0", accounts=accounts, **options)
        servers.append(started)
        return started

    with finishing(servers), make_rtmp(make) as rtmp:
        running = rtmp.server()
        for stream in STREAMS:
            shutil.copytree(recording, Path(running.settings["NGINX_HLS_PATH"], stream))
        yield running


def session_of(server: Server, stream: str = "Acme/Stage", **key: Any) -> str:
    """Become a viewer; return the session."""
    key = key or {"pin": PIN}
    answer = server.get(f"/hls/{stream}/index.m3u8", **key)
    assert answer.status_code == 200, answer.text
    (session,) = re.findall(r"^index\.m3u8\?session=([\w-]{20,})$", answer.text, re.MULTILINE)
    return str(session)


def viewers(server: Server, account: str) -> int:
    """Count the viewers of an account that no other test watches: theirs may go at any moment."""
    count: int = server.api("/stats").get(account, {}).get("players", 0)
    return count


def told(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


# --- who gets in ---


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        ("Acme/Stage", {"pin": PIN}),
        ("Acme/Stage", {"token": "Acme-token"}),
        ("Acme/Stage", {"token": "Acme-token/stream"}),
        ("Acme/Stage", {"token": TOKEN}),
        ("Acme/Stage", {"token": "wrong", "pin": PIN}),
        ("Acme/Stage", {"token": "Acme-token", "pin": "wrong"}),
        ("My shop/Bühne 1", {"pin": "5678"}),
    ],
)
def test_a_token_or_a_pin_opens_a_stream(server: Server, stream: str, key: dict[str, Any]) -> None:
    session = session_of(server, stream, **key)
    playlist = server.get(f"/hls/{stream}/index.m3u8", session=session)
    assert playlist.status_code == 200
    assert playlist.text.count(f".ts?session={session}\n") == SEGMENTS
    assert server.get(f"/hls/{stream}/0.ts", session=session).content[:1] == b"G"


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        ("Quiet/Stage", {}),
        ("Quiet/Stage", {"pin": "wrong"}),
        ("Quiet/Stage", {"pin": ""}),
        ("Quiet/Stage", {"token": ""}),
        ("Quiet/Stage", {"pin": "b-pin"}),
        ("Quiet/Stage", {"pin": "Quiet-token"}),
        ("Quiet/Stage", {"token": PIN}),
        ("Quiet/Stage", {"token": "Small-token"}),
        ("Quiet/Stage", {"token": "/stream"}),
        ("Quiet/Stage", {"pin": "5678"}),
        ("Quiet/Stage", {"session": "guessed-guessed-guessed"}),
        ("Quiet/Stage", {"session": ""}),
        ("Quiet/Stage", {"session": "", "pin": PIN}),
        ("Quiet/Guessed", {"pin": "wrong"}),
        ("Open/Stage", {"pin": ""}),
        ("Gone/Stage", {"pin": PIN}),
        ("Gone/Stage", {"token": "Gone-token"}),
        ("Nobody/Stage", {"pin": PIN}),
        ("Nobody/Stage", {"token": TOKEN}),
    ],
)
def test_all_others_are_refused_alike(server: Server, stream: str, key: dict[str, Any]) -> None:
    answer = server.get(f"/hls/{stream}/index.m3u8", **key)
    assert told(answer) == REFUSAL
    assert answer.headers["Cache-Control"] == "no-store"
    assert viewers(server, stream.partition("/")[0]) == 0


def test_a_stream_that_is_not_live_is_not_found(server: Server) -> None:
    assert told(server.get("/hls/Quiet/Nothing/index.m3u8", pin=PIN)) == (404, "Not Found")
    assert viewers(server, "Quiet") == 0


def test_the_log_says_why_without_the_secrets(server: Server) -> None:
    server.get("/hls/Acme/Logged/index.m3u8", pin="wrong-secret", token="wrong-token")
    (line,) = server.wait_log("hls-refused .*stream=Logged")
    assert 'reason="neither the token nor the pin is right"' in line
    session_of(server)
    log = server.log()
    assert not any(secret in log for secret in ("wrong-secret", "wrong-token", KEY, PIN))


def test_guesses_are_limited_by_address(make_server: MakeServer) -> None:
    server = make_server(
        AUTH_RATE_LIMIT="3", NGINX_HOST="http://127.0.0.1:1", accounts=[row("Acme", playbackPin=PIN)]
    )
    for guess in range(3):
        assert told(server.get(INDEX, pin=f"{guess}")) == REFUSAL
    assert server.get(INDEX, pin=PIN).status_code == 429
    assert server.get("/status", token="Acme-token").status_code == 429


def test_without_nginx_there_is_nothing(make_server: MakeServer) -> None:
    server = make_server()
    assert told(server.get(INDEX, token=TOKEN)) == (404, "Not Found")


# --- what the stream's site says ---


def test_a_pin_of_the_streams_site_opens_it(server: Server, site: RawSite) -> None:
    site.reset()
    site.answer = json_answer(200, {"playbackPin": 99, "broadcastPin": "98"})
    session_of(server, "Site/Stage", pin="99")
    assert told(server.get("/hls/Site/Stage/index.m3u8", pin="98")) == REFUSAL
    assert [head.partition(" HTTP")[0] for _, head in site.calls] == ["POST /login?shop=1"] * 2
    assert site.bodies == [b"token=Site-token&stream=Stage&type=playback"] * 2


def test_the_site_is_not_asked_where_nothing_depends_on_it(server: Server, site: RawSite) -> None:
    site.reset()
    session_of(server, "Site/Stage", pin="site-pin")
    session_of(server, "Site/Stage", token="Site-token")
    assert told(server.get("/hls/Site/Stage/index.m3u8", token="wrong")) == REFUSAL
    assert site.calls == []


VAIN = {
    "denies": json_answer(200, {"deny": 1}),
    "fails": json_answer(500, {}),
    "knows another pin": json_answer(200, {"playbackPin": "other"}),
}


@pytest.mark.parametrize("answer", VAIN.values(), ids=VAIN)
def test_questions_to_a_site_are_limited_by_address_however_it_answers(
    make_server: MakeServer, site: RawSite, answer: bytes
) -> None:
    site.reset()
    site.answer = answer
    server = make_server(
        AUTH_RATE_LIMIT="3", NGINX_HOST="http://127.0.0.1:1", accounts=[row("Site", streamUrl=site.url)]
    )
    statuses = [server.get("/hls/Site/Stage/index.m3u8", pin="99").status_code for _ in range(6)]
    assert statuses == [403] * 3 + [429] * 3
    assert len(site.calls) == 3


def test_questions_that_wait_together_are_limited_too(make_server: MakeServer, site: RawSite) -> None:
    site.reset()
    site.answer, site.pace = json_answer(200, {"playbackPin": "99"}), 0.02
    server = make_server(
        AUTH_RATE_LIMIT="3", NGINX_HOST="http://127.0.0.1:1", accounts=[row("Site", streamUrl=site.url)]
    )
    with contextlib.ExitStack() as stack:
        asking = [stack.enter_context(Raw(server)) for _ in range(3)]
        for raw in asking:
            raw.send(request("GET", "/hls/Site/Stage/index.m3u8?pin=99"))
        until(lambda: len(site.calls) == 3, what="the site to be asked")
        assert server.get("/hls/Site/Stage/index.m3u8", pin="99").status_code == 429
        assert [raw.status() for raw in asking] == [502] * 3  # let in, and there is no nginx
    site.pace = 0
    for _ in range(6):  # nothing is held against who knew the pin
        assert server.get("/hls/Site/Stage/index.m3u8", pin="99").status_code == 502


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(200, {"deny": 1, "info": "Not today", "playbackPin": "99"}),
        json_answer(200, {"deny": "1", "playbackPin": "99"}),
        json_answer(200, {"playbackPin": ""}),
        json_answer(200, {"playbackPin": None}),
        json_answer(200, {"playbackPin": ["99"]}),
        json_answer(200, {}),
        json_answer(200, []),
        json_answer(500, {"playbackPin": "99"}),
        json_answer(302, {"playbackPin": "99"}, "Location: /"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        b"nonsense",
    ],
)
def test_a_site_that_does_not_give_the_pin_opens_nothing(
    server: Server, site: RawSite, answer: bytes
) -> None:
    site.reset()
    site.answer, site.hang_up = answer, True
    assert told(server.get("/hls/Site/Stage/index.m3u8", pin="99")) == REFUSAL


def test_a_slow_site_is_waited_for_5_seconds_and_by_nobody_else(server: Server, site: RawSite) -> None:
    site.reset()
    site.pace = 0.5
    answers: list[tuple[int, str]] = []
    asker = threading.Thread(
        target=lambda: answers.append(
            told(requests.get(f"{server.url}/hls/Site/Stage/index.m3u8?pin=99", timeout=20))
        )
    )
    started = time.monotonic()
    asker.start()
    until(lambda: site.calls)
    session_of(server)
    assert server.get("/health").ok
    assert not answers
    asker.join()
    assert answers == [REFUSAL]
    assert 4.5 < time.monotonic() - started < 7
    server.wait_log('warning stream-site-failed account=Site .*reason="no answer in 5 seconds"')


# --- what is passed on ---


def test_ffprobe_finds_video_and_audio(server: Server) -> None:
    found = probe(f"{server.url}{INDEX}?pin={PIN}")
    assert (found["video"]["codec_name"], found["audio"]["codec_name"]) == ("h264", "aac")


def test_segments_arrive_as_they_are(server: Server, recording: Path) -> None:
    session = session_of(server)
    for number in range(SEGMENTS):
        answer = server.get(f"/hls/Acme/Stage/{number}.ts", session=session)
        assert answer.content == (recording / f"{number}.ts").read_bytes()
        assert answer.headers["Content-Type"] == "video/mp2t"
        assert answer.headers["Cache-Control"] == "private, max-age=10"
        assert answer.headers["Content-Length"] == str(len(answer.content))


def test_playlists_hold_the_session_and_no_secret(server: Server) -> None:
    session = session_of(server, pin=PIN, token="Acme-token")
    for answer in (
        server.get(INDEX, pin=PIN, token="Acme-token"),
        server.get(INDEX, session=session),
        server.get(INDEX, session=session, pin=PIN, token="Acme-token"),
    ):
        assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert not any(secret in answer.text for secret in (f"={PIN}", "Acme-token", KEY, "pin=", "key="))


def test_the_bandwidth_is_the_plans(server: Server) -> None:
    playlist = server.get("/hls/Wide/Stage/index.m3u8", token="Wide-token")
    assert "#EXT-X-STREAM-INF:BANDWIDTH=564000\n" in playlist.text


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-188", -188, None)],
)
def test_a_range_of_a_segment(
    server: Server, recording: Path, wanted: str, start: int, end: int | None
) -> None:
    whole = (recording / "0.ts").read_bytes()
    answer = server.get("/hls/Acme/Stage/0.ts", session=session_of(server), headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == whole[start:end]
    assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=x", "lines=0-1", "bytes=0-1\tx"])
def test_other_ranges_bring_the_whole_segment(server: Server, recording: Path, wanted: str) -> None:
    answer = server.get("/hls/Acme/Stage/0.ts", session=session_of(server), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, (recording / "0.ts").read_bytes())


def test_a_range_that_is_not_there(server: Server) -> None:
    answer = server.get(
        "/hls/Acme/Stage/0.ts", session=session_of(server), headers={"Range": "bytes=99999999-"}
    )
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"].startswith("bytes */")


def test_what_the_viewer_has_is_not_sent_again(server: Server) -> None:
    session = session_of(server)
    first = server.get("/hls/Acme/Stage/0.ts", session=session)
    for name, value in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        again = server.get("/hls/Acme/Stage/0.ts", session=session, headers={name: first.headers[value]})
        assert (again.status_code, again.content) == (304, b"")


def test_head_tells_the_same_without_the_body_and_counts_nobody(server: Server) -> None:
    session = session_of(server, "Head/Stage")
    index = "/hls/Head/Stage/index.m3u8"
    for path, key in (
        (index, {"pin": PIN}),
        (index, {"session": session}),
        ("/hls/Head/Stage/0.ts", {"session": session}),
    ):
        get, head = (
            requests.request(method, server.url + path, params=key, timeout=10) for method in ("GET", "HEAD")
        )
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Type", "Content-Length", "Cache-Control"):
            assert head.headers[name] == get.headers[name]
    assert viewers(server, "Head") == 2, "one for each GET of a first playlist"
    assert told(requests.head(server.url + index, params={"pin": "wrong"}, timeout=10)) == (403, "")


def test_segments_of_one_viewer_come_over_one_connection(server: Server) -> None:
    session = session_of(server)
    with requests.Session() as viewer:
        for number in (0, 1, 9, 2):  # one is not there
            answer = viewer.get(f"{server.url}/hls/Acme/Stage/{number}.ts", params={"session": session})
            assert answer.status_code == (404 if number == 9 else 200)
            assert "Connection" not in answer.headers


def test_a_viewer_has_16_files_on_their_way_at_once(server: Server) -> None:
    folder = Path(server.settings["NGINX_HLS_PATH"], "Acme", "Stage")
    (folder / "large.ts").write_bytes(b"G" * 20_000_000)  # more than the system takes of it
    session = session_of(server)
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            raw = stack.enter_context(Raw(server))
            raw.send(request("GET", f"/hls/Acme/Stage/large.ts?session={session}"))
            assert raw.status() == 200
        for path in ("/hls/Acme/Stage/0.ts", INDEX):
            answer = server.get(path, session=session)
            assert told(answer) == (429, "Too many requests at once")
        other = session_of(server)
        assert server.get("/hls/Acme/Stage/0.ts", session=other).ok
    until(lambda: server.get("/hls/Acme/Stage/0.ts", session=session).ok, what="the places to be free")
    (folder / "large.ts").unlink()


# --- other origins ---


def test_scripts_of_any_origin_may_play_by_default(server: Server) -> None:
    session = session_of(server)
    for path in (f"{INDEX}?pin={PIN}", f"/hls/Acme/Stage/0.ts?session={session}", INDEX):
        answer = server.get(path, headers={"Origin": "https://shop.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_scripts_may_ask_for_ranges_and_see_them(server: Server) -> None:
    asked = requests.options(f"{server.url}/hls/Acme/Stage/0.ts", timeout=10)
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert asked.headers["Access-Control-Allow-Headers"] == "Range"
    answer = server.get("/hls/Acme/Stage/0.ts", session=session_of(server))
    assert answer.headers["Access-Control-Expose-Headers"] == "Content-Length, Content-Range"


def test_scripts_of_other_origins_may_not_when_origins_are_listed(make_server: MakeServer) -> None:
    server = make_server(ALLOWED_ORIGINS="https://shop.example", NGINX_HOST="http://127.0.0.1:1")
    for origin, allowed in (("https://shop.example", "https://shop.example"), ("https://evil.example", None)):
        for answer in (
            server.get(INDEX, headers={"Origin": origin}),
            requests.options(server.url + INDEX, headers={"Origin": origin}, timeout=10),
        ):
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Origin" in answer.headers["Vary"]


# --- attacks ---


@pytest.mark.parametrize(
    "path",
    [
        "Acme/Balcony/index.m3u8",  # another stream
        "Acme/Balcony/0.ts",
        "Small/Stage/0.ts",  # another account's
        "Nobody/Stage/0.ts",
        "acme/Stage/0.ts",
        "Acme/Stage/../Balcony/0.ts",
        "Acme/Stage/%2e%2e/Balcony/0.ts",
        "Acme/Stage/..%2fBalcony%2f0.ts",
        "Acme/Stage/..%5cBalcony%5c0.ts",
        "Acme/Stage/..%252fBalcony%252f0.ts",
        "Acme/../../etc/passwd",
        "../stats",
        "%2e%2e/%2e%2e/etc/passwd",
        "Acme/Stage//0.ts",
        "/Acme/Stage/0.ts",
        "Acme/Stage/./0.ts",
        "Acme/Stage/0.ts/",
        "Acme/Stage/",
        "Acme/Stage",
        "Acme/Stage/0.ts%00",
        "Acme/Stage/0.ts%0d%0aX-Injected:%201",
        "Acme/Stage/0.ts%3fkey=x",
        "Acme/Stage/0.ts%23",
        "",
        "Acme/Sta%ff/0.ts",
        "http://127.0.0.1:1/Acme/Stage/0.ts",
        "@127.0.0.1:1/Stage/0.ts",
        "Acme/.hidden/0.ts",
        "Acme/Stage/nginx.conf",
    ],
)
def test_a_session_leads_nowhere_else(server: Server, path: str) -> None:
    session = session_of(server)
    for query in (f"session={session}", f"session={session}&pin={PIN}&token={TOKEN}"):
        with Raw(server) as raw:  # a client of HTTP's would tidy up the path
            raw.send(request("GET", f"/hls/{path}?{query}", Connection="close"))
            answer = raw.all()
        assert answer.startswith(b"HTTP/1.1 403 "), answer
        assert answer.endswith(b"\r\n\r\nForbidden"), answer
        assert b"Injected" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_streams_are_read_only(server: Server, method: str) -> None:
    answer = requests.request(method, server.url + INDEX, params={"pin": PIN}, timeout=10)
    assert told(answer) == (405, "Method Not Allowed")


def test_sessions_differ_and_are_long(server: Server) -> None:
    sessions = {session_of(server) for _ in range(20)}
    assert len(sessions) == 20
    assert all(len(session) == 24 for session in sessions)


# --- the plan ---


def test_viewers_are_counted_and_limited_by_the_plan(server: Server) -> None:
    sessions = [session_of(server, "Small/Stage") for _ in range(2)]
    assert server.api("/stats")["Small"]["players"] == 2
    refused = server.get("/hls/Small/Stage/index.m3u8", pin=PIN)
    assert told(refused) == (403, "Unfit: streamPlayers.")
    assert server.api("/stats")["Small"]["issues"] == {"streamPlayers": 1}
    for session in sessions:
        assert server.get("/hls/Small/Stage/0.ts", session=session).ok
    assert server.get("/hls/Small/Stage/index.m3u8", pin="wrong").text == "Forbidden"


def test_who_begins_again_takes_no_second_place(server: Server) -> None:
    first = session_of(server, "Single/Stage")
    path = "/hls/Single/Stage/index.m3u8"
    assert told(server.get(path, pin=PIN)) == (403, "Unfit: streamPlayers.")
    assert told(server.get(path, pin=PIN, replaces="guessed")) == (403, "Unfit: streamPlayers.")
    assert told(server.get(path, pin="wrong", replaces=first)) == REFUSAL
    assert requests.head(server.url + path, params={"pin": PIN, "replaces": first}, timeout=10).ok
    assert server.get(path, session=first).ok
    second = session_of(server, "Single/Stage", pin=PIN, replaces=first)
    assert told(server.get(path, session=first)) == REFUSAL
    assert server.get(path, session=second).ok
    assert server.api("/stats")["Single"]["players"] == 1
