"""Snapshots and the disk: what a crash leaves, and what a reset takes (§7, design §4)."""

import json

import pytest

from consensual.raft.core.events import (
    LeaveRequested,
    ResetRequested,
    SoloRequested,
)
from tests.core_snapshots import (
    SnapshotCluster,
    SnapshotCore,
    following,
    pieces_of,
    snapshot_of,
)
from tests.cores import (
    SETTINGS,
    T,
    append_entries,
    configuration,
    log_of,
    stored,
)

TEN = [f'{number}' for number in range(10)]


def crashed(core: SnapshotCore) -> SnapshotCore:
    """Return what a restart makes of what is durable."""
    return SnapshotCore(core.id, core.contents.stored())


def test_crash_before_the_snapshot_is_durable_leaves_the_old_state():
    """Taking: the log is whole until the write that cuts it."""
    core = following(10)
    core.is_disk_slow = True
    core.compact()
    again = crashed(core)
    assert (again.state.snapshot, again.state.log.base_index) == (None, 0)
    assert again.state.log.last_index == 10
    core.persist()
    again = crashed(core)
    assert again.restored == [core.state.snapshot]
    assert again.state.log.last_index == 10


def test_installation_is_one_write():
    """A crash before it leaves the old log, after it the snapshot: never a mix."""
    core = following(3)
    core.is_disk_slow = True
    snapshot = snapshot_of(TEN, index=20, term=1)
    for piece in pieces_of(snapshot, term=1):
        core.ask(piece)
    assert core.write is not None
    assert (core.write.snapshot, core.write.first_index, core.write.log_start) == (snapshot, 21, 21)
    before = crashed(core)
    assert (before.state.log.last_index, before.restored) == (3, [])
    core.persist()
    assert core.write is None
    after = crashed(core)
    assert (after.state.log.base_index, after.state.log.last_index) == (20, 20)
    assert after.restored == [snapshot]


def test_installation_is_acknowledged_when_it_is_durable():
    """What is acknowledged counts for commitment: it must not be lost."""
    core = following(3)
    core.is_disk_slow = True
    *pieces, last = pieces_of(snapshot_of(TEN, index=20), term=1)
    assert all(core.ask(piece) is not None for piece in pieces)
    call = core.call(last)
    assert core.answers == {}
    core.persist()
    assert core.answers[call].is_installed


def test_what_was_durable_before_an_installation_still_is():
    """The old log or the snapshot: whatever a crash leaves, it holds what was committed."""
    core = following(3)
    core.is_disk_slow = True
    core.call(append_entries(term=1, prev=(3, 1), entries=log_of([1] * 9)[3:], commit=6))
    core.persist()
    assert core.state.durability.durable_index == 9
    for piece in pieces_of(snapshot_of(TEN, index=20), term=1):
        core.call(piece)
    assert core.state.durability.durable_index == 6
    core.persist()
    assert core.state.durability.durable_index == 20


def test_installation_behind_a_write_under_way_waits_for_its_own():
    """The one before it does not hold the snapshot."""
    core = following(3)
    core.is_disk_slow = True
    core.call(append_entries(term=1, prev=(3, 1), entries=log_of([1] * 4)[3:]))
    *pieces, last = pieces_of(snapshot_of(TEN, index=20), term=1)
    for piece in pieces:
        core.ask(piece)
    call = core.call(last)
    core.persist()
    assert call not in core.answers
    assert crashed(core).state.log.last_index == 4
    core.persist()
    assert core.answers[call].is_installed
    assert crashed(core).state.log.base_index == 20


def test_what_the_log_has_is_acknowledged_when_that_is_durable():
    """Where the matching log is kept, too: its entries may still be on their way to the disk."""
    core = following(1)
    core.is_disk_slow = True
    core.call(append_entries(term=1, prev=(1, 1), entries=log_of([1] * 8)[1:]))
    *pieces, last = pieces_of(snapshot_of(TEN, index=6), term=1)
    for piece in pieces:
        core.call(piece)
    call = core.call(last)
    assert core.state.commit_index == 6
    assert call not in core.answers
    core.persist()
    assert core.answers[call].is_installed


