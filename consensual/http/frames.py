"""Frames: what a connection between two nodes carries, as bytes.

A message, with its number and kind, is cut into pieces; a frame is a batch of pieces, of about
the same size, so that nobody waits behind a large message. No I/O, no asyncio.
"""

from collections import OrderedDict
from typing import Any, Optional, Union

import msgspec

from consensual.raft.errors import InvalidMessage

PROTOCOL = 'consensual.raft.1'
"""The subprotocol of the WebSocket; other versions are other ones."""

FRAME_SIZE = 28 << 10
"""Bytes of pieces that a frame is filled with. Of 28 KB none stalled on loopback, of 110 KB some
did, for tens of milliseconds."""

FRAME_LIMIT = 64 << 10
"""Bytes of a frame that are taken in."""

MESSAGE_LIMIT = 8 << 20
"""Bytes of a message. A command has up to 1 MiB of JSON text, a batch of commands 256 KiB."""

QUEUE_LIMIT = 32 << 20
"""Bytes of messages that wait on a connection, to be sent or to be completed."""

BULK_SIZE = 512 << 10
"""Bytes above which a message lets others pass; those below keep their order."""

PIECE_SIZE = 24
"""Bytes of a frame that a piece takes beside its body, at most."""


class InvalidFrame(InvalidMessage):
    """What came is no frame, or breaks a limit: the connection is of no use any more."""


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A part of a message.

    number: of the request, and of its reply.
    kind: of the message: a `MessageKind`, or what a reply is.
    is_last: the message is complete.
    """

    number: int
    kind: int
    is_last: bool
    body: bytes


_encode_frame = msgspec.msgpack.Encoder().encode
_decode_frame = msgspec.msgpack.Decoder(list[Piece]).decode


def _refuse_extension(code: int, _: memoryview) -> Any:
    raise InvalidMessage(f'a message has JSON types only, no extension {code}')


_encode_message = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_refuse_extension).decode
_decode_text = msgspec.msgpack.Decoder(str).decode


def encode_message(message: Any) -> bytes:
    """Return a message, or a text, as bytes. Raises `InvalidMessage` for what has no such form."""
    try:
        body = _encode_message(message)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidMessage(f'the message cannot be encoded: {error}') from error
    if len(body) > MESSAGE_LIMIT:
        raise InvalidMessage(f'a message of {len(body)} bytes: up to {MESSAGE_LIMIT} are carried')
    return body


def decode_message(body: Union[bytes, bytearray]) -> dict[str, Any]:
    """Return the message. Raises `InvalidMessage` for bytes that are none."""
    try:
        return _decode_message(body)
    except RecursionError:
        raise InvalidMessage('a message is nested too deep') from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise InvalidMessage(f'these bytes are no message: {error}') from error


def decode_text(body: Union[bytes, bytearray]) -> str:
    """Return the text. Raises `InvalidMessage` for bytes that are none."""
    try:
        return _decode_text(body)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidMessage(f'these bytes are no text: {error}') from error


class Outgoing:
    """Messages that wait to be sent, in their order; large ones let others pass.

    size: bytes that wait.
    """

    def __init__(self) -> None:
        self.size = 0
        self._lanes: tuple[_Lane, _Lane] = OrderedDict(), OrderedDict()
        self._is_turn_of_bulk = False

    def __repr__(self) -> str:
        return f'Outgoing({len(self)} messages, {self.size} bytes)'

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def put(self, number: int, kind: int, body: bytes, *, is_bulk: bool = False) -> None:
        """Add a message; its number is that of no other that waits here."""
        lane = self._lanes[is_bulk or len(body) > BULK_SIZE]
        lane[number] = _Message(kind, memoryview(body))
        self.size += len(body)

    def drop(self, number: int) -> None:
        """Send no such message any more, unless it was begun."""
        for lane in self._lanes:
            message = lane.get(number)
            if message is not None and not message.is_begun:
                del lane[number]
                self.size -= len(message.rest)

    def clear(self) -> None:
        """Forget all."""
        self.size = 0
        for lane in self._lanes:
            lane.clear()

    def next_frame(self) -> bytes:
        """Return the next frame; there is something to send."""
        ordered, bulk = self._lanes
        self._is_turn_of_bulk = bool(bulk) and (not ordered or not self._is_turn_of_bulk)
        lane = bulk if self._is_turn_of_bulk else ordered
        pieces: list[tuple[int, int, bool, memoryview]] = []
        room = FRAME_SIZE
        while lane and room > PIECE_SIZE:
            number, message = next(iter(lane.items()))
            part = message.rest[: room - PIECE_SIZE]
            message.rest = message.rest[len(part) :]
            message.is_begun = True
            is_last = not message.rest
            pieces.append((number, message.kind, is_last, part))
            room -= PIECE_SIZE + len(part)
            self.size -= len(part)
            if is_last:
                del lane[number]
        return _encode_frame(pieces)


class _Message:
    __slots__ = 'is_begun', 'kind', 'rest'

    def __init__(self, kind: int, rest: memoryview) -> None:
        self.kind = kind
        self.rest = rest
        self.is_begun = False


_Lane = OrderedDict[int, _Message]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A message that is complete."""

    number: int
    kind: int
    body: Union[bytes, bytearray]


class _Partial:
    __slots__ = 'body', 'kind'

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.body = bytearray()


class Incoming:
    """Puts messages together from the pieces that arrive.

    calls: messages that may be incomplete at a time.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._size = 0
        self._begun: dict[int, _Partial] = {}

    def __repr__(self) -> str:
        return f'Incoming({len(self._begun)} incomplete, {self._size} bytes)'

    def take(self, frame: bytes) -> list[Arrived]:
        """Return the messages that this frame completes.

        Raises `InvalidFrame` for bytes that are none, and for what breaks a limit.
        """
        try:
            pieces = _decode_frame(frame)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidFrame(f'these bytes are no frame: {error}') from error
        found = (self._add(piece) for piece in pieces)
        return [arrived for arrived in found if arrived is not None]

    def _add(self, piece: Piece) -> Optional[Arrived]:
        number = piece.number
        begun = self._begun.get(number)
        if begun is None:
            if piece.is_last:
                return Arrived(number, piece.kind, piece.body)
            if len(self._begun) >= self._calls:
                raise InvalidFrame(f'more than {self._calls} messages are incomplete')
            begun = self._begun[number] = _Partial(piece.kind)
        if begun.kind != piece.kind:
            raise InvalidFrame(f'message {number} is of the kinds {begun.kind} and {piece.kind}')
        begun.body += piece.body
        self._size += len(piece.body)
        if len(begun.body) > MESSAGE_LIMIT or self._size > QUEUE_LIMIT:
            raise InvalidFrame(
                f'a message may have {MESSAGE_LIMIT} bytes, and {QUEUE_LIMIT} may be incomplete'
            )
        if not piece.is_last:
            return None
        del self._begun[number]
        self._size -= len(begun.body)
        return Arrived(number, begun.kind, begun.body)
