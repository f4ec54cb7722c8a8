"""What a step of the core asks of the driver: the outputs of the core.

The driver carries them out as they stand; it decides nothing.
"""

from collections.abc import Sequence
from typing import Optional

from msgspec import Struct, field

from consensual.raft.core.configuration import Incarnation, NodeId
from consensual.raft.core.events import CallId
from consensual.raft.core.log import Entry, Reconfiguration
from consensual.raft.core.messages import Reply, Request


class HardState(Struct, frozen=True):
    """What a node must never forget, beside its log (Figure 2: persistent state).

    is_attached: false for a node that left its cluster, or never had one.
    node_id: whose data these are; '' where nobody said so.
    """

    incarnation: Incarnation
    cluster_id: str = ''
    is_attached: bool = False
    current_term: int = 0
    voted_for: NodeId = ''
    voted_incarnation: Incarnation = ''
    node_id: NodeId = ''


class Snapshot(Struct, frozen=True):
    """What the entries up to `index` came to, in their place (§7).

    index, term, time: of the last entry that it covers.
    configuration_index, configuration_term, configuration: the latest configuration up
        to there, and where its entry stood.
    data: state machine and client sessions, as the driver encodes them.
    checksum: the CRC-32 of the data, by which they are checked after a transfer.
    """

    index: int
    term: int
    time: float
    configuration_index: int
    configuration_term: int
    configuration: Reconfiguration
    data: bytes
    checksum: int


class Stored(Struct, frozen=True):
    """What a storage gives back at start.

    entries: those from `first_index` on, without a gap.
    """

    hard_state: HardState
    entries: Sequence[Entry] = ()
    snapshot: Optional[Snapshot] = None
    first_index: int = 1


class Write(Struct, frozen=True):
    """One atomic write; durable as a whole or not at all.

    hard_state: replaces the earlier one, unless None.
    first_index: where not None, the log is cut off from that index on and
        continued with `entries`.
    snapshot: replaces the earlier one, unless None.
    log_start: where not None, the entries before that index are dropped.
    """

    number: int
    hard_state: Optional[HardState] = None
    first_index: Optional[int] = None
    entries: Sequence[Entry] = ()
    snapshot: Optional[Snapshot] = None
    log_start: Optional[int] = None


INFO, WARNING = 20, 30
"""Levels of a notice, with the numbers of the standard library's logging."""


class Notice(Struct, frozen=True):
    """Something that the node's owner should see in the log of the program."""

    level: int
    text: str


class Effects(Struct):
    """Everything to be carried out, once, after a turn.

    write: to be made durable and then reported by `Persisted`; None when
        nothing changed or an earlier one is still under way.
    requests: may leave now; each is reported once, by `Replied` or `Failed`.
    answers: may leave now, to the calls they answer.
    reset: the state machine is to be emptied, before anything else.
    restore: then its state is to be replaced by the snapshot's.
    first_committed, committed: entries to apply then, from that index on.
    deadline: the instant to report `Woken` at; None for never.
    """

    write: Optional[Write] = None
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[CallId, Reply]] = field(default_factory=list)
    reset: bool = False
    restore: Optional[Snapshot] = None
    first_committed: int = 0
    committed: Sequence[Entry] = ()
    notices: list[Notice] = field(default_factory=list)
    deadline: Optional[float] = None
