"""A storage in memory: as durable as the process, or as late as a test wants it.

Implements the driver's Storage port; knows no rule of Raft.
"""

from collections.abc import Awaitable, Callable
from typing import Optional

from consensual.raft.core.effects import HardState
from consensual.raft.core.log import Entry
from consensual.raft.driver.ports import Stored, Write
from consensual.raft.errors import StorageLocked

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
        return None if self._hard_state is None else Stored(self._hard_state, [*self._entries])

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
        copy._hard_state, copy._entries = self._hard_state, [*self._entries]
        return copy

    async def _take_later(self, write: Write, durable: Awaitable[None]) -> None:
        await durable
        self._take(write)

    def _take(self, write: Write) -> None:
        if write.hard_state is not None:
            self._hard_state = write.hard_state
        if write.first_index is not None:
            del self._entries[write.first_index - 1 :]
            self._entries.extend(write.entries)
