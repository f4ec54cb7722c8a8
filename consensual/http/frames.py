"""Frames: how messages share one WebSocket, so that no large one keeps the others waiting.

A frame is a binary WebSocket message, a msgpack array of parts `[number, kind, rest, data]`. A
large message is cut into parts; a frame has as many small ones, and parts, as make `FRAME` bytes.

number: of a request; its reply bears it, too.
kind: of a request the `MessageKind`, or `REPLY`, or `FAILURE` (the data are a text then).
rest: bytes of the message that are still to come.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Optional

import msgspec

REPLY, FAILURE = 0, -1

FRAME = 28 << 10
"""Bytes of messages in a frame; larger ones make a busy loopback stall for tens of milliseconds."""

PART = FRAME // 2
"""Bytes of a small message, and those that a large one has of each frame at least."""

OVERHEAD = 16
"""Bytes of a part that are not its data, about."""

FRAME_LIMIT = 4 * FRAME
"""Bytes of a frame that is taken, with all that is around the messages."""

MESSAGE_LIMIT = 4 << 20
"""Bytes of a message; the largest that a node sends has a command of 1 MiB."""

WAITING_LIMIT = 4 * MESSAGE_LIMIT
"""Bytes that may wait to be sent on one connection."""

UNFINISHED_LIMIT, UNFINISHED_COUNT = 4 * MESSAGE_LIMIT, 1024
"""Bytes of unfinished messages that are kept of one connection, and how many of them."""


class BadFrame(Exception):
    """What came is no frame, or more than a peer may send."""


class Message(NamedTuple):
    """A message, or a part of one: then `data` are not all of it."""

    number: int
    kind: int
    rest: int
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Outbox:
    """Messages that wait for their turn to be sent, and frames made of them.

    Those of one part go first; larger ones follow one after another, in what room they leave.
    """

    def __init__(self) -> None:
        self._small: deque[tuple[int, int, bytes]] = deque()
        self._large: deque[tuple[int, int, memoryview]] = deque()
        self._is_begun = False
        self.size = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def put(self, number: int, kind: int, data: bytes) -> None:
        """Add a message."""
        self.size += len(data) + OVERHEAD
        if len(data) <= PART:
            self._small.append((number, kind, data))
        else:
            self._large.append((number, kind, memoryview(data)))

    def drop(self, number: int) -> None:
        """Take a message back, unless it is on its way."""
        begun = self._large.popleft() if self._is_begun else None
        self._small = deque(message for message in self._small if message[0] != number)
        self._large = deque(message for message in self._large if message[0] != number)
        if begun is not None:
            self._large.appendleft(begun)
        self.size = sum(len(data) + OVERHEAD for _, _, data in (*self._small, *self._large))

    def clear(self) -> None:
        """Drop all that waits."""
        self._small.clear()
        self._large.clear()
        self._is_begun, self.size = False, 0

    def frame(self) -> bytes:
        """Return the next frame; of a large message it has one part, at least."""
        parts: list[tuple[int, int, int, bytes | memoryview]] = []
        room = FRAME
        kept = PART if self._large else 0
        while self._small and room > kept:
            number, kind, data = self._small.popleft()
            parts.append((number, kind, 0, data))
            room -= len(data) + OVERHEAD
            self.size -= len(data) + OVERHEAD
        while self._large and room > 0:
            number, kind, view = self._large.popleft()
            part, rest = view[:room], view[room:]
            parts.append((number, kind, len(rest), part))
            room -= len(part) + OVERHEAD
            self.size -= len(part)
            self._is_begun = bool(rest)
            if rest:
                self._large.appendleft((number, kind, rest))
            else:
                self.size -= OVERHEAD
        return _encode(parts)


class Inbox:
    """Messages that come in parts, put together again."""

    def __init__(self) -> None:
        self._unfinished: dict[int, tuple[int, int, bytearray]] = {}
        self._size = 0

    def take(self, frame: bytes) -> Iterator[Message]:
        """Yield the messages that a frame completes. Raises `BadFrame`."""
        try:
            parts = _decode(frame)
        except msgspec.MsgspecError as error:
            raise BadFrame(f'this is no frame: {error}') from error
        for part in parts:
            if (message := self._join(part)) is not None:
                yield message

    def _join(self, part: Message) -> Optional[Message]:
        number, kind, rest, data = part
        before = self._unfinished.pop(number, None)
        if before is None:
            if rest == 0 and len(data) <= MESSAGE_LIMIT:
                return part
            expected, whole = rest + len(data), bytearray()
            if rest < 0 or expected > MESSAGE_LIMIT:
                raise BadFrame(f'a message has {expected} bytes; {MESSAGE_LIMIT} are allowed')
        else:
            first_kind, expected, whole = before
            self._size -= len(whole)
            if (kind, rest + len(data)) != (first_kind, expected) or not data:
                raise BadFrame(f'a part of message {number} is not the one that follows')
        whole += data
        if rest == 0:
            return Message(number, kind, 0, bytes(whole))
        self._size += len(whole)
        if self._size > UNFINISHED_LIMIT or len(self._unfinished) >= UNFINISHED_COUNT:
            raise BadFrame('too many messages are unfinished, or too large ones')
        self._unfinished[number] = kind, rest, whole
        return None
