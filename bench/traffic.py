"""What the clients do: pairs that relay, rooms that chat, closed loop by window or open loop by rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from bench.client import Client
from bench.loop import Loop

__all__ = ["Chat", "Flow", "chat", "relay", "relay_at"]


class Flow:
    """A sender and the one who hears it; ``message`` is the frame it repeats."""

    __slots__ = ("_bursts", "_left", "message", "missing", "receiver", "sender")

    def __init__(self, sender: Client, receiver: Client, message: bytes) -> None:
        self.sender = sender
        self.receiver = receiver
        self.message = message
        self.missing = 0
        self._left = 0
        self._bursts: tuple[bytes, ...] = ()

    def start(self, count: int, *, window: int) -> None:
        """Send ``count`` messages, as many as ``window`` of them under way at any time."""
        self._bursts = tuple(self.message * size for size in range(window + 1))
        self._left = self.missing = count
        self.receiver.on_packets = self._arrived
        self._send(window)

    def _arrived(self, _client: Client, packets: int) -> None:
        self.missing -= packets
        if self._left:
            self._send(packets)

    def _send(self, room: int) -> None:
        size = min(room, self._left)
        self._left -= size
        self.sender.send(self._bursts[size])


def relay(loop: Loop, flows: Sequence[Flow], *, window: int, count: int) -> float:
    """Send ``count`` messages on every flow and return the seconds until the last arrived."""
    began = time.monotonic()
    for flow in flows:
        flow.start(count, window=window)
    loop.until(lambda: all(flow.missing <= 0 for flow in flows), what="relayed messages")
    return time.monotonic() - began


def relay_at(loop: Loop, flows: Sequence[Flow], *, rate: float, seconds: float) -> list[float]:
    """Send at ``rate`` messages per second, whatever the server does, and return the latencies in seconds.

    Each counts from when the message was to be sent, so what holds the sender up counts as well.
    """
    latencies: list[float] = []
    planned: dict[Client, deque[float]] = {flow.receiver: deque() for flow in flows}
    for flow in flows:
        flow.receiver.on_packets = _stopwatch(planned[flow.receiver], latencies)
    total = int(rate * seconds)
    began = time.monotonic()
    sent = 0
    while len(latencies) < total and time.monotonic() < began + seconds + 10:
        due = min(total, int((time.monotonic() - began) * rate))
        for number in range(sent, due):
            flow = flows[number % len(flows)]
            planned[flow.receiver].append(began + number / rate)
            flow.sender.send(flow.message)
        sent = max(sent, due)
        loop.turn()
    return latencies


def _stopwatch(planned: deque[float], latencies: list[float]) -> Callable[[Client, int], None]:
    def arrived(_client: Client, packets: int) -> None:
        now = time.monotonic()
        latencies.extend(now - planned.popleft() for _ in range(packets))

    return arrived


class Chat:
    """A room in which one member speaks; a message is under way until every member has it."""

    def __init__(self, members: Sequence[Client], message: bytes) -> None:
        self.complete = 0
        self._members = members
        self._speaker = members[0]
        self._message = message
        self._left = 0
        self._heard = dict.fromkeys(members, 0)
        self._missing: list[int] = []

    def start(self, count: int, *, window: int) -> None:
        """Say ``count`` messages, as many as ``window`` of them under way at any time."""
        self.complete = 0
        self._left = count
        self._heard = dict.fromkeys(self._members, 0)
        self._missing = [len(self._members)] * count
        for member in self._members:
            member.on_packets = self._arrived
        self._say(window)

    def _arrived(self, client: Client, packets: int) -> None:
        heard = self._heard[client]
        self._heard[client] = heard + packets
        done = 0
        for number in range(heard, heard + packets):
            self._missing[number] -= 1
            done += not self._missing[number]
        if done:
            self.complete += done
            self._say(done)

    def _say(self, room: int) -> None:
        size = min(room, self._left)
        self._left -= size
        if size:
            self._speaker.send(self._message * size)


def chat(loop: Loop, room: Chat, *, window: int, count: int) -> float:
    """Say ``count`` messages in the room and return the seconds until everyone has the last."""
    began = time.monotonic()
    room.start(count, window=window)
    loop.until(lambda: room.complete >= count, what="chat messages")
    return time.monotonic() - began
