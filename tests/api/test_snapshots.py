"""Snapshots as a node's owner sees them (design §2, §4 Snapshots; MemoryStorage)."""

import asyncio
import logging
import math
from typing import Any

import pytest

from consensual.raft import Node, Write
from consensual.raft.errors import (
    InvalidParameters,
    NodeStopped,
    SnapshotFailed,
    SnapshotUnsupported,
    StorageFull,
    WaitingInsideProcessor,
)
from consensual.storage import MemoryStorage
from tests.api.books import EVERY, Book, Library
from tests.api.marks import in_virtual_time
from tests.clusters import Ledger, T, names_of, url_of, urls_of

pytestmark = in_virtual_time


class Closing(MemoryStorage):
    """A storage that has no room for a snapshot, once it is told so."""

    is_full = False

    def write(self, write: Write) -> Any:
        if self.is_full and write.snapshot is not None:
            raise StorageFull('no room: make some, then start the node again')
        return super().write(write)


def entries_of(storage: MemoryStorage) -> int:
    """Return how many entries a storage holds."""
    stored = storage.survivor().load()
    assert stored is not None
    return len(stored.entries)


# taking one


async def test_take_snapshot_compacts_the_log() -> None:
    """Design §2: compact now; as many entries as come between two snapshots are kept."""
    storage = MemoryStorage()
    async with Library('', snapshot_every=10) as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        for number in range(8):
            await node.execute('add', number)
        assert node.status.snapshot_index == 0
        before = entries_of(storage)
        await node.take_snapshot()
        status = node.status
        assert status.snapshot_index == status.applied_index == status.last_index
        for number in range(8, 30):
            await node.execute('add', number)
        await node.take_snapshot()
        assert node.status.snapshot_index == node.status.last_index
        assert entries_of(storage) <= 10 < before + 22
        assert await node.execute('add', 30) == 31


async def test_snapshot_is_durable_when_take_snapshot_returns() -> None:
    """Design §2: a crash right after it finds it."""
    storage = MemoryStorage(later=lambda: asyncio.sleep(0.1))
    async with Library('') as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await node.execute('add', 0)
        await node.take_snapshot()
        stored = storage.survivor().load()
        assert stored is not None
        assert stored.snapshot is not None
        assert stored.snapshot.index == node.status.snapshot_index


async def test_snapshots_are_taken_by_themselves() -> None:
    """Policy: on every node, after so many entries."""
    async with Library('abc') as library:
        await library.fill('b', 5 * EVERY)
        await library.until_equal()
        await library.until(lambda: all(book.taken >= 4 for book in library.books.values()))
        for node in library.nodes.values():
            status = node.status
            assert status.last_index - status.snapshot_index < 2 * EVERY
            assert library.books[library.name_of(node)].taken <= 8


async def test_any_node_takes_snapshots() -> None:
    """Followers do; one with nothing new, or nothing at all, has nothing to do."""
    async with Library('abc', snapshot_every=1000) as library:
        await library.fill('a', 3)
        await library.until_equal()
        for node in library.nodes.values():
            await node.take_snapshot()
            index = node.status.snapshot_index
            await node.take_snapshot()
            assert index == node.status.snapshot_index == node.status.applied_index
        await library.make('d').take_snapshot()
        assert library['d'].status.snapshot_index == 0


async def test_every_caller_gets_a_snapshot_of_what_it_saw() -> None:
    """One that began before does not do: two that were asked for at once share the next one."""
    async with Library('a', snapshot_every=1000) as library:
        await library.fill('a', 3)
        library.desk.close()
        calls = [asyncio.create_task(library['a'].take_snapshot())]
        await asyncio.sleep(T)
        await library.fill('a', 3)
        seen = library['a'].status.applied_index
        calls += [asyncio.create_task(library['a'].take_snapshot()) for _ in range(2)]
        await asyncio.sleep(T)
        library.desk.open()
        await asyncio.gather(*calls)
        assert library['a'].status.snapshot_index == seen
        assert library.books['a'].taken == 2


