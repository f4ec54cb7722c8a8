"""What a node owes its storage, seen from outside (design §2, §4 Storage; MemoryStorage)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import (
    ConsensualError,
    NodeStopped,
    OutcomeUnknown,
    StorageFailed,
    StorageLocked,
)
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, Ledger, T, urls_of

pytestmark = in_virtual_time


class Gate:
    """A disk that writes when it is open, and waits, or fails, when it is not."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        await self.open.wait()
        if self.error is not None:
            raise self.error


async def join(cluster: Cluster, names: str) -> None:
    assert await cluster[names[0]].solo() is None
    if names[1:]:
        assert await cluster[names[0]].attach_nodes(urls_of(names[1:])) is None


async def test_cluster_over_slow_disks_works() -> None:
    """Design §3: writes that complete later than at once, one after another."""

    async def disk() -> None:
        await asyncio.sleep(0.005)

    async with Cluster('') as cluster:
        for name in 'abc':
            cluster.make(name, storage=MemoryStorage(later=disk))
        await join(cluster, 'abc')
        calls = [cluster['abc'[number % 3]].execute('add', number) for number in range(90)]
        assert sorted(await asyncio.gather(*calls)) == [*range(1, 91)]
        await cluster.until_equal()
        assert cluster.ledgers['a'].entries == cluster.ledgers['c'].entries


async def test_lone_member_acknowledges_only_what_is_durable() -> None:
    """Design §3: a leader counts itself only when the write is durable."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'a')
        assert await cluster['a'].execute('add', 0) == 1
        cluster.before_stop = gate.open.set
        gate.open.clear()
        call = asyncio.create_task(cluster['a'].execute('add', 1, timeout=60))
        await asyncio.sleep(10 * T)
        assert not call.done()
        assert cluster.ledgers['a'].entries == [0], 'nor is it applied'
        gate.open.set()
        assert await call == 2


async def test_follower_acknowledges_only_what_is_durable() -> None:
    """Design §4: acknowledgements are withheld until the write is durable."""
    gates = {name: Gate() for name in 'abc'}
    async with Cluster('') as cluster:
        for name in 'abc':
            cluster.make(name, storage=MemoryStorage(later=gates[name]))
        await join(cluster, 'abc')
        assert await cluster['a'].execute('add', 0) == 1
        await cluster.until_equal()
        followers = [cluster.name_of(node) for node in cluster.followers]
        cluster.before_stop = lambda: [gate.open.set() for gate in gates.values()]
        for name in followers:
            gates[name].open.clear()
        with pytest.raises(OutcomeUnknown, match='add'):
            await cluster.leader.execute('add', 1, timeout=T / 2)
        assert cluster.leader.status.commit_index < cluster.leader.status.last_index
        gates[followers[0]].open.set()
        await cluster.until(lambda: len(cluster.leaders) == 1)
        assert isinstance(await cluster.leader.execute('add', 2), int)


async def test_leader_with_a_slow_disk_commits_by_its_followers() -> None:
    """Design §3, thesis §10.2.1: a leader sends in parallel with its own write."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        for name in 'bc':
            cluster.make(name)
        await join(cluster, 'abc')
        assert await cluster['a'].execute('add', 0) == 1
        cluster.before_stop = gate.open.set
        gate.open.clear()
        async with asyncio.timeout(2 * T):
            assert await cluster['a'].execute('add', 1) == 2
        gate.open.set()
        await cluster.until_equal()


