"""Snapshots (§7, design §4): when they are due, what is kept behind them, what a crash leaves."""

import json

import pytest
from msgspec.structs import replace

from consensual.raft.core import snapshots
from consensual.raft.core.events import (
    LeaveRequested,
    ResetRequested,
    SnapshotTaken,
    SoloRequested,
)
from consensual.raft.core.log import ENTRY_OVERHEAD, Entry
from consensual.raft.core.messages import AppendEntries, InstallSnapshot
from consensual.raft.core.progress import Flow
from consensual.raft.core.snapshots import LARGE, is_due
from tests.core_snapshots import (
    EVERY,
    SMALL,
    SnapshotCluster,
    SnapshotCore,
    answer_piece,
    hear,
    pieces_of,
    snapshot_leader,
    snapshot_of,
    stored_with,
)
from tests.cores import (
    SETTINGS,
    T,
    acknowledge,
    append_entries,
    command,
    configuration,
    log_of,
    reject,
    stored,
)

TEN = [f'{number}' for number in range(10)]


def following(count: int, *, size: int = 0, settings=SMALL, commit: int = -1) -> SnapshotCore:
    """Return core a with so many committed entries, each with so many bytes more."""
    entries = log_of([1])
    entries += [Entry(1, 0.0, command('x' * size, number)) for number in range(count - 1)]
    disk = replace(stored('a'), entries=entries)
    core = SnapshotCore('a', disk, commit_index=count if commit < 0 else commit, settings=settings)
    core.applied_index = core.state.commit_index
    return core


# when it is due


def test_snapshot_is_due_after_so_many_entries():
    """Policy: by entries since the last one."""
    core = following(EVERY)
    assert not is_due(core.state, EVERY - 1)
    assert is_due(core.state, EVERY)
    core.compact()
    assert not is_due(core.state, EVERY)


