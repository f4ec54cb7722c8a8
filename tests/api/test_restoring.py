"""Starts from a snapshot, and what waits for its state (design §4 Storage; MemoryStorage)."""

import asyncio
from typing import Any

import pytest

from consensual.raft.errors import (
    NodeStopped,
    SnapshotUnsupported,
)
from consensual.storage import MemoryStorage
from tests.api.books import EVERY, Book, Library
from tests.api.marks import in_virtual_time
from tests.clusters import Ledger, T, urls_of

pytestmark = in_virtual_time


def _no() -> Any:
    raise ValueError('not now')


async def test_only_the_snapshot_is_restored_at_start() -> None:
    """Design §4, Storage: entries are applied once known committed; nobody says so here."""
    storage = MemoryStorage()
    async with Library('') as library:
        library.make('a', storage=storage)
        for name in 'bc':
            library.make(name)
        assert await library['a'].solo() is None
        assert await library['a'].attach_nodes(urls_of('bc')) is None
        await library.fill('a')
        await library.until_equal()
        await library['a'].take_snapshot()
        snapshot_index = library['a'].status.snapshot_index
        await library.fill('a', 3)
        await library.until_equal()
        for name in 'abc':
            library.crash(name)
        node = library.make('a', storage=storage.survivor())
        await node.start()
        await asyncio.sleep(10 * T)
        status = node.status
        assert status.snapshot_index == status.applied_index == status.commit_index
        assert status.applied_index == snapshot_index < status.last_index
        assert library.books['a'].entries == [*range(3 * EVERY)]
        assert await node.query('entries', consistency='local') == [*range(3 * EVERY)]


async def test_local_query_at_the_very_start_sees_the_snapshot() -> None:
    """It waits for the snapshot, even before the first turn of the node that starts."""
    storage = MemoryStorage()
    async with Library('') as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await library.fill('a')
        await node.take_snapshot()
        library.crash('a')
        node = library.make('a', storage=storage.survivor())
        seen: list[Any] = []

        async def look_at_once() -> None:
            while not seen:
                if node.status.role != 'detached' or node.status.snapshot_index:
                    seen.append(await node.query('entries', consistency='local'))
                await asyncio.sleep(0)

        await asyncio.gather(node.start(), look_at_once())
        assert seen == [[*range(3 * EVERY)]]


async def test_restarted_node_comes_to_the_state_of_the_others() -> None:
    """From its snapshot, its log and what it missed."""
    storage = MemoryStorage()
    async with Library('') as library:
        library.make('a', storage=storage)
        for name in 'bc':
            library.make(name)
        assert await library['a'].solo() is None
        assert await library['a'].attach_nodes(urls_of('bc')) is None
        await library.fill('b', 4 * EVERY + 3)
        await library.until_equal()
        library.crash('a')
        await library.until_led('bc')
        await library.fill('b', 2)
        library.make('a', storage=storage.survivor())
        await library['a'].start()
        await library.until_equal()
        assert library.books['a'].entries == library.books['b'].entries
        assert len(library.books['a'].restored) == 1


async def test_same_node_keeps_its_state_when_it_is_started_again() -> None:
    """What it has applied is ahead of the snapshot: it is not restored over it."""
    async with Library('abc') as library:
        await library.fill('a')
        await library.until_equal()
        await library['b'].take_snapshot()
        for _ in range(2):
            await library['b'].stop()
            await library.fill('a', 2)
            await library['b'].start()
            await library.until_equal()
        assert library.books['b'].restored == []
        assert library.books['b'].entries == library.books['a'].entries
        assert library.books['b'].resets == 0


async def test_storage_with_a_snapshot_takes_a_machine_that_restores() -> None:
    """`start` says so and gives the storage back: nothing was applied to an empty state."""
    storage = MemoryStorage()
    async with Library('') as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await library.fill('a')
        await node.take_snapshot()
        await node.stop()
        for options in ({'processors': {'add': bool}}, {'state_machine': Ledger()}):
            other = library.make('a', storage=storage, **options)
            with pytest.raises(SnapshotUnsupported, match='begins with a snapshot'):
                await other.start()
            await other.stop()
        again = library.make('a', storage=storage)
        assert await again.execute('add', 'more') == 3 * EVERY + 1


