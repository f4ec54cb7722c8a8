"""A storage that counts what it is handed, so that no measurement looks into the library."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Optional

from consensual.raft import Stored, Write
from consensual.storage import SQLiteStorage


class Counted:
    """A storage on SQLite; each write is one transaction and one sync.

    first, end: the log reaches from one up to the other, without it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = self.entries = self.snapshots = 0
        self.first = self.end = 1
        self._storage = SQLiteStorage(path)

    @property
    def size(self) -> int:
        """Bytes of the file and of the write-ahead log beside it."""
        paths = self.path, self.path.with_name(f'{self.path.name}-wal')
        return sum(path.stat().st_size for path in paths if path.exists())

    def load(self) -> Awaitable[Optional[Stored]]:
        return self._storage.load()

    def write(self, write: Write) -> Awaitable[None]:
        self.writes += 1
        self.entries += len(write.entries)
        self.snapshots += write.snapshot is not None
        if write.first_index is not None:
            self.first = min(self.first, write.first_index)
            self.end = write.first_index + len(write.entries)
        if write.log_start is not None:
            self.first = max(self.first, write.log_start)
            self.end = max(self.end, self.first)
        return self._storage.write(write)

    def stage(self, data: bytes) -> Awaitable[None]:
        return self._storage.stage(data)

    def close(self) -> Optional[Awaitable[None]]:
        return self._storage.close()