def test_entries_are_taken_behind_a_snapshot_that_is_not_durable_yet():
    """They follow it in the next write; nothing of the old log comes back."""
    core = following(3)
    core.is_disk_slow = True
    for piece in pieces_of(snapshot_of(TEN, index=20), term=1):
        core.call(piece)
    entries = log_of([1] * 22)[20:]
    core.call(append_entries(term=1, prev=(20, 1), entries=entries, commit=22))
    core.persist()
    core.persist()
    again = crashed(core)
    assert (again.state.log.base_index, again.entries) == (20, entries)


@pytest.mark.parametrize('writes', range(8))
def test_crash_after_any_write_of_a_transfer_leaves_old_or_new(writes):
    """Enumerated: a follower that is brought up by a snapshot and what follows it."""
    cluster = SnapshotCluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    cluster.run(2 * T)
    leader.propose(*TEN)
    cluster.settle()
    leader.compact()
    leader.propose('later')
    begun = len(cluster['c'].writes)
    cluster.heal()
    cluster.run(4 * T)
    core = cluster['c']
    disk = SnapshotCore('c', stored('c')).contents
    for write in core.writes[: begun + writes]:
        disk.take(write)
    again = SnapshotCore('c', disk.stored())
    assert again.texts == (json.loads(leader.state.snapshot.data) if again.restored else [])
    assert again.state.log.last_index in (1, 2, 12, 13)


# one life after another


def test_reset_erases_the_snapshot():
    """Of a node that left nothing is left (design §2); nor does what it received come back."""
    core = SnapshotCore('a', stored('a', voters='a'))
    core.time_out()
    core.propose(*TEN)
    core.compact()
    core.step(LeaveRequested())
    assert core.disk.snapshot is not None, 'who leaves keeps its history'
    core.step(ResetRequested())
    assert (core.state.snapshot, core.state.log.base_index, core.state.log.last_index) == (
        None,
        0,
        0,
    )
    assert (core.disk.snapshot, core.disk.entries, core.disk.first_index) == (None, [], 1)
    assert core.texts == []


def test_who_goes_solo_goes_on_behind_its_snapshot():
    """History and state are kept (design §2)."""
    core = following(10)
    snapshot = core.compact()
    core.step(SoloRequested())
    assert core.role == 'leader'
    core.propose('x')
    assert core.texts[-1] == '"x"'
    assert core.disk.snapshot == snapshot
    again = SnapshotCore('a', core.disk)
    again.time_out()
    assert again.texts == core.texts


def test_half_a_snapshot_is_no_part_of_the_next_cluster():
    """What a leader of the old cluster began to send is dropped with that cluster."""
    core = following(3)
    core.ask(pieces_of(snapshot_of(TEN, index=20), term=1)[0])
    assert core.state.incoming is not None
    core.step(SoloRequested())
    assert core.state.incoming is None


def test_half_a_snapshot_is_dropped_once_the_log_has_caught_up():
    """Entries came another way: what it would have brought is there."""
    core = following(3)
    core.ask(pieces_of(snapshot_of(TEN, index=5), term=1)[0])
    entries = log_of([1] * 6)[3:]
    core.ask(append_entries(term=1, prev=(3, 1), entries=entries, commit=6))
    assert core.state.incoming is None


def test_configurations_of_the_log_are_known_after_a_restart():
    """Whoever asks for a change again is told of it, although a snapshot covers it."""
    changes = {3: configuration('abc', learners='d'), 5: configuration('abc')}
    core = SnapshotCore(
        'a', stored('a', [1] * 8, configurations=changes), commit_index=8, settings=SETTINGS
    )
    core.applied_index = 8
    core.compact()
    assert core.state.log.base_index == 0
    again = SnapshotCore('a', core.disk, settings=SETTINGS)
    history = [configured.index for configured in again.state.history]
    assert history == [0, 1, 3, 5] == [item.index for item in core.state.history]
