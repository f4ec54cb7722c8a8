"""The safety properties of Raft (Figure 3) and this library's promises, as names and records.

One record per cluster id: whoever goes solo begins another cluster, with the
history that it has.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

from consensual.raft.core.log import Command, Entry

ELECTION_SAFETY = 'Election Safety'
LEADER_APPEND_ONLY = 'Leader Append-Only'
LOG_MATCHING = 'Log Matching'
LEADER_COMPLETENESS = 'Leader Completeness'
STATE_MACHINE_SAFETY = 'State Machine Safety'
COMMITTED_STAYS = 'what is committed stays in the log'
ONE_VOTE = 'one vote per term'
MONOTONE = 'term, commit index and applied index never go back'
IN_LOG = 'what is applied is in the log'
EXACTLY_ONCE = 'a command is applied once'
IN_ORDER = 'commands are applied in log order, in a time that never goes back'
ACKNOWLEDGED = 'what is acknowledged is applied, and stays'
REFUSED = 'what is refused is never applied'
LINEARIZABLE = 'a read sees what was completed before it'
DURABLE = 'nothing is revealed before it is durable'
CHANGE_DONE = 'a change that is reported done is in the log'
CALLS_END = 'every call ends, with a documented outcome'
NO_FAILURE = 'no node fails'
TOLD = 'a node that is no member any more comes to know it'
LIVENESS = 'a cluster with a majority makes progress'


@dataclass(frozen=True)
class Violation:
    """One invariant that did not hold."""

    invariant: str
    text: str
    at: float

    def __str__(self) -> str:
        return f'[{self.at:.4f}] {self.invariant}: {self.text}'


@dataclass
class Cluster:
    """What is known of one cluster id.

    leaders: the replica that led a term.
    leader_logs: the log that it led with, at its first write as a leader.
    entries: every entry that was ever in a log, by index and term, and the term before it.
    committed: entries known committed, and the lowest term in which that was seen.
    applied: what was applied at an index: term, time and command.
    acknowledged: the commands that a caller was told are applied.
    """

    leaders: dict[int, Any] = field(default_factory=dict)
    leader_logs: dict[int, list[Entry]] = field(default_factory=dict)
    entries: dict[tuple[int, int], tuple[Entry, int]] = field(default_factory=dict)
    committed: dict[int, tuple[Entry, int]] = field(default_factory=dict)
    applied: dict[int, tuple[int, float, int]] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)

    def lead(self, term: int, who: Any) -> Optional[str]:
        """At most one leader per term (§5.2)."""
        if self.leaders.setdefault(term, who) is not who:
            return f'{who} leads term {term}, which {self.leaders[term]} led'
        return None

    def note_entries(self, log: list[Entry], first: int) -> Optional[str]:
        """Same index and term, same entry and same entries before (§5.3)."""
        for index in range(first, len(log) + 1):
            entry = log[index - 1]
            known = entry, log[index - 2].term if index > 1 else 0
            if self.entries.setdefault((index, entry.term), known) != known:
                other = self.entries[index, entry.term]
                return f'entry {index} is {known} here and {other} elsewhere'
        return None

    def begin_to_lead(self, term: int, log: list[Entry]) -> Optional[str]:
        """A leader has every entry committed in earlier terms (§5.4)."""
        if term in self.leader_logs:
            return None
        self.leader_logs[term] = log
        for index, (entry, committed_in) in self.committed.items():
            if committed_in < term and (len(log) < index or log[index - 1] != entry):
                return _lacks(term, index, entry, log)
        return None

    def commit(self, index: int, entry: Entry, term: int) -> tuple[Optional[str], Optional[str]]:
        """Return what is wrong with the committed entry, and with who leads later terms."""
        known, committed_in = self.committed.get(index, (entry, term))
        wrong = None
        if known != entry:
            wrong = f'entry {index} was committed as {known}, and now as {entry}'
        if index in self.committed and committed_in <= term:
            return wrong, None
        self.committed[index] = known, term
        for later, log in self.leader_logs.items():
            if later > term and (len(log) < index or log[index - 1] != entry):
                return wrong, _lacks(later, index, entry, log)
        return wrong, None

    def apply(self, index: int, what: tuple[int, float, int]) -> Optional[str]:
        """No two nodes apply different commands at one index (§5.4.3)."""
        known = self.applied.setdefault(index, what)
        if known != what:
            return f'at {index}, {what} is applied, and elsewhere {known}'
        return None

    def check_applied(self, index: int) -> Optional[str]:
        """What is applied is what is committed there."""
        if index not in self.applied or index not in self.committed:
            return None
        command, entry = self.applied[index][2], self.committed[index][0]
        if isinstance(entry.payload, Command) and entry.payload.parameters == str(command):
            return None
        return f'{command} is applied at {index}, where {entry} is committed'


def _lacks(term: int, index: int, entry: Entry, log: list[Entry]) -> str:
    has = log[index - 1] if index <= len(log) else None
    return f'the leader of term {term} has {has} at {index}, where {entry} is committed'
