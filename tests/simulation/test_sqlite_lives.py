"""Clusters live on real files of SQLite, whose writes crashes tear and full disks refuse.

What a node acknowledged, and nothing else, is what its file gives back (design §4, Storage).
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Optional

import pytest
from msgspec.structs import replace

from consensual.raft.core.effects import Stored, Write
from consensual.raft.errors import StorageError
from consensual.storage import sqlite_database, sqlite_file
from consensual.testing.conformance.data import Model, random_write
from consensual.testing.faults import Crash, CrashAtWrite, FailWrite, Fault, FillDisk, Stop
from consensual.testing.nemesis import Blow
from consensual.testing.simulation import InvariantsBroken, Simulation
from consensual.testing.soak import Plan, Report, draw_plan, live
from tests.simulation.sqlite_disks import Connection, File, OnFiles

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='there is no limit of size')

SECONDS = 10.0
FIGURES = 'lost', 'failed', 'rounds', 'rooms', 'halves'
Use = Callable[[type[Connection]], None]
RULE = 'file_gives_back_what_was_stored'


@pytest.fixture(name='connections', autouse=True)
def use_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Let connections be of a kind that knows what is synced, and logs be short.

    Nothing is really synced, for that takes time. What a life that ended badly left open is closed.
    """
    connect = sqlite3.connect

    def use(kind: type[Connection]) -> None:
        monkeypatch.setattr(sqlite3, 'connect', partial(connect, factory=kind))

    monkeypatch.setattr(sqlite_database, 'ROOM_FRAMES', 4)
    monkeypatch.setattr(sqlite_database, 'CHECKPOINT_FRAMES', 8)
    monkeypatch.setattr(sqlite_file, 'WAL_ROOM', 100_000)
    monkeypatch.setattr(os, 'fsync', id)
    use(Connection)
    yield use
    while Connection.opened:
        Connection.opened.pop().close()


# lives


class Bulk(Fault, frozen=True):
    """The leader is given commands that fill several pages of its file."""

    sizes: tuple[int, ...]

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        leader = simulation.leader
        if leader is None:
            return
        for size in self.sizes:
            what = ['bulk', f'{simulation.now} {size}'.ljust(size)]
            leader.execute('put', what, timeout=3.0, request=('put', *what))


def plan_of(seed: int) -> Plan:
    """Return a life of the soak in which disks are what fails most."""
    plan = draw_plan(seed, SECONDS)
    random, schedule = Random(f'disks {seed}'), [*plan.schedule]
    at = random.expovariate(2)
    while at < SECONDS:
        schedule.append(Blow(at, draw_fault(random, plan.names)))
        at += random.expovariate(2)
    return replace(plan, schedule=sorted(schedule, key=lambda blow: blow.at))


def draw_fault(random: Random, names: tuple[str, ...]) -> Any:
    name, seconds = random.choice(names), random.choice((0.05, 0.3, 1.0))
    is_whole = random.random() < 0.3
    kinds = 'bulk', 'within', 'crash', 'fail', 'fill', 'stop'
    match random.choices(kinds, (5, 5, 2, 2, 1, 1))[0]:
        case 'bulk':
            return Bulk(tuple(random.choices((100, 5_000, 20_000), k=random.randint(1, 3))))
        case 'within':
            return CrashAtWrite(name, random.randint(1, 3), is_whole, seconds)
        case 'crash':
            return Crash(name, seconds)
        case 'fail':
            return FailWrite(name, is_whole, seconds)
        case 'fill':
            return FillDisk(name, seconds)
    return Stop(name, seconds)


def live_on_files(directory: Path, seed: int, **options: Any) -> tuple[Report, list[File]]:
    """Live one life; return what came of it, and the files."""
    plan = plan_of(seed)
    directory.mkdir()
    simulation = OnFiles(
        directory,
        seed=seed,
        snapshot_every=plan.snapshot_every,
        write_time=plan.write_time,
        is_traced=False,
        **options,
    )
    return live(plan, simulation=simulation), simulation.files


def live_many(directory: Path, seeds: range) -> None:
    """Nothing breaks, and enough befalls them that something could."""
    total, files = Report(), []
    for seed in seeds:
        report, used = live_on_files(directory / f'{seed}', seed)
        if report.broken:
            raise InvariantsBroken(report.broken, f'seed {seed}')
        total.add(report)
        files += used
    told = {what: sum(getattr(file, what) for file in files) for what in FIGURES}
    assert min(told.values()) >= len(seeds) // 3, told
    assert total.acknowledged > 20 * len(seeds)


