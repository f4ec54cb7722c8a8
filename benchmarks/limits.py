"""What the disk under a directory can do: the limits that durable figures are held against.

Imports nothing of any library.
"""

import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

RECORD = bytes(128)
WARM = 1_100
"""Commits until SQLite's write-ahead log has been carried over: from then on it is overwritten."""

clock = time.perf_counter


def measure(directory: Path, number: int = 300) -> dict[str, float]:
    """Return medians in microseconds, each of so many in a plain loop.

    fdatasync_us: of appending 128 bytes to a file and syncing it.
    commit_us: of a transaction of SQLite of one row, in WAL mode with full syncs, once its
        write-ahead log does not grow any more. That is the faster half of its life.
    """
    with TemporaryDirectory(dir=directory) as scratch:
        return {
            'fdatasync_us': _time_appends(Path(scratch), number),
            'commit_us': _time_commits(Path(scratch), number),
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
    path = directory / 'committed'
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute('PRAGMA journal_mode = WAL')
        connection.execute('PRAGMA synchronous = FULL')
        connection.execute('CREATE TABLE record (id INTEGER PRIMARY KEY, data BLOB)')

        def commit() -> None:
            connection.execute('INSERT INTO record (data) VALUES (?)', (RECORD,))

        for _ in range(WARM):
            commit()
        return _median(commit, number)


def _median(do: Callable[[], None], number: int) -> float:
    times = []
    for _ in range(number):
        begin = clock()
        do()
        times.append(clock() - begin)
    return 1e6 * statistics.median(times)
