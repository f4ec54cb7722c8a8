"""Simulated disks beside real files of SQLite, which must give back what the disks hold.

A crash tears a file as kill -9 or a power cut would: what no sync was asked for may be lost.
"""

import sqlite3
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Optional

from consensual.raft.core.effects import Stored, Write
from consensual.raft.errors import StorageError
from consensual.storage.sqlite_database import Database
from consensual.testing.disk import Disk, Mounted
from consensual.testing.process import Process
from consensual.testing.simulation import Simulation
from consensual.testing.soak import Store
from tests.simulation.tears import HEADER, mixed, torn_log

FRAME = 24 + 4096
"""Bytes of a changed page in a write-ahead log of SQLite, with what stands before it."""


class Connection(sqlite3.Connection):
    """A connection that knows what it was asked to sync, and syncs nothing: that takes time.

    mode: how commits are to be synced, by the path of the file.
    checkpoints: how many were asked for, by the path of the file.
    opened: all that were made, so that somebody may close them.
    """

    opened: ClassVar['list[Connection]'] = []
    mode: ClassVar[dict[str, str]] = {}
    checkpoints: ClassVar[dict[str, int]] = {}

    def __init__(self, database: Any, **options: Any) -> None:
        super().__init__(database, **options)
        self.opened.append(self)
        self.path = str(database)
        self.checkpoints[self.path] = 0
        self.set_trace_callback(self._see)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.startswith('PRAGMA synchronous'):
            self.mode[self.path] = sql.rpartition(' ')[2]
            sql = 'PRAGMA synchronous = OFF'
        return super().execute(sql, *parameters)

    def _see(self, sql: str) -> None:
        self.checkpoints[self.path] += sql.startswith('PRAGMA wal_checkpoint')


class File:
    """The file of a storage on SQLite, through all lives of the node that writes to it.

    lost, failed: how many writes a crash took away, and how many failed for want of room.
    rounds: how often the write-ahead log was begun anew.
    rooms: how often it was given room.
    halves: how often it was carried over to one half when the process ended.
    """

    def __init__(self, path: Path, random: Random) -> None:
        self.lost = self.failed = self.rounds = self.rooms = self.halves = 0
        self._path = path
        self._log_path = path.with_name(f'{path.name}-wal')
        self._random = random
        self._database: Optional[Database] = None
        self._synced = self._synced_before = b''

    def open(self) -> Optional[Stored]:
        """Return what is in it, for a process that begins. Raises what the storage does."""
        is_new = not self._path.exists()
        self._database = Database(self._path)
        try:
            stored = self._database.load()
        except StorageError:
            self._database = None
            raise
        if is_new or Connection.checkpoints[str(self._path)]:
            self._synced = self._log()
        self._synced_before = self._synced
        return stored

    def write(self, write: Write) -> None:
        """Write; once it returns, the write is durable if the storage has it so."""
        assert self._database is not None
        before, checkpoints = self._log(), Connection.checkpoints[str(self._path)]
        self._database.tidy()
        log = self._log()
        if log != before or Connection.checkpoints[str(self._path)] > checkpoints:
            self._synced = log  # it was carried over, or given room: either way it is synced
        self._database.write(write)
        self._synced_before = self._synced
        self.rooms += len(log) > len(before)
        self.rounds += self._log()[:HEADER] != log[:HEADER] != b''
        if Connection.mode[str(self._path)] == 'FULL':
            self._synced = self._log()

    def write_with_little_room(self, write: Write) -> None:
        """Write, with so much room that it fails at some byte; or there was enough for it."""
        log, end = self._log(), HEADER
        while log[16:24] == log[end + 8 : end + 16] != b'':  # a frame of this round
            end += FRAME
        room = self._random.choice((0, end)) + self._random.randrange(2 * FRAME)
        with _no_file_beyond(room):
            try:
                self.write(write)
            except StorageError:
                self.failed += 1
                raise

    def close(self) -> None:
        """The process gives it up in good order."""
        assert self._database is not None
        self._database.close()
        self._database = None
        self._synced = self._log()

    def end(self, kept: Optional[Stored], *, is_under_way: bool) -> None:
        """The process ends in the midst of its work.

        kept: what the file has to give back.
        is_under_way: the last write is part of that, although it was not complete.
        """
        assert self._database is not None
        log, content = self._log(), self._path.read_bytes()
        self._database.close()
        carried_over = self._path.read_bytes()
        self._database = None
        is_lost = self._whole() != kept
        if is_lost or is_under_way:
            self._synced = self._synced_before
        is_power_cut = is_lost or (not is_under_way and self._random.random() < 0.5)
        left = torn_log(self._synced, log, self._random) if is_power_cut else log
        self.lost += is_lost
        if left == log and not is_under_way and self._random.random() < 0.3:
            self.halves += content != carried_over
            content, self._synced = mixed(content, carried_over, self._random), log
        self._path.write_bytes(content)
        if left:
            self._log_path.write_bytes(left)

    def _whole(self) -> Optional[Stored]:
        """Return what is in it, once all is carried over."""
        database = Database(self._path)
        stored = database.load()
        database.close()
        return stored

    def _log(self) -> bytes:
        return self._log_path.read_bytes() if self._log_path.exists() else b''


