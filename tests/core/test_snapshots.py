"""Snapshots: when they are due, and what of the log is kept behind them (§7, design §4)."""

import pytest
from msgspec.structs import replace

from consensual.raft.core import snapshots
from consensual.raft.core.events import (
    SnapshotTaken,
)
from consensual.raft.core.log import ENTRY_OVERHEAD
from consensual.raft.core.messages import AppendEntries, InstallSnapshot
from consensual.raft.core.progress import Flow
from consensual.raft.core.snapshots import LARGE, is_due
from tests.core_snapshots import (
    EVERY,
    SMALL,
    SnapshotCore,
    answer_piece,
    following,
    hear,
    pieces_of,
    snapshot_leader,
    snapshot_of,
    stored_with,
)
from tests.cores import (
    acknowledge,
    append_entries,
    log_of,
    reject,
)

TEN = [f'{number}' for number in range(10)]


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
