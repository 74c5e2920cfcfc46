"""Random and mutated packets from several attackers at once, while a call beside them goes on.

The seed is printed when the test fails; FUZZ_SEED repeats a run, FUZZ_SECONDS makes it longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from tests.conftest import ACCOUNT, TOKEN, Clients
from tests.support.pair import Pair
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame
from tests.support.server import Server, until
from vws.core.wire.names import Event

SECONDS = float(os.environ.get("FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.randrange(1, 10**9)
MOST_GROWTH = 40_000_000  # bytes
POLLING = "/socket.io/?EIO=4&transport=polling"
CALLS = [
    ["publish", "Mallory", "Fuzz", {"width": 640, "bitrate": 500}],
    ["subscribe", "Mallory", "Fuzz"],
    ["unpublish", "Mallory", "Fuzz"],
    ["unsubscribe", "Mallory", "Fuzz"],
    ["messagePeer", {"type": "offer", "target": "Mallory", "channel": "Fuzz", "content": "v=0\r\n"}],
    ["message", {"channel": "Fuzz", "a": 1}],
    ["roomJoin", {"room": "Fuzz"}],
    ["roomPublish", {"room": "Fuzz", "stream": "Fuzz", "parameters": {"type": "webrtc"}}],
    ["roomMessage", {"room": "Fuzz", "message": "Hello"}],
    ["roomAction", {"room": "Fuzz", "action": "lock", "user": "Mallory", "minutes": 1, "meta": {}}],
    ["roomUnpublish", {"room": "Fuzz", "stream": "Fuzz"}],
    ["roomLeave", {"room": "Fuzz"}],
]
CONNECTS: list[Any] = [{"token": TOKEN}, {"account": ACCOUNT, "user": "Mallory", "pin": "1"}, {}, None]
NAMESPACES = ["", "", "", "/signaling,", "/room,", "/chat,", "/nowhere,", "/"]


class Mutator:
    """Makes values, packets and frames of all degrees of wrongness."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        rng = self.random
        if depth < 4 and rng.random() < 0.3:
            inner = [self.value(depth + 1) for _ in range(rng.randrange(4))]
            return inner if rng.random() < 0.5 else {self.text(): each for each in inner}
        return rng.choice([None, True, -1, 0, 1e300, 10**30, self.text(), "x" * 300, *Event, "Fuzz"])

    def text(self) -> str:
        return "".join(chr(self.random.choice([0, 10, 34, 92, 97, 0xD800, 0x1F4A5])) for _ in range(3))

    def replaced(self, value: Any) -> Any:
        """Replace some value within a value."""
        rng = self.random
        if rng.random() < 0.25:
            return self.value()
        if isinstance(value, dict) and value:
            key = rng.choice(list(value))
            return {**value, key: self.replaced(value[key])}
        if isinstance(value, list) and value:
            place = rng.randrange(len(value))
            return [*value[:place], self.replaced(value[place]), *value[place + 1 :]]
        return value

    def packet(self) -> str:
        rng = self.random
        kind = rng.choice(["42", "42", "42", "42", "40", "41", "43", "45", "451-", "3", "2", "4", "47"])
        body: Any = rng.choice(CONNECTS if kind == "40" else CALLS)
        body = self.replaced(body) if rng.random() < 0.5 else body
        number = rng.choice(["", "7", "99999999999999999999"])
        text = kind + rng.choice(NAMESPACES) + (number if kind != "40" else "") + json.dumps(body)
        return self.cut(text) if rng.random() < 0.4 else text

    def cut(self, text: str) -> str:
        """Damage a text: cut out, double, or overwrite a piece."""
        rng = self.random
        start, size = rng.randrange(len(text)), rng.randrange(1, 9)
        piece = rng.choice(
            ["", text[start : start + size] * 2, "NaN", "1e999", "[" * 200, '"', "\\", "\0", "é"]
        )
        return text[:start] + piece + text[start + size :]

    def frames(self) -> bytes:
        rng = self.random
        payload = self.packet().encode()
        match rng.randrange(12):
            case 0:
                return frame(rng.choice([BINARY, CONTINUATION, PING, PONG, CLOSE]), payload[:125])
            case 1:
                return frame(TEXT, payload[:5], fin=0) + frame(CONTINUATION, payload[5:])
            case 2:
                return frame(TEXT, payload, length=rng.choice([len(payload) + 5, 2**20, 2**40]))
            case 3:
                return rng.randbytes(rng.randrange(30))
        return frame(TEXT, payload)


