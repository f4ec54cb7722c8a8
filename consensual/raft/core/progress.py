"""What a leader knows about one peer, and how much it has under way to it.

Bookkeeping only; what is sent and what a reply means is `replication`.
"""

from enum import Enum
from typing import Optional

from consensual.raft.core.configuration import Member
from consensual.raft.core.effects import Snapshot
from consensual.raft.core.messages import Route
from consensual.raft.core.pieces import Outgoing


class Flow(Enum):
    """How entries flow to a peer.

    PROBE: the last common entry is being looked for: one message at a time.
    REPLICATE: messages are pipelined, up to the window.
    SNAPSHOT: what it lacks was compacted away: it is sent a snapshot (§7).
    """

    PROBE = 'probe'
    REPLICATE = 'replicate'
    SNAPSHOT = 'snapshot'


class Round:
    """A round of a learner's catch-up: the entries there when it began (thesis §4.2.1)."""

    __slots__ = 'began_at', 'target'

    def __init__(self, target: int, began_at: float) -> None:
        self.target, self.began_at = target, began_at


class Progress:
    """One peer as its leader sees it (Figure 2: nextIndex, matchIndex).

    heard_at: when it last answered in this term.
    acked_number: the latest message that it answered; it confirms the reads before.
    in_flight: the numbers of the messages without an answer yet, and what
        match_index was when they were sent.
    sent_commit, told_commit: the highest commit index sent to it, acknowledged by it.
    awaited_commit: up to where it waits for news of commits, and is told at once.
    sent_number: the latest message to it.
    is_due: it must be sent a message, even an empty one.
    may_probe: while probing, a message may go without waiting for a heartbeat.
    outgoing: the snapshot that it is sent.
    round, is_caught_up: a learner's catch-up (thesis §4.2.1).
    leaves_at: the entry that removed it; it is kept only to be told.
    returned_as, returned_at: the incarnation that answers in its place, and since when.
    tried_as: the one that was to be re-admitted last.
    is_named: its owner was warned about it.
    """

    __slots__ = (
        'acked_number',
        'awaited_commit',
        'flow',
        'heard_at',
        'in_flight',
        'is_caught_up',
        'is_due',
        'is_named',
        'leaves_at',
        'match_index',
        'may_probe',
        'member',
        'next_index',
        'outgoing',
        'returned_as',
        'returned_at',
        'round',
        'route',
        'sent_commit',
        'sent_number',
        'told_commit',
        'tried_as',
    )

    def __init__(self, member: Member, route: Route, last_index: int, now: float) -> None:
        self.member = member
        self.route = route
        self.flow = Flow.PROBE
        self.next_index = last_index + 1
        self.match_index = 0
        self.heard_at = now
        self.acked_number = 0
        self.sent_commit = 0
        self.told_commit = 0
        self.awaited_commit = 0
        self.in_flight: dict[int, int] = {}
        self.may_probe = True
        self.is_due = True
        self.sent_number = 0
        self.outgoing: Optional[Outgoing] = None
        self.round: Optional[Round] = None
        self.is_caught_up = False
        self.leaves_at: Optional[int] = None
        self.returned_as = self.tried_as = ''
        self.returned_at = now
        self.is_named = False

    def __repr__(self) -> str:
        return (
            f'Progress({self.member.id}, {self.flow.value}, match={self.match_index}, '
            f'next={self.next_index}, in_flight={len(self.in_flight)})'
        )

    def answered(self, number: int, now: float) -> None:
        """It answered the message of that number, in the leader's term."""
        self.heard_at = now
        self.acked_number = max(self.acked_number, number)

    def matched(self, index: int) -> None:
        """The peer's log agrees up to that index; it never takes that back."""
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        if self.outgoing is None or self.match_index >= self.outgoing.snapshot.index:
            self.flow, self.outgoing = Flow.REPLICATE, None

    def probe_from(self, next_index: int) -> None:
        """Look for the last common entry, anew, one message at a time."""
        self.flow = Flow.PROBE
        self.next_index = max(next_index, self.match_index + 1)

    def send(self, snapshot: Snapshot) -> None:
        """What it lacks was compacted away: send it the snapshot, then what follows (§7)."""
        self.flow, self.outgoing = Flow.SNAPSHOT, Outgoing(snapshot)
        self.next_index = snapshot.index + 1
