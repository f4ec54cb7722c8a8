"""The tables of a storage on SQLite: what stands in which column, and each row's checksum.

Rows and the nouns that they tell; no file, no transaction, no thread.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from consensual.raft.core.configuration import Configuration, Member
from consensual.raft.core.effects import HardState, Snapshot
from consensual.raft.core.log import Command, Entry, NoOp, OpenSession, Payload, Reconfiguration

FORMAT = 1
"""The version of the tables below; another one is refused."""

APPLICATION_ID = 0x636E736C
"""Tells a storage of consensual from other files of SQLite: 'cnsl'."""

Row = tuple[Any, ...]

SCHEMA = (
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE node (           -- one row: the hard state
        id INTEGER PRIMARY KEY CHECK (id = 1),
        incarnation TEXT NOT NULL,
        cluster_id TEXT NOT NULL,
        is_attached INTEGER NOT NULL,
        current_term INTEGER NOT NULL,
        voted_for TEXT NOT NULL,
        voted_incarnation TEXT NOT NULL,
        node_id TEXT NOT NULL,    -- whose data these are
        first_index INTEGER NOT NULL,  -- entries before it were compacted away
        checksum INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE log (
        idx INTEGER PRIMARY KEY,
        term INTEGER NOT NULL,
        time REAL NOT NULL,       -- seconds of the cluster's own clock
        kind TEXT NOT NULL,       -- command, noop, session, configuration
        session INTEGER,          -- commands only, as are the next three
        sequence INTEGER,
        lowest INTEGER,
        action TEXT,
        parameters TEXT,          -- JSON; of a command: as the caller gave them
        checksum INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE snapshot (       -- at most one row
        id INTEGER PRIMARY KEY CHECK (id = 1),
        idx INTEGER NOT NULL,     -- the last entry that it covers
        term INTEGER NOT NULL,
        time REAL NOT NULL,
        configuration_index INTEGER NOT NULL,
        configuration_term INTEGER NOT NULL,
        configuration TEXT NOT NULL,  -- JSON, as in the log
        size INTEGER NOT NULL,    -- bytes of its data, which are in pieces
        first_piece INTEGER NOT NULL,
        pieces INTEGER NOT NULL,  -- how many they are
        checksum INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE piece (          -- of the snapshot, and of one that is to come
        id INTEGER PRIMARY KEY,
        data BLOB NOT NULL,       -- the state machine and the sessions of clients
        checksum INTEGER NOT NULL
    )
    """,
)

PIECE = 1 << 18
"""Bytes of a snapshot's data that stand in one row."""

INSERT_META = 'INSERT INTO meta VALUES (?, ?, ?)'
REPLACE_NODE = 'INSERT OR REPLACE INTO node VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
INSERT_ENTRY = 'INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
REPLACE_SNAPSHOT = 'INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
INSERT_PIECE = 'INSERT INTO piece VALUES (?, ?, ?)'
_OTHER_PIECES = (
    'FROM piece WHERE NOT EXISTS (SELECT 1 FROM snapshot '
    'WHERE piece.id BETWEEN first_piece AND first_piece + pieces - 1)'
)
DELETE_OTHER_PIECES = f'DELETE {_OTHER_PIECES}'
DELETE_TWO_OTHER_PIECES = (
    f'DELETE FROM piece WHERE id IN (SELECT id {_OTHER_PIECES} AND id < ? LIMIT 2)'  # noqa: S608
)

SELECT_META = 'SELECT name, value, checksum FROM meta ORDER BY name'
SELECT_NODE = (
    'SELECT incarnation, cluster_id, is_attached, current_term, voted_for, voted_incarnation, '
    'node_id, first_index, checksum FROM node'
)
SELECT_LOG = (
    'SELECT idx, term, time, kind, session, sequence, lowest, action, parameters, checksum '
    'FROM log ORDER BY idx'
)
SELECT_SNAPSHOT = (
    'SELECT idx, term, time, configuration_index, configuration_term, configuration, size, '
    'first_piece, pieces, checksum FROM snapshot'
)
SELECT_PIECES = 'SELECT id, data, checksum FROM piece WHERE id BETWEEN ? AND ? ORDER BY id'
SELECT_NEXT_PIECE = 'SELECT coalesce(max(id), 0) + 1 FROM piece'

_encode = msgspec.msgpack.Encoder().encode


class _Place(Struct, frozen=True):
    """A member, by the names of its fields."""

    id: str
    url: str
    incarnation: str


class _Places(Struct, frozen=True):
    """A reconfiguration, by the names of its fields."""

    voters: tuple[_Place, ...]
    outgoing: tuple[_Place, ...]
    learners: tuple[_Place, ...]
    request: str
    failure: str


class _Opener(Struct, frozen=True):
    """The opening of a session, by the name of its field."""

    opener: str


def checksum(columns: Row) -> int:
    """Return the CRC-32 of the columns, in their order, as an array of MessagePack.

    A BLOB in the last place is not part of the array: its bytes follow it.
    """
    if columns and type(columns[-1]) is bytes:
        return crc32(columns[-1], crc32(_encode(columns[:-1])))
    return crc32(_encode(columns))


def is_sound(row: Row) -> bool:
    """Tell whether the last column is the checksum of the others."""
    try:
        return bool(checksum(row[:-1]) == row[-1])
    except (UnicodeEncodeError, OverflowError):
        return False


# what is written