def test_snapshot_is_due_sooner_where_the_entries_are_large():
    """Policy: by bytes, too."""
    core = following(4, size=LARGE // 3)
    core.raft.state.settings = replace(SMALL, snapshot_every=1000)
    assert not is_due(core.state, 3)
    assert is_due(core.state, 4)


def test_snapshot_is_due_later_where_the_state_is_larger_than_the_log():
    """So writing snapshots costs no more than a few times what writing the log does."""
    core = following(EVERY)
    core.compact(padding=40 * ENTRY_OVERHEAD)
    entries = log_of([1] * (EVERY + 1))[EVERY:]
    for index in range(EVERY, 100):
        request = append_entries(term=1, prev=(index, 1), entries=entries, commit=index + 1)
        assert core.ask(request).success
        if is_due(core.state, index + 1):
            break
    else:
        raise AssertionError('it is never due')
    size = core.state.log.size(EVERY + 1, index + 1)
    assert 20 * ENTRY_OVERHEAD <= size < 24 * ENTRY_OVERHEAD


def test_nothing_is_due_while_the_core_knows_less_than_was_applied():
    """After a reset the state machine is about to be emptied."""
    core = following(EVERY)
    assert not is_due(core.state, 2 * EVERY)


def test_nothing_is_due_while_a_snapshot_is_being_restored():
    """What was applied is older than the snapshot then."""
    core = SnapshotCore('a', stored_with('a', snapshot_of(TEN, index=100)))
    assert not is_due(core.state, 0)


# what is taken


def test_snapshot_of_another_life_is_dropped():
    """The node was reset while its state was encoded: that state is nobody's any more."""
    core = SnapshotCore('a')
    core.step(SnapshotTaken('a life before', 3, b'{}', 0))
    assert (core.state.snapshot, core.disk.snapshot) == (None, None)


def test_snapshot_overtaken_by_a_leaders_is_dropped():
    """It covers less than what was installed meanwhile."""
    core = following(EVERY)
    captured = core.capture()
    installed = snapshot_of(TEN, index=20)
    for piece in pieces_of(installed, term=1):
        core.ask(piece)
    core.step(captured)
    assert core.state.snapshot == installed == core.disk.snapshot


def test_snapshot_takes_nothing_from_who_receives_another():
    """A partial one that covers more is still wanted; one that covers less is not."""
    core = following(EVERY)
    pieces = pieces_of(snapshot_of(TEN, index=20), term=1)
    for piece in pieces[:2]:
        core.ask(piece)
    core.compact()
    assert core.ask(pieces[2]).received > len(pieces[2].data)
    for piece in pieces[3:]:
        core.ask(piece)
    assert core.restored[-1].index == 20


# what is kept


def test_tail_is_kept_for_who_is_a_little_behind():
    """As many entries as come between two snapshots."""
    core = following(10)
    core.compact()
    assert core.state.log.first_index == 10 - EVERY + 1
    assert [*core.disk.entries] == core.entries


def test_tail_is_bounded_in_bytes(monkeypatch):
    """A tail of huge entries is kept only in part."""
    monkeypatch.setattr(snapshots, 'TAIL', 3 * ENTRY_OVERHEAD)
    core = following(10)
    core.compact()
    assert core.state.log.first_index == 9, 'an entry takes more than its overhead'


def test_nothing_is_dropped_that_is_not_durable():
    """The log on the disk never has a gap: what is written next follows what is there."""
    core = following(3)
    core.is_disk_slow = True
    entries = log_of([1] * 12)[3:]
    core.ask(append_entries(term=1, prev=(3, 1), entries=entries, commit=12))
    assert (core.applied_index, core.state.durability.durable_index) == (12, 3)
    core.compact()
    assert core.state.log.base_index == 3
    core.persist()
    assert core.disk.entries[-1] == entries[-1]
    core.persist()
    assert (core.disk.snapshot.index, core.disk.first_index) == (12, 4)


def test_log_is_kept_for_a_live_peer_that_is_slow():
    """It answers, so it will ask for what it lacks: without that it needs a snapshot."""
    core = snapshot_leader(TEN)
    core.time_out()
    probe = core.sent(AppendEntries, 'c')
    core.reply(probe, acknowledge(probe))
    core.propose(*TEN)
    core.acknowledge_all('b')
    core.compact()
    assert core.state.log.base_index == core.leader.peers['c'].match_index == 8
    assert core.state.snapshot.index == 22


def test_log_is_not_kept_for_a_peer_that_is_silent():
    """Nobody knows when it comes back."""
    core = snapshot_leader(TEN)
    assert core.state.log.base_index == 12 - EVERY


def test_log_is_kept_while_a_snapshot_is_sent():
    """What follows it is what the peer needs next."""
    core = snapshot_leader(TEN, padding=200)
    hear(core, 'c')
    (piece, *_) = core.drain(InstallSnapshot, 'c')
    for _ in range(3):
        core.propose(*TEN)
        core.acknowledge_all('b')
        core.compact()
    core.reply(piece, answer_piece(piece, len(piece.data)))
    assert core.state.log.base_index == 12
    assert core.leader.peers['c'].outgoing.snapshot.index == 12, 'the same one goes on'


def test_log_is_kept_for_others_within_a_bound(monkeypatch):
    """A peer that never gets along does not fill the leader's memory."""
    core = snapshot_leader(TEN)
    hear(core, 'c')
    monkeypatch.setattr(snapshots, 'LARGE', 5 * ENTRY_OVERHEAD)
    (piece, *_) = core.drain(InstallSnapshot, 'c')
    core.reply(piece, answer_piece(piece, len(piece.data)))
    core.propose(*TEN)
    core.acknowledge_all('b')
    snapshot = core.compact()
    kept = core.state.log.size(core.state.log.first_index, snapshot.index)
    assert 0 < kept <= max(5 * ENTRY_OVERHEAD, 2 * len(snapshot.data))
    assert core.state.log.base_index > 12


def test_peer_that_outlived_the_bound_is_sent_the_newest_snapshot(monkeypatch):
    """What follows the one that it got half of is no more."""
    core = snapshot_leader(TEN)
    hear(core, 'c')
    monkeypatch.setattr(snapshots, 'LARGE', 1)
    core.drain(InstallSnapshot)
    core.propose(*TEN, *TEN)
    core.acknowledge_all('b')
    newest = core.compact()
    core.time_out()
    pieces = core.drain(InstallSnapshot, 'c')
    assert {piece.last_index for piece in pieces} == {newest.index}
    assert pieces[0].offset == 0


# who is sent what


def recovered_leader() -> SnapshotCore:
    """Return core a, leader of term 3: its log goes from 9 to 13, behind a snapshot up to 8."""
    snapshot = snapshot_of(TEN, index=8, term=2)
    core = SnapshotCore('a', stored_with('a', snapshot, log_of([0] * 8 + [2] * 4)[8:]))
    return core.win('b')


@pytest.mark.parametrize('hint', [(0, 0), (1, 1), (7, 1), (7, 2), (11, 1)])
def test_hint_below_the_base_leads_to_a_snapshot(hint):
    """Where the logs agree, if they do, is not known any more; also after a restart."""
    core = recovered_leader()
    (probe,) = core.drain(AppendEntries, 'c')
    assert (probe.prev_log_index, probe.prev_log_term) == (12, 2)
    core.reply(probe, reject(probe, hint))
    assert core.leader.peers['c'].flow is Flow.SNAPSHOT
    assert core.drain(InstallSnapshot, 'c')[0].last_index == 8


@pytest.mark.parametrize('hint', [(8, 2), (9, 2), (11, 2)])
def test_hint_from_the_base_on_leads_to_entries(hint):
    """The term of the base is known, so the entries after it can be matched."""
    core = recovered_leader()
    (probe,) = core.drain(AppendEntries, 'c')
    core.reply(probe, reject(probe, hint))
    (probe,) = core.drain(AppendEntries, 'c')
    assert (probe.prev_log_index, probe.prev_log_term) == hint
    assert core.drain(InstallSnapshot) == []


def test_base_itself_is_probed_before_a_snapshot_is_sent():
    """A peer whose next entry was compacted away may have got it from another leader."""
    core = snapshot_leader(TEN)
    core.time_out()
    probe = core.sent(AppendEntries, 'c')
    assert (probe.prev_log_index, probe.entries != []) == (12 - EVERY, False)
    core.reply(probe, acknowledge(probe))
    assert core.sent(AppendEntries, 'c').entries == core.entries
    assert core.drain(InstallSnapshot) == []


def test_follower_hints_no_further_back_than_its_base():
    """What it compacted away is committed, so the leader has it."""
    snapshot = snapshot_of(TEN, index=6, term=2)
    core = SnapshotCore('a', stored_with('a', snapshot, log_of([0] * 6 + [2, 2])[6:]))
    answer = core.ask(append_entries(term=4, prev=(9, 4)))
    assert (answer.success, answer.hint_index, answer.hint_term) == (False, 8, 2)
    answer = core.ask(append_entries(term=4, prev=(8, 1), number=2))
    assert (answer.success, answer.hint_index, answer.hint_term) == (False, 6, 2)


@pytest.mark.parametrize(
    ('previous', 'count', 'last'), [(2, 0, 8), (2, 3, 8), (2, 4, 8), (2, 6, 8), (2, 8, 10)]
)
def test_entries_that_begin_below_the_base_are_those_that_are_covered(previous, count, last):
    """A late or repeated message: what lies below is committed, the rest is taken as always."""
    snapshot = snapshot_of(TEN, index=6, term=2)
    core = SnapshotCore('a', stored_with('a', snapshot, log_of([0] * 6 + [2, 2])[6:]))
    entries = log_of([1, 1, 1, 2, 2, 2, 2, 2, 2, 2])[previous : previous + count]
    answer = core.ask(append_entries(term=2, prev=(previous, 1), entries=entries, commit=10))
    assert answer.success
    assert core.state.log.last_index == last
    assert core.state.commit_index == max(6, previous + count)
    assert core.state.log.base_index == 6


def test_conflict_behind_the_base_is_still_overwritten():
    """A message that begins below it replaces what was not committed (§5.3)."""
    snapshot = snapshot_of(TEN, index=6, term=2)
    core = SnapshotCore('a', stored_with('a', snapshot, log_of([0] * 6 + [2, 2])[6:]))
    entries = log_of([1, 1, 1, 2, 2, 2, 2, 3])[4:]
    assert core.ask(append_entries(term=3, prev=(4, 2), entries=entries)).success
    assert core.terms == [2, 3]


# a crash at any point


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
