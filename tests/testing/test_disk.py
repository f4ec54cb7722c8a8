"""A simulated disk: what is durable survives, and every fault does what it says."""

import errno
from asyncio import Future
from collections.abc import Callable
from random import Random
from zlib import crc32

import pytest

from consensual.raft.core.configuration import Configuration
from consensual.raft.core.effects import HardState, Snapshot, Stored, Write
from consensual.raft.core.log import Entry, NoOp, Reconfiguration
from consensual.raft.errors import StorageLocked
from consensual.storage.contents import Contents
from consensual.testing.disk import Disk, Mounted
from consensual.testing.process import Process
from consensual.testing.timeline import Timeline

SEEDS = range(20)


class Machine:
    """One disk, and processes that use it one after another."""

    def __init__(self, seed: int = 0, *, write_time: float = 0.0) -> None:
        self.timeline = Timeline()
        self.disk = Disk(self.timeline, Random(seed), write_time=write_time)
        self.boot()

    def boot(self) -> None:
        self.process = Process(self.timeline)
        self.storage = self.disk.mount(self.process)
        self.storage.load()

    def crash(self) -> None:
        self.process.kill()
        self.disk.unmount()

    def write(self, *terms: int, first: int = 1) -> 'Future[None] | None':
        return self.storage.write(write_of(*terms, first=first))


def write_of(*terms: int, first: int = 1, incarnation: str = 'i') -> Write:
    """A write of the last term, and of entries of these terms."""
    return Write(1, HardState(incarnation, current_term=max(terms)), first, entries_of(*terms))


def snapshot_of(index: int, term: int) -> Snapshot:
    configuration = Reconfiguration(Configuration())
    return Snapshot(index, term, 0.0, 1, 1, configuration, b'state', crc32(b'state'))


def entries_of(*terms: int) -> list[Entry]:
    return [Entry(term, 0.0, NoOp()) for term in terms]


def errno_of(machine: Machine) -> int | None:
    """Write, and let a second pass; return the number of the error; None where it is done."""
    try:
        written = machine.write(1)
    except OSError as error:
        return error.errno
    if written is None:
        return None
    machine.timeline.run(1.0)
    error = written.exception()
    assert error is None or isinstance(error, OSError)
    return None if error is None else error.errno


def test_new_disk_is_empty() -> None:
    disk = Machine().disk
    assert (disk.hard_state, disk.contents.entries, disk.term, disk.incarnation) == (
        None,
        [],
        0,
        '',
    )
    assert not disk.holds(1, 0)
    assert Machine().storage.load() is None


def test_write_replaces_hard_state_and_the_end_of_the_log() -> None:
    machine = Machine()
    assert machine.write(1, 1, 1) is None
    assert machine.write(2, 2, first=3) is None
    machine.storage.write(Write(2, None, 5, entries_of(2)))
    machine.storage.write(Write(3, HardState('i', current_term=7)))
    disk = machine.disk
    assert disk.hard_state == HardState('i', current_term=7)
    assert disk.contents.entries == entries_of(1, 1, 2, 2, 2)
    assert (disk.term, disk.incarnation) == (7, 'i')
    assert [disk.holds(index, 2) for index in range(7)] == [False] * 3 + [True] * 3 + [False]


def test_what_is_durable_is_there_for_the_next_process() -> None:
    machine = Machine()
    machine.write(1, 2)
    machine.crash()
    stored = machine.disk.mount(Process(machine.timeline)).load()
    assert stored == Stored(HardState('i', current_term=2), entries_of(1, 2))


def test_what_is_loaded_does_not_change_with_the_disk() -> None:
    machine = Machine()
    machine.write(1)
    stored = machine.storage.load()
    machine.write(1, first=2)
    assert stored is not None
    assert stored.entries == entries_of(1)


@pytest.mark.parametrize('seed', SEEDS)
def test_write_takes_at_most_its_time_and_at_least_half_of_it(seed: int) -> None:
    machine = Machine(seed, write_time=0.2)
    written = machine.write(1)
    assert written is not None
    assert machine.disk.hard_state is None
    assert machine.timeline.run_until(written.done, 1.0)
    assert 0.1 <= machine.timeline.now <= 0.2
    assert (written.exception(), machine.disk.term) == (None, 1)


def test_disk_is_locked_as_long_as_another_process_has_it() -> None:
    machine = Machine()
    other = machine.disk.mount(Process(machine.timeline, 'other'))
    with pytest.raises(StorageLocked, match='in use'):
        other.load()
    assert machine.storage.load() is None
    machine.storage.close()
    assert other.load() is None
    machine.storage.close()
    with pytest.raises(StorageLocked):
        machine.storage.load()
    machine.disk.unmount()
    assert machine.storage.load() is None


def test_full_disk_takes_nothing_until_there_is_room() -> None:
    machine = Machine()
    machine.disk.is_full = True
    assert not machine.disk.has_failed
    assert [errno_of(machine) for _ in range(3)] == [errno.ENOSPC] * 3
    assert (machine.disk.hard_state, machine.disk.has_failed) == (None, True)
    machine.disk.is_full = False
    assert errno_of(machine) is None
    assert machine.disk.term == 1


@pytest.mark.parametrize('is_written', [False, True])
@pytest.mark.parametrize('write_time', [0.0, 0.1])
def test_next_write_fails_written_or_not(is_written: bool, write_time: float) -> None:
    machine = Machine(write_time=write_time)
    machine.disk.fail_next_write(is_written=is_written)
    assert errno_of(machine) == errno.EIO
    assert (machine.disk.term, machine.disk.has_failed) == (int(is_written), True)
    machine.crash()
    machine.boot()
    assert not machine.disk.has_failed
    assert errno_of(machine) is None


