"""A storage in memory: as durable as the process, or as late as a test wants it.

Implements the driver's Storage port; knows no rule of Raft.
"""

from collections.abc import Awaitable, Callable
from typing import Optional

from consensual.raft.driver.ports import Stored, Write
from consensual.raft.errors import StorageLocked
from consensual.storage.contents import Contents

Later = Callable[[], Awaitable[None]]


class MemoryStorage:
    """Keeps a node's data in memory: it survives `stop()`, and nothing else.

    later: where given, a write is durable only once the awaitable that this
        returns is done, so that tests decide when; it fails if that raises.
        Without it every write is durable at once.
    """

    def __init__(self, *, later: Optional[Later] = None) -> None:
        self._later = later
        self._contents = Contents()
        self._is_in_use = False

    def __repr__(self) -> str:
        return f'MemoryStorage({len(self._contents.entries)} entries)'

    def load(self) -> Optional[Stored]:
        """Return what is durable, None when nothing was written.

        Raises `StorageLocked` while a node uses it.
        """
        if self._is_in_use:
            raise StorageLocked(f'{self!r} is in use by a node: give each node its own storage')
        self._is_in_use = True
        return self._contents.stored()

    def write(self, write: Write) -> Optional[Awaitable[None]]:
        """Take the write; see `later`."""
        if self._later is not None:
            return self._take_later(write, self._later())
        self._contents.take(write)
        return None

    def close(self) -> None:
        """Let another node use it."""
        self._is_in_use = False

    def survivor(self) -> 'MemoryStorage':
        """Return a copy with what is durable now: what a crash at this moment leaves."""
        copy = MemoryStorage(later=self._later)
        copy._contents = self._contents.copy()
        return copy

    async def _take_later(self, write: Write, durable: Awaitable[None]) -> None:
        await durable
        self._contents.take(write)
