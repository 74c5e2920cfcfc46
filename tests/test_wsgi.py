"""What connections have from the listener on, before the server has come to accept them."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from typing import Any

from vws.transport.wsgi import WebServer


def listener() -> Any:
    return closing(WebServer.get_listener(("127.0.0.1", 0), WebServer.backlog, socket.AF_INET))


def test_who_connects_before_the_server_accepts_is_not_made_to_wait_for_small_packets() -> None:
    with listener() as listening, socket.create_connection(listening.getsockname()):
        accepted = socket.socket(fileno=listening._accept()[0])
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_hundreds_may_wait_to_be_accepted() -> None:
    """As after a restart; who finds the queue full tries again a second later."""
    with listener() as listening, ExitStack() as stack:
        for _ in range(1000):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.5)
            client.connect(listening.getsockname())
