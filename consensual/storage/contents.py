"""What a storage holds, in memory, changed write by write.

Says what a write comes to; when it is durable, and whose it is, each storage knows by itself.
"""

from collections.abc import Sequence
from copy import copy
from typing import Optional, Self

from consensual.raft.core.effects import HardState, Snapshot
from consensual.raft.core.log import Entry
from consensual.raft.driver.ports import Stored, Write
from consensual.storage.extent import Extent, erases


class Contents:
    """A hard state, a snapshot, and the entries from `first_index` on."""

    __slots__ = '_entries', '_extent', 'hard_state', 'snapshot'

    def __init__(self) -> None:
        self.hard_state: Optional[HardState] = None
        self.snapshot: Optional[Snapshot] = None
        self._extent = Extent()
        self._entries: list[Entry] = []

    def __repr__(self) -> str:
        return f'Contents({self.hard_state}, {len(self._entries)} from {self.first_index} on)'

    @property
    def first_index(self) -> int:
        """Where the log begins."""
        return self._extent.first

    @property
    def entries(self) -> Sequence[Entry]:
        """The log, to be read only."""
        return self._entries

    @property
    def last_index(self) -> int:
        """The last index that is known here, by an entry or by the snapshot; 0 for none."""
        covered = self.snapshot.index if self.snapshot is not None else 0
        return max(covered, self._extent.end - 1)

    def stored(self) -> Optional[Stored]:
        """Return it all, None when nothing was written."""
        if self.hard_state is None:
            return None
        return Stored(self.hard_state, [*self._entries], self.snapshot, self.first_index)

    def copy(self) -> Self:
        """Return the same, which later writes do not change."""
        copied = copy(self)
        copied._entries = [*self._entries]  # noqa: SLF001 - one of its own kind
        return copied

    def take(self, write: Write) -> None:
        """Take a write. Raises `InvariantViolated` for one that would leave a gap."""
        extent = self._extent.after(write)
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if self.snapshot is not None and erases(write, self.snapshot.index):
            self.snapshot = None
        if write.snapshot is not None:
            self.snapshot = write.snapshot
        first = self._extent.first
        if write.first_index is not None:
            first = min(first, write.first_index)
            del self._entries[write.first_index - first :]
            self._entries.extend(write.entries)
        del self._entries[: len(self._entries) - (extent.end - extent.first)]
        self._extent = extent
