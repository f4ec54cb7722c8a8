"""What can happen to a node: the inputs of the core.

Together with the instant at which they happen they determine everything that
the core does.
"""

from typing import Union

from msgspec import Struct

from consensual.raft.core.configuration import Incarnation, NodeId
from consensual.raft.core.messages import Reply, Request

CallId = int
"""Names a call that waits for an answer; the driver numbers them, 0 waits for none."""


class Received(Struct, frozen=True, tag=True):
    """A request came, from a peer or from this node's own callers."""

    call: CallId
    request: Request


class Replied(Struct, frozen=True, tag=True):
    """A request that this node sent was answered."""

    request: Request
    reply: Reply


class Failed(Struct, frozen=True, tag=True):
    """A request that this node sent has no answer and never will."""

    request: Request


class ConnectionLost(Struct, frozen=True, tag=True):
    """A connection that was up broke: that node's process has ended, most probably."""

    node: NodeId


class Woken(Struct, frozen=True, tag=True):
    """The deadline that the core gave was reached."""


class Persisted(Struct, frozen=True, tag=True):
    """The write of that number is durable."""

    number: int


class SnapshotTaken(Struct, frozen=True, tag=True):
    """The state machine's state up to an index was encoded (§7).

    incarnation: which life of this node it was taken in.
    index: of the last entry that was applied then.
    data, checksum: see `Snapshot`.
    """

    incarnation: Incarnation
    index: int
    data: bytes
    checksum: int


class SoloRequested(Struct, frozen=True, tag=True):
    """The owner makes this node the only member of a new cluster."""


class LeaveRequested(Struct, frozen=True, tag=True):
    """The owner takes the only member out of its cluster."""


class ResetRequested(Struct, frozen=True, tag=True):
    """The owner empties a detached node."""


Event = Union[
    Received,
    Replied,
    Failed,
    ConnectionLost,
    Woken,
    Persisted,
    SnapshotTaken,
    SoloRequested,
    LeaveRequested,
    ResetRequested,
]
