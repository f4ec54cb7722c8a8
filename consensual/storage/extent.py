"""Which entries a storage holds: from `first` on, up to but without `end`.

Indices only; what is at them, and how it is kept, each storage knows by itself.
"""

from typing import NamedTuple

from consensual.raft.core.effects import Write
from consensual.raft.errors import InvariantViolated


class Extent(NamedTuple):
    """The entries of a log, which has no gap; `first == end` when there are none."""

    first: int = 1
    end: int = 1

    def after(self, write: Write) -> 'Extent':
        """Return what it is after the write.

        Raises `InvariantViolated` when the write would leave a gap.
        """
        first, end = self
        if write.first_index is not None:
            is_replaced = write.log_start is not None and write.log_start >= write.first_index
            if not is_replaced and not 1 <= write.first_index <= end:
                raise InvariantViolated(
                    f'a write begins at index {write.first_index}, the log ends before {end}'
                )
            first, end = min(first, write.first_index), write.first_index + len(write.entries)
        if write.log_start is not None:
            first = max(first, write.log_start)
            end = max(first, end)
        return Extent(first, end)


def erases(write: Write, snapshot_index: int) -> bool:
    """Tell whether the write takes away the snapshot up to that index, and brings no other.

    What is cut off from an index on includes a snapshot that covers that index: only
    a reset does so.
    """
    return (
        write.snapshot is None
        and write.first_index is not None
        and write.first_index <= snapshot_index
    )
