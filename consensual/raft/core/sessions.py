"""Client sessions: a command is applied once, however often it is in the log (thesis §6.3).

Part of the replicated state: every node comes to the same table, in the log's
own order. What an outcome holds is the applier's business.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, Optional, TypeVar

from consensual.raft.core.log import Command

Outcome = TypeVar('Outcome')


class Session(Generic[Outcome]):
    """What one client had applied and may still ask about.

    lowest: the client is done with every sequence below.
    outcomes: of the sequences from there up that were applied.
    """

    __slots__ = 'lowest', 'outcomes'

    def __init__(self) -> None:
        self.lowest = 0
        self.outcomes: dict[int, Outcome] = {}

    def forget_below(self, lowest: int) -> None:
        """Drop the outcomes that the client is done with; however far the mark moves."""
        if lowest - self.lowest <= len(self.outcomes):
            for sequence in range(self.lowest, lowest):
                self.outcomes.pop(sequence, None)
        else:
            self.outcomes = {
                sequence: outcome
                for sequence, outcome in self.outcomes.items()
                if sequence >= lowest
            }
        self.lowest = max(self.lowest, lowest)


class Sessions(Generic[Outcome]):
    """At most `capacity` sessions; the one that was used longest ago goes first."""

    __slots__ = '_capacity', '_sessions'

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[int, Session[Outcome]] = OrderedDict()

    def __repr__(self) -> str:
        return f'Sessions({len(self._sessions)} of {self._capacity})'

    @property
    def by_id(self) -> Mapping[int, Session[Outcome]]:
        """The sessions, the one used longest ago first."""
        return self._sessions

    def open(self, index: int) -> None:
        """Open the session whose id is the index of its entry; evict another if need be."""
        self._sessions[index] = Session()
        if len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)

    def resume(self, index: int, lowest: int, outcomes: dict[int, Outcome]) -> None:
        """Take up a session as it was; the one used longest ago is to be taken up first."""
        session = self._sessions[index] = Session()
        session.lowest, session.outcomes = lowest, outcomes

    def find(self, command: Command) -> Optional[Session[Outcome]]:
        """Return the session in which the command counts, None when it must not be applied.

        A command of an unknown or evicted session, or below the mark that its
        client gave, may have been applied before: nobody remembers.
        """
        session = self._sessions.get(command.session)
        if session is None:
            return None
        self._sessions.move_to_end(command.session)
        session.forget_below(command.lowest)
        return session if command.sequence >= session.lowest else None
