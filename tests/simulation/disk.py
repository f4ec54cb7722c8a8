"""A storage that shows what is written to it, around the MemoryStorage that keeps it.

The port, load, write and close, is all that is used of it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Optional

from consensual.raft.core.effects import HardState, Stored, Write
from consensual.raft.core.log import Entry
from consensual.storage import MemoryStorage

NOBODY = HardState('')


class ObservedStorage:
    """Shows hard state and log as last handed in, and everything that was ever durable.

    votes: whom each term's vote went to, durable or not yet; a crash forgets the latter.
    on_write: called with each write, before it is made, after it is recorded here.
    is_settled: no write is under way, and the node has had time to issue the next one.
    """

    def __init__(self, inner: MemoryStorage, steps: Callable[[], int]) -> None:
        self.hard_state = NOBODY
        self.entries: list[Entry] = []
        self.votes: dict[tuple[str, int], tuple[str, str]] = {}
        self.durable_votes: set[tuple[str, int, str, str]] = set()
        self.durable_terms: dict[str, int] = {}
        self.durable_entries: set[tuple[str, int, int]] = set()
        self.on_write: Callable[[HardState, int, list[Entry]], None] = lambda *_: None
        self._inner = inner
        self._steps = steps
        self._settled_at: Optional[int] = 0
        self._completed_at = 0
        self.durable_incarnation = ''

    @property
    def is_settled(self) -> bool:
        return self._settled_at is not None and self._steps() >= self._settled_at

    def holds_vote(self, incarnation: str, term: int, vote: tuple[str, str]) -> bool:
        """The vote is or was durable, or can no longer be given to another."""
        return (
            (incarnation, term, *vote) in self.durable_votes
            or self.durable_terms.get(incarnation, 0) > term
            or self._is_over(incarnation)
        )

    def holds_term(self, incarnation: str, term: int) -> bool:
        """The term is or was durable, or its incarnation is no more."""
        return self.durable_terms.get(incarnation, 0) >= term or self._is_over(incarnation)

    def holds_entry(self, incarnation: str, index: int, term: int) -> bool:
        """The entry is or was durable, or was replaced by what is durable now."""
        if (incarnation, index, term) in self.durable_entries or self._is_over(incarnation):
            return True
        is_there = len(self.entries) >= index and self.entries[index - 1].term == term
        return not is_there and self._steps() <= self._completed_at + 5

    def _is_over(self, incarnation: str) -> bool:
        return self.durable_incarnation != incarnation and incarnation in self.durable_terms

    def load(self) -> Optional[Stored]:
        stored = self._inner.load()
        if stored is not None:
            self.hard_state, self.entries = stored.hard_state, [*stored.entries]
            self._note_durable(Write(0, self.hard_state, 1, self.entries), self.hard_state)
            state = self.hard_state
            if state.voted_for:
                vote = state.voted_for, state.voted_incarnation
                self.votes[state.incarnation, state.current_term] = vote
        return stored

    def write(self, write: Write) -> Optional[Awaitable[None]]:
        before, replaced = self.hard_state, self.entries
        first = len(self.entries) + 1 if write.first_index is None else write.first_index
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.first_index is not None:
            self.entries = self.entries[: first - 1] + list(write.entries)
        self.on_write(before, first, replaced)
        written, hard_state = self._inner.write(write), self.hard_state
        if written is None:
            self._note_durable(write, hard_state)
            return None
        self._settled_at = None
        return self._wait(write, hard_state, written)

    async def _wait(self, write: Write, hard_state: HardState, written: Awaitable[Any]) -> None:
        await written
        self._note_durable(write, hard_state)
        self._settled_at = self._steps() + 5

    def _note_durable(self, write: Write, hard_state: HardState) -> None:
        state, incarnation = hard_state, hard_state.incarnation
        self.durable_votes.add(
            (incarnation, state.current_term, state.voted_for, state.voted_incarnation)
        )
        self.durable_terms[incarnation] = state.current_term
        self.durable_incarnation = incarnation
        self._completed_at = self._steps()
        if write.first_index is not None:
            self.durable_entries.update(
                (incarnation, index, entry.term)
                for index, entry in enumerate(write.entries, write.first_index)
            )

    def close(self) -> None:
        self._inner.close()

    def survivor(self) -> MemoryStorage:
        """Return what a crash at this moment leaves."""
        return self._inner.survivor()
