"""Everything that one node knows: the state that the rules read and change.

Small steps that keep the state consistent with itself; no rule of Raft.
"""

from random import Random  # the type; instances are injected
from typing import Optional

from msgspec import Struct

from consensual.raft.core.configuration import (
    Address,
    Configuration,
    Electorate,
    Incarnation,
    Member,
    NodeId,
)
from consensual.raft.core.durability import Durability
from consensual.raft.core.effects import (
    WARNING,
    Effects,
    HardState,
    Notice,
    Snapshot,
    Stored,
)
from consensual.raft.core.log import Entry, Log, Reconfiguration
from consensual.raft.core.messages import Route
from consensual.raft.core.pieces import Incoming
from consensual.raft.core.roles import Detached, Follower, Leader, Role
from consensual.raft.errors import StorageCorrupted


class Settings(Struct, frozen=True):
    """Times in seconds, sizes in bytes.

    in_flight_limit: messages with entries under way to one peer.
    uncommitted_limit: bytes that the leader takes in before they are committed.
    snapshot_every: entries from one snapshot to the next, and that the log keeps behind one.
    chunk_limit: bytes of a snapshot in one message.
    chunks_in_flight: messages with them under way to one peer.
    """

    heartbeat: float
    election_timeout: float
    attach_timeout: float = 30.0
    message_limit: int = 1 << 18
    in_flight_limit: int = 16
    uncommitted_limit: int = 1 << 26
    snapshot_every: int = 10_000
    chunk_limit: int = 1 << 15
    chunks_in_flight: int = 8


class Configured(Struct, frozen=True):
    """A configuration with its place in the log; the first is that of nobody."""

    index: int
    term: int
    change: Reconfiguration

    @property
    def configuration(self) -> Configuration:
        """The members that it names."""
        return self.change.configuration


_NOBODY = Configured(0, 0, Reconfiguration(Configuration()))


def _configured(snapshot: Snapshot) -> Configured:
    return Configured(
        snapshot.configuration_index, snapshot.configuration_term, snapshot.configuration
    )


def _recovered_log(stored: Stored) -> Log:
    """Return the stored log; where it begins within what the snapshot covers, one entry less.

    Of that entry only the term is needed, to which the next ones are matched (§5.3).
    Raises `StorageCorrupted` for a log with a gap.
    """
    first, snapshot = stored.first_index, stored.snapshot
    covered, last = snapshot.index if snapshot is not None else 0, first + len(stored.entries) - 1
    if first > covered + 1 or last < covered:
        raise StorageCorrupted(
            f'the stored log goes from entry {first} to {last}, which the stored snapshot, of '
            f'the entries up to {covered}, does not fit'
        )
    if snapshot is not None and first == snapshot.index + 1:
        base = snapshot.index, snapshot.term, snapshot.time
        return Log(stored.entries, *base)
    if first == 1:
        return Log(stored.entries)
    base_entry, *entries = stored.entries
    return Log(entries, first, base_entry.term, base_entry.time)


