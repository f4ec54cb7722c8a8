"""The file of a storage on SQLite: opened by one owner or to be read, and read with its checks.

Nothing is written here but what makes a file a storage; threads are not known here.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

from consensual import __version__
from consensual.raft.core.effects import HardState, Snapshot, Stored
from consensual.raft.core.log import Entry
from consensual.raft.errors import StorageFailed
from consensual.storage import sqlite_records as records
from consensual.storage.sqlite_errors import corrupted, explain, is_damage
from consensual.storage.sqlite_records import APPLICATION_ID, FORMAT, Row
from consensual.storage.sqlite_wal import damaged_frame

PAGE_SIZE = 4096
CHECKPOINT_FRAMES = 1000
"""Pages in the write-ahead log after which it is carried over, between two writes."""

WAL_SIZE = 16 << 20
"""Bytes that the file of the write-ahead log keeps; overwriting is cheaper than growing."""

WAL_ROOM = 4200 * CHECKPOINT_FRAMES
"""Bytes that it is given at once where a node writes much: up to the first checkpoint, mostly."""

_OWNER = (
    'PRAGMA locking_mode = EXCLUSIVE',  # before anything is read: no other process, no -shm
    'PRAGMA trusted_schema = OFF',
    'PRAGMA cell_size_check = ON',
    'PRAGMA synchronous = FULL',  # each commit is synced
    'PRAGMA fullfsync = ON',  # macOS: through the drive's cache, too
    'PRAGMA checkpoint_fullfsync = ON',
    'PRAGMA secure_delete = OFF',  # compaction need not overwrite what it frees
    f'PRAGMA journal_size_limit = {WAL_SIZE}',
    f'PRAGMA wal_autocheckpoint = {4 * CHECKPOINT_FRAMES}',  # for one huge write
)


def wal_of(path: Path) -> Path:
    """Return the path of the write-ahead log, which is there while the file is in use."""
    return path.with_name(f'{path.name}-wal')


def shared_memory_of(path: Path) -> Path:
    """Return the path of the index that readers make; an owner needs none."""
    return path.with_name(f'{path.name}-shm')


def open_to_own(path: Path) -> sqlite3.Connection:
    """Open the storage for this connection alone; make it where there is none.

    Raises `StorageLocked`, `StorageCorrupted`, `StorageFailed`.
    """
    connection: Optional[sqlite3.Connection] = None
    try:
        check_wal(path)
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        for pragma in _OWNER:
            connection.execute(pragma)
        is_new = _is_new(connection, path)
        if is_new:
            connection.execute(f'PRAGMA page_size = {PAGE_SIZE}')
            connection.execute('PRAGMA auto_vacuum = NONE')  # what compaction frees is used again
        _keep_wal(connection, path)
        if is_new:
            _create(connection, path)
        connection.execute('BEGIN EXCLUSIVE')
        connection.execute('COMMIT')
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise explain(error, path, 'opening') from error
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a storage that no node uses; nothing of it is changed.

    A write-ahead log is there only while a node runs, or after it was killed. Without one
    no lock is needed, and nothing is left behind.

    Raises `StorageLocked`, `StorageCorrupted`, `StorageFailed`.
    """
    if not path.is_file():
        raise StorageFailed(f'there is no file {path}')
    option = 'mode=ro' if wal_of(path).exists() else 'immutable=1'
    try:
        connection = sqlite3.connect(
            f'{path.absolute().as_uri()}?{option}', uri=True, timeout=0, isolation_level=None
        )
        try:
            is_empty = _is_new(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(error, path, 'opening') from error
    if is_empty:
        connection.close()
        raise StorageFailed(f'{path} is empty, so it is no storage of consensual')
    return connection


def make_room(path: Path) -> None:
    """Lengthen the write-ahead log with zeros: a sync is cheaper where the file does not grow.

    To SQLite they are the end of it. Nothing is changed where there is no room for them.
    """
    log = wal_of(path)
    size = log.stat().st_size
    try:
        with log.open('ab') as file:
            file.write(bytes(max(0, WAL_ROOM - size)))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.truncate(log, size)


def check_wal(path: Path) -> None:
    """Raise `StorageCorrupted` where the write-ahead log of a node that was killed is damaged."""
    if damaged_frame(wal_of(path)) is None:
        return
    with suppress(StorageFailed):  # the file itself may be gone
        reader = open_to_read(path)  # nobody has it, so nobody changes it
        reader.close()
    frame = damaged_frame(wal_of(path))
    if frame is not None:
        record = f'frame {frame}' if frame else 'the header'
        raise corrupted(wal_of(path), record, 'fails its checksum, and others follow it')


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell a storage from an empty file; raise `StorageFailed` for anything else."""
    application = _ask(connection, 'PRAGMA application_id')
    version = _ask(connection, 'PRAGMA user_version')
    tables = _ask(connection, 'SELECT count(*) FROM sqlite_master')
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION_ID:
        raise StorageFailed(
            f'{path} is a file of SQLite that another program made, no storage of consensual: '
            'it is left as it is; give the node another path'
        )
    if version > FORMAT:
        raise StorageFailed(
            f'{path} has format {version}, and consensual {__version__} knows formats up to '
            f'{FORMAT}: use the version that wrote it, or a later one'
        )
    if version < FORMAT:
        raise corrupted(path, 'the header', f'tells format {version}, which never was')
    return False


def _ask(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


def _keep_wal(connection: sqlite3.Connection, path: Path) -> None:
    if _ask(connection, 'PRAGMA journal_mode = WAL') != 'wal':
        raise StorageFailed(f'{path}: this file system cannot hold a write-ahead log')


def _create(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables: all of them or, after a crash, none, which is an empty file."""
    connection.execute('BEGIN EXCLUSIVE')
    for statement in records.SCHEMA:
        connection.execute(statement)
    for remark in (('format', str(FORMAT)), ('created_by', f'consensual {__version__}')):
        connection.execute(records.INSERT_META, records.meta_row(*remark))
    connection.execute(f'PRAGMA application_id = {APPLICATION_ID}')
    connection.execute(f'PRAGMA user_version = {FORMAT}')
    connection.execute('COMMIT')
    if os.name == 'posix':  # the file's name is durable, too
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Reader:
    """Reads the records of a file, each with its checks.

    read: how many records were read and found sound.

    Its methods raise `StorageCorrupted`, naming file and record, and `StorageFailed`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.read = 0
        self._connection = connection
        self._path = path

    def __repr__(self) -> str:
        return f'Reader({str(self._path)!r})'

    def stored(self) -> Optional[Stored]:
        """Return everything; None when nothing was written yet."""
        self.meta()
        node = self.node()
        snapshot = self.snapshot()
        if node is None:
            return None
        hard_state, first_index = node
        return Stored(hard_state, [*self.entries(first_index)], snapshot, first_index)

    def meta(self) -> dict[str, str]:
        """Return the remarks on the file: its format, and what made it."""
        rows = self._rows(records.SELECT_META, lambda: 'the table meta')
        remarks = {row[0]: row[1] for row in self._sound(rows, lambda row: f'meta {row[0]!r}')}
        if remarks.get('format') != str(FORMAT):
            raise corrupted(self._path, "meta 'format'", f'is not {FORMAT}, as the header says')
        return remarks

    def node(self) -> Optional[tuple[HardState, int]]:
        """Return the hard state and the first index of the log; None when nothing was written."""
        row = self._row(records.SELECT_NODE, 'the hard state (table node)')
        if row is not None:
            return records.hard_state_of(row)
        for table in ('log', 'snapshot'):
            counted = self._rows(f'SELECT count(*) FROM {table}', lambda: 'the file')  # noqa: S608
            if next(counted)[0]:
                raise corrupted(self._path, 'the hard state (table node)', 'is missing')
        return None

    def snapshot(self) -> Optional[Snapshot]:
        """Return the snapshot, None when there is none."""
        row = self._row(records.SELECT_SNAPSHOT, 'the snapshot')
        if row is None:
            return None
        size, pieces = records.pieces_of(row)
        rows = self._rows(
            records.SELECT_PIECES, lambda: 'the snapshot', pieces.start, pieces.stop - 1
        )
        sound = self._sound(rows, lambda row: f'piece {row[0]} of the snapshot')
        data = b''.join(row[1] for row in sound)
        if len(data) != size:
            raise corrupted(self._path, 'the snapshot', 'lacks a piece')
        try:
            return records.snapshot_of(row, data)
        except ValueError as error:
            raise corrupted(self._path, 'the snapshot', f'tells nothing ({error})') from error

    def log(self, first_index: int) -> Iterator[Row]:
        """Go through the rows of the log, which begins there and has no gap."""
        expected = first_index
        rows = self._rows(records.SELECT_LOG, lambda: f'log entry {expected}')
        for row in self._sound(rows, lambda row: f'log entry {row[0]}'):
            if row[0] != expected:
                problem = f'is missing: the log should begin with it, and has entry {row[0]}'
                if expected > first_index:
                    problem = f'is missing: entry {row[0]} follows {expected - 1}'
                raise corrupted(self._path, f'log entry {expected}', problem)
            expected += 1
            yield row

    def entries(self, first_index: int) -> Iterator[Entry]:
        """Go through the entries of the log."""
        for row in self.log(first_index):
            yield self._told(records.entry_of, row)

    def words(self, first_index: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Go through the log; return each entry's index, and itself as an object for JSON."""
        for row in self.log(first_index):
            yield row[0], self._told(records.words_of_row, row)

    def sizes(self) -> dict[str, int]:
        """Return bytes: of the file, of its pages that are free, of the write-ahead log."""
        page = next(self._rows('PRAGMA page_size', lambda: 'the file'))[0]
        free = next(self._rows('PRAGMA freelist_count', lambda: 'the file'))[0]
        log = wal_of(self._path)
        return {
            'in the file': self._path.stat().st_size,
            'of it free': page * free,
            'in the write-ahead log': log.stat().st_size if log.exists() else 0,
        }

    def integrity(self) -> None:
        """Have SQLite check what holds the records together."""
        for (text,) in self._rows('PRAGMA integrity_check(1)', lambda: 'the file'):
            if text != 'ok':
                raise corrupted(self._path, 'the file', f'is malformed ({text})')

    def _row(self, sql: str, record: str) -> Optional[Row]:
        rows = self._sound(self._rows(sql, lambda: record), lambda _: record)
        row = next(rows, None)
        if next(rows, None) is not None:
            raise corrupted(self._path, record, 'is there twice')
        return row

    def _sound(self, rows: Iterator[Row], name: Callable[[Row], str]) -> Iterator[Row]:
        for row in rows:
            if not records.is_sound(row):
                raise corrupted(self._path, name(row), 'fails its checksum')
            self.read += 1
            yield row

    def _rows(self, sql: str, record: Callable[[], str], *values: int) -> Iterator[Row]:
        """Go through the rows; name the record where one cannot be read."""
        try:
            for row in self._connection.execute(sql, values):  # noqa: UP028 - that closes cursors
                yield row
        except sqlite3.Error as error:
            if is_damage(error):
                raise corrupted(self._path, record(), f'cannot be read ({error})') from error
            raise explain(error, self._path, 'reading') from error

    def _told(self, tell: Callable[[Row], Any], row: Row) -> Any:
        try:
            return tell(row)
        except ValueError as error:
            name = f'log entry {row[0]}'
            raise corrupted(self._path, name, f'tells nothing ({error})') from error
