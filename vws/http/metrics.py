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
        yield _by(GaugeMetricFamily, "vws_info", "The program's version.", {__version__: 1}, label="version")
        yield from self._past()
        yield from self._present()

    def _past(self) -> Iterator[Metric]:
        counter, counters = CounterMetricFamily, self._services.counters
        yield _by(counter, "vws_events", "Events of clients carried out.", counters.events, label="event")
        yield _by(counter, "vws_refusals", "Events of clients refused.", counters.refusals, label="code")
        yield counter("vws_connects", "Clients admitted.", counters.connects)
        yield _by(counter, "vws_disconnects", "Clients gone.", counters.disconnects, label="reason")
        sent = self._services.messages_sent()
        yield counter("vws_messages_sent", "Messages sent, one for each recipient.", sent)

    def _present(self) -> Iterator[Metric]:
        gauge, state = GaugeMetricFamily, self._services.state
        usage = state.usage().values()
        peers = {
            "broadcaster": sum(each.broadcasters for each in usage),
            "player": sum(each.players for each in usage),
        }
        clients = sum(each.connections for each in usage)
        viewers = sum(count for streams in state.viewers().values() for count in streams.values())
        yield gauge("vws_clients", "Clients that are connected, over RTMP too.", clients)
        yield _by(gauge, "vws_peers", "Who sends, and who watches; RTMP and HLS too.", peers, label="kind")
        yield gauge("vws_rtmp_streams", "RTMP streams that are live.", len(state.rtmp_streams()))
        yield gauge("vws_hls_viewers", "Viewers of HLS.", viewers)


def _by(
    family: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    about: str,
    values: Mapping[str, float],
    *,
    label: str,
) -> Metric:
    """Make a family of one number for each value of a label."""
    metric = family(name, about, labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric
