"""Everything that consensual raises, in one tree, split by whose blame it is.

Nothing but exception classes may live here.

ConsensualError
├── CallerError               the call itself is wrong: fix it, nothing was done
│   ├── InvalidParameters         what JSON cannot carry, or out of bounds
│   │   └── TooLarge                  above the size that a command may have
│   ├── InvalidAddress            a URL that cannot name a node
│   ├── InvalidMessage            a peer's message that does not validate
│   ├── UnknownAction             no processor of that name on this node
│   ├── UnknownQuery              no query of that name on this node
│   ├── AlreadyMember             attaching, or resetting, what is attached
│   ├── WaitingInsideProcessor    the call would wait for itself
│   ├── SnapshotUnsupported       the state machine has no snapshot() and restore()
│   ├── NodeStopped               the node was stopped: start() it first
│   └── WrongLoop                 the node lives on another event loop
├── ProcessorFailed           the user's function raised: that is the command's outcome
├── SnapshotFailed            the user's snapshot() raised, or returned what JSON cannot carry
├── ClusterError              the cluster could not do it: nothing was done, try again
│   ├── NoLeader                  nobody leads, or nobody can be reached
│   ├── Overloaded                the command's turn did not come in time
│   ├── LeadershipLost            the leader could not confirm that it still leads
│   ├── NotMember                 the node is in no cluster, or not in this one
│   ├── SessionLost               nobody knows the client's session any more
│   ├── NodeUnreachable           a newcomer did not answer
│   ├── NodeNotEmpty              a newcomer has a history: reset it first
│   ├── AttachFailed              a newcomer did not catch up in time
│   ├── MembershipChangeInProgress
│   ├── TransferFailed            leadership stayed where it was
│   └── ReceiverUnavailable       raised by a Sender: the message has no answer
├── OutcomeUnknown            the command may or may not be applied
├── StorageError              the disk's blame
│   ├── StorageLocked             another node uses it
│   ├── StorageMismatch           the data are another node's
│   ├── StorageCorrupted          what was written is not what is there
│   ├── StorageFull               no room for a write: the node stopped
│   └── StorageFailed             a write failed: the node stopped
└── InvariantViolated         our bug: the node stops rather than answer wrongly
"""


class ConsensualError(Exception):
    """The root of the tree."""


class CallerError(ConsensualError):
    """The call is wrong as it stands; nothing was done."""


class InvalidParameters(CallerError, ValueError):
    """The parameters cannot be carried as JSON text, or are out of bounds."""


class TooLarge(InvalidParameters):
    """The command is larger than one may be."""


class InvalidAddress(CallerError, ValueError):
    """The URL cannot name a node."""


class InvalidMessage(CallerError, ValueError):
    """A peer's message does not validate; it changed nothing."""


class UnknownAction(CallerError, LookupError):
    """The node has no processor of that name."""


class UnknownQuery(CallerError, LookupError):
    """The node's state machine has no query of that name."""


class AlreadyMember(CallerError):
    """The node to attach, or to reset, is a member."""


class WaitingInsideProcessor(CallerError, RuntimeError):
    """A processor called what waits for that very processor to end."""


class SnapshotUnsupported(CallerError):
    """The state machine cannot be taken a snapshot of, or be restored from one."""


class NodeStopped(CallerError, RuntimeError):
    """The node was stopped, by its owner or by an error; start() it first."""


class WrongLoop(CallerError, RuntimeError):
    """The node is bound to another event loop; stop() it there first."""


class ProcessorFailed(ConsensualError):
    """The processor raised; its exception is the command's outcome.

    The command counts as applied. Where the exception was raised on this node,
    it is the `__cause__`.
    """


class SnapshotFailed(ConsensualError):
    """The state machine's `snapshot` raised, or returned what JSON cannot carry.

    The log is kept as it is.
    """


class ClusterError(ConsensualError):
    """The cluster could not do what was asked; nothing was done."""


class NoLeader(ClusterError):
    """No leader was found before the timeout."""


class Overloaded(ClusterError):
    """There is a leader, but the command's turn did not come before the timeout."""


class LeadershipLost(ClusterError):
    """A leader was known but could not confirm in time that it still leads."""


class NotMember(ClusterError):
    """A node is not a member of the cluster."""


class SessionLost(ClusterError):
    """A client's session was evicted, or is unknown; the command was not applied now.

    Whoever handed it in before, too, does not know whether it was applied then.
    """


class NodeUnreachable(ClusterError):
    """A newcomer could not be reached; the cluster is unchanged."""


class NodeNotEmpty(ClusterError):
    """A newcomer has a history of its own; reset it first."""


class AttachFailed(ClusterError):
    """A newcomer did not catch up in time and was dropped again."""


class MembershipChangeInProgress(ClusterError):
    """One membership change at a time: wait for the other one to end."""


class TransferFailed(ClusterError):
    """The leadership was not handed over."""


class ReceiverUnavailable(ClusterError):
    """Raised by `Sender.send` when a message got no answer."""


class OutcomeUnknown(ConsensualError):
    """The command, or change, may or may not take effect.

    Read the state (`query`, `ensure_linearizable`) before doing it again.
    """


class StorageError(ConsensualError):
    """What keeps the node's data could not be used."""


class StorageLocked(StorageError):
    """The storage is in use by another node."""


class StorageMismatch(StorageError):
    """The data are another node's; this one does not start, and nothing is changed.

    The text says whose they are, and how to re-address them on purpose.
    """


class StorageCorrupted(StorageError):
    """A record fails its checksum, is missing, or the file is none of a storage.

    The node does not start; the text names the file and the record.
    """


class StorageFull(StorageError):
    """There was no room for a write; nothing is acknowledged after it.

    What was acknowledged before is kept. Make room, then start the node again.
    """


class StorageFailed(StorageError):
    """A write or a read failed; nothing is acknowledged after it."""


class InvariantViolated(ConsensualError):
    """A rule of Raft is broken: a bug of ours. The node stops."""
