"""Snapshots in a storage on SQLite: their pieces, and data that is staged before they come."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from msgspec.structs import replace

from consensual.raft import Write
from consensual.raft.core.effects import Snapshot
from consensual.raft.errors import StorageFailed
from consensual.storage import SQLiteStorage
from tests.storage.sqlite_files import (
    HARD_STATE,
    SNAPSHOT,
    append,
    command,
    copy_of,
    load,
    loaded,
)

pytestmark = pytest.mark.asyncio

PIECE = 1 << 18
DATA = Random(0).randbytes(5 * PIECE + 7)
OTHER = Random(1).randbytes(3 * PIECE)


def snapshot_of(data: bytes, *, index: int = 1) -> Snapshot:
    return replace(SNAPSHOT, index=index, data=data, checksum=crc32(data))


async def snapshot_in(path: Path) -> Snapshot:
    stored = await load(path)
    assert stored is not None
    assert stored.snapshot is not None
    return stored.snapshot


def pieces_in(path: Path) -> int:
    """Count the rows that hold data, of whatever snapshot."""
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute('SELECT count(*) FROM piece').fetchone()[0]
    return number


@pytest.mark.parametrize('size', [0, 1, PIECE - 1, PIECE, PIECE + 1, len(DATA)])
@pytest.mark.parametrize('is_staged', [True, False])
async def test_data_comes_back_as_it_was(tmp_path: Path, size: int, is_staged: bool) -> None:
    path, data = tmp_path / 'node.db', DATA[:size]
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        if is_staged:
            await storage.stage(data)
        await storage.write(Write(2, snapshot=snapshot_of(data)))
    assert await snapshot_in(path) == snapshot_of(data)
    assert pieces_in(path) == -(-size // PIECE)


async def test_writes_are_carried_out_between_the_pieces(tmp_path: Path) -> None:
    """A large snapshot does not hold up the log, and so not the cluster."""
    path, written = tmp_path / 'node.db', 0
    async with loaded(path) as (storage, _):
        staging = asyncio.ensure_future(storage.stage(DATA))
        while not staging.done():
            written += 1
            await storage.write(append(written))
        assert written >= len(DATA) // PIECE - 1
        await storage.write(Write(0, snapshot=snapshot_of(DATA)))
    assert await snapshot_in(path) == snapshot_of(DATA)


async def test_snapshot_that_was_staged_is_a_small_write(tmp_path: Path) -> None:
    """What it adds to the write-ahead log is a few pages, however large the data."""
    path, sizes = tmp_path / 'node.db', []
    for is_staged in (False, True):
        file = path.with_name(f'{is_staged}.db')
        async with loaded(file) as (storage, _):
            await storage.write(append(1))
            if is_staged:
                await storage.stage(OTHER)
            before = copy_of(file, 'before.db').with_name('before.db-wal').read_bytes()
            await storage.write(Write(2, snapshot=snapshot_of(OTHER)))
            after = copy_of(file, 'after.db').with_name('after.db-wal').read_bytes()
        sizes.append(len(after.rstrip(b'\0')) - len(before.rstrip(b'\0')))
    assert sizes[0] > len(OTHER)
    assert sizes[1] < 10 * 4096


async def test_what_is_staged_is_no_snapshot_yet(tmp_path: Path) -> None:
    """A crash before the write that brings it leaves the earlier one."""
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        await storage.write(Write(2, snapshot=snapshot_of(OTHER)))
        await storage.stage(DATA)
        killed = copy_of(path, 'killed.db')
    for file in (killed, path):
        assert await snapshot_in(file) == snapshot_of(OTHER)
        async with loaded(file) as (storage, _):
            await storage.stage(DATA)
            await storage.write(Write(3, snapshot=snapshot_of(DATA)))
        assert pieces_in(file) == 6 + 3, 'what was staged in vain is dropped'
        assert await snapshot_in(file) == snapshot_of(DATA)


async def test_earlier_snapshots_are_dropped_as_others_come(tmp_path: Path) -> None:
    """Piece by piece, so that it takes no long write either; a small one drops all at once."""
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        for number in range(5):
            data = Random(number).randbytes(len(DATA))
            await storage.stage(data)
            await storage.write(Write(2, snapshot=snapshot_of(data)))
    assert pieces_in(path) == 2 * 6
    assert await snapshot_in(path) == snapshot_of(data)
    async with loaded(path) as (storage, _):
        await storage.write(Write(3, snapshot=snapshot_of(b'small')))
    assert pieces_in(path) == 1


async def test_snapshot_may_be_another_one_than_was_staged(tmp_path: Path) -> None:
    """A leader's overtakes the node's own; equal data that are another object count, too."""
    path = tmp_path / 'node.db'
    for data in (OTHER, bytes(bytearray(DATA))):
        async with loaded(path) as (storage, _):
            await storage.write(append(1))
            await storage.stage(DATA)
            await storage.write(Write(2, snapshot=snapshot_of(data)))
        assert await snapshot_in(path) == snapshot_of(data)


async def test_staging_that_was_given_up_is_made_up_for(tmp_path: Path) -> None:
    """The write brings what is missing."""
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        staging = asyncio.ensure_future(storage.stage(DATA))
        await asyncio.sleep(0)
        staging.cancel()
        await storage.write(append(2))
        await storage.write(Write(3, snapshot=snapshot_of(DATA, index=2), log_start=3))
    stored = await load(path)
    assert stored is not None
    assert (stored.snapshot, stored.first_index) == (snapshot_of(DATA, index=2), 3)


async def test_reset_drops_the_data(tmp_path: Path) -> None:
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        await storage.stage(DATA)
        await storage.write(Write(2, snapshot=snapshot_of(DATA)))
        await storage.write(Write(3, HARD_STATE, 1, [command(1)]))
    stored = await load(path)
    assert stored is not None
    assert stored.snapshot is None
    assert pieces_in(path) == 0


async def test_staging_in_what_is_closed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r'load\(\) it before'):
        await SQLiteStorage(tmp_path / 'node.db').stage(DATA)
