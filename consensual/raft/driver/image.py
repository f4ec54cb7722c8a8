"""What is in a snapshot's data: the state machine's state and the client sessions, as JSON.

Encoded and decoded in a worker thread, piece by piece, so that the event loop gets its turn
between two of them. The JSON text is cut into lines for that: a line is a value, or some members
of an object or an array that has many; or the beginning or the end of one, or the key of a member
that has lines of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Optional
from zlib import crc32

import msgspec
from msgspec import Struct

from consensual.raft.core.messages import SNAPSHOT_LIMIT
from consensual.raft.core.sessions import Session, Sessions
from consensual.raft.driver import parameters
from consensual.raft.driver.outcome import Outcome
from consensual.raft.errors import OutcomeUnknown, ProcessorFailed, SnapshotFailed

BATCH = 256
"""Items of an array or an object that are encoded at once."""

OPENING, MIDDLE, END = b'{"sessions":[', b'],"state":', b'}'
"""The lines around the sessions, of which each has a line, and the state."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_array = msgspec.json.Decoder(list[Any]).decode


class StoredOutcome(Struct, frozen=True, omit_defaults=True):
    """What became of a command: its value, or the text of its failure.

    is_lost: it was applied, with a result that JSON cannot carry.
    """

    sequence: int
    value: msgspec.Raw = msgspec.Raw(b'null')
    error: Optional[str] = None
    is_lost: bool = False


class StoredSession(Struct, frozen=True):
    """A client session; see `Session`."""

    id: int
    lowest: int
    outcomes: list[StoredOutcome]


_decode_session = msgspec.json.Decoder(StoredSession).decode


class Capture(Struct, frozen=True):
    """All that a snapshot holds, at one moment, apart from what goes on changing.

    index: of the last entry that was applied.
    """

    index: int
    state: Any
    sessions: list[StoredSession]

    def encode(self) -> tuple[bytes, int]:
        """Return the data of a snapshot and their CRC-32.

        Raises `SnapshotFailed` for a state that would not come back as it is, or is too large.
        """
        try:
            lines = [OPENING, *_session_lines(self.sessions), MIDDLE, *pieces(self.state), END]
        except Exception as error:
            raise SnapshotFailed(
                f'what snapshot() of the state machine returned cannot be carried as JSON: {error}'
            ) from error
        data = b'\n'.join(lines)
        if len(data) > SNAPSHOT_LIMIT:
            raise SnapshotFailed(
                f'what snapshot() of the state machine returned takes {len(data)} bytes; '
                f'a snapshot may take {SNAPSHOT_LIMIT}'
            )
        return data, crc32(data)


class Image(Struct, frozen=True):
    """What a snapshot's data tell."""

    state: Any
    sessions: Sessions[Outcome]


def decode(data: bytes) -> Image:
    """Return what is in the data of a snapshot. Raises `msgspec.MsgspecError`."""
    lines = _lines(data)
    _expect(OPENING, lines)
    sessions: Sessions[Outcome] = Sessions()
    while (line := _next(lines)) != MIDDLE:
        stored = _decode_session(line.removeprefix(b','))
        outcomes = {outcome.sequence: _outcome(outcome) for outcome in stored.outcomes}
        sessions.resume(stored.id, stored.lowest, outcomes)
    state = _value(lines)
    _expect(END, lines)
    return Image(state, sessions)


def _expect(expected: bytes, lines: Iterator[bytes]) -> None:
    if (line := _next(lines)) != expected:
        raise msgspec.DecodeError(
            f'these are no data of a snapshot: {line[:40]!r} stands for {expected!r}'
        )


def store(sessions: Mapping[int, Session[Outcome]]) -> list[StoredSession]:
    """Return the sessions as they are kept, apart from results that their callers may change."""
    return [
        StoredSession(
            number,
            session.lowest,
            [_stored(sequence, outcome) for sequence, outcome in session.outcomes.items()],
        )
        for number, session in sessions.items()
    ]


def _stored(sequence: int, outcome: Outcome) -> StoredOutcome:
    if isinstance(outcome.error, ProcessorFailed):
        return StoredOutcome(sequence, error=str(outcome.error))
    if outcome.error is not None:
        return StoredOutcome(sequence, is_lost=True)
    try:
        return StoredOutcome(sequence, msgspec.Raw(_faithful(outcome.value)))
    except Exception:  # noqa: BLE001 - the user's: a value may even refuse to be compared
        return StoredOutcome(sequence, is_lost=True)


def _outcome(stored: StoredOutcome) -> Outcome:
    if stored.error is not None:
        return Outcome(None, ProcessorFailed(stored.error))
    if stored.is_lost:
        return Outcome(
            None,
            OutcomeUnknown(
                'the command was applied, but its result is not known here: this node took it '
                'over from a snapshot, and JSON cannot carry it'
            ),
        )
    return Outcome(_decode(stored.value))


def _faithful(value: Any) -> bytes:
    """Return the value as JSON text that decodes to an equal one; raise for anything else."""
    data = _encode(value)
    decoded = _decode(data)
    if decoded != value:
        parameters.check_equal(value, decoded, 'it')
    return data


def _session_lines(sessions: Sequence[StoredSession]) -> Iterator[bytes]:
    for number, session in enumerate(sessions):
        yield (b',' if number else b'') + _encode(session)


def pieces(value: Any, depth: int = 4) -> Iterator[bytes]:
    """Yield the JSON text of a value, in lines that are not long, as far as can be helped."""
    comma = b''
    if depth and isinstance(value, dict) and value:
        yield b'{'
        items = iter(value.items())
        while batch := dict(islice(items, BATCH)):
            if any(map(_has_many, batch.values())):
                for key, item in batch.items():
                    yield comma + _faithful({key: None})[1:-5]
                    yield from pieces(item, depth - 1)
                    comma = b','
            else:
                yield comma + _faithful(batch)[1:-1]
            comma = b','
        yield b'}'
    elif depth and isinstance(value, (list, tuple)) and value:
        yield b'['
        for start in range(0, len(value), BATCH):
            part = value[start : start + BATCH]
            if any(map(_has_many, part)):
                for item in part:
                    yield comma
                    yield from pieces(item, depth - 1)
                    comma = b','
            else:
                yield comma + _faithful(part)[1:-1]
            comma = b','
        yield b']'
    else:
        yield _faithful(value)


def _has_many(value: Any) -> bool:
    """Tell whether the value is better encoded in pieces itself."""
    if isinstance(value, (dict, list, tuple)):
        items = value.values() if isinstance(value, dict) else value
        return len(value) > BATCH or any(
            isinstance(item, (dict, list, tuple)) and len(item) > BATCH
            for item in islice(items, BATCH)
        )
    return False


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b'\n', start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = end + 1


def _next(lines: Iterator[bytes]) -> bytes:
    for line in lines:
        return line
    raise msgspec.DecodeError('the data of a snapshot end too early')


def _value(lines: Iterator[bytes]) -> Any:
    """Return the value that the next lines are, which `pieces` made."""
    match _next(lines):
        case b'{':
            members: dict[str, Any] = {}
            while (line := _next(lines)) != b'}':
                text = line.removeprefix(b',')
                if text.endswith(b':'):
                    members[_decode(text[:-1])] = _value(lines)
                else:
                    members.update(_decode_object(b'{%b}' % text))
            return members
        case b'[':
            items: list[Any] = []
            while (line := _next(lines)) != b']':
                if text := line.removeprefix(b','):
                    items += _decode_array(b'[%b]' % text)
                else:
                    items.append(_value(lines))
            return items
        case line:
            return _decode(line)
