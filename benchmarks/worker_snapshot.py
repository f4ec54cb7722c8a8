"""Snapshots of a large state, in a process of its own: KEYS DIRECTORY; prints a line a step."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter as clock

import cluster
import load
from counted import Counted

from consensual.machines import KeyValueStore
from consensual.raft import Node

PERIOD = 0.005
"""Seconds between two looks of the probe."""


@asynccontextmanager
async def probed(step: str, node: Node) -> AsyncIterator[None]:
    """Report how late the loop was, and what a caller saw, while the step went on."""
    late: list[float] = []
    latencies: list[float] = []

    async def look() -> None:
        while True:
            due = clock() + PERIOD
            await asyncio.sleep(PERIOD)
            late.append(clock() - due)

    async def call() -> None:
        while True:
            begin = clock()
            await node.execute('put', {'key': 'probe', 'value': begin}, timeout=60)
            latencies.append(clock() - begin)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(look()), asyncio.create_task(call())]
    begin = clock()
    yield
    seconds = clock() - begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    late.sort()
    load.report(
        {
            'step': step,
            'seconds': seconds,
            'late_ms': 1e3 * late[-1],
            'p99_ms': 1e3 * late[len(late) * 99 // 100],
            'commands': len(latencies),
            'slowest_ms': 1e3 * max(latencies, default=0.0),
        }
    )


async def fill(node: Node, keys: int) -> None:
    """Put so many keys, with values of 100 bytes, from 64 callers."""

    async def submit(index: int) -> None:
        await node.execute('put', {'key': f'key {index:07}', 'value': f'{index:0100}'}, timeout=60)

    await load.run('closed64', keys, submit)


async def until_taken_in(node: Node, leader: Node) -> None:
    """Wait until the leader, which has lost it, has made a learner of it, and then a voter."""
    was_learner = False
    async for status in leader.watch():
        was_learner = was_learner or node.url in status.learners
        if was_learner and status.stable and node.url in status.voters:
            break
    await node.ensure_linearizable(timeout=60)


async def main(keys: int, directory: Path) -> None:
    registry: dict[str, Node] = {}
    machines = [KeyValueStore() for _ in range(cluster.SIZE)]
    storages = [Counted(directory / f'{each}.db') for each in range(cluster.SIZE)]
    parts = [
        {'state_machine': machine, 'storage': storage}
        for machine, storage in zip(machines, storages, strict=True)
    ]
    leader, *_, last = nodes = await cluster.found(parts, registry)
    await fill(leader, keys)
    for node in nodes:
        await node.take_snapshot()  # so that no log reaches back to the beginning
    async with probed('at rest', leader):
        await asyncio.sleep(2)
    async with probed('snapshot of the leader', leader):
        await leader.take_snapshot()
    async with probed('restart of a node with its file', leader):
        await last.stop()
        again = Counted(storages[-1].path)
        last = cluster.make(
            last.url, registry, {'state_machine': KeyValueStore(), 'storage': again}
        )
        await last.start()
        await last.ensure_linearizable(timeout=60)
    async with probed('re-admission of a wiped node', leader):
        await last.stop()
        machine, wiped = KeyValueStore(), Counted(directory / 'wiped.db')
        last = cluster.make(last.url, registry, {'state_machine': machine, 'storage': wiped})
        await last.start()
        await until_taken_in(last, leader)
    await leader.ensure_linearizable(timeout=60)
    await last.ensure_linearizable(timeout=60)
    status = leader.status
    load.report(
        {
            'is_equal': machine.snapshot() == machines[0].snapshot(),
            'is_voter': status.stable and last.url in status.voters,
            'bytes': wiped.size,
        }
    )
    await cluster.stop([leader, nodes[1], last])


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
