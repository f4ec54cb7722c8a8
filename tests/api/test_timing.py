"""Timers seen from outside: who waits how long, and what an idle cluster costs (design §2, §4)."""

import asyncio
from random import Random
from typing import Any

import pytest

from consensual.raft import MessageKind
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, jitter, names_of, urls_of

pytestmark = in_virtual_time


@pytest.mark.parametrize(('heartbeat', 'timeout'), [(0.1, None), (0.1, 2.0), (1.0, 3.0)])
async def test_dead_leader_is_replaced_after_the_election_timeout(
    heartbeat: float, timeout: float | None
) -> None:
    """Design §2: seconds; default 5 x heartbeat, drawn from [T, 2T)."""
    limit = 5 * heartbeat if timeout is None else timeout
    async with Cluster('abc', heartbeat=heartbeat, election_timeout=timeout) as cluster:
        await cluster.until_equal()
        rest = [cluster.name_of(node) for node in cluster.followers]
        loop = asyncio.get_running_loop()
        began = loop.time()
        cluster.crash(cluster.name_of(cluster.leader))
        await cluster.until(lambda: cluster.leaders, seconds=10 * limit)
        passed = loop.time() - began
        assert limit - heartbeat - HEARTBEAT <= passed <= 4 * limit
        assert cluster.name_of(cluster.leader) in rest


async def test_idle_cluster_sends_heartbeats_and_nothing_else() -> None:
    """§5.2: one heartbeat per follower and interval; no term, no log entry, no storm."""
    async with Cluster('abc', idle='d') as cluster:
        await cluster['d'].start()
        await cluster.until_equal('abc')
        status = cluster.leader.status
        before = cluster.network.sent.copy()
        await asyncio.sleep(60)
        new = cluster.network.sent - before
        assert {kind for _, _, kind in new} == {MessageKind.APPEND_ENTRIES}
        assert 0.9 * 2 * 600 <= new.total() <= 1.1 * 2 * 600
        assert cluster.leader.status == status


async def test_cluster_of_one_sends_nothing() -> None:
    """Nobody is there to be told."""
    async with Cluster('a') as cluster:
        await cluster['a'].execute('add', 1)
        await asyncio.sleep(60)
        assert cluster.network.sent.total() == 0
        assert cluster['a'].status.role == 'leader'


async def test_detached_nodes_send_nothing() -> None:
    """Design §2: a detached node owns no task and no timer."""
    async with Cluster('abc') as cluster:
        assert await cluster['c'].detach() is None
        await asyncio.sleep(T)
        before = cluster.network.sent.copy()
        await asyncio.sleep(60)
        assert not [key for key in cluster.network.sent - before if 'c' in key[:2]]


async def test_runs_with_the_same_random_numbers_are_the_same() -> None:
    """Design §2: `random`: random.Random, for reproducible runs."""

    async def run() -> list[Any]:
        trace = []
        async with Cluster('abc') as cluster:
            cluster.network.add(jitter(Random(5), HEARTBEAT / 3))
            began = asyncio.get_running_loop().time()
            for _ in range(3):
                name = cluster.name_of(cluster.leader)
                cluster.network.cut_off(name)
                rest = [other for other in 'abc' if other != name]
                new = await cluster.until_led(rest)
                await new.execute('add', name)
                cluster.network.heal()
                await cluster.until_equal()
                passed = round(asyncio.get_running_loop().time() - began, 3)
                trace.append([passed, cluster.name_of(new), new.status.term, new.status.last_index])
        return trace

    assert await run() == await run()


async def test_seven_nodes_form_a_cluster_and_lose_three() -> None:
    """§5: a majority of seven is four."""
    async with Cluster('abcdefg') as cluster:
        assert names_of(cluster['g'].status.voters) == 'abcdefg'
        for name in 'abc':
            cluster.crash(name)
        await cluster.until_led('defg')
        assert await cluster['g'].execute('add', 1) == 1


async def test_leader_is_detached_under_load_and_no_caller_elsewhere_notices() -> None:
    """Design §4: a removed leader leads until C_new commits, then hands over."""
    async with Cluster('abcd') as cluster:
        calls = []

        async def write() -> None:
            for number in range(400):
                name = 'bcd'[number % 3]
                calls.append(asyncio.create_task(cluster[name].execute('add', number)))
                await asyncio.sleep(0.001)

        writer = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        assert await cluster['b'].detach_nodes(urls_of('a')) is None
        await writer
        assert sorted(await asyncio.gather(*calls)) == [*range(1, 401)]
        await cluster.until_equal('bcd')
        assert sorted(cluster.ledgers['d'].entries) == [*range(400)]
