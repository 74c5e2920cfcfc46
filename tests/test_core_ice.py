"""Addresses of STUN and TURN servers, and what a test's results amount to."""

from __future__ import annotations

import pytest

from vws.core.ice import IceReport, IceResult, IceURL
from vws.readers import stun_url

TRIED = (
    ("stun:stun.example:3478", "STUN", "stun.example:3478"),
    ("stun:stun.example", "STUN", "stun.example:3478"),
    ("stuns:stun.example", "STUNS", "stun.example:5349"),
    ("stun:[2001:db8::1]", "STUN", "[2001:db8::1]:3478"),
    ("turn:turn.example:443", "TURN/UDP", "turn.example:443"),
    ("turn:turn.example:3478?transport=udp", "TURN/UDP", "turn.example:3478"),
    ("turn:turn.example:3478?transport=tcp", "TURN/TCP", "turn.example:3478"),
    ("turns:[2001:db8::1]:5349?transport=tcp", "TURNS", "[2001:db8::1]:5349"),
)


@pytest.mark.parametrize(("url", "label", "server"), TRIED)
def test_an_address_is_read_and_named(url: str, label: str, server: str) -> None:
    read = IceURL.parse(url)
    assert (read.label, read.server) == (label, server)
    assert read.host == server.rpartition(":")[0].strip("[]")


@pytest.mark.parametrize(
    "url", ["", "stun.example:3478", "http://stun.example", "turn:", "turn:a:b", "stun:a:1:2"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL"):
        IceURL.parse(url)


@pytest.mark.parametrize("url", [url for url, *_ in TRIED if url.startswith("stun")])
def test_whatever_the_settings_take_can_be_tried(url: str) -> None:
    assert IceURL.parse(stun_url(url)).label.startswith("STUN")


def report(**errors: str) -> IceReport:
    urls = {
        "stun": "stun:turn.example:3478",
        "udp": "turn:turn.example:3478?transport=udp",
        "tcp": "turn:turn.example:3478?transport=tcp",
    }
    results = [IceResult(IceURL.parse(urls[name]), None if why else 5, why) for name, why in errors.items()]
    return IceReport(tuple(results), 0)


def test_only_when_everything_answered_the_check_is_passed() -> None:
    passed = report(stun="", udp="", tcp="")
    assert (passed.summary, passed.stun, passed.turn) == ("STUN/TURN check passed", True, True)
    failed = report(stun="", udp="", tcp="timeout")
    assert (failed.stun, failed.turn) == (True, False)
    assert failed.summary == "Error: TURN/TCP turn.example:3478: timeout"


def test_what_is_not_configured_has_no_outcome() -> None:
    assert (report(stun="").stun, report(stun="").turn) == (True, None)
    assert (report(udp="timeout").stun, report(udp="timeout").turn) == (None, False)
