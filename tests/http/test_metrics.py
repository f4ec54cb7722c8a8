"""GET /metrics: figures as Prometheus reads them."""

import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consensual.http.metrics import BOUNDS, Histogram
from consensual.machines import KeyValueStore
from consensual.storage import SQLiteStorage
from tests.clusters import Cluster
from tests.http.serving import Client, ask, served

Samples = dict[tuple[str, str], float]


async def samples_of(client: Client) -> Samples:
    """Return the values by name and by the values of their labels."""
    async with client.get('/metrics') as response:
        assert response.status == 200
        assert response.content_type == 'text/plain'
        text = await response.text()
    return {
        (sample.name, ','.join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.asyncio
async def test_leader_shows_what_it_is_and_does() -> None:
    """Its role, its log, its peers, and how long things take."""
    async with Cluster('abc') as cluster, served(cluster['a']) as client:
        for value in range(10):
            await ask(client, 'POST', '/add', value)
        await cluster.until_equal()
        await cluster.until(lambda: all(p.lag == 0 for p in cluster['a'].measures().peers))
        samples, status = await samples_of(client), cluster['a'].status
        assert samples['consensual_role', 'leader'] == 1
        assert samples['consensual_role', 'follower'] == 0
        assert samples['consensual_term', ''] == status.term
        assert samples['consensual_has_leader', ''] == 1
        assert samples['consensual_voters', ''] == 3
        assert samples['consensual_failed', ''] == 0
        for name in ('last', 'commit', 'applied'):
            assert samples[f'consensual_{name}_index', ''] == status.last_index
        assert samples['consensual_commands_total', ''] == 10
        assert samples['consensual_commit_seconds_count', ''] >= 10
        assert samples['consensual_apply_seconds_count', ''] == 10
        assert samples['consensual_commit_seconds_bucket', '+Inf'] >= 10
        assert samples['consensual_fsync_seconds_count', ''] >= 10
        for peer in 'bc':
            assert samples['consensual_peer_lag_entries', peer] == 0
            assert samples['consensual_peer_in_flight_messages', peer] == 0


@pytest.mark.asyncio
async def test_peer_that_does_not_answer_lags() -> None:
    """By as many entries as it misses."""
    async with Cluster('abc') as cluster, served(cluster['a']) as client:
        cluster.network.cut_off('c')
        for value in range(5):
            await ask(client, 'POST', '/add', value)
        assert (await samples_of(client))['consensual_peer_lag_entries', 'c'] >= 5


@pytest.mark.asyncio
async def test_elections_are_counted() -> None:
    """Of whoever stood for one."""
    async with Cluster('abc') as cluster, served(cluster['b']) as client:
        assert (await samples_of(client))['consensual_elections_total', ''] == 0
        await cluster['a'].transfer_leadership(cluster['b'].url)
        assert (await samples_of(client))['consensual_elections_total', ''] == 1


@pytest.mark.asyncio
async def test_writes_and_snapshots_are_measured(tmp_path: object) -> None:
    """On a disk, they take their time."""
    storage = SQLiteStorage(f'{tmp_path}/a.db')
    async with (
        Cluster('a', state_machine=KeyValueStore(), storage=storage) as cluster,
        served(cluster['a']) as client,
    ):
        await ask(client, 'POST', '/put', {'key': 'k', 'value': 'v' * 1000})
        await ask(client, 'POST', '/snapshot')
        samples = await samples_of(client)
        assert samples['consensual_fsync_seconds_sum', ''] > 0
        assert samples['consensual_snapshots_total', ''] == 1
        assert samples['consensual_snapshot_seconds', ''] > 0
        assert samples['consensual_snapshot_bytes', ''] > 1000
        assert samples['consensual_snapshot_index', ''] == cluster['a'].status.snapshot_index


@pytest.mark.asyncio
async def test_applications_count_for_themselves() -> None:
    """Each has a registry of its own, and counts as long as it lives."""
    async with Cluster('a') as cluster, served(cluster['a']) as first:
        await ask(first, 'POST', '/add', 1)
        async with served(cluster['a']) as second:
            await ask(second, 'POST', '/add', 2)
            assert (await samples_of(second))['consensual_commands_total', ''] == 1
        assert (await samples_of(first))['consensual_commands_total', ''] == 2


@pytest.mark.asyncio
async def test_without_prometheus_client_it_is_501(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says what to install; all else works."""
    monkeypatch.setitem(sys.modules, 'prometheus_client', None)
    monkeypatch.delitem(sys.modules, 'consensual.http.exposition', raising=False)
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        answer = await ask(client, 'GET', '/metrics')
        assert answer.status == 501
        assert 'pip install prometheus-client' in str(answer.error)
        assert (await ask(client, 'POST', '/add', 1)).status == 200


def test_histogram_counts_up_to_each_bound() -> None:
    """A value on a bound is below it; buckets hold those below."""
    histogram = Histogram()
    histogram.add(BOUNDS[0])
    histogram.add(0.3, count=3)
    histogram.add(100)
    buckets = dict(histogram.buckets())
    assert buckets['0.0001'] == 1
    assert buckets['0.25'] == 1
    assert buckets['0.5'] == 4
    assert buckets['10.0'] == 4
    assert buckets['+Inf'] == 5
    assert histogram.total == pytest.approx(100.9001)
