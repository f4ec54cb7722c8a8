"""An owned file on SQLite: loaded once, then written to, one transaction for each write.

All in one thread; which thread that is, and who waits for it, is not known here.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from traceback import clear_frames
from typing import Optional, TypeVar

from msgspec import Struct

from consensual.raft.core.effects import HardState, Snapshot, Stored, Write
from consensual.raft.core.log import payload_size
from consensual.raft.errors import InvariantViolated, StorageError, StorageFailed, StorageFull
from consensual.storage import sqlite_records as records
from consensual.storage.extent import Extent, erases
from consensual.storage.sqlite_errors import explain
from consensual.storage.sqlite_file import (
    CHECKPOINT_FRAMES,
    Reader,
    make_room,
    open_to_own,
    shared_memory_of,
    wal_of,
)
from consensual.storage.sqlite_records import Row

PAGE = 4096
"""Bytes of a page; the write-ahead log consists of pages that were changed."""

ENTRIES_OF_A_PAGE = 32
"""About as many small entries share a page, which changes when they are dropped."""

ROOM_FRAMES = 100
"""Pages in the write-ahead log after which it gets its room: whoever writes little needs none."""

Result = TypeVar('Result')


class Staged(Struct):
    """Data of a snapshot that is to come, in the file already as far as the pieces reach."""

    data: bytes
    pieces: range

    @property
    def is_complete(self) -> bool:
        """All of it is there."""
        return len(self.pieces) * records.PIECE >= len(self.data)


Statement = tuple[str, list[Row]]


class Database:
    """One possession of a file, from its load to its close."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Optional[sqlite3.Connection] = None
        self._cursor: Optional[sqlite3.Cursor] = None
        self._extent = Extent()
        self._hard_state: Optional[HardState] = None
        self._snapshot_index: Optional[int] = None
        self._staged: Optional[Staged] = None
        self._frames = 0
        self._has_room = False
        self._failure: Optional[StorageError] = None

    def __repr__(self) -> str:
        return f'Database({str(self._path)!r})'

    def load(self) -> Optional[Stored]:
        """Open the file, check every record and return what they say, which is durable then.

        Raises `StorageLocked`, `StorageCorrupted`, `StorageFailed`, `StorageFull`.
        """
        was_killed = wal_of(self._path).exists()
        self._connection = open_to_own(self._path)
        try:
            stored = Reader(self._connection, self._path).stored()
            if was_killed:
                self._sync(self._connection)
        except BaseException as error:
            clear_frames(error.__traceback__)  # cursors must not end in another thread
            self._connection.close()
            self._connection = None
            raise
        self._cursor = self._connection.cursor()
        if stored is not None:
            self._hard_state = stored.hard_state
            self._extent = Extent(stored.first_index, stored.first_index + len(stored.entries))
            self._snapshot_index = stored.snapshot.index if stored.snapshot is not None else None
        return stored

    def write(self, write: Write) -> None:
        """Make the write durable; after one that failed, every later one fails.

        Raises `StorageFull`, `StorageFailed`.
        """
        self._carry_out(lambda: self._write(write))

    def stage_piece(self, data: bytes) -> bool:
        """Make the next piece of these data durable, for a snapshot that is to come.

        Returns whether it was the last one. What was staged before is dropped, piece by piece, too.
        Fails as a write.
        """
        return self._carry_out(lambda: self._stage(data))

    def _carry_out(self, do: Callable[[], Result]) -> Result:
        if self._failure is not None:
            raise type(self._failure)(f'an earlier write failed: {self._failure}')
        try:
            return do()
        except Exception as error:
            clear_frames(error.__traceback__)  # a cursor that lives on would keep the lock
            self._failure = self._explained(error)
            raise self._failure from error

    def tidy(self) -> None:
        """Do what makes later writes cheaper, if there were enough of them.

        To be called when nobody waits: everything is durable before and after it.
        """
        if self._cursor is None or self._failure is not None:
            return
        if self._frames >= ROOM_FRAMES and not self._has_room:
            self._has_room = True
            with suppress(OSError):
                make_room(self._path)
        if self._frames >= CHECKPOINT_FRAMES:
            self._checkpoint(self._cursor)

    def _checkpoint(self, cursor: sqlite3.Cursor) -> None:
        """Carry the write-ahead log over into the file."""
        self._frames = 0
        try:
            cursor.execute('PRAGMA wal_checkpoint(PASSIVE)').fetchall()
        except sqlite3.Error as error:
            failure = explain(error, self._path, 'writing to')
            if not isinstance(failure, StorageFull):  # a full disk may be enough for the log
                self._failure = failure

    def close(self) -> None:
        """Leave everything in the one file, and the file to others."""
        connection, cursor = self._connection, self._cursor
        self._connection = self._cursor = None
        if connection is None:
            return
        if cursor is not None:
            cursor.close()
        with suppress(sqlite3.Error, OSError):  # else it stays in the log, where it is durable
            if self._failure is None:
                connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
            shared_memory_of(self._path).unlink(missing_ok=True)  # left by readers: none is now
        connection.close()

    def _sync(self, connection: sqlite3.Connection) -> None:
        """Carry over the log that a killed process left, and cut it off.

        It may have been killed before it synced: what a node reads it relies on at once, and
        a power cut must not take that away. And what a torn write left behind would look
        like damage (see `sqlite_wal`) if the next write were torn at the same place.
        """
        try:
            connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
        except sqlite3.Error as error:
            raise explain(error, self._path, 'syncing') from error

    def _write(self, write: Write) -> None:
        cursor = self._open_cursor()
        extent = self._extent.after(write)
        statements = self._statements(write, extent)
        if len(statements) == 1 and len(statements[0][1]) == 1:
            cursor.executemany(*statements[0])  # by itself it is a transaction
        elif statements:
            cursor.execute('BEGIN IMMEDIATE')
            for statement in statements:
                cursor.executemany(*statement)
            cursor.execute('COMMIT')
        self._frames += self._changed_pages(write, extent)
        self._extent = extent
        self._hard_state = write.hard_state or self._hard_state
        if write.snapshot is not None:
            self._snapshot_index, self._staged = write.snapshot.index, None
        elif self._erases_snapshot(write):
            self._snapshot_index = None

    def _open_cursor(self) -> sqlite3.Cursor:
        if self._cursor is None:
            raise StorageFailed(f'{self._path} is not open')
        return self._cursor

    def _changed_pages(self, write: Write, extent: Extent) -> int:
        """Return about how many pages the write changes; SQLite counts again, more seldom."""
        size = sum(payload_size(entry.payload) for entry in write.entries)
        if write.snapshot is not None and self._staged is None:
            size += len(write.snapshot.data)
        dropped = max(0, extent.first - self._extent.first)
        return 1 + size // PAGE + dropped // ENTRIES_OF_A_PAGE

    def _statements(self, write: Write, extent: Extent) -> list[Statement]:
        """Return what a write is in SQL."""
        statements: list[Statement] = []
        hard_state = write.hard_state or self._hard_state
        if hard_state is None:
            raise InvariantViolated('the first write must bring a hard state')
        if write.hard_state is not None or extent.first != self._extent.first:
            row = records.node_row(hard_state, extent.first)
            statements.append((records.REPLACE_NODE, [row]))
        first = write.first_index
        if first is not None:
            if first < self._extent.end:
                statements.append(('DELETE FROM log WHERE idx >= ?', [(first,)]))
            if write.entries:
                rows = records.log_rows(first, write.entries)
                statements.append((records.INSERT_ENTRY, rows))
        if extent.first > self._extent.first:
            statements.append(('DELETE FROM log WHERE idx < ?', [(extent.first,)]))
        if write.snapshot is not None:
            statements += self._replace_snapshot(write.snapshot)
        elif self._erases_snapshot(write):
            statements.append(('DELETE FROM snapshot WHERE id = ?', [(1,)]))
            statements.append((records.DELETE_OTHER_PIECES, [()]))
        return statements

    def _replace_snapshot(self, snapshot: Snapshot) -> list[Statement]:
        """Return what is left to be done for a snapshot: little, where its data was staged.

        Then the earlier one's pieces go when the next one's come.
        """
        staged = self._staged
        if staged is not None and staged.data is snapshot.data and staged.is_complete:
            row = records.snapshot_row(snapshot, staged.pieces)
            return [(records.REPLACE_SNAPSHOT, [row])]
        first = self._next_piece()
        pieces = records.piece_rows(first, snapshot.data)
        row = records.snapshot_row(snapshot, range(first, first + len(pieces)))
        return [
            (records.INSERT_PIECE, pieces),
            (records.REPLACE_SNAPSHOT, [row]),
            (records.DELETE_OTHER_PIECES, [()]),
        ]

    def _next_piece(self) -> int:
        number: int = self._open_cursor().execute(records.SELECT_NEXT_PIECE).fetchone()[0]
        return number

    def _stage(self, data: bytes) -> bool:
        cursor, staged = self._open_cursor(), self._staged
        if staged is None or staged.data is not data:
            first = self._next_piece()
            staged = self._staged = Staged(data, range(first, first))
        start = len(staged.pieces) * records.PIECE
        rows = records.piece_rows(staged.pieces.stop, data[start : start + records.PIECE])
        cursor.execute('BEGIN IMMEDIATE')
        cursor.execute(records.DELETE_TWO_OTHER_PIECES, (staged.pieces.start,))
        cursor.executemany(records.INSERT_PIECE, rows)
        cursor.execute('COMMIT')
        staged.pieces = range(staged.pieces.start, staged.pieces.stop + len(rows))
        self._frames += 1 + records.PIECE // PAGE
        return staged.is_complete

    def _erases_snapshot(self, write: Write) -> bool:
        return self._snapshot_index is not None and erases(write, self._snapshot_index)

    def _explained(self, error: Exception) -> StorageError:
        """Give up the transaction, if one is open; say what happened."""
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute('ROLLBACK')
        return explain(error, self._path, 'writing to')