async def test_state_that_is_not_restored_stops_the_node() -> None:
    """Loudly, with the reason in its status: it is nobody's state."""
    storage = MemoryStorage()
    async with Library('') as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await library.fill('a')
        await node.take_snapshot()
        await node.stop()
        book = Book()
        book.on_restore = _no
        broken = library.make('a', storage=storage, state_machine=book)
        await broken.start()
        await library.until(lambda: broken.status.failure is not None)
        assert 'could not be restored' in str(broken.status.failure)
        assert "ValueError('not now')" in str(broken.status.failure)
        with pytest.raises(Exception, match='could not be restored'):
            await broken.execute('add', 0)
        with pytest.raises(Exception, match='make a new Node'):
            await broken.start()
        await broken.stop()
        assert await library.make('a', storage=storage).execute('add', 0) == 3 * EVERY + 1


# while it is being restored


async def restarting(library: Library, name: str = 'a') -> MemoryStorage:
    """Make a lone node again from what it stored, with the desk closed: it restores for ever."""
    storage = MemoryStorage()
    node = library.make(name, storage=storage)
    assert await node.solo() is None
    await library.fill(name)
    await node.take_snapshot()
    await library.fill(name, 2)
    library.crash(name)
    library.desk.close()
    storage = storage.survivor()
    library.make(name, storage=storage)
    return storage


@pytest.mark.parametrize('call', ['local', 'linearizable', 'execute'])
async def test_calls_wait_while_the_state_is_restored(call: str) -> None:
    """Design §4, Storage: commands and queries wait; what they see is the whole state."""
    async with Library('') as library:
        await restarting(library)
        node = library['a']
        await node.start()
        waiting: Any
        if call == 'execute':
            waiting = asyncio.create_task(node.execute('add', 'x', timeout=60))
        else:
            options: Any = {'consistency': call, 'timeout': 60}
            waiting = asyncio.create_task(node.query('entries', **options))
        await asyncio.sleep(10 * T)
        assert not waiting.done()
        assert node.status.role == 'leader', 'votes are given and entries committed meanwhile'
        library.desk.open()
        assert await waiting in (3 * EVERY + 3, [*range(3 * EVERY)], [*range(3 * EVERY), 0, 1])
        assert library.books['a'].entries[: 3 * EVERY + 2] == [*range(3 * EVERY), 0, 1]


async def test_query_right_after_the_start_sees_the_restored_state() -> None:
    """Not the empty one that the machine begins with."""
    async with Library('') as library:
        await restarting(library)
        library.desk.open()
        entries = await library['a'].query('entries', consistency='local')
        assert len(entries) >= 3 * EVERY


async def test_stop_while_the_state_is_restored() -> None:
    """What waits fails; the next start restores again."""
    async with Library('') as library:
        await restarting(library)
        node = library['a']
        await node.start()
        calls = [
            asyncio.create_task(node.query('entries', consistency='local')),
            asyncio.create_task(node.execute('add', 0, timeout=60)),
        ]
        await asyncio.sleep(T)
        await node.stop()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [NodeStopped, NodeStopped]
        library.desk.open()
        await asyncio.sleep(T)
        assert library.books['a'].restored == []
        await node.start()
        await node.ensure_linearizable()
        assert library.books['a'].restored == [[*range(3 * EVERY)]]
        assert library.books['a'].entries[: 3 * EVERY + 2] == [*range(3 * EVERY), 0, 1]


async def test_crash_while_the_state_is_restored() -> None:
    """Nothing of it is anywhere but in memory."""
    async with Library('') as library:
        storage = await restarting(library)
        await library['a'].start()
        await asyncio.sleep(T)
        library.crash('a')
        library.desk.open()
        node = library.make('a', storage=storage.survivor())
        assert await node.execute('add', 'x') == 3 * EVERY + 3


async def test_reset_while_the_state_is_restored() -> None:
    """The snapshot is nobody's then: what is decoded later changes nothing."""
    async with Library('') as library:
        storage = MemoryStorage()
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await library.fill('a')
        await node.take_snapshot()
        assert await node.detach() is None
        await node.stop()
        library.desk.close()
        node = library.make('a', storage=storage)
        await node.start()
        await asyncio.sleep(T)
        assert node.status.snapshot_index > 0
        assert await node.detach() is None
        library.desk.open()
        await asyncio.sleep(T)
        assert node.status.snapshot_index == node.status.applied_index == 0
        assert library.books['a'].entries == library.books['a'].restored == []
        assert await node.solo() is None
        assert await node.execute('add', 'x') == 1
