"""§7 and Figure 13: a snapshot stands for the log's past, and is sent to whoever lacks that."""

import pytest
from msgspec.structs import replace

from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import AppendEntries, InstallSnapshot
from tests.core_snapshots import (
    EVERY,
    SnapshotCluster,
    SnapshotCore,
    answer_piece,
    hear,
    pieces_of,
    snapshot_leader,
    snapshot_of,
    stored_with,
)
from tests.cores import T, append_entries, configuration, log_of, request_vote, stored

TEN = [f'"{number}"' for number in range(10)]
SNAPSHOT = snapshot_of(TEN, index=6, term=3, time=2.5, position=(5, 2), voters='abcd')


def follower(terms=(1,), *, commit: int = 0, **options) -> SnapshotCore:
    """Return core a with that log, in term 3."""
    return SnapshotCore('a', stored('a', terms, term=3), commit_index=commit, **options)


def send(core: SnapshotCore, snapshot=SNAPSHOT, *, term: int = 3):
    """Let all pieces of a snapshot arrive in order; return the last answer."""
    return [core.ask(piece) for piece in pieces_of(snapshot, term=term)][-1]


# taking one


def test_snapshot_tells_index_and_term_of_the_last_entry_that_it_covers():
    """They are what the next entry is matched to."""
    core = snapshot_leader(['x', 'y'])
    snapshot = core.state.snapshot
    assert (snapshot.index, snapshot.term) == (4, 2)
    assert snapshot.time == core.applied[-1][1].time


def test_snapshot_holds_the_configuration_of_its_last_entry():
    """The latest up to there, with its place in the log; a later one is not in it."""
    changes = {2: configuration('abcd'), 4: configuration('abc')}
    terms = [1, 1, 1, 1, 1]
    disk = stored('a', terms, configurations=changes)
    core = SnapshotCore('a', disk, commit_index=3)
    core.applied_index = 3
    snapshot = core.compact()
    assert snapshot.configuration == Reconfiguration(changes[2], 'change 2')
    assert (snapshot.configuration_index, snapshot.configuration_term) == (2, 1)
    assert core.state.configuration == changes[4], 'in force is the latest in the log'


def test_every_server_takes_snapshots_by_itself():
    """A follower does so as a leader does; nobody is asked or told."""
    cluster = SnapshotCluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.elect('a').propose('x', 'y')
    cluster.run(T)
    told = len(cluster.trace)
    snapshots = [cluster[id_].compact() for id_ in 'abc']
    assert len({(item.index, item.term, item.data) for item in snapshots}) == 1
    cluster.settle()
    assert len(cluster.trace) == told


def test_snapshot_takes_the_place_of_the_log_and_of_any_earlier_snapshot():
    """Once it is written, the entries up to it may be deleted, and prior snapshots."""
    core = snapshot_leader(TEN)
    first = core.state.snapshot
    core.propose(*TEN)
    core.acknowledge_all('b')
    second = core.compact()
    assert first.index < second.index == 22
    assert core.disk.snapshot == second
    assert core.disk.first_index == core.state.log.first_index == 22 - EVERY + 1
    assert len(core.disk.entries) == EVERY


def test_snapshot_covers_committed_entries_only():
    """What is not committed may still be lost: it stays in the log."""
    core = snapshot_leader(TEN)
    core.propose('x', 'y')
    assert core.compact().index == core.state.commit_index == 12
    assert core.state.log.last_index == 14


def test_older_snapshot_is_dropped():
    """One that was overtaken by another changes nothing."""
    core = snapshot_leader(TEN[:4])
    overtaken = core.capture()
    core.propose(*TEN)
    core.acknowledge_all('b')
    taken, log = core.compact(), core.entries
    core.step(overtaken)
    assert (core.state.snapshot, core.entries) == (taken, log)


# who is sent one


