"""The storage in memory keeps the contract of a storage, at once and late (design §2, §4)."""

import asyncio
from functools import cached_property

import pytest

from consensual.raft import Storage
from consensual.storage import MemoryStorage
from consensual.testing.conformance import StorageConformance


class TestMemoryStorage(StorageConformance):
    """Its data are lost with the object, so the object is what stays; a crash leaves a copy."""

    pytestmark = pytest.mark.looptime(idle_timeout=2)

    @cached_property
    def storages(self) -> dict[str, MemoryStorage]:
        return {}

    def make(self) -> MemoryStorage:
        return MemoryStorage()

    def open(self, name: str) -> MemoryStorage:
        return self.storages.setdefault(name, self.make())

    def crash(self, storage: Storage, name: str) -> None:
        assert isinstance(storage, MemoryStorage)
        self.storages[name] = storage.survivor()


class TestLateMemoryStorage(TestMemoryStorage):
    """What is durable some turns of the loop later keeps the same contract."""

    def make(self) -> MemoryStorage:
        async def later() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        return MemoryStorage(later=later)
