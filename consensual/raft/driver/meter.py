"""The meter: what a node does, in counts and seconds, for whoever observes it.

Looks at the core's state and effects, once a turn; no rule of Raft, and nothing per command
beyond counting it.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Optional

from consensual.raft.core.effects import Effects
from consensual.raft.core.log import Command
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.ports import Observer


class Meter:
    """Tells a node's observers; where there are none, nobody is to call it.

    observers: who is told.
    """

    def __init__(self, applier: Applier) -> None:
        self.observers: list[Observer] = []
        self._applier = applier
        self._loop: Optional[AbstractEventLoop] = None
        self._term: Optional[int] = None
        self._last_index = 0
        self._appended: deque[tuple[int, int, float]] = deque()
        self._committed: deque[tuple[int, int, float]] = deque()
        self._is_watching = False

    def __repr__(self) -> str:
        return f'Meter({len(self.observers)} observers)'

    def add(self, observer: Observer, state: Optional[State]) -> Callable[[], None]:
        """Tell the observer, too, from now on, until what is returned is called.

        state: that of the run that goes on, if one does.
        """
        if not self.observers:
            self._begin(state)
        self.observers.append(observer)

        def end() -> None:
            if observer in self.observers:
                self.observers.remove(observer)

        return end

    def begin(self, loop: AbstractEventLoop) -> None:
        """A run of the node begins, on that loop."""
        self._loop = loop
        self._is_watching = False
        self._begin(None)

    def _begin(self, state: Optional[State]) -> None:
        self._term = None if state is None else state.current_term
        self._last_index = 0 if state is None else state.log.last_index
        self._appended.clear()
        self._committed.clear()

    def take(self, state: State, effects: Effects, now: float) -> None:
        """Look at what a turn came to."""
        if self._term is None:
            self._term, self._last_index = state.current_term, state.log.last_index
        self._note_election(state)
        if isinstance(state.role, Leader):
            self._note_appended(state, now)
        else:
            self._appended.clear()
        self._last_index = state.log.last_index
        if effects.reset or effects.restore is not None:
            self._committed.clear()
        if effects.committed:
            commands = sum(type(entry.payload) is Command for entry in effects.committed)
            last = effects.first_committed + len(effects.committed) - 1
            self._committed.append((last, commands, now))
            self._watch()

    def _note_election(self, state: State) -> None:
        """Whoever votes for itself stands for election (§5.2)."""
        if self._term != state.current_term:
            voted_for = state.voted_for
            if voted_for is not None and voted_for[0] == state.id:
                for observer in self.observers:
                    observer.election_begun()
        self._term = state.current_term

    def _note_appended(self, state: State, now: float) -> None:
        count = state.log.last_index - self._last_index
        if count > 0:
            self._appended.append((state.log.last_index, count, now))
        while self._appended and self._appended[0][0] <= state.commit_index:
            _, count, since = self._appended.popleft()
            for observer in self.observers:
                observer.entries_committed(count, now - since)

    def _watch(self) -> None:
        """Be called when the first of what was committed is applied."""
        if self._committed and not self._is_watching:
            self._is_watching = True
            self._applier.when_applied(self._committed[0][0], self._note_applied)

    def _note_applied(self) -> None:
        self._is_watching = False
        now = self._loop.time() if self._loop is not None else 0.0
        while self._committed and self._committed[0][0] <= self._applier.applied_index:
            _, commands, since = self._committed.popleft()
            for observer in self.observers if commands else ():
                observer.commands_applied(commands, now - since)
        self._watch()

    def wrote(self, seconds: float) -> None:
        """A write is durable."""
        for observer in self.observers:
            observer.written(seconds)

    def took_snapshot(self, size: int, seconds: float) -> None:
        """A snapshot of that many bytes was taken."""
        for observer in self.observers:
            observer.snapshot_taken(size, seconds)