async def test_commands_go_on_while_a_snapshot_is_encoded() -> None:
    """The state is copied at once; the rest is done elsewhere."""
    async with Library('abc', snapshot_every=1000) as library:
        await library.fill('a', 3)
        library.desk.close()
        call = asyncio.create_task(library['a'].take_snapshot())
        for number in range(3, 9):
            assert await library['a'].execute('add', number) == number + 1
        assert not call.done()
        library.desk.open()
        await call
        assert library['a'].status.snapshot_index < library['a'].status.applied_index


async def test_snapshot_waits_for_the_processor_that_runs() -> None:
    """Design §2: it is taken between two commands."""
    async with Library('a', snapshot_every=1000) as library:
        command = asyncio.create_task(library['a'].execute('wait', 0, timeout=60))
        await asyncio.sleep(T)
        call = asyncio.create_task(library['a'].take_snapshot())
        await asyncio.sleep(T)
        assert library.books['a'].taken == 0
        library.books['a'].gate.set()
        await asyncio.gather(command, call)
        assert library['a'].status.snapshot_index == library['a'].status.applied_index


async def test_take_snapshot_inside_a_processor_is_refused() -> None:
    """It would wait for that processor to end."""
    async with Library('a') as library:
        library.books['a'].processors['self'] = lambda _: None
        seen: list[BaseException] = []

        async def snap(_: Any) -> None:
            try:
                await library['b'].take_snapshot()
            except WaitingInsideProcessor as error:
                seen.append(error)

        book = Book()
        book.processors['snap'] = snap
        assert await library.make('b', state_machine=book).solo() is None
        await library['b'].execute('snap')
        assert len(seen) == 1


@pytest.mark.parametrize('every', [0, -1, 1.5, '10', None])
async def test_snapshot_every_is_a_number_of_entries(every: Any) -> None:
    """Design §2: wrong parameters are errors of the caller, at once."""
    with pytest.raises(InvalidParameters, match='snapshot_every'):
        Node.from_url(url_of('a'), sender=Library('').network.sender('a'), snapshot_every=every)


# where there is none