def test_failure_is_seen_at_once_or_late() -> None:
    def is_raised(seed: int) -> bool:
        machine = Machine(seed)
        machine.disk.is_full = True
        try:
            return machine.write(1) is None
        except OSError:
            return True

    assert {is_raised(seed) for seed in SEEDS} == {False, True}


def test_failures_that_nobody_met_end_with_the_process() -> None:
    machine = Machine()
    machine.disk.fail_next_write(is_written=False)
    machine.disk.crash_at_write(1, machine.crash, is_durable=False)
    machine.crash()
    machine.boot()
    assert machine.write(1) is None
    assert machine.process.is_alive


def test_crash_leaves_a_write_under_way_as_a_whole_or_not_at_all() -> None:
    def left(seed: int) -> tuple[int, int]:
        machine = Machine(seed, write_time=1.0)
        written = machine.write(3, 3, 3)
        assert written is not None
        machine.timeline.run(0.1)
        machine.crash()
        left = machine.disk.term, machine.disk.contents.last_index
        machine.timeline.run(5.0)
        assert left == (machine.disk.term, machine.disk.contents.last_index)
        assert not written.done()
        return left

    assert {left(seed) for seed in SEEDS} == {(0, 0), (3, 3)}
    assert left(1) == left(1)


def test_crash_keeps_what_was_written_before() -> None:
    for seed in SEEDS:
        machine = Machine(seed)
        machine.write(1, 1)
        machine.disk.write_time = 1.0
        machine.write(2, first=2)
        machine.crash()
        assert machine.disk.contents.entries in (entries_of(1, 1), entries_of(1, 2))


@pytest.mark.parametrize('write_time', [0.0, 0.5])
@pytest.mark.parametrize('is_durable', [False, True])
@pytest.mark.parametrize('number', [1, 3])
def test_crash_at_a_write(number: int, is_durable: bool, write_time: float) -> None:
    """The process stops within it: it learns nothing, and nothing after it is done."""
    machine = Machine(write_time=write_time)
    ran, crashes = list[int](), list[float]()

    def crash() -> None:
        crashes.append(machine.timeline.now)
        machine.crash()

    machine.disk.crash_at_write(number, crash, is_durable=is_durable)
    for _ in range(number - 1):
        machine.write(1)
        machine.timeline.run(1.0)
    written = machine.write(2)
    machine.process.call_soon(ran.append, 1)
    assert written is not None
    machine.timeline.run(1.0)
    assert crashes == [number - 1.0]
    assert (ran, written.done(), machine.process.is_alive) == ([], False, False)
    expected = 2 if is_durable else min(1, number - 1)
    assert machine.disk.term == expected
    machine.boot()
    machine.write(9)
    machine.timeline.run(1.0)
    assert machine.disk.term == 9


def test_killed_process_writes_nothing_more() -> None:
    machine = Machine()
    machine.process.kill()
    written = machine.write(1)
    machine.timeline.run(1.0)
    assert written is not None
    assert not written.done()
    assert machine.disk.hard_state is None


def test_incarnation_that_is_replaced_is_told_with_its_entries() -> None:
    machine, replaced = Machine(), list[tuple[str, Contents]]()
    on_replaced: Callable[..., None] = lambda *what: replaced.append(what)  # noqa: E731
    machine.disk.on_replaced = on_replaced
    machine.write(1, 1)
    machine.write(2, first=3)
    assert replaced == []
    machine.storage.write(Write(2, HardState('j'), 1, ()))
    ((incarnation, contents),) = replaced
    assert (incarnation, contents.entries) == ('i', entries_of(1, 1, 2))
    assert (machine.disk.incarnation, machine.disk.contents.entries) == ('j', [])


def test_cancelled_wait_changes_nothing_of_the_write() -> None:
    machine = Machine(write_time=0.1)
    written = machine.write(1)
    assert written is not None
    written.cancel()
    machine.timeline.run(1.0)
    assert machine.disk.term == 1


def test_mounted_disk_shows_what_it_holds() -> None:
    machine = Machine()
    machine.write(1)
    assert isinstance(machine.storage, Mounted)
    assert '1 from 1 on' in repr(machine.storage)


def test_snapshot_stands_for_the_entries_that_it_covers() -> None:
    machine = Machine()
    machine.write(1, 1, 2, 2, 3)
    machine.storage.write(Write(2, snapshot=snapshot_of(4, 2), log_start=3))
    disk = machine.disk
    assert disk.contents.entries == entries_of(2, 2, 3)
    assert [disk.holds(index, 2) for index in range(7)] == [
        False,
        True,
        True,
        True,
        True,
        *2 * [False],
    ]
    assert [disk.holds(index, 1) for index in range(4)] == [False, True, True, False]
    assert not disk.holds(1, 3)
    machine.crash()
    machine.boot()
    assert machine.storage.load() == Stored(
        HardState('i', current_term=3), entries_of(2, 2, 3), snapshot_of(4, 2), 3
    )


def test_snapshot_in_place_of_the_log_is_written_as_a_whole_or_not_at_all() -> None:
    def left(seed: int) -> tuple[int, int, bool]:
        machine = Machine(seed)
        machine.write(1, 1)
        machine.disk.write_time = 1.0
        machine.storage.write(Write(2, None, 8, (), snapshot_of(7, 2), 8))
        machine.timeline.run(0.1)
        machine.crash()
        contents = machine.disk.contents
        return contents.first_index, contents.last_index, contents.snapshot is not None

    assert {left(seed) for seed in SEEDS} == {(1, 2, False), (8, 7, True)}
