"""A node's figures in the text format of Prometheus; the only module that needs prometheus-client.

What is counted is `metrics`.
"""

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consensual.http.metrics import Figures, Histogram
from consensual.raft import Measures, Node, NodeStatus, RoleName


class Exposition(Collector):
    """Reads a node, and what was counted of it, whenever it is asked.

    content_type: of the text.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, node: Node, figures: Figures) -> None:
        self._node = node
        self._figures = figures
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all figures, as Prometheus reads them."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all figures; see `Collector`."""
        status, measures = self._node.status, self._node.measures()
        yield _role(status)
        yield from _gauges(status, measures)
        yield from _peers(measures)
        yield from _counters(self._figures)


def _role(status: NodeStatus) -> Metric:
    family = GaugeMetricFamily(
        'consensual_role', '1 for the role that the node has, 0 for the others.', labels=['role']
    )
    for role in get_args(RoleName):
        family.add_metric([role], float(role == status.role))
    return family


def _gauges(status: NodeStatus, measures: Measures) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, float], ...] = (
        ('term', 'The term that the node is in.', status.term),
        ('has_leader', '1 where the node knows a leader.', status.leader is not None),
        ('voters', 'Nodes that vote, as this one knows.', len(status.voters)),
        ('failed', '1 where the node stopped by an error.', status.failure is not None),
        ('last_index', 'The last entry of its log.', status.last_index),
        ('commit_index', 'The last entry that it knows committed.', status.commit_index),
        ('applied_index', 'The last entry that it applied.', status.applied_index),
        ('snapshot_index', 'The last entry that its snapshot covers.', status.snapshot_index),
        ('snapshot_bytes', 'The size of its snapshot.', measures.snapshot_size),
        ('log_entries', 'Entries that its log keeps.', measures.log_entries),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(f'consensual_{name}', text, value=float(value))


def _peers(measures: Measures) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        'consensual_peer_lag_entries',
        "Entries of the leader's log that the peer is not known to have.",
        labels=['peer'],
    )
    in_flight = GaugeMetricFamily(
        'consensual_peer_in_flight_messages',
        'Messages that the leader sent and the peer has not answered.',
        labels=['peer'],
    )
    for peer in measures.peers:
        lag.add_metric([peer.url.authority], float(peer.lag))
        in_flight.add_metric([peer.url.authority], float(peer.in_flight))
    yield lag
    yield in_flight


def _counters(figures: Figures) -> Iterator[Metric]:
    counters = (
        ('elections', 'Elections that the node stood for.', figures.elections),
        ('commands', 'Commands that the node applied.', figures.commands),
        ('snapshots', 'Snapshots that the node took.', figures.snapshots),
    )
    for name, text, value in counters:
        yield CounterMetricFamily(f'consensual_{name}', text, value=float(value))
    yield _histogram('commit', "From the leader's log to the commit of an entry.", figures.commits)
    yield _histogram('apply', 'From the commit of a command to its end.', figures.applies)
    yield _histogram('fsync', 'Of a write to the storage, until it is durable.', figures.writes)
    yield GaugeMetricFamily(
        'consensual_snapshot_seconds',
        'Seconds that the latest snapshot took.',
        value=figures.snapshot_seconds,
    )


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        f'consensual_{name}_seconds',
        f'Seconds. {text}',
        buckets=histogram.buckets(),
        sum_value=histogram.total,
    )
