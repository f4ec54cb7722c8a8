"""Figure 2, AppendEntries RPC: the receiver's steps, one by one."""

import pytest

from consensual.raft.core.messages import AppendEntriesReply
from consensual.raft.errors import InvariantViolated
from tests.cores import T, append_entries, follower_core, log_of, route

BACK = route('a', 'b')


def test_append_entries_of_an_earlier_term_is_refused():
    """Step 1: a leader of an earlier term is refused and learns the term (§5.1)."""
    core = follower_core([1], term=3)
    deadline = core.deadline
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:], number=7)
    assert core.ask(request) == AppendEntriesReply(BACK, 3, 7, False)
    assert (core.terms, core.state.leader, core.deadline) == ([1], None, deadline)


def test_append_entries_is_refused_where_the_log_is_too_short():
    """Step 2: without an entry at prevLogIndex nothing is appended (§5.3)."""
    core = follower_core([1])
    request = append_entries(term=1, prev=(3, 1), entries=log_of([1] * 4)[3:])
    assert core.ask(request) == AppendEntriesReply(BACK, 1, 1, False, 1, 1)
    assert core.terms == [1]


def test_append_entries_is_refused_where_the_terms_differ():
    """Step 2: an entry of another term at prevLogIndex is no match (§5.3)."""
    core = follower_core([1, 1, 2])
    request = append_entries(term=4, prev=(3, 3), entries=log_of([1, 1, 3, 4])[3:])
    reply = core.ask(request)
    assert (reply.term, reply.success) == (4, False)
    assert core.terms == [1, 1, 2]


def test_conflicting_entry_and_all_after_it_are_deleted():
    """Step 3: an entry of another term at the same index goes, with its followers (§5.3)."""
    core = follower_core([1, 1, 2, 2, 2])
    request = append_entries(term=4, prev=(2, 1), entries=log_of([1, 1, 3])[2:])
    assert core.ask(request) == AppendEntriesReply(BACK, 4, 1, True)
    assert core.entries == log_of([1, 1, 3])
    assert list(core.disk.entries) == log_of([1, 1, 3])


def test_entries_without_conflict_are_kept():
    """Step 3: what follows the message's last entry stays when nothing conflicts (§5.3)."""
    core = follower_core([1, 1, 2, 2])
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 1, 2])[1:])
    assert core.ask(request) == AppendEntriesReply(BACK, 2, 1, True)
    assert core.terms == [1, 1, 2, 2]


def test_heartbeat_deletes_nothing():
    """Step 3: an empty message has no entry that could conflict."""
    core = follower_core([1, 1, 2, 2])
    assert core.ask(append_entries(term=3, prev=(1, 1))).success
    assert core.terms == [1, 1, 2, 2]


def test_new_entries_are_appended():
    """Step 4: what is not in the log yet is appended, what is there is not repeated (§5.3)."""
    core = follower_core([1, 1])
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 1, 2, 2])[1:])
    assert core.ask(request) == AppendEntriesReply(BACK, 2, 1, True)
    assert core.entries == log_of([1, 1, 2, 2])


@pytest.mark.parametrize(('leader_commit', 'expected'), [(0, 0), (2, 2), (3, 3), (9, 3)])
def test_commit_index_follows_the_leader_up_to_the_last_new_entry(leader_commit, expected):
    """Step 5: the smaller of leaderCommit and the index of the last new entry."""
    core = follower_core([1])
    entries = log_of([1, 1, 1])[1:]
    core.ask(append_entries(term=1, prev=(1, 1), entries=entries, commit=leader_commit))
    assert core.state.commit_index == expected
    assert [index for index, _ in core.applied] == list(range(1, expected + 1))


def test_commit_index_never_passes_what_the_message_proved():
    """Step 5: what lies behind the last entry of the message may conflict with the leader's."""
    core = follower_core([1, 1, 2, 2])
    core.ask(append_entries(term=3, prev=(2, 1), commit=4))
    assert core.state.commit_index == 2


def test_commit_index_never_goes_back():
    """Step 5: only a larger leaderCommit moves it."""
    core = follower_core([1, 1, 1])
    core.ask(append_entries(term=1, prev=(3, 1), commit=3))
    core.ask(append_entries(term=1, prev=(3, 1), commit=1, number=2))
    assert core.state.commit_index == 3
    assert [index for index, _ in core.applied] == [1, 2, 3]


def test_committed_entry_is_never_truncated():
    """State machine safety: a leader that asks for it cannot be one; the node stops (§5.4)."""
    core = follower_core([1, 1, 1])
    core.ask(append_entries(term=1, prev=(3, 1), commit=2))
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:])
    with pytest.raises(InvariantViolated):
        core.ask(request)
    assert core.terms == [1, 1, 1]


def test_append_entries_restarts_the_election_timeout():
    """Followers: the current leader's messages hold an election off (§5.2)."""
    core = follower_core([1])
    core.clock.now += 0.9 * T
    core.ask(append_entries(term=1, prev=(1, 1)))
    assert core.clock.now + T <= core.deadline < core.clock.now + 2 * T
    assert core.state.leader == 'b'


def test_mismatch_restarts_the_election_timeout():
    """Followers: a leader whose log does not match yet is the leader all the same (§5.2)."""
    core = follower_core([1])
    core.clock.now += 0.9 * T
    assert not core.ask(append_entries(term=1, prev=(5, 1))).success
    assert core.deadline >= core.clock.now + T
    assert core.state.leader == 'b'


def test_entries_outlive_a_restart():
    """The log and the term are persistent state: acknowledged means durable."""
    core = follower_core([1])
    core.ask(append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:]))
    again = type(core)('a', core.disk)
    assert (again.entries, again.state.current_term) == (log_of([1, 2]), 2)
