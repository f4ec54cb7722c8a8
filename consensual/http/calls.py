"""What clients and nodes say to each other on a WebSocket: requests, answers, and frames of them.

A frame is a binary WebSocket message in msgpack: of a client, a list of requests; of a node,
`Answers`. All that is ready in one turn of the loop shares a frame, up to `FRAME`. Parameters and
results are JSON text, encoded once by whoever has the value.
"""

from collections import deque
from typing import Any, Generic, NamedTuple, TypeVar, Union

import msgspec
from msgspec import Struct

from consensual.raft import errors
from consensual.raft.driver.outcome import text_of
from consensual.raft.driver.parameters import SIZE_LIMIT
from consensual.raft.errors import ConsensualError

PATH = 'client'
"""Where clients connect, below the URL of a node."""

FRAME = 28 << 10
"""Characters in a frame, unless it is one large value; larger ones stall a busy loopback."""

REQUEST_LIMIT = SIZE_LIMIT + 4 * FRAME
"""Bytes of a frame that a node takes."""

RESULT_LIMIT = 16 << 20
"""Characters of a result."""

ANSWER_LIMIT = 4 * RESULT_LIMIT + 4 * FRAME
"""Bytes of a frame that a client takes."""

CALL_LIMIT = 4096
"""Calls of one connection that may be under way; a client keeps to half of it."""

TIMEOUT_LIMIT = 60.0
"""Seconds that a request may ask a node to try."""

NAME_LIMIT = 4 << 10
"""Bytes of the name of an action or a query."""

TEXT_LIMIT = 8 << 10
"""Characters of an error's text; the rest is left out."""

OVERHEAD = 48
"""Characters that a request or an answer is reckoned to take beside its texts."""


class OpenSession(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Answered by the id of a session."""

    number: int
    timeout: float


class Execute(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """A command, see `Gateway.execute`; answered by its result."""

    number: int
    session: int
    sequence: int
    lowest: int
    action: str
    parameters: str
    timeout: float


class Query(Struct, array_like=True, frozen=True, gc=False, tag=3):
    """A query, see `Node.query`; answered by its result."""

    number: int
    name: str
    parameters: str
    is_linearizable: bool
    timeout: float


class Status(Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Answered by the `NodeStatus`."""

    number: int


class Leave(Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Its client goes to another node; answered by what is not done here, and then the end."""

    number: int


Request = Union[OpenSession, Execute, Query, Status, Leave]


class Done(Struct, array_like=True, frozen=True, gc=False, tag=0):
    """The request of that number succeeded; the result is JSON."""

    number: int
    result: str


class Failed(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """It failed: the class of the error, by name, and its text."""

    number: int
    kind: str
    text: str


class Answers(Struct, array_like=True, frozen=True, gc=False):
    """What a node sends: the leader and the cluster that it knows, and answers, if any.

    leader: its URL, empty when there is none.
    cluster: the id, the same on one connection for ever: sessions mean nothing to another one.
    """

    leader: str
    cluster: str
    answers: list[Union[Done, Failed]]


encode = msgspec.msgpack.Encoder().encode
_decode_requests = msgspec.msgpack.Decoder(list[Request]).decode
_decode_answers = msgspec.msgpack.Decoder(Answers).decode


class BadFrame(Exception):
    """What came is no frame, or says what may not be said."""


def requests_of(frame: bytes) -> list[Request]:
    """Return what a client asks. Raises `BadFrame`."""
    try:
        return _decode_requests(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadFrame(f'this is no frame: {error}') from error


def answers_of(frame: bytes) -> Answers:
    """Return what a node says. Raises `BadFrame`."""
    try:
        return _decode_answers(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadFrame(f'this is no frame: {error}') from error


Item = TypeVar('Item')


class _Sized(NamedTuple, Generic[Item]):
    item: Item
    size: int


class Outbox(Generic[Item]):
    """What waits to be sent, and its size in characters."""

    def __init__(self) -> None:
        self._waiting: deque[_Sized[Item]] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Item, size: int) -> None:
        """Add something that has texts of that size."""
        self._waiting.append(_Sized(item, size + OVERHEAD))
        self.size += size + OVERHEAD

    def take(self) -> list[Item]:
        """Return what fits into a frame, in order; of what is larger than that, one."""
        items: list[Item] = []
        room = FRAME
        while self._waiting and (not items or self._waiting[0].size <= room):
            item, size = self._waiting.popleft()
            items.append(item)
            room -= size
            self.size -= size
        return items


def failure_of(number: int, error: Exception) -> Failed:
    """Return the answer that tells an error."""
    kind = type(error).__name__
    if not isinstance(error, ConsensualError):
        kind = ConsensualError.__name__
    text = text_of(error, lambda error: str(error) or repr(error))
    return Failed(number, kind, text[:TEXT_LIMIT])


def error_of(failure: Failed) -> ConsensualError:
    """Return the error that an answer tells; of a class that is not known here, the root of all."""
    kind: Any = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, ConsensualError):
        error: ConsensualError = kind(failure.text)
        return error
    return ConsensualError(f'{failure.kind}: {failure.text}')
