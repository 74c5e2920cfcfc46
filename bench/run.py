"""One run: rounds of every chosen figure, both servers by turns, and what is said while it goes."""

from __future__ import annotations

import gc
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from bench.figures import MEASURE, Group, Numbers, Rig, saturate
from bench.loop import Loop
from bench.scale import Scale
from bench.servers import Contender, Launch, Server, started
from bench.table import show

__all__ = ["Run"]

Start = Callable[[Contender, Launch], AbstractContextManager[Server]]
Say = Callable[[str], None]


@dataclass(slots=True)
class Run:
    """Measures ``groups`` for ``contenders``; ``results`` fills up as it goes.

    ``rate`` is the messages per second that latency is measured at; 0: half of what Node relays at most.
    """

    groups: Sequence[Group]
    contenders: Sequence[Contender]
    scale: Scale
    launch: Launch
    certificate: str
    say: Say
    start: Start = started
    rate: float = 0.0
    results: dict[Contender, dict[Group, list[Numbers]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def all_rounds(self) -> None:
        for number in range(1, self.scale.rounds + 1):
            for group in self.groups:
                for contender in self.contenders:
                    numbers = self.measure(contender, group)
                    self.results[contender][group].append(numbers)
                    self.say(f"round {number}  {group:<10}  {contender:<4}  {_summary(numbers, self.scale)}")

    def measure(self, contender: Contender, group: Group) -> Numbers:
        """Measure one group on a fresh server."""
        if group is Group.LATENCY:
            self.rate = self.rate or self._half_of_saturation()
        return self._load(contender, MEASURE[group], tls=group is Group.TLS, rate=self.rate)

    def _load(
        self, contender: Contender, measure: Callable[[Rig], Numbers], *, tls: bool = False, rate: float = 0.0
    ) -> Numbers:
        launch = replace(self.launch, certificate=self.certificate if tls else "")
        with self.start(contender, launch) as server:
            loop = Loop(server.port, tls=server.tls)
            gc.collect()
            gc.freeze()  # the load generator is not to pause for its own garbage
            try:
                return measure(Rig(server, loop, self.scale, rate))
            finally:
                loop.close()

    def _half_of_saturation(self) -> float:
        """Return half of the messages per second that Node relayed at most, from this run where it can be."""
        rounds = self.results[Contender.NODE][Group.RELAY] or [self._load(Contender.NODE, saturate)]
        return statistics.median(each["relay.candidate.16.rate"] for each in rounds) / 2


def _summary(numbers: Numbers, scale: Scale) -> str:
    results = {Contender.OURS: {group: [numbers] for group in Group}}
    shown = {each.row.key: each for each in show(results, scale) if each.row.key in numbers}
    return "  ".join(f"{key} {each.ours:.3g} {each.row.unit}" for key, each in shown.items())
