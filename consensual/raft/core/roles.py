"""The roles a node can be in (§5.1), each with what only that role has.

Data only; how a node passes from one to another is `election`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Literal, Optional, Union

from consensual.raft.core.configuration import Address, Member, NodeId
from consensual.raft.core.events import CallId
from consensual.raft.core.messages import ReadIndex
from consensual.raft.core.progress import Progress

RoleName = Literal['detached', 'follower', 'pre_candidate', 'candidate', 'leader']


class Detached:
    """In no cluster: a new node, one that left, or one that was removed."""

    __slots__ = ()
    name: RoleName = 'detached'


class Follower:
    """Follows a leader, or waits for one to show itself.

    since: when it began to follow, or to wait.
    heard_at: when the leader was last heard; None when it was not.
    is_excused: its deadline was put off already, see `election.excuse_stall`.
    """

    __slots__ = 'election_deadline', 'heard_at', 'is_excused', 'leader', 'since'
    name: RoleName = 'follower'

    def __init__(
        self,
        election_deadline: float,
        since: float,
        leader: Optional[NodeId] = None,
        heard_at: Optional[float] = None,
    ) -> None:
        self.election_deadline = election_deadline
        self.since = since
        self.leader = leader
        self.heard_at = heard_at
        self.is_excused = False


class PreCandidate:
    """Asks whether an election could be won, without disturbing anybody (thesis §9.6)."""

    __slots__ = 'election_deadline', 'granted', 'is_excused', 'round'
    name: RoleName = 'pre_candidate'

    def __init__(self, election_deadline: float, round_: int) -> None:
        self.election_deadline = election_deadline
        self.round = round_
        self.is_excused = False
        self.granted: set[Member] = set()


class Candidate:
    """Stands for election in the current term (§5.2)."""

    __slots__ = 'election_deadline', 'granted', 'is_excused'
    name: RoleName = 'candidate'

    def __init__(self, election_deadline: float) -> None:
        self.election_deadline = election_deadline
        self.is_excused = False
        self.granted: set[Member] = set()


class Attachment:
    """Newcomers being asked who they are, before anything is in the log.

    is_own: the leader began it by itself, so nobody waits to be told how it ended.
    """

    __slots__ = 'addresses', 'asked', 'deadline', 'found', 'is_own', 'request'

    def __init__(
        self,
        request: str,
        addresses: Sequence[Address],
        deadline: float,
        *,
        is_own: bool = False,
    ) -> None:
        self.request = request
        self.is_own = is_own
        self.addresses = {address.id: address for address in addresses}
        self.found: dict[NodeId, Member] = {}
        self.asked: set[NodeId] = set()
        self.deadline = deadline


class Transfer:
    """The leadership is being handed to `target` (thesis §3.10)."""

    __slots__ = 'deadline', 'is_sent', 'target'

    def __init__(self, target: NodeId, deadline: float) -> None:
        self.target = target
        self.deadline = deadline
        self.is_sent = False


class Leader:
    """Leads the current term.

    first_index: its own no-op; nothing is committed by counting below it (§5.4.2).
    last_number: the number of the latest AppendEntries.
    unconfirmed: the reads that wait, each with the number of the first message
        whose answers confirm it and with its read index (thesis §6.4).
    is_excused: the others' silence was forgiven already, see `replication.beat`.
    learners_deadline: when the learners are given up.
    retire_deadline: set once it is removed: when it stops waiting to tell others.
    failures: why changes were refused after they had been accepted.
    """

    __slots__ = (
        'attachment',
        'failures',
        'first_index',
        'heartbeat_deadline',
        'is_excused',
        'last_number',
        'learners_deadline',
        'peers',
        'retire_deadline',
        'transfer',
        'unconfirmed',
        'waiting_reads',
    )
    name: RoleName = 'leader'

    def __init__(self, first_index: int, now: float) -> None:
        self.first_index = first_index
        self.heartbeat_deadline = now
        self.is_excused = False
        self.peers: dict[NodeId, Progress] = {}
        self.last_number = 0
        self.waiting_reads: list[tuple[CallId, ReadIndex]] = []
        self.unconfirmed: deque[tuple[int, int, CallId, ReadIndex]] = deque()
        self.attachment: Optional[Attachment] = None
        self.learners_deadline: Optional[float] = None
        self.transfer: Optional[Transfer] = None
        self.retire_deadline: Optional[float] = None
        self.failures: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f'Leader(first_index={self.first_index}, peers={list(self.peers.values())})'


Role = Union[Detached, Follower, PreCandidate, Candidate, Leader]