async def test_solo_is_done_only_when_durable() -> None:
    """Design §2: before returning None the node has applied, so committed, its no-op."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        cluster.before_stop = gate.open.set
        gate.open.clear()
        call = asyncio.create_task(cluster['a'].solo())
        await asyncio.sleep(T)
        assert not call.done()
        gate.open.set()
        assert await call is None


async def test_reset_is_done_only_when_durable() -> None:
    """Design §2: erased means erased: not before the storage says so."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'a')
        cluster.before_stop = gate.open.set
        for _ in range(2):
            gate.open.clear()
            call = asyncio.create_task(cluster['a'].detach())
            await asyncio.sleep(T)
            assert not call.done()
            gate.open.set()
            assert await call is None


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), ValueError('odd')])
async def test_failed_write_stops_the_node_and_acknowledges_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Design §4: full disk or write error: the node stops; nothing is acknowledged after it."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'a')
        assert await cluster['a'].execute('add', 0) == 1
        gate.error = error
        with pytest.raises((StorageFailed, OutcomeUnknown), match=str(error.args[-1])):
            await cluster['a'].execute('add', 1)
        with pytest.raises((StorageFailed, NodeStopped), match=str(error.args[-1])):
            await cluster['a'].execute('add', 2)
        assert str(error.args[-1]) in str(await cluster['a'].enqueue('add', 3))
        assert cluster.ledgers['a'].entries == [0]
        assert str(error.args[-1]) in caplog.text
        assert any(record.levelname in ('ERROR', 'CRITICAL') for record in caplog.records)
        gate.error = None
        await cluster['a'].start()
        assert isinstance(await cluster['a'].execute('add', 4), int)


@pytest.mark.parametrize('call', ['solo', 'detach', 'attach_nodes', 'ensure_linearizable', 'watch'])
async def test_failed_write_fails_whatever_waits(call: str) -> None:
    """Design §3: a failed write stops the node loudly and fails what waits."""
    gate = Gate()
    async with Cluster('', idle='b') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        await join(cluster, 'a')
        await cluster['a'].execute('add', 0)
        cluster.before_stop = gate.open.set
        gate.open.clear()
        node = cluster['a']
        calls: dict[str, Callable[[], Any]] = {
            'solo': node.solo,
            'detach': node.detach,
            'attach_nodes': lambda: node.attach_nodes(urls_of('b')),
            'ensure_linearizable': lambda: changed_and_read(node),
            'watch': lambda: to_the_end(node),
        }
        waiting = asyncio.create_task(calls[call]())
        writing = asyncio.create_task(node.enqueue('add', 1))
        await asyncio.sleep(T)
        gate.error = OSError(28, 'No space left on device')
        gate.open.set()
        async with asyncio.timeout(T):
            assert await writing is not None
            (result,) = await asyncio.gather(waiting, return_exceptions=True)
        assert result is None if call == 'watch' else 'No space' in str(result)


async def changed_and_read(node: Node) -> None:
    await node.execute('add', 2)
    await node.ensure_linearizable()


async def to_the_end(node: Node) -> None:
    async for _ in node.watch():
        pass


@pytest.mark.parametrize(
    ('error', 'is_awaited'),
    [
        (OSError('disk'), True),
        (OSError('disk'), False),
        (KeyError('odd'), True),
        (KeyError('odd'), False),
        (asyncio.CancelledError(), True),  # as from an executor that was shut down
    ],
)
async def test_write_that_raises_in_any_way_stops_the_node(
    error: BaseException, is_awaited: bool
) -> None:
    """Design §4: nothing is acknowledged after a failed write, at once or awaited."""

    class Breaking(MemoryStorage):
        is_broken = False

        def write(self, write: Any) -> Any:
            if not self.is_broken:
                return super().write(write)
            if is_awaited:
                return self.refuse()
            raise error

        async def refuse(self) -> None:
            raise error

    storage = Breaking()
    async with Cluster('') as cluster:
        cluster.make('a', storage=storage)
        await join(cluster, 'a')
        await cluster['a'].execute('add', 0)
        storage.is_broken = True
        async with asyncio.timeout(20):
            assert await cluster['a'].enqueue('add', 1) is not None
            assert await cluster['a'].enqueue('add', 2) is not None
        assert cluster.ledgers['a'].entries == [0]
        storage.is_broken = False
        await cluster['a'].start()
        assert await cluster['a'].execute('add', 3) == 2


