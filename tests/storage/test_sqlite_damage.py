"""What is not as it was written is not loaded: damage, gaps, other formats, foreign files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from consensual.raft import Write
from consensual.raft.errors import StorageCorrupted, StorageError, StorageFailed
from consensual.storage import sqlite_database
from consensual.storage.sqlite_database import Database
from tests.storage.sqlite_files import (
    STORED,
    append,
    close,
    command,
    copy_of,
    files_beside,
    load,
    loaded,
    make,
    wal_of,
)

pytestmark = pytest.mark.asyncio

TABLES = {
    'meta': 'meta',
    'node': 'the hard state',
    'log': 'log entry 7',
    'snapshot': 'the snapshot',
    'piece': 'the snapshot',
}
"""The tables, and what an error calls the record that the tests change."""

WHERE = {'meta': "name = 'format'", 'node': '1', 'log': 'idx = 7', 'snapshot': '1', 'piece': '1'}


COLUMNS = {
    'meta': 'name value checksum',
    'node': 'incarnation cluster_id is_attached current_term voted_for voted_incarnation '
    'node_id first_index checksum',
    'log': 'term time kind session sequence lowest action parameters checksum',
    'snapshot': 'idx term time configuration_index configuration_term configuration size '
    'first_piece pieces checksum',
    'piece': 'data checksum',
}
CHANGES = {
    'another value': "CASE typeof({0}) WHEN 'text' THEN {0} || ' ' WHEN 'blob' THEN x'00' "
    'ELSE {0} + 1 END',
    'another type': "CASE typeof({0}) WHEN 'blob' THEN 'text' ELSE CAST({0} AS BLOB) END",
    'no text': "CAST(x'ff' AS TEXT)",
}
"""Ways to change a column, in SQL."""


def execute(path: Path, sql: str) -> None:
    """Change the file as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount, 'something must change'


def flipped(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 4]) + content[offset + 1 :]


async def check_corrupted(path: Path, *names: str) -> None:
    """It is refused, again and again, by an error that names the file and the record."""
    for _ in range(2):
        with pytest.raises(StorageCorrupted) as raised:
            await load(path)
        for name in (path.name, *names):
            assert name in str(raised.value)


async def test_all_columns_are_changed_here(tmp_path: Path) -> None:
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in tables} == {*TABLES}
        for table, columns in COLUMNS.items():
            cursor = connection.execute(f'SELECT * FROM {table}')  # noqa: S608
            names = {column[0] for column in cursor.description}
            assert names - {'id'} == {*columns.split()} | ({'idx'} & names)


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize(
    ('table', 'column'),
    [(table, column) for table, columns in COLUMNS.items() for column in columns.split()],
)
async def test_change_of_any_column_is_found(
    tmp_path: Path, table: str, column: str, change: str
) -> None:
    """Design §4: a record that fails its checksum: refuse to start, with the place named."""
    path = await make(tmp_path / 'node.db')
    value = CHANGES[change].format(column)
    execute(path, f'UPDATE {table} SET {column} = {value} WHERE {WHERE[table]}')  # noqa: S608
    await check_corrupted(path, TABLES[table])


async def test_change_of_an_index_is_found(tmp_path: Path) -> None:
    path = await make(tmp_path / 'node.db')
    execute(path, 'UPDATE log SET idx = idx + 100 WHERE idx = 8')
    await check_corrupted(path, 'log entry 108', 'fails its checksum')


@pytest.mark.parametrize('column', ['session', 'sequence', 'lowest', 'action', 'parameters'])
async def test_value_that_is_lost_is_found(tmp_path: Path, column: str) -> None:
    path = await make(tmp_path / 'node.db')
    execute(path, f'UPDATE log SET {column} = NULL WHERE idx = 7')  # noqa: S608
    await check_corrupted(path, 'log entry 7', 'fails its checksum')


