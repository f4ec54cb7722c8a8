"""What the disk under a directory can do: the limits that durable figures are held against.

Imports nothing of any library.
"""

import asyncio
import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread

RECORD = bytes(128)
WARM = 1_100
"""Commits until SQLite's write-ahead log has been carried over: from then on it is overwritten."""

clock = time.perf_counter


def measure(directory: Path, number: int = 300) -> dict[str, float]:
    """Return medians in microseconds, each of so many in a plain loop.

    fdatasync_us: of appending 128 bytes to a file and syncing it.
    commit_us: of a transaction of SQLite of one row, in WAL mode with full syncs, once its
        write-ahead log does not grow any more. That is the faster half of its life.
    three_us: of three such transactions at once, each in a file and a thread of its own, which
        an event loop hands them to and waits for: all that three nodes in one process do beside
        consensus.
    """
    with TemporaryDirectory(dir=directory) as scratch:
        return {
            'fdatasync_us': _time_appends(Path(scratch), number),
            'commit_us': _time_commits(Path(scratch), number),
            'three_us': asyncio.run(_time_three(Path(scratch), number)),
        }


def _time_appends(directory: Path, number: int) -> float:
    file = os.open(directory / 'appended', os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append() -> None:
        os.write(file, RECORD)
        os.fdatasync(file)

    try:
        return _median(append, number)
    finally:
        os.close(file)


def _time_commits(directory: Path, number: int) -> float:
    with closing(_open(directory / 'committed')) as connection:
        return _median(lambda: _commit(connection), number)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute('PRAGMA journal_mode = WAL')
    connection.execute('PRAGMA synchronous = FULL')
    connection.execute('CREATE TABLE record (id INTEGER PRIMARY KEY, data BLOB)')
    for _ in range(WARM):
        _commit(connection)
    return connection


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute('INSERT INTO record (data) VALUES (?)', (RECORD,))


async def _time_three(directory: Path, number: int) -> float:
    loop, times = asyncio.get_running_loop(), []
    queues: list[SimpleQueue] = [SimpleQueue() for _ in range(3)]
    threads = [
        Thread(target=_commit_as_told, args=(directory / f'{each}', queue, loop))
        for each, queue in enumerate(queues)
    ]
    for thread in threads:
        thread.start()
    for round_ in range(-1, number):  # the first one waits until the files are there
        begin = clock()
        futures = [loop.create_future() for _ in queues]
        for queue, future in zip(queues, futures, strict=True):
            queue.put(future)
        for future in futures:
            await future
        times += [clock() - begin] if round_ >= 0 else []
    for queue, thread in zip(queues, threads, strict=True):
        queue.put(None)
        thread.join()
    return 1e6 * statistics.median(times)


def _commit_as_told(path: Path, queue: SimpleQueue, loop: asyncio.AbstractEventLoop) -> None:
    with closing(_open(path)) as connection:
        while (future := queue.get()) is not None:
            _commit(connection)
            loop.call_soon_threadsafe(future.set_result, None)


def _median(do: Callable[[], None], number: int) -> float:
    times = []
    for _ in range(number):
        begin = clock()
        do()
        times.append(clock() - begin)
    return 1e6 * statistics.median(times)
