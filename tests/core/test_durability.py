"""Nothing is revealed before it is durable (Figure 2, thesis §10.2.1)."""

import pytest

from consensual.raft.core.durability import Durability
from consensual.raft.core.effects import Effects, HardState
from consensual.raft.core.events import Persisted, Received
from consensual.raft.core.log import Log
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    RequestPreVote,
    RequestVote,
    VoteReply,
)
from consensual.raft.errors import InvariantViolated
from tests.cores import (
    Core,
    acknowledge,
    append_entries,
    follower_core,
    leader_core,
    log_of,
    request_vote,
    route,
    vote,
)


def slow_core(terms=(1,), **options) -> Core:
    """Return core a with a disk that waits for `persist`."""
    return follower_core(terms, is_disk_slow=True, **options)


def test_vote_is_withheld_until_it_is_durable():
    """A vote that could be forgotten could be given twice (Figure 2)."""
    core = slow_core()
    call = core.call(request_vote(term=2, last=(1, 1)))
    assert core.answers == {}
    assert (core.write.hard_state.current_term, core.write.hard_state.voted_for) == (2, 'b')
    core.persist()
    assert core.answers == {call: VoteReply(route('a', 'b'), 2, True)}


def test_repeated_vote_waits_for_the_same_write():
    """A repeated request, too, gets the vote only when it is durable."""
    core = slow_core()
    calls = [core.call(request_vote(term=2, last=(1, 1))) for _ in range(2)]
    assert core.answers == {}
    core.persist()
    assert list(core.answers) == calls


def test_refusal_that_reveals_a_new_term_is_withheld():
    """A term that could be forgotten must not be told either (Figure 2)."""
    core = slow_core([1, 1])
    call = core.call(request_vote(term=2, last=(1, 1)))
    assert core.answers == {}
    core.persist()
    assert core.answers == {call: VoteReply(route('a', 'b'), 2, False)}


def test_acknowledgement_is_withheld_until_the_entries_are_durable():
    """What is acknowledged counts for commitment: it must not be lost (§5.3)."""
    core = slow_core()
    entries = log_of([1, 1])[1:]
    call = core.call(append_entries(term=1, prev=(1, 1), entries=entries))
    assert core.answers == {}
    assert (core.write.first_index, core.write.entries) == (2, entries)
    core.persist()
    assert core.answers == {call: AppendEntriesReply(route('a', 'b'), 1, 1, True)}


def test_acknowledgement_waits_for_the_write_that_holds_its_entries():
    """The write under way when the entries came does not hold them."""
    core = slow_core()
    log = log_of([1, 1, 1])
    first = core.call(append_entries(term=1, prev=(1, 1), entries=log[1:2]))
    second = core.call(append_entries(term=1, prev=(2, 1), entries=log[2:], number=2))
    core.persist()
    assert list(core.answers) == [first]
    assert (core.write.first_index, core.write.entries) == (3, log[2:])
    core.persist()
    assert list(core.answers) == [first, second]


def test_duplicate_is_acknowledged_only_once_its_entries_are_durable():
    """Entries that are in the log but not on the disk are not acknowledged either."""
    core = slow_core()
    request = append_entries(term=1, prev=(1, 1), entries=log_of([1, 1])[1:])
    core.call(request)
    core.call(request)
    assert core.answers == {}
    core.persist()
    assert len(core.answers) == 2


def test_truncation_under_a_write_under_way_is_written_next():
    """What was truncated while it was written does not count as durable."""
    core = slow_core()
    core.call(append_entries(term=1, prev=(1, 1), entries=log_of([1, 1, 1])[1:]))
    call = core.call(append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:], sender='c'))
    core.persist()
    assert call not in core.answers
    assert core.state.durability.durable_index == 1
    core.persist()
    assert call in core.answers
    assert list(core.disk.entries) == log_of([1, 2])
    assert core.state.durability.durable_index == 2


def test_truncated_entries_are_not_durable_any_more():
    """What replaces them is durable when it is written, not before."""
    core = slow_core([1, 1, 1])
    core.call(append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:]))
    assert core.state.durability.durable_index == 1
    core.persist()
    assert core.state.durability.durable_index == 2


def test_vote_requests_are_withheld_until_term_and_vote_are_durable():
    """A candidate that forgot its own vote could vote for another (Figure 2)."""
    core = slow_core()
    core.time_out()
    for request in core.drain(RequestPreVote):
        core.reply(request, vote(request))
    assert (core.role, core.drain(RequestVote)) == ('candidate', [])
    core.persist()
    assert [request.term for request in core.drain(RequestVote)] == [2, 2]


def test_vote_requests_wait_for_the_log_that_they_describe():
    """A candidate that lost its last entries in a crash had promised too much (§5.4.1)."""
    core = slow_core()
    core.call(append_entries(term=1, prev=(1, 1), entries=log_of([1, 1])[1:]))
    core.call(append_entries(term=1, prev=(2, 1), entries=log_of([1, 1, 1])[2:], number=2))
    core.time_out()
    assert core.drain() == []
    core.persist()
    core.persist()
    assert [request.last_log_index for request in core.drain(RequestPreVote)] == [3, 3]