def test_leader_sends_a_snapshot_to_who_lacks_what_it_discarded():
    """Only when it has discarded the next entry that it would send."""
    core = snapshot_leader(TEN)
    hear(core, 'c')
    pieces = core.drain(InstallSnapshot, 'c')
    snapshot = core.state.snapshot
    assert {(piece.last_index, piece.last_term) for piece in pieces} == {(12, 2)}
    assert pieces[0].configuration == snapshot.configuration
    assert snapshot.data.startswith(b''.join(piece.data for piece in pieces))


@pytest.mark.parametrize('has', [12 - EVERY, 12])
def test_leader_sends_entries_to_who_has_the_base_of_the_log(has):
    """A slow follower within the tail that was kept needs no snapshot."""
    core = snapshot_leader(TEN)
    slow = SnapshotCore('c', stored('c', [1, *[2] * (has - 1)], term=2))
    for _ in range(4):
        for request in core.drain(AppendEntries, 'c'):
            core.reply(request, slow.ask(request))
        core.time_out()
    assert core.leader.peers['c'].match_index == 12
    assert core.drain(InstallSnapshot) == []


def test_follower_far_behind_comes_to_the_leaders_state():
    """With the snapshot and the entries after it."""
    cluster = SnapshotCluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    cluster.run(2 * T)
    leader.propose(*TEN)
    cluster.settle()
    leader.compact()
    leader.propose('later')
    cluster.heal()
    cluster.run(2 * T)
    assert [snapshot.index for snapshot in cluster['c'].restored] == [12]
    assert [index for index, _ in cluster['c'].applied] == [13]
    assert cluster['c'].texts == leader.texts == [f'"{text}"' for text in TEN] + ['"later"']
    assert cluster['c'].disk.snapshot == leader.state.snapshot


# Figure 13: receiver implementation


def test_snapshot_of_an_old_term_is_refused_with_the_current_one():
    """Figure 13, step 1: reply immediately if term < currentTerm."""
    core = follower([1, 2])
    piece = replace(pieces_of(SNAPSHOT, term=2)[0], last_term=2)
    assert core.ask(piece) == answer_piece(piece, 0, term=3)
    assert core.state.incoming is None
    assert core.state.leader is None


def test_sender_of_a_snapshot_is_the_leader():
    """§5.1, §5.2: a later term is adopted, and whoever leads it is followed."""
    core = follower([1, 2])
    core.stand()
    assert (core.role, core.state.current_term) == ('candidate', 4)
    core.ask(pieces_of(SNAPSHOT, term=4)[0])
    assert (core.role, core.state.leader) == ('follower', 'b')
    core.ask(pieces_of(SNAPSHOT, term=5)[0])
    assert core.state.current_term == 5


def test_pieces_are_gathered_until_the_last_one():
    """Figure 13, steps 2 to 4: data are written at their offset; reply and wait for more."""
    core = follower([1, 2])
    pieces = pieces_of(SNAPSHOT, term=3)
    assert len(pieces) > 2
    received = 0
    for piece in pieces[:-1]:
        received += len(piece.data)
        assert core.ask(piece) == answer_piece(piece, received)
        assert (core.state.snapshot, core.restored) == (None, [])
        assert core.terms == [1, 2]
    answer = core.ask(pieces[-1])
    assert answer == answer_piece(pieces[-1], len(SNAPSHOT.data), is_installed=True)
    assert core.restored == [SNAPSHOT]


def test_first_piece_of_another_snapshot_begins_anew():
    """Figure 13, step 5: a partial snapshot with a smaller index is discarded."""
    core = follower([1, 2])
    for piece in pieces_of(SNAPSHOT, term=3)[:-1]:
        core.ask(piece)
    later = snapshot_of([*TEN, '"x"'], index=7, term=3)
    assert send(core, later).is_installed
    assert core.restored == [later]


def test_what_follows_the_snapshot_in_a_matching_log_is_kept():
    """Figure 13, step 6: index and term of its last entry are in the log: retain what follows."""
    terms = [1, 1, 2, 3, 3, 3, 3, 3]
    core = follower(terms, commit=2)
    core.applied_index = 2
    assert send(core).is_installed
    assert core.terms == terms
    assert core.state.commit_index == 6
    assert [index for index, _ in core.applied] == [3, 4, 5, 6], 'they are applied, one by one'
    assert core.restored == []


