"""What a node does with a storage that can stage: snapshots do not hold up its log (design §3)."""

import asyncio
from typing import Any, Optional

import pytest

from consensual.raft import Write
from consensual.raft.errors import NodeStopped, StorageFailed
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, Ledger

pytestmark = in_virtual_time


class StagingStorage(MemoryStorage):
    """Stages when it is open, and waits, or fails, when it is not; keeps a diary."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.error: Optional[BaseException] = None
        self.diary: list[str] = []
        self.staged = b''

    async def stage(self, data: bytes) -> None:
        self.diary.append('begins')
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.diary.append('is ended')
            raise
        if self.error is not None:
            raise self.error
        self.staged = data
        self.diary.append('is staged')

    def write(self, write: Write) -> Any:
        if write.snapshot is not None:
            assert write.snapshot.data is self.staged
            self.diary.append('is written')
        return super().write(write)

    def close(self) -> None:
        self.diary.append('is closed')
        super().close()


class Snapshotted(Ledger):
    """A ledger that can be put down."""

    def snapshot(self) -> list[Any]:
        return [*self.entries]

    def restore(self, value: list[Any]) -> None:
        self.entries[:] = value


async def make_lone(cluster: Cluster) -> StagingStorage:
    """Make a cluster of one node, 'a', that applied a command."""
    storage = StagingStorage()
    cluster.make('a', storage=storage, state_machine=Snapshotted())
    cluster.before_stop = storage.open.set
    assert await cluster['a'].solo() is None
    assert await cluster['a'].execute('add', 'first') == 1
    return storage


async def test_data_are_staged_before_the_write_that_brings_them() -> None:
    async with Cluster('') as cluster:
        storage = await make_lone(cluster)
        await cluster['a'].take_snapshot()
        assert storage.diary == ['begins', 'is staged', 'is written']
        assert b'first' in storage.staged


async def test_commands_are_committed_while_data_are_staged() -> None:
    """The log goes on: the snapshot covers what it covered when it was taken."""
    async with Cluster('') as cluster:
        storage = await make_lone(cluster)
        storage.open.clear()
        covered = cluster['a'].status.applied_index
        taking = asyncio.create_task(cluster['a'].take_snapshot())
        for number in range(2, 50):
            assert await cluster['a'].execute('add', number) == number
        assert storage.diary == ['begins']
        assert not taking.done()
        assert cluster['a'].status.snapshot_index == 0
        storage.open.set()
        await taking
        assert cluster['a'].status.snapshot_index == covered


@pytest.mark.parametrize('error', [OSError(5, 'no disk'), asyncio.CancelledError()])
async def test_staging_that_fails_stops_the_node(error: BaseException) -> None:
    """Design §4: a write error; nothing is acknowledged after it."""
    async with Cluster('') as cluster:
        storage = await make_lone(cluster)
        storage.error = error
        with pytest.raises(StorageFailed, match='a write failed'):
            await cluster['a'].take_snapshot()
        with pytest.raises(StorageFailed, match='a write failed'):
            await cluster['a'].execute('add', 'second')


async def test_stop_ends_staging_before_it_gives_the_storage_back() -> None:
    async with Cluster('') as cluster:
        storage = await make_lone(cluster)
        storage.open.clear()
        taking = asyncio.create_task(cluster['a'].take_snapshot())
        await cluster.until(lambda: storage.diary)
        await cluster['a'].stop()
        assert storage.diary == ['begins', 'is ended', 'is closed']
        with pytest.raises(NodeStopped):
            await taking
