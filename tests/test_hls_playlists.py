"""What HLS addresses may name, and what viewers' playlists hold."""

from __future__ import annotations

import pytest

from vws.core.hls import HlsFile, media_type, parse_path, playlist_for, rewrite

SEGMENTS = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXTINF:2.000,
0.ts
#EXTINF:2.000,
1.ts
"""


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("Acme/Stage/index.m3u8", HlsFile("Acme", "Stage", "index.m3u8")),
        ("Test Account/Bühne 1/0.ts", HlsFile("Test Account", "Bühne 1", "0.ts")),
        ("Acme/Stage.2/1763900000-12.m4s", HlsFile("Acme", "Stage.2", "1763900000-12.m4s")),
        ("Acme/%2e%2e/0.key", HlsFile("Acme", "%2e%2e", "0.key")),  # a name like any: it is encoded again
    ],
)
def test_a_file_of_a_stream(path: str, file: HlsFile) -> None:
    assert parse_path(path) == file


@pytest.mark.parametrize(
    "path",
    [
        "",
        "index.m3u8",
        "Acme/index.m3u8",
        "Acme/Stage/low/index.m3u8",
        "Acme/Stage/",
        "/Stage/index.m3u8",
        "Acme//index.m3u8",
        "../Stage/index.m3u8",
        "Acme/../index.m3u8",
        "Acme/./index.m3u8",
        "Acme/.hidden/index.m3u8",
        "Acme/Stage\\..\\Other/index.m3u8",
        "Acme/Sta\x00ge/index.m3u8",
        "Acme/Sta\nge/index.m3u8",
        "Acme/\ud800/index.m3u8",
        f"Acme/{'x' * 256}/index.m3u8",
        "Acme/Stage/..ts",
        "Acme/Stage/.ts",
        "Acme/Stage/-.ts",
        "Acme/Stage/0.ts?key=1",
        "Acme/Stage/0.ts\n",
        "Acme/Stage/0 .ts",
        "Acme/Stage/0.TS",
        "Acme/Stage/nginx.conf",
        f"Acme/Stage/{'x' * 129}.ts",
    ],
)
def test_what_could_lead_elsewhere_is_no_file(path: str) -> None:
    assert parse_path(path) is None


def test_types_follow_the_name() -> None:
    types = [media_type(name) for name in ("index.m3u8", "0.ts", "0.m4s", "0.key", "none")]
    assert types == [
        "application/vnd.apple.mpegurl",
        "video/mp2t",
        "video/mp4",
        "application/octet-stream",
        "application/octet-stream",
    ]


def test_segments_carry_the_session() -> None:
    assert rewrite(SEGMENTS, "S1") == SEGMENTS.replace(".ts\n", ".ts?session=S1\n")


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("0.ts?key=nginx-key", "0.ts?session=S1"),
        ("0.ts\r", "0.ts?session=S1"),
        (
            '#EXT-X-KEY:METHOD=AES-128,URI="0.key",IV=0x0',
            '#EXT-X-KEY:METHOD=AES-128,URI="0.key?session=S1",IV=0x0',
        ),
        ('#EXT-X-MAP:URI="init.mp4",BYTERANGE="9@0"', '#EXT-X-MAP:URI="init.mp4?session=S1",BYTERANGE="9@0"'),
        ("https://keys.example/0.ts", "https://keys.example/0.ts"),
        ("../Other/0.ts", "../Other/0.ts"),
        ("#EXTINF:2.0,0.ts", "#EXTINF:2.0,0.ts"),
        ("", ""),
    ],
)
def test_only_files_of_the_stream_carry_the_session(line: str, rewritten: str) -> None:
    assert rewrite(line, "S1") == rewritten


def test_the_first_playlist_leads_to_one_with_the_session() -> None:
    assert playlist_for(SEGMENTS, "S1", bandwidth=500_000).splitlines() == [
        "#EXTM3U",
        "#EXT-X-STREAM-INF:BANDWIDTH=500000",
        "index.m3u8?session=S1",
    ]


def test_a_playlist_of_playlists_stays_one() -> None:
    several = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n"
    assert playlist_for(several, "S1", bandwidth=500_000) == several.replace(".m3u8", ".m3u8?session=S1")
