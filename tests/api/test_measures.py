"""`Node.measures` and `Node.observe`: a node in figures, in virtual time."""

import asyncio
from typing import Any

import pytest

from consensual.machines import KeyValueStore
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, delay, url_of, urls_of

pytestmark = in_virtual_time

SLOW = 0.02


class Figures:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.elections = 0
        self.committed: list[tuple[int, float]] = []
        self.applied: list[tuple[int, float]] = []
        self.writes: list[float] = []
        self.snapshots: list[tuple[int, float]] = []

    def election_begun(self) -> None:
        self.elections += 1

    def entries_committed(self, count: int, seconds: float) -> None:
        self.committed.append((count, seconds))

    def commands_applied(self, count: int, seconds: float) -> None:
        self.applied.append((count, seconds))

    def written(self, seconds: float) -> None:
        self.writes.append(seconds)

    def snapshot_taken(self, size: int, seconds: float) -> None:
        self.snapshots.append((size, seconds))

    def is_idle(self) -> bool:
        return not (self.committed or self.applied or self.snapshots)


class SlowStorage(MemoryStorage):
    """Takes its time to write."""

    async def write(self, write: Any) -> None:  # type: ignore[override]
        """Write late."""
        await asyncio.sleep(SLOW)
        super().write(write)


async def test_leader_tells_of_what_it_commits_and_applies() -> None:
    """Entries are counted with the time from the leader's log to their commit."""
    async with Cluster('abc') as cluster:
        cluster.network.add(delay(SLOW), sender='a')
        figures = Figures()
        cluster['a'].observe(figures)
        await asyncio.gather(*(cluster['a'].execute('add', n) for n in range(10)))
        assert sum(count for count, _ in figures.applied) == 10
        assert sum(count for count, _ in figures.committed) >= 10
        assert all(SLOW <= seconds < 10 * SLOW for _, seconds in figures.committed)


async def test_followers_tell_of_what_they_apply_but_commit_nothing() -> None:
    """To commit is the leader's."""
    async with Cluster('abc') as cluster:
        figures = Figures()
        cluster['b'].observe(figures)
        await cluster['a'].execute('add', 1)
        await cluster.until_equal()
        assert [count for count, _ in figures.applied] == [1]
        assert figures.committed == []


async def test_latency_of_applying_is_the_processors() -> None:
    """From the commit, as the node knows it, to the end of the processor."""

    async def slow(_: Any) -> None:
        await asyncio.sleep(1)

    async with Cluster('a', processors={'slow': slow}, state_machine=None) as cluster:
        figures = Figures()
        cluster['a'].observe(figures)
        await asyncio.gather(*(cluster['a'].execute('slow', n) for n in range(3)))
        assert sum(count for count, _ in figures.applied) == 3
        assert max(seconds for _, seconds in figures.applied) == pytest.approx(3, abs=0.1)


async def test_writes_are_timed() -> None:
    """Until they are durable."""
    async with Cluster('', idle='a') as cluster:
        node = cluster.make('a', storage=SlowStorage())
        figures = Figures()
        node.observe(figures)
        assert await node.solo() is None
        assert figures.writes
        assert all(seconds == pytest.approx(SLOW, abs=0.001) for seconds in figures.writes)


async def test_snapshots_are_timed_and_weighed() -> None:
    """Each one that is taken here."""
    async with Cluster('a', state_machine=KeyValueStore()) as cluster:
        figures = Figures()
        cluster['a'].observe(figures)
        await cluster['a'].execute('put', {'key': 'k', 'value': 'v' * 1000})
        await cluster['a'].take_snapshot()
        ((size, seconds),) = figures.snapshots
        assert size > 1000
        assert seconds >= 0
        assert cluster['a'].measures().snapshot_size == size


async def test_elections_are_counted_by_who_stands() -> None:
    """Followers that vote count nothing."""
    async with Cluster('abc') as cluster:
        figures = {name: Figures() for name in 'bc'}
        for name, observer in figures.items():
            cluster[name].observe(observer)
        term = cluster['b'].status.term
        cluster.crash('a')
        leader = await cluster.until_led('bc')
        assert sum(observer.elections for observer in figures.values()) >= 1
        assert figures[cluster.name_of(leader)].elections >= 1
        assert leader.status.term > term


async def test_observer_is_told_across_a_restart_and_until_it_ends() -> None:
    """It belongs to the node, not to one run of it."""
    async with Cluster('a', storage=MemoryStorage()) as cluster:
        figures = Figures()
        end = cluster['a'].observe(figures)
        await cluster['a'].stop()
        await cluster['a'].start()
        await cluster['a'].execute('add', 1)
        assert [count for count, _ in figures.applied][-1:] == [1]
        told = len(figures.applied)
        end()
        end()
        await cluster['a'].execute('add', 2)
        assert len(figures.applied) == told


async def test_observer_that_comes_late_is_told_nothing_of_before() -> None:
    """What was committed before is not counted as if it took no time."""
    async with Cluster('a') as cluster:
        await cluster['a'].execute('add', 1)
        cluster['a'].observe(figures := Figures())
        await asyncio.sleep(10 * HEARTBEAT)
        assert figures.is_idle()


async def test_leader_measures_how_far_its_peers_are() -> None:
    """A peer that does not answer lags, and is silent."""
    async with Cluster('abc') as cluster:
        await cluster.until_equal()
        await asyncio.sleep(HEARTBEAT)
        measures = cluster['a'].measures()
        assert measures.election_timeout == T
        assert measures.silence == 0
        assert {peer.url for peer in measures.peers} == set(urls_of('bc'))
        assert all(peer.lag == 0 and peer.silence <= T for peer in measures.peers)
        cluster.network.cut_off('c')
        for value in range(3):
            await cluster['a'].execute('add', value)
        by_url = {peer.url: peer for peer in cluster['a'].measures().peers}
        assert by_url[url_of('c')].lag >= 3
        assert by_url[url_of('b')].lag == 0
        assert by_url[url_of('b')].flow == 'replicate'


async def test_follower_measures_the_silence_of_its_leader() -> None:
    """It grows as long as nothing is heard."""
    async with Cluster('abc') as cluster:
        await asyncio.sleep(3 * HEARTBEAT)
        silence = cluster['b'].measures().silence
        assert silence is not None
        assert silence <= 1.5 * HEARTBEAT
        assert cluster['b'].measures().peers == ()
        cluster.network.cut_off('b')
        await asyncio.sleep(0.9 * T)
        later = cluster['b'].measures().silence
        assert later is None or later > 0.5 * T


async def test_node_that_does_not_run_has_no_figures() -> None:
    """Nor one that is in no cluster."""
    async with Cluster('', idle='a') as cluster:
        assert cluster['a'].measures().silence is None
        await cluster['a'].start()
        assert cluster['a'].measures().silence is None
        assert cluster['a'].measures().log_entries == 0
