"""A storage on SQLite: durable in one file, written to by one thread.

Threads and waiting only: what is done to the file is `sqlite_database`. Knows no rule of Raft.
"""

import weakref
from asyncio import Future, get_running_loop, to_thread
from collections.abc import Awaitable, Callable
from os import PathLike, fsdecode
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Optional, Union

from consensual.raft.driver.ports import Stored, Write
from consensual.raft.errors import InvalidParameters, StorageFailed, StorageLocked
from consensual.storage.sqlite_database import Database
from consensual.storage.sqlite_records import PIECE

Job = tuple[Callable[..., Any], tuple[Any, ...], 'Future[Any]']
Jobs = SimpleQueue[Optional[Job]]


class SQLiteStorage:
    """Keeps a node's data in a file, which survives the end of the process and power cuts.

    path: of the file; it is made, in a directory that is there, by the first `load`.
        Beside it stands a write-ahead log, `<path>-wal`, while a node uses it, or was
        killed: both belong together.

    Each write is one transaction and one sync, done by a thread of its own, which ends with
    `close`. That thread does not keep the interpreter from ending: what is complete by then
    is durable, what is not was acknowledged to nobody. All methods are to be
    called on the thread of an event loop that runs.

    Raises `InvalidParameters` for a path that names no file, such as ':memory:'.
    """

    def __init__(self, path: Union[str, 'PathLike[str]']) -> None:
        text = fsdecode(path)
        if text in ('', ':memory:') or '\0' in text:
            raise InvalidParameters(
                f'{text!r} names no file, so nothing would survive: give the path of a file, or '
                'use MemoryStorage to keep nothing'
            )
        self.path = Path(text).absolute()
        self._writer: Optional[_Writer] = None
        self._ending: Optional[_Writer] = None

    def __repr__(self) -> str:
        return f'SQLiteStorage({str(self.path)!r})'

    async def load(self) -> Optional[Stored]:
        """Take possession, check every record and return them; None when nothing was written.

        Raises `StorageLocked` when anybody else, in this process or another one, has the
        file open; `StorageCorrupted` when a record fails its check, or is missing;
        `StorageFailed` when the file is none of a storage, of a newer format, or cannot
        be opened; `StorageFull` when there is no room to recover after a kill.
        """
        if self._writer is not None:
            raise StorageLocked(f'{self!r} is in use by a node: give each node its own storage')
        writer = self._writer = _Writer(self, after=self._ending)
        try:
            stored: Optional[Stored] = await writer.hand_in(writer.database.load)
        except BaseException:
            self._writer, self._ending = None, writer
            writer.dismiss()
            raise
        return stored

    def write(self, write: Write) -> Awaitable[None]:
        """Hand the write in; it is durable when what this returns is done.

        Writes are carried out in the order in which they were handed in. Who gives up
        waiting does not take back the write. What is returned raises `StorageFull` or
        `StorageFailed`; every later write fails, too, until the storage is closed and
        loaded again.

        Raises `StorageFailed` when it is not loaded.
        """
        if self._writer is None:
            raise StorageFailed(f'{self!r} is not in use: load() it before you write')
        return self._writer.hand_in(self._writer.database.write, write)

    async def stage(self, data: bytes) -> None:
        """Make the data of a snapshot that is to come durable, piece by piece.

        Writes are carried out between the pieces, and the one that brings the snapshot, with
        the same object as its data, has little left to do. Nothing that `load` returns is
        changed. What is staged last counts; to be ended before `close`.

        Raises what a write raises, and `StorageFailed` when nothing was loaded.
        """
        writer = self._writer
        if writer is None:
            raise StorageFailed(f'{self!r} is not in use: load() it before you write')
        if len(data) > PIECE:
            while not await writer.hand_in(writer.database.stage_piece, data):
                pass

    def close(self) -> Optional[Awaitable[None]]:
        """Give up possession, once what was handed in is written; await what this returns.

        Afterwards everything is in the one file. Closed already, it does nothing.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            self._ending = writer
            closed = writer.hand_in(writer.database.close)
            writer.dismiss()
            return _join(writer.thread, closed)
        if self._ending is not None and self._ending.thread.is_alive():
            return to_thread(self._ending.thread.join)
        return None


class _Writer:
    """A thread that does what is handed in to a database, one after another.

    after: the one before it, whose end it waits for.
    dismiss: lets it give up the file and end, once what was handed in is done; that is
        done, too, when the owner is dropped.
    """

    def __init__(self, owner: SQLiteStorage, *, after: 'Optional[_Writer]') -> None:
        self.database = Database(owner.path)
        self.jobs: Jobs = SimpleQueue()
        before = after.thread if after is not None else None
        self.dismiss = weakref.finalize(owner, self.jobs.put, None)
        self.dismiss.atexit = False  # the interpreter does not wait for it
        self.thread: Thread = Thread(
            target=_work, args=(self.database, self.jobs, before), name=f'{owner.path}', daemon=True
        )
        self.thread.start()

    def hand_in(self, job: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        """Have the job done; what is returned tells its result."""
        future: Future[Any] = get_running_loop().create_future()
        self.jobs.put((job, arguments, future))
        return future


async def _join(thread: Thread, closed: 'Future[None]') -> None:
    try:
        await closed
    finally:
        if closed.done() and not closed.cancelled():
            thread.join()  # it has nothing left to do


def _work(database: Database, jobs: Jobs, before: Optional[Thread]) -> None:
    """Do the jobs until there is None; then the file is given up, whatever happened."""
    if before is not None:
        before.join()
    try:
        while (job := jobs.get()) is not None:
            do, arguments, future = job
            try:
                result = do(*arguments)
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                _report(future, error, None)
            else:
                _report(future, None, result)
            del job, do, arguments, future
            result = None
            database.tidy()
    finally:
        database.close()


def _report(future: 'Future[Any]', error: Optional[BaseException], result: Any) -> None:
    loop = future.get_loop()
    try:
        loop.call_soon_threadsafe(_settle, future, error, result)
    except RuntimeError:  # the loop is closed: nobody waits there
        if not loop.is_closed():
            raise


def _settle(future: 'Future[Any]', error: Optional[BaseException], result: Any) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
