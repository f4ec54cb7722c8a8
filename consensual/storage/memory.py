"""A storage in memory: as durable as the process, or as late as a test wants it.

Implements the driver's Storage port; knows no rule of Raft.
"""

from collections.abc import Awaitable, Callable
from typing import Optional

from consensual.raft.core.effects import HardState, Snapshot
from consensual.raft.core.log import Entry
from consensual.raft.driver.ports import Stored, Write
from consensual.raft.errors import StorageLocked
from consensual.storage.extent import Extent, erases

Later = Callable[[], Awaitable[None]]


class MemoryStorage:
    """Keeps a node's data in memory: it survives `stop()`, and nothing else.

    later: where given, a write is durable only once the awaitable that this
        returns is done, so that tests decide when; it fails if that raises.
        Without it every write is durable at once.
    """

    def __init__(self, *, later: Optional[Later] = None) -> None:
        self._later = later
        self._hard_state: Optional[HardState] = None
        self._snapshot: Optional[Snapshot] = None
        self._extent = Extent()
        self._entries: list[Entry] = []
        self._is_in_use = False

    def __repr__(self) -> str:
        return f'MemoryStorage({len(self._entries)} entries)'

    def load(self) -> Optional[Stored]:
        """Return what is durable, None when nothing was written.

        Raises `StorageLocked` while a node uses it.
        """
        if self._is_in_use:
            raise StorageLocked(f'{self!r} is in use by a node: give each node its own storage')
        self._is_in_use = True
        if self._hard_state is None:
            return None
        return Stored(self._hard_state, [*self._entries], self._snapshot, self._extent.first)

    def write(self, write: Write) -> Optional[Awaitable[None]]:
        """Take the write; see `later`."""
        if self._later is not None:
            return self._take_later(write, self._later())
        self._take(write)
        return None

    def close(self) -> None:
        """Let another node use it."""
        self._is_in_use = False

    def survivor(self) -> 'MemoryStorage':
        """Return a copy with what is durable now: what a crash at this moment leaves."""
        copy = MemoryStorage(later=self._later)
        copy._hard_state, copy._snapshot = self._hard_state, self._snapshot
        copy._extent, copy._entries = self._extent, [*self._entries]
        return copy

    async def _take_later(self, write: Write, durable: Awaitable[None]) -> None:
        await durable
        self._take(write)

    def _take(self, write: Write) -> None:
        extent = self._extent.after(write)
        if write.hard_state is not None:
            self._hard_state = write.hard_state
        if self._snapshot is not None and erases(write, self._snapshot.index):
            self._snapshot = None
        if write.snapshot is not None:
            self._snapshot = write.snapshot
        first = self._extent.first
        if write.first_index is not None:
            first = min(first, write.first_index)
            del self._entries[write.first_index - first :]
            self._entries.extend(write.entries)
        del self._entries[: len(self._entries) - (extent.end - extent.first)]
        self._extent = extent
