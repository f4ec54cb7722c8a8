"""The storage on SQLite keeps the contract of a storage, on real files (design §4)."""

import shutil
from functools import cached_property
from pathlib import Path

from consensual.raft import Storage
from consensual.storage import SQLiteStorage
from consensual.testing.conformance import StorageConformance


class TestSQLiteStorage(StorageConformance):
    """A crash leaves what the kernel has of both files: so they are copied while in use.

    The log first: it only grows at its end, and the file changes at checkpoints only, which
    come after a thousand writes or at close; so no write is in neither copy.
    """

    sequences = 15

    @cached_property
    def paths(self) -> dict[str, Path]:
        return {}

    def open(self, name: str) -> SQLiteStorage:
        return SQLiteStorage(self.paths.setdefault(name, self.directory / f'{name}.db'))

    def crash(self, storage: Storage, name: str) -> None:
        assert isinstance(storage, SQLiteStorage)
        source = self.paths[name]
        target = self.paths[name] = source.with_name(f'{source.stem}+.db')
        for suffix in ('-wal', ''):
            shutil.copyfile(f'{source}{suffix}', f'{target}{suffix}')