@pytest.mark.parametrize('machine', [None, Ledger()])
async def test_machine_without_snapshots_keeps_its_log(
    machine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and `take_snapshot` says why."""
    caplog.set_level(logging.WARNING)
    async with Library('') as library:
        options = {'processors': {'add': bool}} if machine is None else {'state_machine': machine}
        node = library.make('a', **options)
        assert await node.solo() is None
        for number in range(6 * EVERY):
            await node.execute('add', number)
        assert [text for text in caplog.messages if 'keeps its whole log' in text] == [
            'a keeps its whole log: its state machine has no snapshot() and restore()'
        ]
        with pytest.raises(SnapshotUnsupported, match='snapshot'):
            await node.take_snapshot()
        assert node.status.snapshot_index == 0
        await node.execute('add', 0)


def _no() -> Any:
    raise ValueError('not now')


@pytest.mark.parametrize(
    'state',
    [
        _no,
        lambda: [math.nan],
        lambda: {1, 2},
        lambda: {1: 2},
        object,
        lambda: {'deep': [{'in': b'it'}]},
    ],
    ids=['raises', 'nan', 'set', 'int key', 'object', 'bytes'],
)
async def test_snapshot_that_fails_keeps_the_log(
    state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Design §2: `SnapshotFailed`; the node goes on, and the next one may do."""
    async with Library('a', snapshot_every=1000) as library:
        await library.fill('a', 3)
        library.books['a'].on_snapshot = state
        with pytest.raises(SnapshotFailed):
            await library['a'].take_snapshot()
        assert library['a'].status.snapshot_index == 0
        assert library['a'].status.failure is None
        await library.fill('a', 3)
        assert 'no snapshot was taken, and the log is kept' in caplog.text
        library.books['a'].on_snapshot = bool
        await library['a'].take_snapshot()
        assert library['a'].status.snapshot_index == library['a'].status.applied_index


async def test_snapshot_that_failed_by_itself_is_tried_again_later() -> None:
    """Not in every turn: when the log has grown as much once more."""
    async with Library('a') as library:
        library.books['a'].on_snapshot = _no
        await library.fill('a', 10 * EVERY)
        assert 8 <= library.books['a'].taken <= 12
        assert library['a'].status.snapshot_index == 0


async def test_result_that_cannot_be_compared_stops_no_node() -> None:
    """It is kept in the session table until its caller is done with it."""
    async with Library('abc', snapshot_every=1000) as library:
        await library['a'].execute('sloppy', 0)
        for node in library.nodes.values():
            await node.take_snapshot()
        assert all(node.status.failure is None for node in library.nodes.values())
        assert await library['b'].execute('add', 1) == 2


# the end of one that is being taken


async def test_stop_while_a_snapshot_is_encoded() -> None:
    """The caller is told; the log is as it was."""
    storage = MemoryStorage()
    async with Library('') as library:
        node = library.make('a', storage=storage)
        assert await node.solo() is None
        await library.fill('a', 3)
        library.desk.close()
        call = asyncio.create_task(node.take_snapshot())
        await asyncio.sleep(T)
        await node.stop()
        with pytest.raises(NodeStopped):
            await call
        library.desk.open()
        await node.start()
        await node.execute('add', 3)
        await node.take_snapshot()
        assert library.books['a'].entries == [0, 1, 2, 3]


async def test_caller_of_take_snapshot_may_go_away() -> None:
    """The snapshot is taken all the same."""
    async with Library('a', snapshot_every=1000) as library:
        await library.fill('a', 3)
        library.desk.close()
        call = asyncio.create_task(library['a'].take_snapshot())
        await asyncio.sleep(T)
        call.cancel()
        await asyncio.wait([call])
        library.desk.open()
        await library.until(lambda: library['a'].status.snapshot_index > 0)


async def test_reset_while_a_snapshot_is_encoded() -> None:
    """What was put down is of a life that is over."""
    async with Library('a', snapshot_every=1000) as library:
        node = library['a']
        await library.fill('a', 3)
        library.desk.close()
        call = asyncio.create_task(node.take_snapshot())
        await asyncio.sleep(T)
        for _ in range(2):
            assert await node.detach() is None
        library.desk.open()
        await call
        assert node.status.snapshot_index == 0
        assert await node.solo() is None
        assert await node.execute('add', 'x') == 1


async def test_reset_erases_the_snapshot() -> None:
    """Design §2: log, term, vote, snapshot, sessions and state machine."""
    async with Library('a') as library:
        await library.fill('a')
        await library['a'].take_snapshot()
        for _ in range(2):
            assert await library['a'].detach() is None
        assert library['a'].status.snapshot_index == 0
        assert library.books['a'].entries == []
        assert library.books['a'].resets == 1


@pytest.mark.parametrize('is_leader', [True, False])
async def test_no_room_for_a_snapshot_stops_the_node(is_leader: bool) -> None:
    """Design §4, Storage: it steps down and stops, its status tells why; the others go on."""
    storages = {name: Closing() for name in 'abc'}
    async with Library('', snapshot_every=1000) as library:
        for name in 'abc':
            library.make(name, storage=storages[name])
        assert await library['a'].solo() is None
        assert await library['a'].attach_nodes(urls_of('bc')) is None
        await library.fill('a', 3)
        await library.until_equal()
        victim = library.name_of(library.leader if is_leader else library.followers[0])
        storages[victim].is_full = True
        with pytest.raises(StorageFull, match='no room'):
            await library[victim].take_snapshot()
        await library.until(lambda: library[victim].status.failure is not None)
        assert str(library[victim].status.failure).startswith('StorageFull: no room')
        assert library[victim].status.role == 'detached'
        rest = [name for name in 'abc' if name != victim]
        await library.until_led(rest)
        assert await library[rest[0]].execute('add', 'on') == 4
        storages[victim].is_full = False
        await library[victim].start()
        await library.until_equal()
        assert library.books[victim].entries == library.books[rest[0]].entries
        assert names_of(library[victim].status.voters) == 'abc'
