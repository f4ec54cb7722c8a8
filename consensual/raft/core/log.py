"""The log: entries, the payloads they carry, and their order (§5.3).

Knows nothing of roles, peers or durability.
"""

from bisect import bisect_left, bisect_right
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
    """The entries after `base_index`, up to `last_index`; those before were compacted away.

    base_index: the last index of which no entry is here, only its term and its time; 0 in a
        log that was never compacted.
    Every operation costs the same however long the log is.
    """

    __slots__ = '_base_time', '_entries', '_sizes', '_term_starts', '_terms', 'base_index'

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        base_index: int = 0,
        base_term: int = 0,
        base_time: float = 0.0,
    ) -> None:
        self.base_index = base_index
        self.replace(base_index, base_term, base_time)
        self.append(entries)

    def __repr__(self) -> str:
        return (
            f'Log(base_index={self.base_index}, last_index={self.last_index}, '
            f'last_term={self.last_term})'
        )

    @property
    def first_index(self) -> int:
        """The index of the first entry that is here, or would be."""
        return self.base_index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry, here or compacted away; 0 when there never was one."""
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 when there never was one."""
        return self._terms[-1]

    def term_at(self, index: int) -> int:
        """Return the term of the entry, of `base_index` at the earliest; 0 for index 0."""
        if index == self.base_index:
            return self._terms[0]
        return self._entries[self._position(index)].term

    def time_at(self, index: int) -> float:
        """Return the stamp of the entry, of `base_index` at the earliest; 0 for index 0."""
        if index == self.base_index:
            return self._base_time
        return self._entries[self._position(index)].time

    def entry_at(self, index: int) -> Entry:
        """Return the entry at that index."""
        return self._entries[self._position(index)]

    def matches(self, index: int, term: int) -> bool:
        """Tell whether an entry of that index and term is known here (§5.3)."""
        return self.base_index <= index <= self.last_index and self.term_at(index) == term

    def entries(self, first: int, last: int) -> list[Entry]:
        """Return the entries `first` to `last`, both included."""
        return self._entries[self._position(first) : last - self.base_index]

    def size(self, first: int, last: int) -> int:
        """Return about how many bytes the entries `first` to `last` take."""
        if last < first:
            return 0
        return self._sizes[last - self.base_index] - self._sizes[self._position(first)]

    def last_within(self, first: int, size: int) -> int:
        """Return the last index such that entries from `first` on stay in `size` bytes.

        At least one entry is granted, however large.
        """
        end = bisect_right(self._sizes, self._sizes[self._position(first)] + size) - 1
        return max(first, self.base_index + end)

    def first_within(self, last: int, size: int) -> int:
        """Return the first index such that entries from there to `last` stay in `size` bytes."""
        return self.first_index + bisect_left(
            self._sizes, self._sizes[last - self.base_index] - size
        )

    def last_of_term_at_most(self, term: int, index: int) -> int:
        """Return the largest index up to `index` whose term is at most `term`.

        Found through the terms, not the entries. Where no such index is known it is one before
        `base_index`; 0 in a log that was never compacted.
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
                self._term_starts.append(self.last_index + 1)
            self._entries.append(entry)
            total += payload_size(entry.payload)
            self._sizes.append(total)

    def truncate(self, first: int) -> None:
        """Drop the entries from `first` on."""
        position = self._position(first)
        del self._entries[position:]
        del self._sizes[position + 1 :]
        while self._term_starts[-1] >= first:
            self._terms.pop()
            self._term_starts.pop()

    def compact(self, base_index: int) -> None:
        """Drop the entries up to `base_index`; its term and time are kept (§7)."""
        if base_index == self.base_index:
            return
        term, self._base_time = self.term_at(base_index), self.time_at(base_index)
        dropped = base_index - self.base_index
        del self._entries[:dropped]
        del self._sizes[:dropped]
        later = bisect_right(self._terms, term)
        self._terms[:later], self._term_starts[:later] = [term], [base_index]
        self.base_index = base_index

    def replace(self, base_index: int, base_term: int, base_time: float) -> None:
        """Drop everything; what comes next follows `base_index`."""
        self.base_index, self._base_time = base_index, base_time
        self._entries: list[Entry] = []
        self._sizes: list[int] = [0]
        self._terms: list[int] = [base_term]
        self._term_starts: list[int] = [base_index]

    def _position(self, index: int) -> int:
        """Return where the entry of that index is, or would be, among those that are here."""
        if index <= self.base_index:
            raise InvariantViolated(
                f'entry {index} was compacted away, as all to {self.base_index}'
            )
        return index - self.first_index