async def test_command_whose_write_failed_is_not_said_to_be_undone() -> None:
    """Design §2, errors: what was sent to others before the own write failed may be applied."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        for name in 'bc':
            cluster.make(name)
        await join(cluster, 'abc')
        assert await cluster['a'].execute('add', 0) == 1
        gate.error = OSError(28, 'No space left on device')
        try:
            await cluster['a'].execute('add', 1)
        except ConsensualError as error:
            assert isinstance(error, (OutcomeUnknown, StorageFailed))  # noqa: PT017 - or applied
        await cluster.until_led('bc')
        assert await cluster['b'].execute('add', 2) in (2, 3)


async def test_leader_whose_disk_is_full_gives_way() -> None:
    """Design §4: the node steps down and stops; the others go on."""
    gate = Gate()
    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=gate))
        for name in 'bc':
            cluster.make(name)
        await join(cluster, 'abc')
        gate.error = OSError(28, 'No space left on device')
        await cluster['a'].enqueue('add', 'x')
        new = await cluster.until_led('bc')
        await new.execute('add', 1)
        assert cluster['a'].status.role != 'leader'


@pytest.mark.parametrize('error', [OSError('disk'), StorageLocked('in use'), ValueError('odd')])
async def test_storage_that_cannot_be_loaded_refuses_the_start(error: Exception) -> None:
    """Design §4: refuse to start, with the place named; another start tries again."""

    class Broken(MemoryStorage):
        is_broken = True

        def load(self) -> Any:
            if self.is_broken:
                raise error
            return super().load()

    storage = Broken()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=storage)
        for _ in range(2):
            with pytest.raises((OSError, ValueError, ConsensualError), match=str(error)):
                await node.start()
        storage.is_broken = False
        await node.start()
        assert await node.solo() is None


async def test_storage_that_fails_to_load_is_the_storages_blame() -> None:
    """Design §2: one tree of errors: text-returning calls return text whatever the disk raises."""

    class Broken(MemoryStorage):
        def load(self) -> Any:
            raise OSError('disk on fire')

    async with Cluster('') as cluster:
        node = cluster.make('a', storage=Broken())
        assert 'disk on fire' in str(await node.solo())
        with pytest.raises(StorageFailed, match='disk on fire'):
            await node.start()


@pytest.mark.parametrize('count', [0, 1, 300])
async def test_new_node_on_the_old_storage_recovers(count: int) -> None:
    """Design §4: nothing acknowledged is lost by a crash; each command is applied once anew."""
    storages = {name: MemoryStorage() for name in 'abc'}
    async with Cluster('') as cluster:
        for name in 'abc':
            cluster.make(name, storage=storages[name])
        await join(cluster, 'abc')
        await asyncio.gather(*(cluster['b'].execute('add', number) for number in range(count)))
        cluster_id = cluster['a'].status.cluster_id
        for name in 'abc':
            survivor = storages[name].survivor()
            cluster.crash(name)
            cluster.make(name, storage=survivor)
        await asyncio.gather(*(node.start() for node in cluster.nodes.values()))
        await cluster.until_led('abc')
        assert await cluster['b'].execute('add', 'new') == count + 1
        await cluster.until_equal()
        assert cluster['a'].status.cluster_id == cluster_id
        for name in 'abc':
            entries = cluster.ledgers[name].entries
            assert sorted(entries[:-1]) == [*range(count)]
            assert entries == cluster.ledgers['a'].entries


async def test_member_that_crashes_again_and_again_loses_and_doubles_nothing() -> None:
    """Design §4: at any write boundary; the commands of its earlier life don't come back."""
    storages = {name: MemoryStorage() for name in 'abc'}
    async with Cluster('') as cluster:
        for name in 'abc':
            cluster.make(name, storage=storages[name])
        await join(cluster, 'abc')
        done = 0
        for round_ in range(12):
            name = 'abc'[round_ % 3]
            pending = asyncio.create_task(cluster[name].enqueue('add', f'pending {round_}'))
            for _ in range(round_ % 5):
                await asyncio.sleep(0)
            storages[name] = storages[name].survivor()
            cluster.crash(name)
            pending.cancel()
            await asyncio.wait([pending])
            cluster.make(name, storage=storages[name])
            await cluster[name].start()
            await cluster[name].execute('add', done, timeout=30)
            done += 1
        await cluster.until_equal()
        entries = cluster.ledgers['a'].entries
        assert [entry for entry in entries if isinstance(entry, int)] == [*range(done)]
        assert len(entries) == len(set(entries))
        for name in 'bc':
            assert cluster.ledgers[name].entries == entries