def test_lives_on_files_of_ci(tmp_path: Path) -> None:
    live_many(tmp_path, range(12))


@pytest.mark.long
def test_many_lives_on_files(tmp_path: Path) -> None:
    live_many(tmp_path, range(12, 400))


def test_life_on_files_is_the_same_again(tmp_path: Path) -> None:
    """A seed that breaks something is of use to whoever mends it."""
    lives = [live_on_files(tmp_path / name, 7) for name in ('once', 'again')]
    (report, files), (again, files_again) = lives
    assert report == again
    assert report.steps > 1000
    for what in FIGURES:
        assert [getattr(file, what) for file in files] == [
            getattr(file, what) for file in files_again
        ]


# files without nodes: snapshots and compaction, too


def write_and_crash(file: File, random: Random) -> None:
    """Write what a node might write, and end in any way; it must open with what is left."""
    model = Model()
    assert file.open() is None
    for _ in range(random.randint(5, 60)):
        write, after = random_write(random, model), model.copy()
        after.take(write)
        ways, weights = ('go on', 'lose', 'keep', 'crash', 'fail', 'stop'), (40, 3, 2, 6, 3, 1)
        (way,) = random.choices(ways, weights)
        try:
            (file.write_with_little_room if way == 'fail' else file.write)(write)
        except StorageError:
            assert way == 'fail'
            after = model
        model = model if way == 'lose' else after
        if way == 'go on':
            continue
        if way == 'stop':
            file.close()
        else:
            file.end(stored_of(model), is_under_way=way == 'keep')
        assert file.open() == stored_of(model), way
        if random.random() < 0.3:
            file.end(stored_of(model), is_under_way=False)
            assert file.open() == stored_of(model), f'{way}, and crashed again'
    file.close()


def write_and_crash_many(directory: Path, seeds: int = 40) -> list[File]:
    files = []
    for seed in range(seeds):
        files.append(File(directory / f'{seed}.db', Random(seed)))
        write_and_crash(files[-1], Random(f'writes {seed}'))
    return files


def stored_of(model: Model) -> Optional[Stored]:
    if model.hard_state is None:
        return None
    return Stored(model.hard_state, [*model.entries], model.snapshot, model.first_index)


def test_file_has_what_was_durable_however_its_process_ends(tmp_path: Path) -> None:
    files = write_and_crash_many(tmp_path)
    told = {what: sum(getattr(file, what) for file in files) for what in FIGURES}
    assert min(told.values()) > 20, told


@pytest.mark.long
def test_many_files_have_what_was_durable(tmp_path: Path) -> None:
    write_and_crash_many(tmp_path, 1000)


# what is wrong is found


class SyncsAtCheckpointsOnly(Connection):
    """As if the storage asked for no sync of each commit."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace('= FULL', '= NORMAL'), *parameters)


class SyncsNothingItReads(Connection):
    """As if the storage took what a killed process left for durable."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute('SELECT 1' if 'wal_checkpoint' in sql else sql, *parameters)


class CommitsHalves(File):
    """As if the storage had a transaction for each table."""

    def write(self, write: Write) -> None:
        if write.hard_state is not None:
            super().write(Write(write.number, write.hard_state))
        super().write(replace(write, hard_state=None))


class HidesFailures(File):
    """As if the storage took a failed write for done."""

    def write_with_little_room(self, write: Write) -> None:
        with suppress(StorageError):
            super().write_with_little_room(write)


@pytest.mark.parametrize('connection', [SyncsAtCheckpointsOnly, SyncsNothingItReads])
def test_sync_that_is_missing_is_found(
    tmp_path: Path, connections: Use, connection: type[Connection]
) -> None:
    """What was durable is gone, or cannot be read any more."""
    connections(connection)
    with pytest.raises((AssertionError, StorageError)):
        write_and_crash_many(tmp_path)


@pytest.mark.parametrize(
    ('connection', 'file'),
    [(SyncsAtCheckpointsOnly, File), (Connection, CommitsHalves), (Connection, HidesFailures)],
)
def test_storage_that_breaks_its_word_is_found(
    tmp_path: Path, connections: Use, connection: type[Connection], file: type[File]
) -> None:
    """Within some lives a file gives back something else, and invariants of Raft break by it."""
    connections(connection)
    broken: set[str] = set()
    for seed in range(40):
        report, _ = live_on_files(tmp_path / f'{seed}', seed, make_file=file)
        broken |= {each.invariant for each in report.broken}
        if broken > {RULE}:
            return
    raise AssertionError(f'only {broken} were found broken')
