"""The storage on SQLite beside its contract: its one owner, its thread, its failures, its file."""

import asyncio
import gc
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from consensual.raft import Write
from consensual.raft.core.log import Command
from consensual.raft.errors import (
    InvalidParameters,
    StorageFailed,
    StorageFull,
    StorageLocked,
)
from consensual.storage import SQLiteStorage
from tests.storage.sqlite_files import (
    HARD_STATE,
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

ROOT = Path(__file__).parents[2]


@contextmanager
def program(text: str, *arguments: object) -> 'Iterator[subprocess.Popen[str]]':
    """Run a program of the text's lines; it is ended when the test is done."""
    text = (
        'import asyncio, os, sys\n'
        'from pathlib import Path\n'
        'from tests.storage.sqlite_files import *\n'
        f'{text}\n'
        'asyncio.run(main(Path(sys.argv[1])))\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', text, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def threads_of(path: Path) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == str(path)]


# the path


@pytest.mark.parametrize('path', ['', ':memory:', 'no\0de.db'])
async def test_path_that_names_no_file_is_refused(path: str) -> None:
    """Nothing would survive; the text says what to use instead."""
    with pytest.raises(InvalidParameters, match=r'names no file.*MemoryStorage'):
        SQLiteStorage(path)


async def test_path_may_be_a_text_or_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is meant from where the program was when it named it."""
    monkeypatch.chdir(tmp_path)
    storage = SQLiteStorage('ünï cödé?mode=memory#1.db')
    monkeypatch.chdir('/')
    assert await storage.load() is None
    await storage.write(append(1))
    await close(storage)
    assert files_beside(storage.path) == ['ünï cödé?mode=memory#1.db']
    assert repr(storage) == f"SQLiteStorage('{tmp_path}/ünï cödé?mode=memory#1.db')"
    assert repr(SQLiteStorage(storage.path)) == repr(storage)


# one owner


LOAD = """
async def main(path):
    try:
        await load(path)
    except Exception as error:
        print(repr(error))
"""


async def test_file_in_use_is_refused_to_another_process(tmp_path: Path) -> None:
    """Two nodes on the same file would vote twice."""
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        await storage.write(append(1))
        with program(LOAD, path) as other:
            assert f"StorageLocked('{path} is in use" in other.communicate()[0]
        await storage.write(append(2))
    with program(LOAD, path) as other:
        assert other.communicate() == ('', '')


HOLD = """
async def main(path):
    async with loaded(path) as (storage, _):
        for number in range(1, 4):
            await storage.write(append(number))
        print('written', flush=True)
        await asyncio.sleep(600)
"""


async def test_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    """However it ended: nobody removes a lock by hand at night."""
    path = tmp_path / 'node.db'
    with program(HOLD, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == 'written\n'
        with pytest.raises(StorageLocked, match='in use'):
            await load(path)
        other.kill()
        other.wait()
        stored = await load(path)
    assert stored is not None
    assert [*stored.entries] == [command(number) for number in (1, 2, 3)]
    assert files_beside(path) == ['node.db']


async def test_file_that_somebody_reads_is_in_use(tmp_path: Path) -> None:
    """A shell of SQLite that is left open would be read from while a node writes."""
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute('SELECT count(*) FROM log').fetchone() == (5,)
        with pytest.raises(StorageLocked, match='or by a program that reads it'):
            await load(path)
    assert await load(path) == STORED


async def test_what_readers_leave_is_cleared_away(tmp_path: Path) -> None:
    """After a clean stop there is one file, also where somebody looked into it meanwhile."""
    path = await make(tmp_path / 'node.db')
    uri = f'{path.as_uri()}?mode=ro'
    with closing(sqlite3.connect(uri, uri=True)) as shell:
        assert shell.execute('SELECT count(*) FROM log').fetchone() == (5,)
    assert len(files_beside(path)) == 3
    assert await load(path) == STORED
    assert files_beside(path) == ['node.db']


# close


async def test_close_waits_for_what_was_handed_in(tmp_path: Path) -> None:
    """Afterwards there is one file, with everything in it, and no thread."""
    path = tmp_path / 'node.db'
    storage = SQLiteStorage(path)
    await storage.load()
    assert len(threads_of(path)) == 1
    writes = [storage.write(append(number)) for number in range(1, 101)]
    await close(storage)
    assert threads_of(path) == []
    assert files_beside(path) == ['node.db']
    await asyncio.gather(*writes)
    stored = await load(copy_of(path, 'copy.db'))
    assert stored is not None
    assert [*stored.entries] == [command(number) for number in range(1, 101)]
    assert storage.close() is None


async def test_second_close_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / 'node.db'
    storage = SQLiteStorage(path)
    await storage.load()
    writes = [storage.write(append(number)) for number in range(1, 101)]
    first = storage.close()
    await close(storage)
    assert threads_of(path) == []
    assert first is not None
    await asyncio.gather(first, *writes)


async def test_load_right_after_a_close_that_nobody_awaits_waits_for_it(tmp_path: Path) -> None:
    """A stop that was cancelled does not make the next start fail."""
    storage = SQLiteStorage(tmp_path / 'node.db')
    await storage.load()
    writes = [storage.write(append(number)) for number in range(1, 101)]
    closing = storage.close()
    stored = await storage.load()
    assert stored is not None
    assert len(stored.entries) == 100
    assert closing is not None
    await asyncio.gather(closing, *writes)
    await close(storage)


async def test_use_of_what_is_closed_is_refused(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / 'node.db')
    assert storage.close() is None
    with pytest.raises(StorageFailed, match=r'load\(\) it before'):
        storage.write(append(1))


async def test_cancelled_load_gives_the_file_up(tmp_path: Path) -> None:
    """A start that was cancelled leaves nothing locked."""
    path = await make(tmp_path / 'node.db')
    storage = SQLiteStorage(path)
    loading = asyncio.create_task(storage.load())
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert await storage.load() == STORED
    await close(storage)


async def test_cancelled_write_is_written(tmp_path: Path) -> None:
    """Who gives up waiting takes nothing back: later writes count on it."""
    async with loaded(tmp_path / 'node.db') as (storage, _):
        cancelled = asyncio.ensure_future(storage.write(append(1)))
        cancelled.cancel()
        await storage.write(append(2))
    stored = await load(tmp_path / 'node.db')
    assert stored is not None
    assert [*stored.entries] == [command(1), command(2)]


async def test_storage_that_is_dropped_gives_the_file_up(tmp_path: Path) -> None:
    """Nobody can close it any more, so its thread does."""
    path = tmp_path / 'node.db'
    storage = SQLiteStorage(path)
    await storage.load()
    await storage.write(append(1))
    (thread,) = threads_of(path)
    del storage
    gc.collect()
    thread.join(60)
    assert await load(path) is not None


LEAVE_THE_LOOP = """
async def begin(storage):
    await storage.load()
    for number in range(1, 101):
        storage.write(append(number))

storage = SQLiteStorage(sys.argv[1])
asyncio.run(begin(storage))

async def main(path):
    await close(storage)
    print(len((await load(path)).entries))
"""


async def test_loop_that_is_closed_meanwhile_hears_nothing(tmp_path: Path) -> None:
    """The writes are carried out; nobody is left to be told, and nobody complains."""
    with program(LEAVE_THE_LOOP, tmp_path / 'node.db') as other:
        assert other.communicate(timeout=60) == ('100\n', '')


async def test_interpreter_ends_without_close(tmp_path: Path) -> None:
    """It does not wait for ever for a thread, and what is complete is there."""
    path = tmp_path / 'node.db'
    text = """
async def main(path):
    global storage
    storage = SQLiteStorage(path)
    await storage.load()
    await storage.write(append(1))
"""
    with program(text, path) as other:
        assert other.communicate(timeout=60) == ('', '')
        assert other.returncode == 0
    stored = await load(path)
    assert stored is not None
    assert [*stored.entries] == [command(1)]


# crashes

WRITE_ON = """
async def main(path):
    async with loaded(path) as (storage, stored):
        last = len(stored.entries) if stored else 0
        async def write(number):
            await storage.write(append(number))
            os.write(1, b'%d\\n' % number)
        while True:
            await asyncio.gather(*(write(last + each) for each in (1, 2, 3)))
            last += 3
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGKILL')
async def test_what_was_reported_is_there_after_sigkill(tmp_path: Path) -> None:
    """Design §4: nothing acknowledged is lost by `kill -9`; here on one file, again and again."""
    path, random, last = tmp_path / 'node.db', Random(), 0
    for _ in range(6):
        with program(WRITE_ON, path) as writer:
            assert writer.stdout is not None
            for _ in range(random.randint(1, 60)):
                line = writer.stdout.readline()
                assert line, writer.communicate()[1]
            writer.kill()
            reported = [int(line), *map(int, writer.stdout.read().split())]
        before, last = last, reported[-1]
        assert reported == [*range(reported[0], last + 1)], 'in order'
        stored = await load(path)
        assert stored is not None
        assert len(stored.entries) in range(last, last + 4), 'and at most what was under way'
        assert [*stored.entries] == [command(1 + each) for each in range(len(stored.entries))]
        assert last > before
        last = len(stored.entries)


async def test_what_is_loaded_after_a_kill_is_durable(tmp_path: Path) -> None:
    """A process may be killed between its write and its sync; who loads that relies on it.

    Then a power cut must not take it away: it is synced, and so is in the file itself.
    """
    async with loaded(tmp_path / 'node.db') as (storage, _):
        for number in range(1, 10):
            await storage.write(append(number))
        killed = copy_of(tmp_path / 'node.db', 'killed.db')
    async with loaded(killed) as (_, stored):
        assert stored is not None
        alone = tmp_path / 'alone.db'
        alone.write_bytes(killed.read_bytes())
    assert await load(alone) == stored


# failures

FILL = """
import resource
from consensual.raft.errors import StorageError

async def main(path):
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    storage = SQLiteStorage(path)
    await storage.load()
    number = 0
    async def write(number):
        try:
            await storage.write(append(number))
        except StorageError as error:
            return f'{type(error).__name__}: {error}'
    while (failure := await write(number + 1)) is None:
        number += 1
    print(number, failure, sep='\\n')
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(await write(number + 1))
    await close(storage)
    print(await write(number + 1) if len((await storage.load()).entries) == number else 'lost')
    await close(storage)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='there is no limit of size')
@pytest.mark.parametrize('limit', [50_000, 100_000, 1_000_000])
async def test_full_disk_fails_this_write_and_all_later_ones(tmp_path: Path, limit: int) -> None:
    """Design §4: nothing is acknowledged after it, and what was before is kept."""
    path = tmp_path / 'node.db'
    with program(FILL, path, limit) as writer:
        output, errors = writer.communicate(timeout=60)
    assert errors == ''
    number, failure, later, again = output.splitlines()
    assert int(number) > 2
    assert failure.startswith('StorageFull: writing to')
    assert 'node.db failed, there is no room' in failure
    assert 'make room, then start the node again' in failure
    assert later.startswith('StorageFull: an earlier write failed'), 'though there is room now'
    assert again == 'None', 'loaded again, it goes on'
    stored = await load(path)
    assert stored is not None
    assert len(stored.entries) == int(number) + 1


async def test_error_of_sqlite_that_its_file_is_full_is_told_as_such(tmp_path: Path) -> None:
    """A real SQLITE_FULL: where there is no room even for a byte, SQLite says so itself."""
    from consensual.storage.sqlite_errors import explain  # noqa: PLC0415 - no public name

    with closing(sqlite3.connect(tmp_path / 'small.db')) as connection:
        connection.execute('PRAGMA max_page_count = 2')
        connection.execute('CREATE TABLE t (a)')
        with pytest.raises(sqlite3.OperationalError) as raised:
            connection.execute('INSERT INTO t VALUES (zeroblob(100000))')
    assert isinstance(explain(raised.value, tmp_path, 'writing to'), StorageFull)


async def test_write_that_would_leave_a_gap_is_refused(tmp_path: Path) -> None:
    """It can only be a bug; and after a failed write every later one fails."""
    async with loaded(tmp_path / 'node.db') as (storage, _):
        await storage.write(append(1))
        with pytest.raises(StorageFailed, match='begins at index 4, the log ends before 2'):
            await storage.write(append(4))
        with pytest.raises(StorageFailed, match=r'an earlier write failed.*index 4'):
            await storage.write(append(2))
    async with loaded(tmp_path / 'node.db') as (storage, stored):
        assert stored is not None
        assert [*stored.entries] == [command(1)]
        await storage.write(append(2))


async def test_value_that_sqlite_cannot_hold_fails_the_write_as_a_whole(tmp_path: Path) -> None:
    async with loaded(tmp_path / 'node.db') as (storage, _):
        await storage.write(append(1))
        odd = replace(command(2), payload=Command(1, 2**64, 1, 'act', '1'))
        later = replace(HARD_STATE, current_term=8)
        with pytest.raises(StorageFailed):
            await storage.write(Write(2, later, 2, [command(2), odd]))
    stored = await load(tmp_path / 'node.db')
    assert stored is not None
    assert (stored.hard_state, [*stored.entries]) == (HARD_STATE, [command(1)])


# the file


async def test_file_does_not_grow_beyond_what_was_kept_at_once(tmp_path: Path) -> None:
    """What compaction frees is used again, and the write-ahead log stays bounded, too."""
    path, sizes, index = tmp_path / 'node.db', [], 1
    async with loaded(path) as (storage, _):
        await storage.write(Write(0, HARD_STATE))
        for _ in range(12):
            entries = [command(index + each) for each in range(4000)]
            await storage.write(Write(0, None, index, entries))
            index += len(entries)
            snapshot = replace(STORED.snapshot, index=index - 100, data=bytes(500_000))
            await storage.write(Write(0, snapshot=snapshot, log_start=index - 100))
            sizes.append((path.stat().st_size, wal_of(path).stat().st_size))
    assert max(sizes[6:]) <= tuple(1.2 * size for size in max(sizes[:6]))
    assert path.stat().st_size < 2_000_000


async def test_write_ahead_log_stays_bounded_in_lives_that_write_little(tmp_path: Path) -> None:
    """Each start checks all of it: a node that is killed often would start ever later."""
    path, sizes = tmp_path / 'life-0.db', []
    for life in range(7):
        async with loaded(path) as (storage, _):
            hard_state = None if life else HARD_STATE
            snapshot = replace(STORED.snapshot, index=life + 1, data=bytes(500 * 4096))
            await storage.write(
                Write(0, hard_state, life + 1, [command(life + 1)], snapshot, life + 1)
            )
            sizes.append(wal_of(path).stat().st_size)
            path = copy_of(path, f'life-{life + 1}.db')
    assert max(sizes) < 2000 * 4096, sizes


async def test_sql_of_the_documentation_answers(tmp_path: Path) -> None:
    """docs/storage.md: each query is run on a storage and finds something."""
    text = (ROOT / 'docs' / 'storage.md').read_text(encoding='utf-8')
    queries = re.findall(r'```sql\n(.*?)```', text, re.DOTALL)
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path)) as connection:
        answers = [connection.execute(query).fetchall() for query in queries]
        connection.execute('VACUUM')
    assert answers[0] == [('bob:1', 7, 'alice:1', 1, 'cluster', 'incarnation')]
    assert answers[1] == [(4, 8, 5)]
    assert answers[2][0] == (8, 7, 5.0, 'add', '{"amount": 2}')
    assert answers[3] == [('add', 2, 27)]
    assert answers[4][-1] == (7, 7, 8, 4.75, 5.0)
    assert answers[5] == [('alice:1', 'http://alice:1', 'incarnation of alice')]
    assert answers[6:] == [[(3, 'alice:1')], [(3, 5, 17)]]
    assert await load(path) == STORED, 'after VACUUM, too'
