"""Data belong to one node: another one is refused, and nothing is changed (design §4, Identity)."""

from typing import Any

import pytest

from consensual.raft import HardState, Stored
from consensual.raft.errors import StorageMismatch
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, urls_of

pytestmark = in_virtual_time


class WatchedStorage(MemoryStorage):
    """A storage that counts what is done to it."""

    writes = closings = 0

    def write(self, write: Any) -> Any:
        self.writes += 1
        return super().write(write)

    def close(self) -> None:
        self.closings += 1
        super().close()


async def test_node_does_not_start_with_the_data_of_another_one() -> None:
    """It would answer in that one's name; the error names both, and says what to do."""
    storage = WatchedStorage()
    async with Cluster('') as cluster:
        owner, other = (cluster.make(name, storage=storage) for name in 'ab')
        assert await owner.solo() is None
        assert await owner.execute('add', 1) == 1
        await owner.stop()
        before = storage.survivor().load()
        writes, closings = storage.writes, storage.closings
        for number in (1, 2):
            with pytest.raises(StorageMismatch) as raised:
                await other.start()
            assert storage.closings == closings + number, 'it is given back'
        text = str(raised.value)
        assert text.startswith(f'{storage!r} holds the data of a, and b wanted to start with them')
        assert text.endswith(': python -m consensual storage readdress PATH memory://b/')
        assert await other.solo() == text
        assert other.status.role == 'detached'
        assert storage.writes == writes, 'nothing is changed'
        assert storage.survivor().load() == before
        await owner.start()
        await owner.ensure_linearizable()
        assert cluster.ledgers['a'].entries == [1]


@pytest.mark.parametrize('is_reset', [False, True])
async def test_data_stay_those_of_their_node_when_it_leaves(is_reset: bool) -> None:
    """Neither leaving a cluster nor a reset makes them anybody's."""
    storage = MemoryStorage()
    async with Cluster('') as cluster:
        owner = cluster.make('a', storage=storage)
        assert await owner.solo() is None
        for _ in range(1 + is_reset):
            assert await owner.detach() is None
        await owner.stop()
        with pytest.raises(StorageMismatch, match='holds the data of a'):
            await cluster.make('b', storage=storage).start()


async def test_newcomer_is_the_owner_of_its_data_from_the_first_write_on() -> None:
    async with Cluster('') as cluster:
        storages = {name: MemoryStorage() for name in 'ab'}
        for name in 'ab':
            cluster.make(name, storage=storages[name])
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes(urls_of('b')) is None
        for name in 'ab':
            stored = storages[name].survivor().load()
            assert stored is not None
            assert stored.hard_state.node_id == name


async def test_data_that_name_nobody_become_those_of_who_starts_with_them() -> None:
    """A storage of the user's own may have been filled by hand."""

    class Filled(MemoryStorage):
        def load(self) -> Stored:
            return super().load() or Stored(HardState('an incarnation'))

    storage = Filled()
    async with Cluster('') as cluster:
        assert await cluster.make('a', storage=storage).solo() is None
        stored = storage.survivor().load()
        assert stored is not None
        assert (stored.hard_state.node_id, stored.hard_state.incarnation) == ('a', 'an incarnation')
