"""Numbers for Prometheus: what has happened since the start, what is going on, and what the process uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vws import __version__
from vws.http.services import Services

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics(Collector):
    """Asks the program for its numbers when somebody wants them; counting is done where things happen."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield _gauge("vws_info", "The program's version.", {__version__: 1}, label="version")
        yield from self._past()
        yield from self._present()

    def _past(self) -> Iterator[Metric]:
        counters = self._services.counters
        yield _counter("vws_events", "Events of clients carried out.", counters.events, label="event")
        yield _counter("vws_refusals", "Events of clients refused.", counters.refusals, label="code")
        yield CounterMetricFamily("vws_connects", "Clients admitted.", counters.connects)
        yield _counter("vws_disconnects", "Clients gone.", counters.disconnects, label="reason")
        sent = self._services.messages_sent()
        yield CounterMetricFamily("vws_messages_sent", "Messages sent, one for each recipient.", sent)

    def _present(self) -> Iterator[Metric]:
        usage = self._services.state.usage().values()
        peers = {
            "broadcaster": sum(each.broadcasters for each in usage),
            "player": sum(each.players for each in usage),
        }
        clients = sum(each.connections for each in usage)
        yield GaugeMetricFamily("vws_clients", "Clients that are connected.", clients)
        yield _gauge("vws_peers", "Peers in channels.", peers, label="kind")


def _counter(name: str, about: str, values: Mapping[str, float], *, label: str) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _gauge(name: str, about: str, values: Mapping[str, float], *, label: str) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
