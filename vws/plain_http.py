"""Plain HTTP to others: sessions that take nothing along, and answers that are read to a limit."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter

__all__ = ["PIECE", "plain_session", "read_at_most"]

PIECE = 65_536
"""Bytes that are read of an answer at a time."""


def plain_session(*, at_once: int, hosts: int = 1) -> requests.Session:
    """Make a session that keeps connections to so many hosts, ``at_once`` of them to each.

    It knows no proxy and no .netrc of the server's user, and keeps no cookies: no call tells of another.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=hosts, pool_maxsize=at_once)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def read_at_most(answer: requests.Response, limit: int, beyond: Exception) -> bytes:
    """Read a body; raise ``beyond`` when it has more than ``limit`` bytes."""
    pieces, size = [], 0
    for piece in answer.iter_content(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise beyond
    return b"".join(pieces)
