"""HLS as far as a proxy has to know it: the names of what there is, and what playlists refer to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vws.core.wire.parse import is_name

__all__ = [
    "INDEX",
    "PLAYLIST_TYPE",
    "HlsFile",
    "is_folder",
    "media_type",
    "parse_path",
    "playlist_for",
    "rewrite",
]

INDEX = "index.m3u8"
"""The playlist that a viewer begins with; the only file that a token or a pin opens."""

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_TYPES = {
    "m3u8": PLAYLIST_TYPE,
    "ts": "video/mp2t",
    "m4s": "video/mp4",
    "mp4": "video/mp4",
    "aac": "audio/aac",
    "vtt": "text/vtt",
    "key": "application/octet-stream",  # of encrypted video
}
_FILE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}\.({'|'.join(_TYPES)})")
_NO_FOLDER = re.compile(r"\.|.*[/\\\x00-\x1f\x7f]", re.DOTALL)
_URI = re.compile(r'\bURI="([^"]*)"')


@dataclass(frozen=True, slots=True)
class HlsFile:
    """A file of a stream: a playlist, or a piece of video."""

    account: str
    stream: str
    name: str


def parse_path(path: str) -> HlsFile | None:
    """Read ``account/stream/file``; None for whatever could lead anywhere else."""
    match path.split("/"):
        case [account, stream, name] if is_folder(account) and is_folder(stream) and _FILE.fullmatch(name):
            return HlsFile(account, stream, name)
    return None


def media_type(name: str) -> str:
    """Return the type that a file is served as, by the ending of its name."""
    return _TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def rewrite(playlist: str, session: str) -> str:
    """Add a viewer's session to every file that the playlist refers to in its own folder."""
    return "\n".join(_line(line, session) for line in playlist.split("\n"))


def playlist_for(playlist: str, session: str, *, bandwidth: int) -> str:
    """Make a viewer's first playlist of the stream's: one that players do not ask for again.

    A playlist of segments is asked for again and again, always at the address that the player knows it by,
    here the one with the pin; a playlist of playlists leads it to one with the session instead.
    ``bandwidth`` in bits per second.
    """
    if "#EXT-X-STREAM-INF" in playlist:
        return rewrite(playlist, session)
    return rewrite(f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\n{INDEX}\n", session)


def is_folder(name: str) -> bool:
    """Say whether a name can be a folder's, and leads nowhere else."""
    return is_name(name) and not _NO_FOLDER.match(name)


def _line(line: str, session: str) -> str:
    if line.startswith("#"):
        return _URI.sub(lambda found: f'URI="{_with_session(found[1], session)}"', line)
    return _with_session(line.strip(), session)


def _with_session(uri: str, session: str) -> str:
    name = uri.partition("?")[0]
    return f"{name}?session={session}" if _FILE.fullmatch(name) else uri