async def test_crash_before_the_write_is_durable_loses_only_what_nobody_was_told() -> None:
    """Design §4: what a crash leaves is what was durable; the term never goes back."""
    gate = Gate()
    storage = MemoryStorage(later=gate)
    async with Cluster('') as cluster:
        cluster.make('a', storage=storage)
        await join(cluster, 'a')
        assert await cluster['a'].execute('add', 0) == 1
        gate.open.clear()
        call = asyncio.create_task(cluster['a'].execute('add', 1, timeout=60))
        await asyncio.sleep(HEARTBEAT)
        survivor = storage.survivor()
        assert not call.done()
        term = cluster['a'].status.term
        cluster.crash('a')
        cluster.before_stop = gate.open.set
        gate.open.set()
        call.cancel()
        await asyncio.wait([call])
        cluster.make('a', storage=survivor)
        await cluster['a'].start()
        assert await cluster['a'].execute('add', 2) == 2
        assert cluster['a'].status.term > term
        assert cluster.ledgers['a'].entries == [0, 2]


async def test_storages_of_any_make_will_do() -> None:
    """Design §3: each method may work at once or return an awaitable."""

    class Asynchronous:
        def __init__(self) -> None:
            self.inner = MemoryStorage()
            self.writes = 0

        async def load(self) -> Any:
            await asyncio.sleep(0.01)
            return self.inner.load()

        async def write(self, write: Any) -> None:
            self.writes += 1
            await asyncio.sleep(0.01)
            self.inner.write(write)

        async def close(self) -> None:
            await asyncio.sleep(0.01)
            self.inner.close()

    storages = [Asynchronous(), Asynchronous()]
    async with Cluster('') as cluster:
        cluster.make('a', storage=storages[0])
        cluster.make('b', storage=storages[1])
        await join(cluster, 'ab')
        await asyncio.gather(*(cluster['b'].execute('add', number) for number in range(100)))
        assert storages[0].writes < 60, 'one write for what arrives in one turn'
        await cluster['a'].stop()
        await cluster['a'].start()
        await cluster.until_led('ab')
        assert len(await cluster['a'].query('entries')) == 100


async def test_restarted_node_answers_votes_before_it_has_applied() -> None:
    """Design §4, Storage: votes and AppendEntries are answered at once; commands wait."""
    gate = asyncio.Event()

    def processors_of(waits: Callable[[], bool]) -> dict[str, Any]:
        async def wait(_: Any) -> None:
            if waits():
                await gate.wait()

        return {'wait': wait}

    storages = {name: MemoryStorage() for name in 'abc'}
    slow = False
    async with Cluster('', state_machine=None) as cluster:
        cluster.before_stop = gate.set
        for name in 'abc':
            cluster.make(name, storage=storages[name], processors=processors_of(lambda: slow))
        await join(cluster, 'abc')
        for _ in range(5):
            await cluster['a'].execute('wait')
        slow = True
        for name in 'abc':
            survivor = storages[name].survivor()
            cluster.crash(name)
            cluster.make(name, storage=survivor, processors=processors_of(lambda: slow))
        await asyncio.gather(*(node.start() for node in cluster.nodes.values()))
        await cluster.until_led('abc', seconds=8 * T)
        assert cluster['a'].status.applied_index < cluster['a'].status.last_index
        call = asyncio.create_task(cluster['a'].execute('wait', timeout=60))
        await asyncio.sleep(T)
        assert not call.done()
        gate.set()
        await call


async def test_ledger_of_a_new_node_starts_empty_and_is_filled_from_the_log() -> None:
    """Design §4, Storage: entries are applied once known committed."""
    storage = MemoryStorage()
    async with Cluster('') as cluster:
        cluster.make('a', storage=storage)
        await join(cluster, 'a')
        for number in range(5):
            await cluster['a'].execute('add', number)
        await cluster['a'].stop()
        ledger = Ledger()
        cluster.make('a', storage=storage, state_machine=ledger)
        await cluster['a'].start()
        assert await cluster['a'].query('entries') == [*range(5)]
