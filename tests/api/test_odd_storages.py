"""Storages that are odd, but keep to the port: they are used, and given back."""

from typing import Any

import pytest

from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster

pytestmark = in_virtual_time


class CountedStorage(MemoryStorage):
    """A storage that is falsy as long as nothing is in it."""

    writes = 0

    def __len__(self) -> int:
        return self.writes

    def write(self, write: Any) -> Any:
        self.writes += 1
        return super().write(write)


async def test_storage_that_is_empty_and_therefore_falsy_is_used() -> None:
    """An empty collection is no missing argument."""
    storage = CountedStorage()
    async with Cluster('') as cluster:
        cluster.make('a', storage=storage)
        assert await cluster['a'].solo() is None
        assert len(storage)


class OddStorage(MemoryStorage):
    """A storage that loads something else once."""

    is_odd = True

    def load(self) -> Any:
        stored = super().load()
        return 'odd' if self.is_odd else stored


async def test_storage_is_given_back_when_what_it_loads_makes_no_node() -> None:
    """Whatever went wrong at a start, the next one may use the storage."""
    storage = OddStorage()
    async with Cluster('') as cluster:
        cluster.make('a', storage=storage)
        with pytest.raises(AttributeError):
            await cluster['a'].start()
        storage.is_odd = False
        assert await cluster['a'].solo() is None
