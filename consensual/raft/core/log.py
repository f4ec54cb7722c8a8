"""The log: entries, the payloads they carry, and their order (§5.3).

Knows nothing of roles, peers or durability.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Union

from msgspec import Meta, Struct

from consensual.raft.core.configuration import Configuration
from consensual.raft.errors import InvariantViolated

ENTRY_OVERHEAD = 64
"""Bytes that an entry is reckoned to take beside its payload's text."""


Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A term, an index or a count, as a peer may send it."""


class NoOp(Struct, frozen=True, array_like=True, gc=False, tag='noop'):
    """What a new leader appends to learn what is committed (§8, thesis §6.4)."""


class OpenSession(Struct, frozen=True, array_like=True, gc=False, tag='session'):
    """Opens a client session, whose id is the entry's index (thesis §6.3).

    `opener` is drawn by the opener, to recognise its own entry.
    """

    opener: str


class Command(Struct, frozen=True, array_like=True, gc=False, tag='command'):
    """A command of the user, numbered by its client's session (thesis §6.3).

    `lowest` is the session's lowest sequence that was unfinished when the
    command was numbered; `parameters` is JSON text, encoded once.
    """

    session: Natural
    sequence: Natural
    lowest: Natural
    action: str
    parameters: str


class Reconfiguration(Struct, frozen=True, array_like=True, gc=False, tag='configuration'):
    """A configuration, in force as soon as it is appended (§6).

    `request` names the change that it belongs to; `failure` says why a change
    was given up, in the entry that gives it up.
    """

    configuration: Configuration
    request: str = ''
    failure: str = ''


Payload = Union[NoOp, OpenSession, Command, Reconfiguration]


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """A payload with the term of the leader that appended it, and its stamp.

    `time` is in seconds of the cluster's own clock (see `replication.stamp`).
    """

    term: Natural
    time: float
    payload: Payload


def payload_size(payload: Payload) -> int:
    """Return about how many bytes the payload takes in a message."""
    if type(payload) is Command:
        return ENTRY_OVERHEAD + len(payload.action) + len(payload.parameters)
    if type(payload) is Reconfiguration:
        return ENTRY_OVERHEAD * (1 + 3 * len(payload.configuration.members))
    return ENTRY_OVERHEAD


class Log:
    """Entries 1 to `last_index`. Every operation costs the same however long it is."""

    __slots__ = '_entries', '_sizes', '_term_starts', '_terms'

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._entries: list[Entry] = []
        self._sizes: list[int] = [0]
        self._terms: list[int] = [0]
        self._term_starts: list[int] = [0]
        self.append(entries)

    def __repr__(self) -> str:
        return f'Log(last_index={self.last_index}, last_term={self.last_term})'

    @property
    def last_index(self) -> int:
        """The index of the last entry, 0 when there is none."""
        return len(self._entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 when there is none."""
        return self._terms[-1]

    def term_at(self, index: int) -> int:
        """Return the term of the entry; 0 for index 0, which every log has."""
        return self._entries[index - 1].term if index else 0

    def entry_at(self, index: int) -> Entry:
        """Return the entry at that index."""
        return self._entries[index - 1]

    def matches(self, index: int, term: int) -> bool:
        """Tell whether an entry of that index and term is here (§5.3)."""
        return index <= self.last_index and self.term_at(index) == term

    def entries(self, first: int, last: int) -> list[Entry]:
        """Return the entries `first` to `last`, both included."""
        return self._entries[first - 1 : last]

    def size(self, first: int, last: int) -> int:
        """Return about how many bytes the entries `first` to `last` take."""
        return self._sizes[last] - self._sizes[first - 1] if last >= first else 0

    def last_within(self, first: int, size: int) -> int:
        """Return the last index such that entries from `first` on stay in `size` bytes.

        At least one entry is granted, however large.
        """
        end = bisect_right(self._sizes, self._sizes[first - 1] + size) - 1
        return max(first, end)

    def last_of_term_at_most(self, term: int, index: int) -> int:
        """Return the largest index up to `index` whose term is at most `term`.

        0 when there is none; found through the terms, not the entries.
        """
        position = bisect_right(self._terms, term)
        if position == len(self._terms):
            return index
        return min(index, self._term_starts[position] - 1)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries after the last one."""
        total = self._sizes[-1]
        for entry in entries:
            if entry.term != self._terms[-1]:
                if entry.term < self._terms[-1]:
                    raise InvariantViolated(
                        f'an entry of term {entry.term} after one of term {self._terms[-1]}'
                    )
                self._terms.append(entry.term)
                self._term_starts.append(len(self._entries) + 1)
            self._entries.append(entry)
            total += payload_size(entry.payload)
            self._sizes.append(total)

    def truncate(self, first: int) -> None:
        """Drop the entries from `first` on."""
        del self._entries[first - 1 :]
        del self._sizes[first:]
        while self._term_starts[-1] >= first:
            self._terms.pop()
            self._term_starts.pop()
