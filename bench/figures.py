"""The figures: what is done to a fresh server, and what its CPU, memory or latency was meanwhile.

Each function takes a Rig and returns raw numbers by name; `table.py` says which of them are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from bench import messages
from bench.client import Client
from bench.crowd import Pair, arrive, enter_channels, flows, pair_up
from bench.loop import Failed, Loop
from bench.scale import Scale
from bench.servers import Server
from bench.traffic import Chat, Flow, chat, relay, relay_at

__all__ = ["MEASURE", "Group", "Numbers", "Rig", "saturate"]

Numbers = dict[str, float]
SETTLE = 0.1  # seconds for a server to finish what it was doing
REST = 1 / 1000  # seconds in which a client earns back what one event cost
EARLY = 0.2  # part of the latencies that belongs to the start


class Group(StrEnum):
    """What is measured together, on one fresh server."""

    RELAY = "relay"
    CHAT = "chat"
    MEMORY = "memory"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    IDLE = "idle"
    LATENCY = "latency"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Rig:
    """A server under load: ``rate`` is the messages per second that latency is measured at."""

    server: Server
    loop: Loop
    scale: Scale
    rate: float = 0.0

    def arrive(self, count: int) -> list[Client]:
        """Let clients with the static token in."""
        return arrive(self.server, self.loop, count)

    def pairs(self) -> list[Pair]:
        pairs = pair_up(self.loop, self.arrive(self.scale.pairs * 2))
        self.loop.run(SETTLE)
        return pairs

    def rest(self) -> None:
        """Wait until every client may send a burst again."""
        self.loop.run(self.scale.budget * REST + SETTLE)

    @contextmanager
    def spending(self, into: Numbers, name: str, count: int) -> Iterator[None]:
        """Note the server's CPU during the block, in µs for each of ``count``."""
        self.loop.run(SETTLE)
        before = self.server.cpu()
        yield
        self.loop.run(SETTLE)
        into[name] = (self.server.cpu() - before) / count * 1e6


# Relaying


def measure_relay(rig: Rig) -> Numbers:
    """Relay candidates with each window, and offers with the widest."""
    numbers: Numbers = {}
    pairs = rig.pairs()
    for window in rig.scale.windows:
        _relay(rig, numbers, f"relay.candidate.{window}", flows(pairs, messages.candidate), window=window)
    offers = flows(pairs, messages.offer)
    _relay(rig, numbers, "relay.offer.16", offers, window=16)
    return numbers


def saturate(rig: Rig) -> Numbers:
    """Relay candidates as fast as they go."""
    numbers: Numbers = {}
    _relay(rig, numbers, "relay.candidate.16", flows(rig.pairs(), messages.candidate), window=16)
    return numbers