def test_own_vote_counts_once_it_is_durable():
    """A candidate needs its own vote on its disk as others need theirs."""
    core = slow_core(voters='a')
    core.time_out()
    assert core.role == 'candidate'
    core.persist()
    assert core.role == 'leader'


def test_pre_vote_needs_no_write():
    """It changes nothing, so nothing is written before it is asked."""
    core = slow_core()
    core.time_out()
    assert (len(core.drain(RequestPreVote)), core.write) == (2, None)


def test_append_entries_leaves_beside_the_leaders_own_write():
    """A leader writes while its followers write (thesis §10.2.1)."""
    core = leader_core()
    core.acknowledge_all('b', 'c')
    core.is_disk_slow = True
    core.propose('x')
    assert core.write.entries == core.entries[2:]
    assert [request.entries for request in core.drain(AppendEntries)] == [core.entries[2:]] * 2


def test_append_entries_waits_for_a_term_that_is_not_durable():
    """A leader whose term could be forgotten must not be known as the leader of it."""
    durability, log = Durability(1), Log(log_of([1]))
    durability.hard_state_changed()
    request = append_entries(term=2, prev=(1, 1))
    durability.send_in_parallel(request)
    write = durability.take_write(log, HardState('a1'), None)
    early, late = Effects(), Effects()
    durability.release(early)
    durability.persisted(write.number)
    durability.release(late)
    assert (early.requests, late.requests) == ([], [request])


def test_leader_counts_itself_only_when_its_write_is_durable():
    """Of two voters, the follower's acknowledgement alone commits nothing (thesis §10.2.1)."""
    core = leader_core(voters='ab')
    core.acknowledge_all('b')
    core.is_disk_slow = True
    core.propose('x')
    core.acknowledge_all('b')
    assert core.state.commit_index == 2
    core.persist()
    assert core.state.commit_index == 3


def test_followers_can_commit_before_the_leaders_own_write():
    """A majority without the leader is a majority (thesis §10.2.1)."""
    core = leader_core()
    core.acknowledge_all('b', 'c')
    core.is_disk_slow = True
    core.propose('x')
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == 3


def test_only_voter_commits_when_its_write_is_durable():
    """Alone, a leader commits what is on its disk."""
    core = leader_core(voters='a')
    core.is_disk_slow = True
    core.propose('x')
    assert core.state.commit_index == 2
    core.persist()
    assert [index for index, _ in core.applied] == [1, 2, 3]


def test_one_write_at_a_time_holds_all_that_changed_meanwhile():
    """Group commit: what comes during a write goes into the next one, as a whole."""
    core = leader_core(voters='a')
    core.is_disk_slow = True
    for text in 'xyz':
        core.propose(text)
    first = core.write
    assert first.entries == core.entries[2:3]
    core.persist()
    assert core.write.entries == core.entries[3:]
    assert core.write.number == first.number + 1


def test_events_of_one_turn_are_written_at_once():
    """Several requests of a turn cost one write."""
    core = slow_core()
    log = log_of([1, 1, 1])
    core.step(
        Received(1, append_entries(term=1, prev=(1, 1), entries=log[1:2])),
        Received(2, append_entries(term=1, prev=(2, 1), entries=log[2:], number=2)),
    )
    assert core.write.entries == log[1:]
    core.persist()
    assert (list(core.answers), core.write) == ([1, 2], None)


def test_write_of_the_log_alone_leaves_the_hard_state():
    """Term and vote are written only when they changed."""
    core = slow_core()
    core.call(append_entries(term=1, prev=(1, 1), entries=log_of([1, 1])[1:]))
    assert core.write.hard_state is None


def test_report_of_a_write_that_is_not_under_way_stops_the_node():
    """A driver that reports what it was not asked for cannot be trusted."""
    core = slow_core()
    with pytest.raises(InvariantViolated):
        core.step(Persisted(1))


def test_crash_before_the_write_forgets_nothing_that_was_revealed():
    """Whoever restarts without the write finds the earlier state, and nobody was told."""
    core = slow_core()
    core.call(request_vote(term=2, last=(1, 1)))
    again = Core('a', core.disk)
    assert (again.state.current_term, again.state.voted_for) == (1, None)
    reply = again.ask(request_vote(sender='c', term=2, last=(1, 1)))
    assert reply == VoteReply(route('a', 'c'), 2, True)


def test_rejection_in_a_known_term_is_at_once():
    """An answer that reveals nothing new waits for no write."""
    core = slow_core()
    assert core.ask(append_entries(term=1, prev=(5, 1))).success is False
    assert core.ask(append_entries(term=1, prev=(1, 1))) == acknowledge(
        append_entries(term=1, prev=(1, 1))
    )
