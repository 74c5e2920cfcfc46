"""nginx's page of statistics: what is read of it, and what becomes of a page that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeServer
from tests.support.raw_site import RawSite, raw_site
from tests.support.server import row, until
from vws.core.commands import StreamParams
from vws.core.wire.nginx import parse_statistics
from vws.errors import BadInput, Unavailable
from vws.nginx_stat import NginxStat

PAGE = """<?xml version="1.0" encoding="utf-8" ?>
<rtmp><server><application><name>live</name><live>
<stream><name>Acme/Stage</name><time>9</time>
<bw_in>700000</bw_in><bw_audio>32400</bw_audio><bw_video>650600</bw_video>
<client><id>4</id><address>127.0.0.1</address></client>
<client><id>3</id><address>127.0.0.1</address><publishing/><active/></client>
<meta><video><width>640</width><height>360</height><frame_rate>29.97</frame_rate></video></meta>
</stream>
<stream><name>//Acme/Sound</name><bw_audio>64000</bw_audio><bw_video>0</bw_video>
<client><id>5</id><publishing/></client></stream>
<stream><name>Acme/Odd</name><bw_video>-1</bw_video><bw_audio>lots</bw_audio>
<client><id>6</id><publishing/></client><meta><video><width>1e9</width></video></meta></stream>
</live></application></server></rtmp>"""

STAGE = StreamParams(width=640, height=360, frame_rate=29.97, bitrate=651, audio_bitrate=32)


@pytest.fixture
def site() -> Iterator[RawSite]:
    with raw_site() as running:
        yield running


def answer(body: str | bytes, status: int = 200) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_publishers_are_found_by_stream_and_number_of_connection() -> None:
    assert parse_statistics(PAGE.encode()) == {
        ("Acme/Stage", "3"): STAGE,
        ("Acme/Sound", "5"): StreamParams(audio_bitrate=64),
        ("Acme/Odd", "6"): StreamParams(),
    }


ENCODED = [f'<?xml version="1.0" encoding="{name}"?><a/>'.encode() for name in ("gbk", "idna", "none", "zip")]


@pytest.mark.parametrize("page", [b"", b"<rtmp>", b"hello", b"\xff\xfe", b"<a>&lol;</a>", *ENCODED])
def test_what_is_no_xml_is_refused(page: bytes) -> None:
    with pytest.raises(BadInput):
        parse_statistics(page)


def test_a_page_of_entities_in_entities_is_refused() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    page = f'<!DOCTYPE a [<!ENTITY e0 "{"x" * 100}">{levels}]><a>&e11;</a>'
    with pytest.raises(BadInput):
        parse_statistics(page.encode())


def test_without_an_address_there_is_nothing() -> None:
    assert NginxStat("", timeout=5).publishers() == {}


FAILURES = {
    "status 500": (answer(PAGE, 500), "answered 500"),
    "a redirect": (answer("", 302), "answered 302"),
    "a redirect of odd bytes": (
        b"HTTP/1.1 302 Found\r\nLocation: \xff\r\nContent-Length: 0\r\n\r\n",
        "UnicodeDecodeError",
    ),
    "no XML": (answer("<p>Hello"), "BadInput"),
    "no HTTP": (b"hello\r\n\r\n", "ConnectionError"),
    "larger than it may be": (answer(b"x" * 16_777_217), "larger than"),
}


@pytest.mark.parametrize(("given", "why"), FAILURES.values(), ids=FAILURES)
def test_a_page_that_is_of_no_use(site: RawSite, given: bytes, why: str) -> None:
    site.answer = given
    with pytest.raises(Unavailable, match=why):
        NginxStat(site.url, timeout=5).publishers()


def test_the_page_gets_no_cookie_of_its_own_back(site: RawSite) -> None:
    body = PAGE.encode()
    site.answer = f"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    stat = NginxStat(site.url, timeout=5)
    for _ in range(2):
        assert stat.publishers()
    assert not any("cookie" in head.lower() for _, head in site.calls)


def test_streams_keep_their_rates_while_the_page_fails_and_the_log_says_so_once(
    make_server: MakeServer, site: RawSite
) -> None:
    site.answer = answer(PAGE, 500)
    server = make_server(
        NGINX_HOST="http://127.0.0.1:9",
        NGINX_STAT=site.url,
        NGINX_UPDATE_INTERVAL="1",
        accounts=[row("Acme", plan={"bitrate": 900})],
    )
    form = b"clientid=3&addr=127.0.0.1&call=update_publish&name=Acme/Stage&token=Acme-token"

    def rate() -> int:
        assert server.post("/nginx/on_update", form).ok
        return int(server.api("/stats")["Acme"]["bitrate"])

    until(lambda: rate() == 900 and len(site.calls) > 2, what="the page to be asked for")
    site.answer = answer(PAGE)
    until(lambda: rate() == STAGE.bitrate, what="the stream to be measured")
    site.answer = answer(PAGE, 500)
    asked = len(site.calls)
    until(lambda: rate() == STAGE.bitrate and len(site.calls) > asked + 1, what="the page to be asked for")
    assert server.log().count("nginx-stat-failed") == 2
    assert server.post("/nginx/on_publish_done", form).ok


def test_a_stream_is_not_measured_by_another_that_has_its_number_now(
    make_server: MakeServer, site: RawSite
) -> None:
    """As after a restart of nginx, which gives its numbers anew: Acme/Stage has 3 there."""
    site.answer = answer(PAGE)
    server = make_server(
        NGINX_HOST="http://127.0.0.1:9",
        NGINX_STAT=site.url,
        NGINX_UPDATE_INTERVAL="1",
        accounts=[row(name, plan={"bitrate": 900}) for name in ("Acme", "Shop")],
    )
    head = "addr=127.0.0.1&call=update_publish"

    def rates() -> list[int]:
        for client, account, stream in ((3, "Shop", "Stage"), (5, "Acme", "Sound")):
            form = f"{head}&clientid={client}&name={account}/{stream}&token={account}-token"
            assert server.post("/nginx/on_update", form.encode()).ok
        return [server.api("/stats")[account]["bitrate"] for account in ("Shop", "Acme")]

    until(lambda: rates()[1] == 0, what="the other stream to be measured")
    assert rates() == [900, 0]
