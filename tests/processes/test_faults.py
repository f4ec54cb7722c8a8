"""What befalls processes, and that no client sees more of it than a delay or an honest error."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from consensual.http import Client
from tests.processes.cluster import Cluster, Process, cluster_of, eventually
from tests.processes.load import load_on

pytestmark = pytest.mark.asyncio

LIMIT = 50
"""Seconds that a test may take."""

DEFAULT_TIMEOUT = 5.0
"""Seconds that a command tries unless told otherwise: nobody needs more at an orderly end.

A node that was just started hears its leader after the back-off of that one's sender, up to 0.75 s.
What it is asked before is handed on late, so that a deadline of 1 s, on a busy machine, may leave
its outcome unknown.
"""

SOME = 40
"""Operations that are to succeed before something happens, and after."""


@pytest_asyncio.fixture(params=[3, pytest.param(5, marks=pytest.mark.long)])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with asyncio.timeout(LIMIT * request.param), cluster_of(request.param, tmp_path) as found:
        yield found


def others(cluster: Cluster, process: Process) -> list[Process]:
    return [other for other in cluster.processes if other is not process]


async def test_leader_that_is_killed_is_replaced_and_comes_back(cluster: Cluster) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        await leader.kill()
        assert await cluster.leader(others(cluster, leader)) is not leader
        await load.more(SOME)
        await leader.start()
        await load.more(SOME)
    await eventually(cluster.is_whole)


async def test_follower_that_is_killed_is_missed_by_nobody(cluster: Cluster) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        follower = others(cluster, leader)[0]
        term = (await cluster.status(leader))['term']
        await follower.kill()
        await load.more(SOME)
        await follower.start()
        await load.more(SOME)
        assert (await cluster.status(leader))['term'] == term
    await eventually(cluster.is_whole)


async def test_cluster_that_is_killed_comes_back_with_all_that_it_acknowledged(
    cluster: Cluster,
) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        await asyncio.gather(*(process.kill() for process in cluster.processes))
        await asyncio.gather(*(process.start() for process in cluster.processes))
        await load.more(SOME)
    await eventually(cluster.is_whole)


async def test_leader_that_is_suspended_finds_itself_replaced(cluster: Cluster) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        term = (await cluster.status(leader))['term']
        leader.signal(signal.SIGSTOP)
        try:
            successor = await cluster.leader(others(cluster, leader))
            await load.more(SOME)
        finally:
            leader.signal(signal.SIGCONT)
        assert (await cluster.status(successor))['term'] > term
        await load.more(SOME)
    await eventually(cluster.is_whole)


async def test_leader_that_is_terminated_costs_no_command(cluster: Cluster) -> None:
    async with load_on(cluster.members, clients=12, timeout=DEFAULT_TIMEOUT) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        assert await leader.terminate() == 0
        await load.more(SOME)
        assert await cluster.leader(others(cluster, leader)) is not leader
        status = await cluster.status(others(cluster, leader)[0])
        assert len(status['voters']) == len(cluster.processes)
    assert (load.failed, load.unknown) == ([], [])


async def test_all_are_restarted_one_after_another_at_the_cost_of_no_command(
    cluster: Cluster,
) -> None:
    async with load_on(cluster.members, clients=12, timeout=DEFAULT_TIMEOUT) as load:
        for process in cluster.processes:
            await load.more(SOME)
            assert await process.terminate() == 0
            await process.start()
            await eventually(lambda process=process: cluster.is_ready(process))
        await load.more(SOME)
    assert (load.failed, load.unknown) == ([], [])
    await eventually(cluster.is_whole)


async def test_member_that_lost_its_data_is_taken_in_again(cluster: Cluster) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        lost = others(cluster, leader)[-1]
        await lost.kill()
        lost.wipe()
        await load.more(SOME)
        await lost.start()
        await load.more(SOME)
    await eventually(cluster.is_whole)


async def test_client_notices_nothing_of_a_leader_that_is_terminated(cluster: Cluster) -> None:
    leader = await cluster.leader()
    done, is_over = 0, asyncio.Event()
    changed = asyncio.Condition()

    async def write(client: Client, number: int) -> None:
        nonlocal done
        while not is_over.is_set():
            await client.execute('put', {'key': f'{number}', 'value': number})
            done += 1
            async with changed:
                changed.notify_all()

    async def more() -> None:
        wanted = done + SOME
        async with changed:
            await changed.wait_for(lambda: done >= wanted)

    async with (
        Client([process.url for process in cluster.processes]) as client,
        asyncio.TaskGroup() as group,  # a command that fails ends it
    ):
        for number in range(8):
            group.create_task(write(client, number))
        await more()
        assert await leader.terminate() == 0
        await more()
        is_over.set()
