"""What is known of a whole cluster's past, and of each node's last turn.

Records only; what must hold of them is in `invariants`.
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Optional

from msgspec import Struct, field

from consensual.raft.core.configuration import Electorate, Incarnation
from consensual.raft.core.effects import Effects
from consensual.raft.core.log import Entry, Log, Reconfiguration
from consensual.raft.core.messages import Request
from consensual.raft.core.state import State
from consensual.storage.contents import Contents
from consensual.testing.disk import Disk, holds

CommandKey = tuple[str, str]
"""A command as its caller knows it: action and parameters, as JSON text."""


class Applied(Struct, frozen=True):
    """What one node did with the command at some index.

    outcome, state: fingerprints of its result, and of the state after it.
    """

    term: int
    time: float
    key: CommandKey
    outcome: object
    state: object


class Chronicle:
    """One cluster's past; whoever goes solo begins another cluster, with the history it has.

    leaders: who led a term.
    leader_logs: the log with which it began to, and after which index that began.
    entries: every entry that was ever in a log, by index and term, and the term before it.
    committed: the entry that was committed at an index, and the lowest term in which
        somebody knew that.
    applied: what was done with a command, by index.
    snapshots: by the index up to which they were taken, fingerprints of the data, and of
        the client sessions in them.
    commands: the index at which a session's command was applied.
    key_indices: the indices at which a command of that text was applied.
    told: the results of a command of that text that callers were told.
    acknowledged: the indices of commands that a caller was told are applied; of commands of
        the same text, the lowest that it can have been.
    """

    def __init__(self) -> None:
        self.leaders: dict[int, Incarnation] = {}
        self.leader_logs: dict[int, tuple[int, list[Entry]]] = {}
        self.entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self.committed: dict[int, tuple[Entry, int]] = {}
        self.applied: dict[int, Applied] = {}
        self.snapshots: dict[int, tuple[int, object]] = {}
        self.commands: dict[tuple[int, int], int] = {}
        self.key_indices: defaultdict[CommandKey, list[int]] = defaultdict(list)
        self.told: defaultdict[CommandKey, list[object]] = defaultdict(list)
        self.acknowledged: set[int] = set()
        self._applied_at: list[int] = []
        self._changed_at: list[int] = []

    def commit(self, index: int, entry: Entry, term: int) -> None:
        """Note that an entry was committed, and is known to be in that term."""
        if index not in self.committed and type(entry.payload) is Reconfiguration:
            insort(self._changed_at, index)
        self.committed[index] = entry, term

    def apply(self, index: int, applied: Applied) -> Applied:
        """Note what was done with the command there, unless that is known; return what is."""
        if index not in self.applied:
            insort(self._applied_at, index)
        return self.applied.setdefault(index, applied)

    def applied_within(self, after: int, to: int) -> Iterator[Applied]:
        """Yield what was done with the commands after an index, up to another one."""
        first, end = (bisect_right(self._applied_at, index) for index in (after, to))
        return (self.applied[index] for index in self._applied_at[first:end])

    def last_applied(self, index: int) -> Optional[Applied]:
        """Return what was done with the last command up to that index, if there is one."""
        position = bisect_right(self._applied_at, index)
        return self.applied[self._applied_at[position - 1]] if position else None

    def last_change(self, index: int) -> int:
        """Return where the last configuration up to that index was committed; 0 for nowhere."""
        position = bisect_right(self._changed_at, index)
        return self._changed_at[position - 1] if position else 0

    def inherit(self, older: 'Chronicle', to: int) -> None:
        """Take over what was committed and applied up to an index, as whoever goes solo does."""
        for index in range(1, to + 1):
            if index in older.committed:
                self.commit(index, *older.committed[index])
            if index in older.applied:
                applied = self.apply(index, older.applied[index])
                self.key_indices[applied.key].append(index)
            if index in older.snapshots:
                self.snapshots[index] = older.snapshots[index]
        self.commands |= {
            command: index for command, index in older.commands.items() if index <= to
        }

    @property
    def changes(self) -> int:
        """How many configurations were committed after the first one."""
        return max(0, len(self._changed_at) - 1)

    @property
    def acknowledged_index(self) -> int:
        """The last index that any caller knows to be applied."""
        return max(self.acknowledged, default=0)


class Past:
    """All clusters of a world, and what outlives any one of them.

    votes: for whom an incarnation said that it votes in a term.
    revealed_terms: the highest term that an incarnation let anybody know.
    disks: where an incarnation's data are.
    lost: the data of incarnations that are no more, as they were at the end.
    submitted, refused: how often a command was handed in, and reported as not done.
    snapshots_taken, snapshots_installed: how many, by all nodes together.
    """

    def __init__(self) -> None:
        self.clusters: defaultdict[str, Chronicle] = defaultdict(Chronicle)
        self.votes: dict[tuple[Incarnation, int], Incarnation] = {}
        self.revealed_terms: dict[Incarnation, int] = {}
        self.disks: dict[Incarnation, Disk] = {}
        self.lost: dict[Incarnation, Contents] = {}
        self.submitted: Counter[CommandKey] = Counter()
        self.refused: Counter[CommandKey] = Counter()
        self.snapshots_taken = self.snapshots_installed = 0

    def is_durable_at(self, incarnation: Incarnation, index: int, term: int) -> bool:
        """Tell whether an entry is on that incarnation's disk, or was when it was lost."""
        disk = self.disks.get(incarnation)
        if disk is not None and disk.incarnation == incarnation and disk.holds(index, term):
            return True
        lost = self.lost.get(incarnation)
        return lost is not None and holds(lost, index, term)


