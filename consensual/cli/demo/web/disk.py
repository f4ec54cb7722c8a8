"""The disk of a node in the demo: a storage in memory, the end of whose log can be looked at.

What a write comes to is the business of `MemoryStorage`.
"""

from collections.abc import Sequence
from typing import Optional

from msgspec import Struct

from consensual.raft import Entry, Stored, Write
from consensual.raft.core.log import Command, NoOp, OpenSession
from consensual.storage import MemoryStorage

CELLS = 40
"""Entries that are shown, of each log the last ones."""


class Cell(Struct, frozen=True, array_like=True, gc=False):
    """An entry of a log, as it is to be drawn; `text` is a command's parameters, as JSON."""

    index: int
    term: int
    kind: str
    text: str


class Disk:
    """Keeps a node's data; what it holds outlives a crash of the node.

    memory: what is stored.
    cells: what is shown of its log.
    term: that is stored.
    """

    def __init__(self, memory: MemoryStorage, cells: Sequence[Cell] = (), term: int = 0) -> None:
        self._memory = memory
        self._cells = list(cells)
        self.term = term

    def __repr__(self) -> str:
        return f'Disk({self._memory!r})'

    @property
    def cells(self) -> list[Cell]:
        """The last entries of the log."""
        return self._cells[-CELLS:]

    def survivor(self) -> 'Disk':
        """Return what a crash at this moment leaves."""
        return Disk(self._memory.survivor(), self._cells, self.term)

    def load(self) -> Optional[Stored]:
        """Take possession and return what was written."""
        return self._memory.load()

    def write(self, write: Write) -> None:
        """Take the write; it is durable at once."""
        self._memory.write(write)
        if write.hard_state is not None:
            self.term = write.hard_state.current_term
        if write.first_index is not None:
            first = write.first_index
            self._cells = [cell for cell in self._cells if cell.index < first]
            self._cells += [_cell(index, entry) for index, entry in enumerate(write.entries, first)]
        if write.log_start is not None:
            self._cells = [cell for cell in self._cells if cell.index >= (write.log_start or 0)]
        del self._cells[: -2 * CELLS]  # twice as many as are shown: some may be truncated

    def close(self) -> None:
        """Give up possession."""
        self._memory.close()


def _cell(index: int, entry: Entry) -> Cell:
    match entry.payload:
        case Command(parameters=parameters):
            return Cell(index, entry.term, 'command', parameters)
        case NoOp():
            return Cell(index, entry.term, 'no-op', '')
        case OpenSession():
            return Cell(index, entry.term, 'session', '')
    return Cell(index, entry.term, 'configuration', '')
