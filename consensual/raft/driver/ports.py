"""What the driver asks of the world: a transport, a storage, the user's functions.

Interfaces only. Adapters implement these and know nothing else of the driver.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Optional, Protocol, Union, runtime_checkable

from msgspec import Struct
from yarl import URL

from consensual.raft.core.effects import Stored, Write
from consensual.raft.core.messages import MessageKind

Processor = Callable[..., Any]
"""A function of a command's parameters, sync or async; its result is the command's.

With a keyword-only parameter `context` it is given a `Context`, too.
"""


class Context(Struct, frozen=True):
    """Where in the log a command stands.

    index, term: of its entry.
    time: seconds of the cluster's own clock, which never goes back; the same on every node.
    """

    index: int
    term: int
    time: float


class Sender(ABC):
    """Carries a node's messages to other nodes.

    urls: whom the node may send to; the node assigns it whenever that changes.
    """

    urls: Collection[URL]

    @abstractmethod
    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Deliver a message, a dict of JSON types, and return the reply, another one.

        kind: of the message, to be handed over with it.
        url: of the node that is to receive it.

        Messages may be lost, delayed, duplicated and reordered: the node copes.
        It cancels a call that takes longer than its election timeout.
        Raises `ReceiverUnavailable` when there is no reply.
        """


class Receiver(ABC):
    """Takes messages for a node and hands them to `Node.receive`."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """True between `start` and `stop`."""

    @abstractmethod
    def start(self) -> Optional[Awaitable[None]]:
        """Begin to take messages; may return an awaitable.

        Raises `RuntimeError` when running already, `OSError` when the address is taken.
        """

    @abstractmethod
    def stop(self) -> Optional[Awaitable[None]]:
        """Take no more messages; may return an awaitable. Stopped already, do nothing."""


class Storage(Protocol):
    """Keeps what a node must not forget.

    Each method may do its work at once and return the result, or return an
    awaitable of it. The node makes one call at a time; but see `Staging`.
    """

    def load(self) -> Union[Optional[Stored], Awaitable[Optional[Stored]]]:
        """Take possession and return what was written, None when nothing was.

        Raises `StorageLocked` when another node has it.
        """

    def write(self, write: Write) -> Optional[Awaitable[None]]:
        """Make the write durable, whole and after all earlier ones, or raise.

        It is durable when this returns None, or when what it returns is done.
        """

    def close(self) -> Optional[Awaitable[None]]:
        """Give up possession; what was written stays."""


@runtime_checkable
class Staging(Protocol):
    """The part of a Storage that keeps large snapshots from holding up the log."""

    def stage(self, data: bytes) -> Awaitable[None]:
        """Make these data durable, in pieces between which writes are carried out.

        Then the write of the snapshot whose data they are, the same object, has little left
        to do. It may never come. The node calls this beside `write`, once at a time, and ends it
        before `close`; raises as `write` does.
        """


@runtime_checkable
class StateMachine(Protocol):
    """Replicated state as an object, which a node can also empty.

    Its `queries`, where it has that attribute, are read-only functions by name. With
    `snapshot` and `restore` (see `Snapshotting`) the log can be compacted; without them it is kept.
    """

    @property
    def processors(self) -> Mapping[str, Processor]:
        """The actions by name."""

    def reset(self) -> None:
        """Return to the state before any command."""


@runtime_checkable
class Snapshotting(Protocol):
    """The part of a StateMachine that lets the log be compacted (§7)."""

    def snapshot(self) -> Any:
        """Return the state as a copy, of JSON types, that later commands do not change.

        Called between two commands, on the event loop, which it holds up: it should be
        quick. The copy is encoded elsewhere.
        """

    def restore(self, value: Any) -> None:
        """Replace the state by one that `snapshot` returned, on this node or another one.

        Tuples come as lists. The value is this state machine's to keep.
        """


class Observer(Protocol):
    """Is told what a node does, in figures, as it does it; see `Node.observe`.

    Called on the node's loop, which it holds up: it is to count, and to return. Must not raise.
    Seconds are of the loop's clock.
    """

    def election_begun(self) -> None:
        """The node stands for election."""

    def entries_committed(self, count: int, seconds: float) -> None:
        """The node leads and has committed entries, seconds after they came into its log."""

    def commands_applied(self, count: int, seconds: float) -> None:
        """Commands were applied, seconds after the node knew that they are committed."""

    def written(self, seconds: float) -> None:
        """A write to the storage is durable, and took so many seconds."""

    def snapshot_taken(self, size: int, seconds: float) -> None:
        """A snapshot was taken; its size is in bytes, and it took so many seconds."""


class Endpoint(Protocol):
    """What a Receiver needs of a node."""

    @property
    def url(self) -> URL:
        """The node's address."""

    async def receive(self, *, kind: MessageKind, message: Any) -> Any:
        """Take a message of that kind and return the reply. See `Node.receive`."""


__all__ = [
    'Context',
    'Endpoint',
    'MessageKind',
    'Observer',
    'Processor',
    'Receiver',
    'Sender',
    'Snapshotting',
    'Staging',
    'StateMachine',
    'Storage',
    'Stored',
    'Write',
]
