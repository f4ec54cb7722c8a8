"""Files of a storage on SQLite, and what is in them, for the tests beside this file.

Nothing is tested here.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Optional
from zlib import crc32

from consensual.raft import Entry, HardState, Stored, Write
from consensual.raft.core.configuration import Configuration, Member
from consensual.raft.core.effects import Snapshot
from consensual.raft.core.log import Command, NoOp, OpenSession, Reconfiguration
from consensual.storage import SQLiteStorage

ALICE = Member('alice:1', 'http://alice:1', 'incarnation of alice')
HARD_STATE = HardState('incarnation', 'cluster', True, 7, ALICE.id, ALICE.incarnation, 'bob:1')
RECONFIGURATION = Reconfiguration(Configuration((ALICE,)), 'request', '')
SNAPSHOT = Snapshot(
    3, 5, 0.5, 2, 5, RECONFIGURATION, b'the state machine', crc32(b'the state machine')
)

ENTRIES = [
    Entry(5, 1.25, NoOp()),
    Entry(6, 2.5, OpenSession('opener')),
    Entry(6, 3.0, RECONFIGURATION),
    Entry(7, 4.75, Command(5, 1, 1, 'add', '{"amount": 40}')),
    Entry(7, 5.0, Command(5, 2, 1, 'add', '{"amount": 2}')),
]
STORED = Stored(HARD_STATE, ENTRIES, SNAPSHOT, 4)
"""What `make` writes: indices 4 to 8, a snapshot up to 3."""

RECORDS = 2 + 1 + 2 + len(ENTRIES)


def command(number: int) -> Entry:
    """Return a command that tells its number."""
    return Entry(1, float(number), Command(1, number, 1, 'act', f'{number}'))


def append(number: int, *, index: Optional[int] = None) -> Write:
    """Return the write of a command, at the index of its number; the first with a hard state."""
    hard_state = HARD_STATE if number == 1 else None
    return Write(number, hard_state, number if index is None else index, [command(number)])


@asynccontextmanager
async def loaded(path: Path) -> AsyncIterator[tuple[SQLiteStorage, Optional[Stored]]]:
    """Have it open, with what it held."""
    storage = SQLiteStorage(path)
    stored = await storage.load()
    try:
        yield storage, stored
    finally:
        await close(storage)


async def close(storage: SQLiteStorage) -> None:
    """Close it, and wait until it is."""
    closing = storage.close()
    if closing is not None:
        await closing


async def load(path: Path) -> Optional[Stored]:
    """Return what it holds."""
    async with loaded(path) as (_, stored):
        return stored


async def make(path: Path) -> Path:
    """Write `STORED`, the log with what was compacted away since."""
    async with loaded(path) as (storage, _):
        compacted = [command(number) for number in (1, 2, 3)]
        await storage.write(Write(1, HARD_STATE, 1, [*compacted, *ENTRIES]))
        await storage.write(Write(2, snapshot=SNAPSHOT, log_start=4))
    return path


def copy_of(path: Path, name: str) -> Path:
    """Copy it as it is now, the write-ahead log too: what kill -9 would leave."""
    copy = path.with_name(name)
    for source, target in ((wal_of(path), wal_of(copy)), (path, copy)):
        if source.exists():
            shutil.copyfile(source, target)
    return copy


def wal_of(path: Path) -> Path:
    """Return where its write-ahead log is."""
    return path.with_name(f'{path.name}-wal')


def files_beside(path: Path) -> Sequence[str]:
    """Name the files in its directory that begin with its name."""
    return sorted(other.name for other in path.parent.glob(f'{path.name}*'))
