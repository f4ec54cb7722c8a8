"""Defects of start and stop that a review found: each stays found (design §2, §4 Storage)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from consensual.raft.errors import InvariantViolated, NodeStopped
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.api.test_storage import Gate, join, to_the_end
from tests.clusters import HEARTBEAT, Cluster, Deliver, T, hang, url_of, urls_of

pytestmark = in_virtual_time


class Counting(MemoryStorage):
    """Counts its ends; takes its time for each, the less the later."""

    closes = 0

    async def close(self) -> None:  # type: ignore[override]
        self.closes += 1
        await asyncio.sleep(HEARTBEAT * (3 - self.closes))
        super().close()


class SlowToLoad(MemoryStorage):
    """Takes its time to recover, and fails then, if told to."""

    error: Exception | None = None

    async def load(self) -> Any:  # type: ignore[override]
        await asyncio.sleep(1)
        if self.error is not None:
            raise self.error
        return super().load()


async def test_write_that_fails_during_the_hand_over_ends_the_run_once() -> None:
    """Design §2: one life at a time: a failing and a stopping run end once, together."""
    gate = Gate()
    storage = Counting(later=gate)
    async with Cluster('', idle='bc') as cluster:
        node = cluster.make('a', storage=storage)
        await join(cluster, 'abc')
        cluster.before_stop = gate.open.set
        link = cluster.network.add(hang, sender='a')
        gate.open.clear()
        call = asyncio.create_task(node.enqueue('add', 1))
        await asyncio.sleep(HEARTBEAT / 10)
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(HEARTBEAT)
        gate.error = OSError('disk')
        gate.open.set()
        await asyncio.sleep(HEARTBEAT / 10)
        gate.error = None
        cluster.network.remove(link)

        await node.start()
        await stopping

        await asyncio.sleep(4 * T)
        assert await call is not None
        assert storage.closes == 1
        await cluster.until_led('abc')
        assert await node.execute('add', 2) == 1
        await node.stop()
        assert storage.closes == 2


async def test_state_ahead_of_the_storage_is_not_gone_on_from() -> None:
    """Design §4, Storage: what is not stored may be replaced: nothing is applied on top of it.

    The followers commit, the leader applies, and its own write fails.
    """
    gate = Gate()
    async with Cluster('', idle='bc') as cluster:
        node = cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'abc')
        assert await node.execute('add', 0) == 1
        cluster.before_stop = gate.open.set
        gate.open.clear()
        for number in range(1, 5):
            assert await node.execute('add', number) == number + 1
        gate.error = OSError('disk full')
        gate.open.set()
        await asyncio.sleep(HEARTBEAT)
        gate.error = None
        for _ in range(2):
            with pytest.raises(InvariantViolated, match=r'its storage has.*make a new Node'):
                await node.start()


async def test_orderly_stop_writes_everything_first() -> None:
    """Design §2: stop is orderly: what was applied is stored, so that it can be handed on."""
    gate = Gate()
    async with Cluster('', idle='bcd') as cluster:
        node = cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'abc')
        cluster.before_stop = gate.open.set
        gate.open.clear()
        for number in range(5):
            assert await node.execute('add', number) == number + 1
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(2 * T + HEARTBEAT)
        gate.open.set()
        await stopping
        for name in 'bc':
            await cluster[name].stop()

        await node.start()
        assert await node.solo() is None
        assert await node.execute('add', 'new') == 6
        assert await node.attach_nodes(urls_of('d')) is None

        await cluster.until_equal('ad')
        assert cluster.ledgers['a'].entries == [*range(5), 'new']
        assert cluster.ledgers['d'].entries == cluster.ledgers['a'].entries


async def test_calls_that_wait_for_a_start_end_with_the_stop() -> None:
    """Design §2: a stopped node refuses, also what came before it was stopped."""
    storage = SlowToLoad()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=storage)
        assert await node.solo() is None
        await node.stop()
        starting = asyncio.create_task(node.start())
        await asyncio.sleep(HEARTBEAT)
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(node.execute('add', 1)),
            asyncio.create_task(node.ensure_linearizable()),
            asyncio.create_task(node.attach_nodes([url_of('z')])),
            asyncio.create_task(to_the_end(node)),
        ]
        await asyncio.sleep(HEARTBEAT)
        await node.stop()
        _, waiting = await asyncio.wait([starting, *calls], timeout=HEARTBEAT)
        for call in waiting:
            call.cancel()
        results = await asyncio.gather(starting, *calls, return_exceptions=True)
        assert not waiting
        assert [type(result) for result in results[1:4]] == [NodeStopped, NodeStopped, str]
        assert ['a was stopped' in str(result) for result in results[1:4]] == [True] * 3


async def test_start_that_fails_under_a_stop_can_be_repeated() -> None:
    """Design §2: stopped is stopped, however the start went that the stop waited for."""
    storage = SlowToLoad()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=storage)
        storage.error = OSError('io')
        starting = asyncio.create_task(node.start())
        await asyncio.sleep(HEARTBEAT)
        await node.stop()
        await asyncio.wait([starting])
        await node.stop()
        storage.error = None
        await node.start()
        assert await node.solo() is None
        assert await node.execute('add', 1) == 1


async def test_stop_whose_tasks_were_cancelled_can_be_repeated() -> None:
    """A program that cancels all of its tasks, the stop's among them, may stop and start again."""
    async with Cluster('abc') as cluster:
        before = asyncio.all_tasks()
        node = cluster.leader
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - before
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert stopping.cancelled()
        async with asyncio.timeout(60):
            await node.stop()
            with pytest.raises(NodeStopped):
                await node.execute('add', 1)
            await node.start()
            await cluster.until_led('abc')
            assert await node.execute('add', 1) == 1


async def test_stop_that_joins_a_cancelled_one_stops_the_node() -> None:
    """Design §2: stop() is cancelled with its caller only, not with somebody else's stop()."""
    async with Cluster('abc') as cluster:
        before = asyncio.all_tasks()
        node = cluster.leader
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.wait([stopping])

        await node.stop()

        with pytest.raises(NodeStopped):
            await node.execute('add', 1)


async def test_sender_that_ignores_its_end_holds_up_no_stop() -> None:
    """Design §2, sender: the node cancels what takes too long, and waits for nobody for ever.

    What a Sender never ends is bounded, too.
    """
    over = asyncio.Event()
    under_way: Counter[str] = Counter()

    async def ignore(_: Deliver) -> Any:
        under_way['c'] += 1
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        under_way['c'] -= 1
        raise asyncio.CancelledError

    async with Cluster('abc') as cluster:
        cluster.before_stop = over.set
        cluster.network.add(ignore, sender='a', receiver='c')
        await asyncio.sleep(60)
        assert under_way['c'] <= 256
        async with asyncio.timeout(60):
            await cluster['a'].stop()
        assert under_way['c'] > 0
        over.set()
        await asyncio.sleep(HEARTBEAT)
