"""`python -m bench.soak`: does our server hold for long, and survive that everybody comes back at once?"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import messages
from bench.crowd import CHANNEL, arrive, enter_channels, flows, pair_up
from bench.loop import Failed, Loop
from bench.machine import raise_file_limit
from bench.report import RESULTS, SOAK
from bench.servers import ROOT, Contender, Launch, Server, started
from bench.signals import end_in_order
from bench.traffic import Flow, relay_at

__all__ = ["main"]

SAMPLE = 10.0  # seconds between two looks at the memory
SAMPLES_PER_MINUTE = 6
GROWTH = 0.02  # what pages may come and go without a leak
P99_MS = 50.0
STORM_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of clients, messages per second of each active one, and how long."""

    idle: int = 10_000
    active: int = 1000
    rate: float = 2.0
    minutes: float = 10.0
    storm: int = 5000
    sample: float = SAMPLE


FULL = Plan()
"""What the report shows."""


@dataclass(frozen=True, slots=True)
class Minute:
    """Latencies in ms of a minute; at its end, the resident memory in MB and the machine's load average."""

    p50: float
    p99: float
    worst: float
    memory: float
    load: float

    def __str__(self) -> str:
        latencies = f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, worst {self.worst:.1f} ms"
        return f"{latencies}, {self.memory:.1f} MB, load {self.load:.1f}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was asked, what came out, and whether that is good enough."""

    what: str
    measured: str
    bound: str
    held: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both trials, write what they showed, and return 1 unless every verdict holds."""
    options = _parser().parse_args(arguments)
    plan = Plan(options.idle, options.active, options.rate, options.minutes, options.storm, options.sample)
    end_in_order()
    raise_file_limit()
    try:
        minutes, memory, verdicts = _endure(plan, options.source.resolve())
        verdicts += _storm(plan, options.source.resolve())
    except Failed as error:
        _say(f"soak: {error}")
        return 1
    _save(options.raw or (SOAK if plan == FULL else RESULTS / SOAK.name), plan, minutes, memory, verdicts)
    for each in verdicts:
        _say(f"{'held' if each.held else 'NOT HELD'}: {each.what}: {each.measured} ({each.bound})")
    return 0 if all(each.held for each in verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--idle", type=int, default=FULL.idle, help="clients that only answer pings")
    parser.add_argument("--active", type=int, default=FULL.active, help="clients that talk in pairs")
    parser.add_argument("--rate", type=float, default=FULL.rate, help="messages per second of each of those")
    parser.add_argument("--minutes", type=float, default=FULL.minutes)
    parser.add_argument("--storm", type=int, default=FULL.storm, help="clients that drop and return at once")
    parser.add_argument(
        "--sample", type=float, default=FULL.sample, help="seconds between looks at the memory"
    )
    parser.add_argument("--source", type=Path, default=ROOT, help="the tree the server is started from")
    parser.add_argument("--raw", type=Path, help="where the numbers go, where not to the report")
    return parser


# Enduring


def _endure(plan: Plan, source: Path) -> tuple[list[Minute], list[float], list[Verdict]]:
    with started(Contender.OURS, Launch(source)) as server:
        loop = Loop(server.port)
        try:
            arrive(server, loop, plan.idle)
            talkers = _talkers(server, loop, plan.active)
            _say(f"{len(loop):,} clients are in")
            minutes, memory, missing = _talk(plan, server, loop, talkers)
            return minutes, memory, _judge(minutes, missing, lost=plan.idle + plan.active - len(loop))
        finally:
            loop.close()


def _talkers(server: Server, loop: Loop, count: int) -> list[Flow]:
    """Let pairs in that talk both ways."""
    pairs = pair_up(loop, arrive(server, loop, count))
    there = flows(pairs, messages.candidate)
    back = flows([(second, first) for first, second in pairs], messages.candidate_back)
    return [flow for both in zip(there, back, strict=True) for flow in both]


def _talk(
    plan: Plan, server: Server, loop: Loop, talkers: Sequence[Flow]
) -> tuple[list[Minute], list[float], int]:
    """Let them talk; return what each minute was like, the memory in MB at each look, messages missing."""
    minutes: list[Minute] = []
    memory: list[float] = []
    latencies: list[float] = []
    rate = plan.rate * plan.active
    missing = 0
    for look in range(1, round(plan.minutes * SAMPLES_PER_MINUTE) + 1):
        arrived = relay_at(loop, talkers, rate=rate, seconds=plan.sample)
        missing += int(rate * plan.sample) - len(arrived)
        latencies += arrived
        memory.append(server.memory() / 1024)
        if look % SAMPLES_PER_MINUTE == 0:
            minutes.append(_minute(latencies, memory[-1]))
            latencies = []
            _say(f"minute {len(minutes)}: {minutes[-1]}")
    return minutes, memory, missing


def _minute(latencies: list[float], memory: float) -> Minute:
    if not latencies:
        raise Failed("no message arrived in a minute")
    ordered = sorted(latencies)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return Minute(p50 * 1e3, p99 * 1e3, ordered[-1] * 1e3, memory, os.getloadavg()[0])


def _judge(minutes: Sequence[Minute], missing: int, *, lost: int) -> list[Verdict]:
    growth = minutes[-1].memory / minutes[0].memory - 1
    p99 = max(minute.p99 for minute in minutes)
    return [
        Verdict("memory grown since the first minute", f"{growth:.1%}", f"≤ {GROWTH:.0%}", growth <= GROWTH),
        Verdict("clients lost", str(lost), "0", not lost),
        Verdict("messages lost", str(missing), "0", not missing),
        Verdict("p99 latency of the worst minute", f"{p99:.1f} ms", f"< {P99_MS:g} ms", p99 < P99_MS),
    ]


# The storm


def _storm(plan: Plan, source: Path) -> list[Verdict]:
    """Let everybody drop at once and return at once, into the same channels under the same names."""
    with started(Contender.OURS, Launch(source)) as server:
        loop = Loop(server.port)
        try:
            clients = arrive(server, loop, plan.storm)
            enter_channels(loop, clients)
            for client in clients:
                client.close(reset=True)
            began = time.monotonic()
            clients = loop.connect([server.auth()] * plan.storm, at_once=plan.storm)
            back = time.monotonic() - began
            enter_channels(loop, clients)
            inside = time.monotonic() - began
            return _judge_storm(plan, server.count(), back=back, inside=inside)
        finally:
            loop.close()


def _judge_storm(plan: Plan, counted: tuple[int, int], *, back: float, inside: float) -> list[Verdict]:
    bound = f"≤ {STORM_SECONDS:g} s"
    held = (plan.storm, plan.storm - -(-plan.storm // CHANNEL))
    return [
        Verdict("storm: all back and let in", f"{back:.1f} s", bound, back <= STORM_SECONDS),
        Verdict("storm: all in their channels again", f"{inside:.1f} s", bound, inside <= STORM_SECONDS),
        Verdict(
            "storm: clients and players the server counts",
            f"{counted[0]:,} and {counted[1]:,}",
            f"{held[0]:,} and {held[1]:,}",
            counted == held,
        ),
    ]


def _save(
    path: Path, plan: Plan, minutes: Sequence[Minute], memory: Sequence[float], verdicts: Sequence[Verdict]
) -> None:
    summary = (
        f"`make soak`: {plan.idle:,} idle clients and {plan.active:,} that exchange "
        f"{plan.rate * plan.active:,.0f} messages per second for {plan.minutes:g} minutes; then a storm: "
        f"{plan.storm:,} clients in channels drop at once and return at once."
    )
    data = {
        "plan": asdict(plan),
        "summary": summary,
        "memory": memory,
        "minutes": [asdict(minute) for minute in minutes],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