def measure_latency(rig: Rig) -> Numbers:
    """Relay candidates at a steady rate."""
    candidates = flows(rig.pairs(), messages.candidate)
    _warm_up(rig, candidates, window=1)
    latencies = relay_at(rig.loop, candidates, rate=rig.rate, seconds=rig.scale.latency_seconds)
    if not latencies:
        raise Failed("no message arrived")
    steady = sorted(latencies[int(len(latencies) * EARLY) :])
    return {
        "latency.rate": rig.rate,
        "latency.p50": steady[len(steady) // 2] * 1e3,
        "latency.p99": steady[len(steady) * 99 // 100] * 1e3,
        "latency.missing": int(rig.rate * rig.scale.latency_seconds) - len(latencies),
    }


def _warm_up(rig: Rig, senders: Sequence[Flow], *, window: int) -> None:
    relay(rig.loop, senders, window=window, count=rig.scale.warm_up)


def _relay(rig: Rig, into: Numbers, name: str, senders: Sequence[Flow], *, window: int) -> None:
    _warm_up(rig, senders, window=window)
    count = rig.scale.messages
    with rig.spending(into, name, count * len(senders)):
        seconds = relay(rig.loop, senders, window=window, count=count)
    into[f"{name}.rate"] = count * len(senders) / seconds
    rig.rest()


# Chat


def measure_chat(rig: Rig) -> Numbers:
    """Talk in a small and in a large room, with 8 messages under way and with 1."""
    numbers: Numbers = {}
    for size in rig.scale.rooms:
        room = _room(rig, size)
        for window in (8, 1):
            _talk(rig, numbers, room, size=size, window=window)
    return numbers


def _room(rig: Rig, size: int) -> Chat:
    name = f"Room {size}"
    members = rig.loop.connect([rig.server.auth(f"User {size}-{number}") for number in range(size)])
    rig.loop.ask([(member, messages.room_join(name)) for member in members])
    rig.loop.run(SETTLE * 3)
    return Chat(members, messages.room_message(name))


def _talk(rig: Rig, into: Numbers, room: Chat, *, size: int, window: int) -> None:
    count = min(rig.scale.messages, rig.scale.deliveries // size)
    chat(rig.loop, room, window=window, count=min(count, rig.scale.warm_up))
    name = f"chat.{size}.{window}"
    with rig.spending(into, name, count * size):
        seconds = chat(rig.loop, room, window=window, count=count)
    into[f"{name}.rate"] = count * size / seconds
    rig.rest()


# Connections


def measure_memory(rig: Rig) -> Numbers:
    """Let clients in and leave them idle, and read the memory at each number of them."""
    numbers: Numbers = {}
    empty = rig.server.memory()
    for crowd in rig.scale.crowds:
        rig.arrive(crowd - len(rig.loop))
        _note_memory(rig, numbers, f"memory.{crowd}", empty)
    return numbers


def _note_memory(rig: Rig, into: Numbers, name: str, empty: int) -> None:
    rig.loop.run(rig.scale.period * 1.2)  # everyone is pinged once
    into[name] = (rig.server.memory() - empty) / len(rig.loop)
    into[f"{name}.total"] = rig.server.memory() / 1024
    _check_count(rig)


def measure_connect(rig: Rig) -> Numbers:
    """Let thousands in, 50 at a time."""
    numbers: Numbers = {}
    _connect(rig, numbers, "connect", rig.scale.connects)
    return numbers


def _connect(rig: Rig, into: Numbers, name: str, count: int) -> None:
    rig.arrive(count // 10)
    with rig.spending(into, name, count):
        rig.arrive(count)


def measure_idle(rig: Rig) -> Numbers:
    """Leave thousands of clients alone but for their pings."""
    rig.arrive(rig.scale.idlers)
    rig.loop.run(rig.scale.period)
    pings, before = rig.loop.pings, rig.server.cpu()
    rig.loop.run(rig.scale.idle_seconds)
    spent, answered = rig.server.cpu() - before, rig.loop.pings - pings
    return {"idle": spent / max(1, answered) * 1e6, "idle.pings": answered}


def measure_disconnect(rig: Rig) -> Numbers:
    """Close players' connections with few and with many clients in channels."""
    numbers: Numbers = {}
    channels: list[list[Client]] = []
    for crowd in rig.scale.leave_from:
        clients = rig.arrive(crowd - len(rig.loop))
        channels += enter_channels(rig.loop, clients, first=len(channels))
        _leave(rig, numbers, f"disconnect.{crowd}", channels)
    return numbers


def _leave(rig: Rig, into: Numbers, name: str, channels: Sequence[list[Client]]) -> None:
    """Close one player's connection in many channels, until the server has told every broadcaster.

    What the server spends on the others' pings meanwhile is known from the time before, and left out.
    """
    told = 0

    def tell(_client: Client, packets: int) -> None:
        nonlocal told
        told += packets

    for channel in channels:
        channel[0].on_packets = tell
    leaving = _leavers(channels, rig.scale.leavers)
    rig.loop.run(rig.scale.period)
    idle = rig.server.cpu()
    rig.loop.run(rig.scale.period)
    before = rig.server.cpu()
    began = rig.loop.clock()
    for player in leaving:
        player.close()
    rig.loop.until(lambda: told >= len(leaving), what="broadcasters to hear who left")
    rig.loop.run(SETTLE)
    others = (before - idle) / rig.scale.period * (rig.loop.clock() - began)
    into[name] = (rig.server.cpu() - before - others) / len(leaving) * 1e6
    _check_count(rig)


def _leavers(channels: Sequence[list[Client]], count: int) -> list[Client]:
    """Take ``count`` players out of the channels, evenly."""
    taken: list[Client] = []
    while len(taken) < count:
        for channel in channels[: count - len(taken)]:
            taken.append(channel.pop())  # noqa: PERF401  # changes the channel
    return taken


def _check_count(rig: Rig) -> None:
    counted, _ = rig.server.count()
    if counted != len(rig.loop):
        raise Failed(f"the server counts {counted} clients, and there are {len(rig.loop)}")


# TLS


def measure_tls(rig: Rig) -> Numbers:
    """Let clients in over TLS, leave them idle, and let some of them relay."""
    numbers: Numbers = {}
    empty = rig.server.memory()
    warm = rig.scale.tls_crowd // 10
    clients = rig.arrive(warm)
    with rig.spending(numbers, "tls.connect", rig.scale.tls_crowd - warm):
        clients += rig.arrive(rig.scale.tls_crowd - warm)
    _note_memory(rig, numbers, "tls.memory", empty)
    pairs = pair_up(rig.loop, clients[: rig.scale.pairs * 2])
    _relay(rig, numbers, "tls.relay", flows(pairs, messages.candidate), window=16)
    return numbers


MEASURE: Mapping[Group, Callable[[Rig], Numbers]] = {
    Group.RELAY: measure_relay,
    Group.CHAT: measure_chat,
    Group.MEMORY: measure_memory,
    Group.CONNECT: measure_connect,
    Group.DISCONNECT: measure_disconnect,
    Group.IDLE: measure_idle,
    Group.LATENCY: measure_latency,
    Group.TLS: measure_tls,
}