def _checked(*columns: Any) -> Row:
    return (*columns, checksum(columns))


def meta_row(name: str, value: str) -> Row:
    """Return the row of a remark on the file."""
    return _checked(name, value)


def node_row(hard_state: HardState, first_index: int) -> Row:
    """Return the row of the hard state."""
    incarnation, cluster_id, is_attached, *rest = astuple(hard_state)
    return _checked(incarnation, cluster_id, int(is_attached), *rest, first_index)


def log_rows(first_index: int, entries: Iterable[Entry]) -> list[Row]:
    """Return the rows of entries, of which the first has that index."""
    rows = []
    for index, entry in enumerate(entries, first_index):
        payload = entry.payload
        row: Row
        if type(payload) is Command:
            row = (
                index,
                entry.term,
                entry.time + 0.0,  # -0.0 comes back as 0.0
                'command',
                payload.session,
                payload.sequence,
                payload.lowest,
                payload.action,
                payload.parameters,
            )
        else:
            kind, parameters = _columns_of(payload)
            row = (index, entry.term, entry.time + 0.0, kind, None, None, None, None, parameters)
        rows.append((*row, crc32(_encode(row))))
    return rows


def piece_rows(first: int, data: bytes) -> list[Row]:
    """Return the rows of the data of a snapshot, of which the first has that id."""
    offsets = range(0, len(data), PIECE)
    return [
        _checked(number, data[offset : offset + PIECE])
        for number, offset in enumerate(offsets, first)
    ]


def snapshot_row(snapshot: Snapshot, pieces: range) -> Row:
    """Return the row of a snapshot, whose data is in the pieces of those ids."""
    return _checked(
        snapshot.index,
        snapshot.term,
        snapshot.time + 0.0,
        snapshot.configuration_index,
        snapshot.configuration_term,
        _text_of(snapshot.configuration),
        len(snapshot.data),
        pieces.start,
        len(pieces),
    )


def _columns_of(payload: Payload) -> tuple[str, Optional[str]]:
    match payload:
        case OpenSession(opener=opener):
            return 'session', _json(_Opener(opener))
        case Reconfiguration():
            return 'configuration', _text_of(payload)
    return 'noop', None


def _text_of(change: Reconfiguration) -> str:
    configuration = change.configuration
    voters, outgoing, learners = map(
        _places, (configuration.voters, configuration.outgoing, configuration.learners)
    )
    return _json(_Places(voters, outgoing, learners, change.request, change.failure))


def _places(members: Sequence[Member]) -> tuple[_Place, ...]:
    return tuple(_Place(member.id, member.url, member.incarnation) for member in members)


def _json(value: Struct) -> str:
    return msgspec.json.encode(value).decode()


# what is read: rows that are sound


def hard_state_of(row: Row) -> tuple[HardState, int]:
    """Return the hard state, and the first index of the log."""
    incarnation, cluster_id, is_attached, *rest, first_index, _ = row
    return HardState(incarnation, cluster_id, bool(is_attached), *rest), first_index


def entry_of(row: Row) -> Entry:
    """Return the entry. Raises `ValueError` when the row tells none."""
    _, term, time, kind, session, sequence, lowest, action, parameters, _ = row
    if kind == 'command':
        return Entry(term, time, Command(session, sequence, lowest, action, parameters))
    return Entry(term, time, _payload_of(kind, parameters))


def pieces_of(row: Row) -> tuple[int, range]:
    """Return how many bytes of data a snapshot has, and the ids of their pieces."""
    size, first, number = row[6:9]
    return size, range(first, first + number)


def snapshot_of(row: Row, data: bytes) -> Snapshot:
    """Return the snapshot. Raises `ValueError` when the row tells none."""
    index, term, time, configuration_index, configuration_term, text, *_ = row
    return Snapshot(
        index,
        term,
        time,
        configuration_index,
        configuration_term,
        _reconfiguration_of(text),
        data,
        crc32(data),
    )


def _payload_of(kind: str, parameters: str) -> Payload:
    match kind:
        case 'noop':
            return NoOp()
        case 'session':
            return OpenSession(msgspec.json.decode(parameters, type=_Opener).opener)
        case 'configuration':
            return _reconfiguration_of(parameters)
    raise ValueError(f'no kind of entry is called {kind!r}')


def _reconfiguration_of(text: str) -> Reconfiguration:
    places = msgspec.json.decode(text, type=_Places)
    configuration = Configuration(
        _members(places.voters), _members(places.outgoing), _members(places.learners)
    )
    return Reconfiguration(configuration, places.request, places.failure)


def _members(places: Sequence[_Place]) -> tuple[Member, ...]:
    return tuple(Member(*astuple(place)) for place in places)


# for people


def words_of_row(row: Row) -> dict[str, Any]:
    """Return a row of the log as an object for JSON: what does not apply is left out."""
    index, term, time, kind, session, sequence, lowest, action, parameters, _ = row
    words = {'index': index, 'term': term, 'time': time, 'kind': kind}
    if kind == 'command':
        words |= {'session': session, 'sequence': sequence, 'lowest': lowest, 'action': action}
        return words | {'parameters': _value_of(parameters)}
    return words | (msgspec.json.decode(parameters) if parameters is not None else {})


def _value_of(text: str) -> Union[msgspec.Raw, str]:
    """Return JSON as it stands, in one line; anything else as a text."""
    try:
        msgspec.json.decode(text)
    except ValueError:
        return text
    return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
