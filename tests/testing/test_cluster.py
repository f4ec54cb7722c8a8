"""Histories of real clusters under faults, compared with what a counter is.

The other end of the checker's tests: there it is given histories, here it is
given nodes.
"""

import asyncio
import contextlib
from random import Random
from typing import Literal

import pytest

from consensual.raft.errors import ConsensualError
from consensual.testing import Counter, History, check
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, T, drop, duplicate, jitter

pytestmark = in_virtual_time

Consistency = Literal['linearizable', 'local']


async def use(
    cluster: Cluster, history: History, random: Random, name: str, consistency: Consistency
) -> None:
    """Be one client of one node: add and look, a while each time in between."""
    client = f'{name}{random.random():.6f}'
    for _ in range(12):
        with contextlib.suppress(ConsensualError):  # recorded as what it is
            if random.random() < 0.5:
                adding = cluster[name].execute('add', client, timeout=4 * T)
                await history.record(client, ('add', 1), adding)
            else:
                looking = cluster[name].query('entries', consistency=consistency, timeout=4 * T)
                await history.record(client, ('get',), looking, output=len)
        await asyncio.sleep(random.random() * T)


async def disturb(cluster: Cluster, random: Random) -> None:
    """Cut the leader off, and mend it, as long as clients are there."""
    while True:
        await asyncio.sleep((2 + random.random()) * T)
        rules = list(cluster.leaders)
        if rules:
            cluster.network.cut_off(cluster.name_of(random.choice(rules)))
        await asyncio.sleep((2 + random.random()) * T)
        cluster.network.heal()


async def history_of_a_life(seed: int, consistency: Consistency) -> History:
    """Return what six clients saw of three nodes, with a network that does its worst."""
    random = Random(seed)
    history = History(asyncio.get_running_loop().time)
    async with Cluster('abc') as cluster:
        cluster.network.add(jitter(random, T / 20))
        disturbing = asyncio.create_task(disturb(cluster, random))
        clients = (use(cluster, history, random, name, consistency) for name in 'abcabc')
        await asyncio.gather(*clients)
        disturbing.cancel()
        cluster.network.heal()
    return history


@pytest.mark.parametrize('seed', range(8))
async def test_commands_and_queries_are_linearizable_through_leader_changes(seed: int) -> None:
    """Design §2: commands and linearizable queries, on any member, whatever is cut."""
    history = await history_of_a_life(seed, 'linearizable')
    result = check(history, Counter())
    assert result.is_linearizable, result


@pytest.mark.parametrize('fault', [duplicate, jitter(Random(2), T), drop(Random(3), 0.3)])
async def test_commands_are_linearizable_over_a_bad_network(fault: object) -> None:
    """Design §4, Clients: a retried command is one operation."""
    history = History(asyncio.get_running_loop().time)
    async with Cluster('abc') as cluster:
        rule = cluster.network.add(fault)  # type: ignore[arg-type]
        random = Random(5)
        clients = (use(cluster, history, random, name, 'linearizable') for name in 'abcabc')
        await asyncio.gather(*clients)
        cluster.network.remove(rule)
    result = check(history, Counter())
    assert result.is_linearizable, result


async def test_local_queries_are_caught() -> None:
    """The harness can fail: what is read at once is stale on a node that lags."""
    results = [check(await history_of_a_life(seed, 'local'), Counter()) for seed in range(3)]
    assert not all(result.is_linearizable for result in results)