@pytest.mark.parametrize(
    ('sql', 'named'),
    [
        ('DELETE FROM log WHERE idx = 6', 'log entry 6 is missing: entry 7 follows 5'),
        ('DELETE FROM log WHERE idx = 4', 'log entry 4 is missing'),
        ('DELETE FROM node', 'the hard state (table node) is missing'),
        ('DELETE FROM meta', "meta 'format'"),
        ("DELETE FROM meta WHERE name = 'format'", "meta 'format'"),
        ('DELETE FROM piece', 'the snapshot lacks a piece'),
        ('UPDATE piece SET id = 2', 'the snapshot lacks a piece'),
        ('DROP TABLE piece', 'the snapshot cannot be read (no such table'),
        ('DROP TABLE snapshot', 'the snapshot cannot be read (no such table'),
        ('DROP TABLE log', 'log entry 4 cannot be read (no such table'),
        ('ALTER TABLE node RENAME COLUMN voted_for TO vote', 'the hard state'),
    ],
)
async def test_record_that_is_missing_is_found(tmp_path: Path, sql: str, named: str) -> None:
    """A gap in the log, or a forgotten vote, is nobody's state."""
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)
    await check_corrupted(path, named)


async def test_flipped_bit_is_found_or_changes_nothing(tmp_path: Path) -> None:
    """Wherever it is in the file: what is loaded is what was written, or nothing is."""
    path = await make(tmp_path / 'node.db')
    content = path.read_bytes()
    random, found = Random(0), 0
    offsets = [*range(100), *(random.randrange(len(content)) for _ in range(150))]
    offsets += [content.rindex(text) + 2 for text in (b'{"amount": 40}', b'the state', b'opener')]
    for offset in offsets:
        copy = tmp_path / 'copy.db'
        copy.write_bytes(flipped(content, offset))
        try:
            stored = await load(copy)
        except StorageError as error:
            assert copy.name in str(error)  # noqa: PT017 - it may also be loaded
            found += 1
        else:
            assert stored == STORED, f'a bit of the byte at {offset} was flipped'
        for name in files_beside(copy):
            (tmp_path / name).unlink()
    assert found > 20


async def write_and_kill(path: Path, number: int) -> Path:
    """Write so many commands; return what a kill right after it leaves."""
    async with loaded(path) as (storage, _):
        for each in range(1, number + 1):
            await storage.write(append(each))
        return copy_of(path, 'killed.db')


FRAME = 24 + 4096


async def test_damage_in_the_write_ahead_log_is_no_torn_write(tmp_path: Path) -> None:
    """SQLite ends there and forgets what follows; but what follows was acknowledged."""
    killed = await write_and_kill(tmp_path / 'node.db', 10)
    log = wal_of(killed)
    content = log.read_bytes()
    frames = (len(content) - 32) // FRAME
    assert (await load(copy_of(killed, 'sound.db'))) is not None
    for offset in (0, 9, 20, *(32 + FRAME * frame + at for frame in (0, 5) for at in (2, 18, 999))):
        log.write_bytes(flipped(content, offset))
        frame = f'frame {(offset - 32) // FRAME + 1}' if offset >= 32 else 'the header'
        for _ in range(2):
            with pytest.raises(
                StorageCorrupted, match=f'killed.db-wal: {frame} fails its checksum'
            ):
                await load(killed)
    log.write_bytes(flipped(content, 32 + FRAME * (frames - 1) + 999))
    stored = await load(killed)
    assert stored is not None
    assert [*stored.entries] == [command(number) for number in range(1, 10)], 'as if it were torn'