class State:
    """One node's state; Figure 2's, and what the later sections add.

    first_unemitted: the first committed entry that the driver was not given yet.
    history: the configurations in the log; `configured` is the one in force.
    heeded: the committed configuration in which this node looked for itself last.
    snapshot: what stands for the entries that were compacted away, and for some that were not.
    incoming: the snapshot that a leader is sending.
    knows_its_past: false where a configuration that named this node may have been
        compacted away in an earlier run.
    clock_stamp, clock_base: the cluster's time, and the instant at which it was that.
    """

    __slots__ = (
        'address',
        'clock_base',
        'clock_stamp',
        'cluster_id',
        'commit_index',
        'committed_configured',
        'configured',
        'current_term',
        'durability',
        'effects',
        'electorate',
        'first_unemitted',
        'heeded',
        'history',
        'incarnation',
        'incoming',
        'is_attached',
        'knows_its_past',
        'log',
        'me',
        'now',
        'pre_vote_round',
        'random',
        'role',
        'settings',
        'snapshot',
        'voted_for',
    )

    def __init__(
        self,
        address: Address,
        *,
        settings: Settings,
        random: Random,
        stored: Optional[Stored],
        commit_index: int = 0,
        now: float,
    ) -> None:
        self.address = address
        self.settings = settings
        self.random = random
        self.now = now
        self.effects = Effects()
        self.pre_vote_round = 0
        self.snapshot = stored.snapshot if stored is not None else None
        self.incoming: Optional[Incoming] = None
        self.log = _recovered_log(stored) if stored is not None else Log()
        self.durability = Durability(self.log.last_index)
        self.commit_index = min(max(commit_index, self.snapshot_index), self.log.last_index)
        self.first_unemitted = self.commit_index + 1
        self.clock_stamp, self.clock_base = 0.0, now
        self.history = [_NOBODY]
        self.heeded = _NOBODY
        if self.snapshot is not None:
            self.effects.restore = self.snapshot
            self.clock_stamp = self.snapshot.time
            if self.snapshot.configuration_index <= self.log.base_index:
                self.history.append(_configured(self.snapshot))
        if stored is None:
            self.forget_identity()
        else:
            hard_state = stored.hard_state
            self.incarnation: Incarnation = hard_state.incarnation
            self.cluster_id = hard_state.cluster_id
            self.is_attached = hard_state.is_attached
            self.current_term = hard_state.current_term
            self.voted_for: Optional[tuple[NodeId, Incarnation]] = (
                (hard_state.voted_for, hard_state.voted_incarnation)
                if hard_state.voted_for
                else None
            )
            self.me = Member(address.id, address.url, self.incarnation)
        self.configured: Configured
        self.committed_configured: Configured
        self.electorate: Electorate
        self.note_configurations(self.log.first_index)
        self.knows_its_past = self.snapshot is None or any(
            self.me in configured.configuration.members for configured in self.history
        )
        self.role: Role = (
            Follower(self.draw_election_deadline(), now) if self.is_attached else Detached()
        )

    def __repr__(self) -> str:
        return (
            f'State({self.address.id}, {self.role.name}, term={self.current_term}, '
            f'last={self.log.last_index}, commit={self.commit_index})'
        )

    # identity

    @property
    def id(self) -> NodeId:
        """This node's name."""
        return self.address.id

    @property
    def hard_state(self) -> HardState:
        """What must be durable beside the log."""
        voted_for, voted_incarnation = self.voted_for or ('', '')
        return HardState(
            self.incarnation,
            self.cluster_id,
            self.is_attached,
            self.current_term,
            voted_for,
            voted_incarnation,
            self.id,
        )

    def forget_identity(self) -> None:
        """Begin another life: a new incarnation, of no cluster, in term 0."""
        self.incarnation = f'{self.random.getrandbits(64):016x}'
        self.me = Member(self.address.id, self.address.url, self.incarnation)
        self.cluster_id = ''
        self.is_attached = False
        self.current_term, self.voted_for = 0, None
        self.durability.hard_state_changed()

    def reset(self) -> None:
        """Forget everything: an empty node, in another life, of no cluster."""
        self.log.replace(0, 0, 0.0)
        self.snapshot = self.incoming = self.effects.restore = None
        self.knows_its_past = True
        self.durability.log_erased()
        self.commit_index, self.first_unemitted = 0, 1
        self.clock_stamp, self.clock_base = 0.0, self.now
        self.drop_configurations(1)
        self.forget_identity()
        self.role = Detached()
        self.effects.reset = True

    def route_to(self, member: Member) -> Route:
        """Return the way to that incarnation of that node."""
        return Route(self.cluster_id, self.id, self.incarnation, member.id, member.incarnation)

    def enter_term(self, term: int) -> None:
        """Adopt a later term, in which no vote is given yet."""
        self.current_term, self.voted_for = term, None
        self.durability.hard_state_changed()

    def vote_for(self, candidate: NodeId, incarnation: Incarnation) -> None:
        """Give the vote of the current term."""
        self.voted_for = candidate, incarnation
        self.durability.hard_state_changed()

    # configuration

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the latest in the log, committed or not (§6)."""
        return self.configured.change.configuration

    @property
    def may_stand(self) -> bool:
        """This very incarnation votes in the committed configuration or in a later one.

        Not only in the one in force: whoever is about to be removed may have the
        longest log, and is needed until C_new is committed (thesis §4.2.2).
        """
        return any(
            configured.configuration.is_voter(self.me)
            for configured in self.history
            if configured.index >= self.committed_configured.index
        )

    def note_configurations(self, first: int) -> None:
        """Take up the configurations among the entries from `first` on."""
        for index, entry in enumerate(self.log.entries(first, self.log.last_index), first):
            if type(entry.payload) is Reconfiguration:
                self.history.append(Configured(index, entry.term, entry.payload))
        self._use_latest_configuration()

    def drop_configurations(self, first: int) -> None:
        """Forget the configurations from `first` on: their entries are no more."""
        while self.history[-1].index >= first:
            self.history.pop()
        self._use_latest_configuration()

    def _use_latest_configuration(self) -> None:
        self.configured = self.history[-1]
        self.electorate = self.configuration.electorate
        self.note_commit()

    def note_commit(self) -> None:
        """Find the latest committed configuration."""
        self.committed_configured = next(
            configured
            for configured in reversed(self.history)
            if configured.index <= self.commit_index
        )

    # log

    def append(self, entries: list[Entry]) -> None:
        """Add entries after the last; a configuration among them is in force at once."""
        first = self.log.last_index + 1
        self.log.append(entries)
        self.durability.log_changed(first)
        if any(type(entry.payload) is Reconfiguration for entry in entries):
            self.note_configurations(first)

    def truncate(self, first: int) -> None:
        """Drop the entries from `first` on, with the configurations among them."""
        self.log.truncate(first)
        self.durability.log_changed(first)
        if self.configured.index >= first:
            self.drop_configurations(first)

    def commit(self, index: int) -> None:
        """Raise the commit index; whoever does not lead takes the cluster's time from it."""
        self.commit_index = index
        self.note_commit()
        if self.incoming is not None and self.incoming.first.last_index <= index:
            self.incoming = None
        if not isinstance(self.role, Leader):
            self.clock_stamp, self.clock_base = self.log.time_at(index), self.now

    # snapshot

    @property
    def snapshot_index(self) -> int:
        """The last entry that the snapshot covers, 0 where there is none."""
        return self.snapshot.index if self.snapshot is not None else 0

    def compact(self, snapshot: Snapshot, base_index: int) -> None:
        """Let the snapshot stand for the entries up to its index; drop those to `base_index`."""
        self.snapshot = snapshot
        self.log.compact(base_index)
        self.durability.snapshot_taken()

    def install(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of the whole log, and of all configurations since (§7)."""
        self.snapshot = self.effects.restore = snapshot
        self.log.replace(snapshot.index, snapshot.term, snapshot.time)
        self.durability.snapshot_installed(snapshot.index)
        self.first_unemitted = snapshot.index + 1
        configured = _configured(snapshot)
        earlier = [other for other in self.history if other.index < configured.index]
        self.history = [*earlier, configured] if configured.index else [_NOBODY]
        self.commit(snapshot.index)
        self._use_latest_configuration()

    # roles

    @property
    def leader(self) -> Optional[NodeId]:
        """Whom this node takes for the leader."""
        match self.role:
            case Leader():
                return self.id
            case Follower(leader=leader):
                return leader
        return None

    def draw_election_deadline(self) -> float:
        """Draw from [T, 2T) from now (§5.2)."""
        return self.now + self.settings.election_timeout * (1 + self.random.random())

    def notice(self, level: int, text: str) -> None:
        """Have something shown to the node's owner."""
        self.effects.notices.append(Notice(level, text))

    def warn(self, text: str) -> None:
        """Have a warning shown to the node's owner."""
        self.notice(WARNING, text)