def test_prefix_of_a_committed_log_changes_nothing():
    """§7: a snapshot by mistake or retransmission: what follows it is still valid."""
    core = follower([1, 1, 2, 3, 3, 3, 3, 3], commit=8)
    core.applied_index = 8
    answers = [core.ask(piece) for piece in pieces_of(SNAPSHOT, term=3)]
    assert all(answer.is_installed for answer in answers)
    assert (core.state.commit_index, core.restored) == (8, [])
    assert core.state.log.last_index == 8


@pytest.mark.parametrize(
    'terms',
    [[1, 2], [1, 2, 2, 2, 2, 2, 2, 2], [1, 2, 2, 2, 2], [1, 2, 2, 2, 2, 2]],
    ids=['short', 'longer', 'one short', 'conflict'],
)
def test_log_without_the_last_entry_of_the_snapshot_is_discarded(terms):
    """Figure 13, step 7: the entire log, what conflicts and what does not reach so far."""
    core = follower(terms)
    assert send(core).is_installed
    log = core.state.log
    assert (log.base_index, log.last_index, log.last_term) == (6, 6, 3)
    assert core.state.commit_index == 6
    assert (core.disk.entries, core.disk.first_index) == ([], 7)
    assert core.disk.snapshot == SNAPSHOT


def test_state_is_reset_to_the_snapshots():
    """Figure 13, step 8: its contents replace the state; it is not applied on top of it."""
    core = follower([1, 2], commit=2)
    core.texts, core.applied_index = ['old'], 2
    send(core)
    assert core.texts == TEN
    assert core.applied_index == 6


def test_configuration_of_the_snapshot_is_in_force():
    """Figure 13, step 8: load its configuration, also in place of one that the log had later."""
    log = stored('a', [1, 2, 2, 2, 2, 2, 2], configurations={7: configuration('xyz')}, term=3)
    core = SnapshotCore('a', log)
    assert core.state.configuration == configuration('xyz')
    send(core)
    assert core.state.configuration == configuration('abcd')
    assert core.state.committed_configured.index == 5


def test_entries_after_the_snapshot_are_matched_to_it():
    """The consistency check of the first of them compares index and term of the snapshot."""
    core = follower([1, 2])
    send(core)
    wrong = append_entries(term=4, prev=(6, 2), entries=log_of([0] * 6 + [4])[6:])
    assert not core.ask(wrong).success
    right = append_entries(term=4, prev=(6, 3), entries=log_of([0] * 6 + [4])[6:], number=2)
    assert core.ask(right).success
    assert core.terms == [4]


def test_votes_compare_with_the_snapshots_last_entry():
    """§5.4.1: a log of which nothing but a snapshot is left is as long as it was."""
    core = SnapshotCore('a', stored_with('a', SNAPSHOT))
    core.clock.now += 2 * T
    assert not core.ask(request_vote(term=4, last=(5, 3), position=(2, 5))).granted
    assert not core.ask(request_vote(term=5, last=(9, 2), position=(2, 5))).granted
    assert core.ask(request_vote(term=6, last=(6, 3), position=(2, 5))).granted


def test_server_restarts_from_its_snapshot_and_the_log_behind_it():
    """The state is the snapshot's; entries are applied once known committed."""
    entries = log_of([0] * 6 + [3, 3])[6:]
    core = SnapshotCore('a', stored_with('a', SNAPSHOT, entries))
    assert core.restored == [SNAPSHOT]
    assert core.applied == []
    assert (core.state.commit_index, core.state.log.last_index) == (6, 8)
    assert core.state.configuration == configuration('abcd')
    core.ask(append_entries(term=3, prev=(8, 3), commit=8))
    assert [index for index, _ in core.applied] == [7, 8]
    assert core.texts == [*TEN, '"3.7"', '"3.8"']