def attack_by_websocket(server: Server, mutator: Mutator) -> None:
    """One connection: a few dozen packets, then the end in one way or another."""
    rng = mutator.random
    with Raw.websocket(server, timeout=2) as raw:
        if rng.random() < 0.8:
            raw.try_send(frame(TEXT, "40" + json.dumps(rng.choice(CONNECTS[:2]))))
        for _ in range(rng.randrange(60)):
            raw.try_send(mutator.frames())
        raw.socket.setblocking(False)
        with contextlib.suppress(OSError):
            raw.socket.recv(1_000_000)
        raw.reset() if rng.random() < 0.5 else raw.close()


def attack_by_polling(server: Server, mutator: Mutator) -> None:
    """One session: a few posts, a poll that may not be read, sometimes a goodbye."""
    rng = mutator.random
    with requests.Session() as http:
        http.trust_env = False
        opened = http.get(server.url + POLLING, timeout=5).text
        found = re.search('"sid":"([^"]+)"', opened)
        address = f"{server.url}{POLLING}&sid={found[1] if found else ''}"
        http.post(address, "40" + json.dumps(rng.choice(CONNECTS[:2])), timeout=5)
        for _ in range(rng.randrange(8)):
            packets = [mutator.packet() for _ in range(rng.randrange(1, 9))]
            body = "\x1e".join(packets).encode() if rng.random() < 0.9 else rng.randbytes(50)
            if http.post(address, body, timeout=5).status_code != 200:
                return
        http.get(address, timeout=5)
        http.post(address, b"1", timeout=5)


def attacking(end: float, attack: Callable[[], None], troubles: list[BaseException]) -> threading.Thread:
    """Attack again and again in a thread; what the server must not do ends up in ``troubles``."""

    def run() -> None:
        try:
            while time.monotonic() < end:
                attack()
        except (OSError, AssertionError, requests.RequestException) as error:
            troubles.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_attackers_disturb_nobody_and_leave_nothing(server: Server, clients: Clients) -> None:
    pair, quiet_before = Pair(clients), len(server.log())
    warm_up = Mutator(SEED)
    for _ in range(10):
        attack_by_websocket(server, warm_up)
        attack_by_polling(server, warm_up)
    memory, delays, troubles = server.memory() * 1024, [], list[BaseException]()
    end = time.monotonic() + SECONDS
    threads = []
    for number, attack in enumerate((attack_by_websocket,) * 3 + (attack_by_polling,) * 2):
        mutator = Mutator(SEED + number)
        threads.append(attacking(end, lambda a=attack, m=mutator: a(server, m), troubles))  # type: ignore[misc]
    while time.monotonic() < end:
        delays.append(pair.relay())
    for thread in threads:
        thread.join(20)

    assert not troubles, f"seed {SEED}: {troubles}"
    pair.undisturbed()
    assert len(delays) >= 5, f"seed {SEED}: {len(delays)} round trips only"
    assert sorted(delays)[len(delays) * 9 // 10] < 1, f"seed {SEED}: {max(delays)}"
    until(lambda: len(server.api("/connections")) == 1, timeout=20, what="the attackers to be forgotten")
    until(lambda: server.api("/rooms") == [], timeout=20, what="their rooms to be forgotten")
    log = server.log()[quiet_before:]
    assert not re.findall(r"^.*(?:Traceback|failure|failed|Exception).*$", log, re.MULTILINE), f"seed {SEED}"
    assert server.memory() * 1024 - memory < MOST_GROWTH, f"seed {SEED}"