class Seen(Struct):
    """What a node was like after its last turn.

    base_index, log: its log, which began after that index.
    """

    incarnation: Incarnation = ''
    cluster_id: str = ''
    term: int = 0
    vote: Optional[tuple[str, Incarnation]] = None
    leads: bool = False
    commit_index: int = 0
    durable_index: int = 0
    emitted: int = 0
    electorate: Electorate = ()
    snapshot_index: int = 0
    base_index: int = 0
    log: list[Entry] = field(default_factory=list)
    configurations: list[int] = field(default_factory=list)


class Application(Struct):
    """A node has just applied a command.

    last_index, last_time: of the one that it applied before.
    """

    name: str
    index: int
    applied: Applied
    chronicle: Chronicle
    last_index: int
    last_time: float


class Turn(Struct):
    """One node at the end of one turn: its state, what it is about to do, and how it was.

    is_first: it was started, or reset, since the last one.
    is_new_cluster: it was in another one, or in none, before.
    changed_from: the first index at which its log is not what it was; None for nowhere.
    configurations: the indices of the configurations in its log.
    requests: what was asked of it, by call, as far as it is not answered.
    """

    name: str
    state: State
    effects: Effects
    seen: Seen
    disk: Disk
    past: Past
    chronicle: Chronicle
    is_first: bool
    is_new_cluster: bool
    is_leader: bool
    changed_from: Optional[int]
    configurations: list[int]
    requests: dict[int, Request]

    @property
    def is_superseded(self) -> bool:
        """Somebody leads its cluster in a later term."""
        return max(self.chronicle.leaders, default=0) > self.state.current_term


def first_change(base_index: int, known: list[Entry], log: Log) -> Optional[int]:
    """Return the first index at which a log is not the one known; None where it is the same.

    Entries never change, and whatever follows a changed one was appended anew: looking
    back from the end is enough. What was compacted away is no change.

    base_index: the index after which what is known begins.
    """
    end, last, lowest = base_index + len(known), log.last_index, max(base_index, log.base_index)
    index = min(end, last)
    while index > lowest and known[index - base_index - 1] is not log.entry_at(index):
        index -= 1
    return None if index == end == last else max(index, log.base_index) + 1


def configurations_of(known: list[int], changed_from: int, log: Log) -> list[int]:
    """Return the indices of the configurations in a log that changed from that index on.

    Those that were compacted away are among them.
    """
    kept = [index for index in known if index < changed_from]
    entries = log.entries(changed_from, log.last_index)
    return kept + [
        index
        for index, entry in enumerate(entries, changed_from)
        if type(entry.payload) is Reconfiguration
    ]