async def test_room_at_the_end_of_the_write_ahead_log_hides_no_damage(tmp_path: Path) -> None:
    """The zeros that it is lengthened with are its end, as if they were not there."""
    killed = await write_and_kill(tmp_path / 'node.db', 200)
    log = wal_of(killed)
    content = log.read_bytes()
    written = len(content.rstrip(b'\0'))
    assert written < len(content) // 2
    stored = await load(copy_of(killed, 'sound.db'))
    assert stored is not None
    assert [*stored.entries] == [command(number) for number in range(1, 201)]
    log.write_bytes(flipped(content, 32 + FRAME * 5 + 999))
    with pytest.raises(StorageCorrupted, match='frame 6 fails its checksum'):
        await load(killed)
    log.write_bytes(flipped(content, written - FRAME // 2))
    stored = await load(killed)
    assert stored is not None
    assert [*stored.entries] == [command(number) for number in range(1, 200)], 'as if it were torn'


async def test_torn_write_is_recovered_from(tmp_path: Path) -> None:
    """Design §4: a torn last write never reaches an acknowledged record."""
    path, killed = tmp_path / 'node.db', tmp_path / 'killed.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        before = wal_of(path).stat().st_size
        await storage.write(Write(2, None, 2, [command(number) for number in range(2, 500)]))
        whole = copy_of(path, 'whole.db')
    content = wal_of(whole).read_bytes()
    assert len(content) > before + 5 * FRAME
    for end in (before + 10, before + FRAME, before + 2 * FRAME + 7, len(content) - 1):
        for tail in (b'', bytes(len(content) - end)):
            killed.write_bytes(whole.read_bytes())
            wal_of(killed).write_bytes(content[:end] + tail)
            stored = await load(killed)
            assert stored is not None
            assert [*stored.entries] == [command(1)]


async def test_what_an_earlier_torn_write_left_is_no_sign_of_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two power cuts in a row: frames of the first write stand behind those of the second."""
    monkeypatch.setattr(sqlite_database, 'CHECKPOINT_FRAMES', 1)
    path = tmp_path / 'node.db'
    with closing(Database(path)) as database:
        database.load()
        database.write(append(1))
        database.tidy()  # the log is begun anew: only then it keeps its salts
        database.write(Write(2, None, 2, [command(number) for number in range(2, 500)]))
        first = copy_of(path, 'first.db')
    wal_of(first).write_bytes(flipped(wal_of(first).read_bytes(), 32 + 999))
    with closing(Database(first)) as database:
        stored = database.load()
        assert stored is not None
        assert [*stored.entries] == [command(1)]
        before = wal_of(first).read_bytes()
        database.write(append(2))
        second = copy_of(first, 'second.db')
    content = wal_of(second).read_bytes()
    last = max(at for at, byte in enumerate(content) if before[at : at + 1] != bytes([byte]))
    wal_of(second).write_bytes(flipped(content, last))
    stored = await load(second)
    assert stored is not None
    assert [*stored.entries] == [command(1)]


async def test_text_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / 'notes.txt'
    path.write_text('buy milk\n' * 1000)
    with pytest.raises(StorageCorrupted, match=r'notes\.txt is no file of SQLite'):
        await load(path)
    assert path.read_text() == 'buy milk\n' * 1000
    assert files_beside(path) == ['notes.txt']


async def test_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / 'other.db'
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE log (idx INTEGER PRIMARY KEY)')
    content = path.read_bytes()
    with pytest.raises(StorageFailed, match=r'other\.db is a file of SQLite that another program'):
        await load(path)
    assert path.read_bytes() == content
    assert files_beside(path) == ['other.db']


async def test_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Design: a format version with a clear refusal of newer ones."""
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('PRAGMA user_version = 2')
    content = path.read_bytes()
    with pytest.raises(StorageFailed, match=r'node\.db has format 2.*up to 1: use the version'):
        await load(path)
    assert path.read_bytes() == content


async def test_format_that_the_header_alone_tells_is_damage(tmp_path: Path) -> None:
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('PRAGMA user_version = 0')
    await check_corrupted(path, 'the header')


async def test_path_that_cannot_be_a_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match='it is a directory; name a file in it'):
        await load(tmp_path)
    with pytest.raises(StorageFailed, match=r'there is no directory .*nowhere; make it first'):
        await load(tmp_path / 'nowhere' / 'node.db')


async def test_empty_file_is_a_new_storage(tmp_path: Path) -> None:
    """It is what a crash leaves in the first moment, and what `mktemp` makes."""
    path = tmp_path / 'node.db'
    path.touch()
    assert await load(path) is None
    assert await load(await make(path)) == STORED


async def test_what_was_refused_can_be_loaded_when_it_was_repaired(tmp_path: Path) -> None:
    """A failed load leaves nothing open and nothing locked."""
    path = await make(tmp_path / 'node.db')
    content = path.read_bytes()
    execute(path, 'UPDATE log SET term = 6 WHERE idx = 7')
    async with loaded(await make(tmp_path / 'other.db')) as (storage, _):
        await close(storage)
        await check_corrupted(path, 'log entry 7')
        path.write_bytes(content)
        assert await load(path) == STORED
