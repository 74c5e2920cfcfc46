"""Names of customers' sites that no name server answers for: they keep nobody else waiting."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.support.raw import Raw, request
from tests.support.raw_site import RawSite, json_answer, raw_site
from tests.support.server import ROOT, row

HANGING = """
import _socket
from time import sleep

look_up = _socket.getaddrinfo

def getaddrinfo(host, *more):
    if host == "hanging.test" and not more[-1] & _socket.AI_NUMERICHOST:
        sleep(8)
    return look_up(host, *more)

_socket.getaddrinfo = getaddrinfo
"""
"""What a server's process begins with: its system's resolver waits in vain for one name."""

PATH = "/hls/Site/Stage/index.m3u8"


@pytest.fixture
def site() -> Iterator[RawSite]:
    with raw_site() as running:
        yield running


def test_a_name_that_nobody_answers_for_keeps_nobody_else_waiting(
    make_server: MakeServer, site: RawSite, unused_port: int, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    site.answer = json_answer(200, {"playbackPin": "in"})
    server = make_server(
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
        NGINX_HOST=f"http://127.0.0.1:{unused_port}",
        accounts=[
            row("Hanging", streamUrl="http://hanging.test/"),
            row("Site", streamUrl=site.url.replace("127.0.0.1", "localhost"), playbackPin="own"),
        ],
    )
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            asker = stack.enter_context(Raw(server))
            asker.send(request("GET", "/hls/Hanging/Stage/index.m3u8?pin=guess"))
        time.sleep(0.5)  # until all of them wait
        for pin in ("own", "in"):
            began = time.monotonic()
            answer = server.get(PATH, pin=pin)
            assert (answer.status_code, answer.text) == (502, "ConnectionError from nginx")
            assert time.monotonic() - began < 2
        assert asker.status() == 403