class FileDisk(Disk):
    """A simulated disk, which is the model of what a file must give back.

    What is handed in is in the file at once, and in the model when it is durable. When the
    process ends, the file loses what the model does not have.

    report: called with what is wrong.
    """

    def __init__(
        self, *arguments: Any, file: File, report: Callable[[str], None], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.file = file
        self._report = report
        self._mounted: Optional[Mounted] = None
        self._fails_next = False

    def fail_next_write(self, *, is_written: bool) -> None:
        """Let the next write fail, by the file where it is not to be written."""
        if is_written:
            super().fail_next_write(is_written=True)
        else:
            self._fails_next = True

    def heal(self) -> None:
        """See `Disk`."""
        super().heal()
        self._fails_next = False

    def unmount(self) -> None:
        """The process is gone: tear the file."""
        user, self._mounted, self._fails_next = self._mounted, None, False
        if user is None:
            return super().unmount()
        before = super().take(user)
        super().unmount()
        after = super().take(user)
        super().release(user)
        self.file.end(after, is_under_way=before != after)

    def take(self, user: Mounted) -> Optional[Stored]:
        """Return what the file gives; it must be what the model has."""
        expected = super().take(user)
        try:
            found = self.file.open()
        except StorageError as error:
            self._report(f'{expected} was stored, and cannot be loaded: {error!r}')
            super().release(user)
            raise
        if found != expected:
            self._report(f'{expected} was stored, and {found} is loaded')
        self._mounted = user
        return found

    def release(self, user: Mounted) -> None:
        """See `Disk`."""
        super().release(user)
        if self._mounted is user:
            self._mounted = None
            self.file.close()

    def write(self, write: Write, process: Process) -> 'Optional[Future[None]]':
        """Write to the file, then to the model, as late or as badly as that is told to."""
        is_full, fails = self.is_full, self.is_full or self._fails_next
        self._fails_next = False
        try:
            (self.file.write_with_little_room if fails else self.file.write)(write)
        except StorageError as error:
            if not fails:
                raise
            self.has_failed = True
            failing: Future[None] = process.create_future()
            failing.set_exception(error)
            return failing
        self.is_full = False  # the file had room for this one
        try:
            return super().write(write, process)
        finally:
            self.is_full = is_full


class OnFiles(Simulation):
    """A simulation whose disks have files.

    directory: where to; an empty one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        make_file: Callable[[Path, Random], File] = File,
        make_disk: Callable[..., FileDisk] = FileDisk,
        **options: Any,
    ) -> None:
        super().__init__(Store, **options)
        self.files: list[File] = []
        self._directory = directory
        self._make_file, self._make_disk = make_file, make_disk
        self.world.make_disk = self._make

    def _make(self, *arguments: Any, **options: Any) -> FileDisk:
        name = f'{len(self.files)}.db'
        file = self._make_file(self._directory / name, self.world.random(f'file {name}'))
        self.files.append(file)

        def report(text: str) -> None:
            self.world.observer.violate('file_gives_back_what_was_stored', f'{name}: {text}')

        return self._make_disk(*arguments, file=file, report=report, **options)


@contextmanager
def _no_file_beyond(size: int) -> Iterator[None]:
    """Let this process write nothing to files beyond so many bytes, as on a full disk."""
    import resource  # noqa: PLC0415 - not on every platform

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
