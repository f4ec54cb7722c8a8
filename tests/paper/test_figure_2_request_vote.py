"""Figure 2, RequestVote RPC: the receiver's steps, one by one."""

import pytest

from consensual.raft.core.messages import VoteReply
from tests.cores import T, follower_core, request_vote, route


def test_vote_is_refused_to_an_earlier_term():
    """Step 1: a candidate of an earlier term gets no vote, but the voter's term (§5.1)."""
    core = follower_core([1], term=3)
    assert core.ask(request_vote(term=2, last=(9, 1))) == VoteReply(route('a', 'b'), 3, False)
    assert (core.state.current_term, core.state.voted_for) == (3, None)


def test_vote_is_granted_when_none_was_given_in_the_term():
    """Step 2: who did not vote in this term votes for a candidate with a complete log."""
    core = follower_core([1, 1], term=3)
    assert core.ask(request_vote(term=3, last=(2, 1))) == VoteReply(route('a', 'b'), 3, True)
    assert core.state.voted_for == ('b', 'b1')
    assert core.disk.hard_state.voted_for == 'b'


def test_vote_is_repeated_to_the_same_candidate():
    """Step 2: a repeated request of the candidate that has the vote gets it again."""
    core = follower_core([1], term=3, voted_for='b')
    assert core.ask(request_vote(term=3, last=(1, 1))) == VoteReply(route('a', 'b'), 3, True)


def test_vote_is_refused_to_a_second_candidate_of_the_term():
    """Step 2: one vote per term, first come, first served (§5.2)."""
    core = follower_core([1], term=3, voted_for='b')
    request = request_vote(sender='c', term=3, last=(9, 3))
    assert core.ask(request) == VoteReply(route('a', 'c'), 3, False)
    assert core.state.voted_for == ('b', 'b1')


def test_vote_outlives_a_restart():
    """The vote is persistent state: a voter that restarts does not vote twice in a term."""
    core = follower_core([1], term=2)
    core.ask(request_vote(term=3, last=(1, 1)))
    again = type(core)('a', core.disk)
    reply = again.ask(request_vote(sender='c', term=3, last=(1, 1)))
    assert reply == VoteReply(route('a', 'c'), 3, False)


def test_vote_of_an_earlier_term_does_not_bind():
    """A later term begins without a vote."""
    core = follower_core([1], term=3, voted_for='b')
    request = request_vote(sender='c', term=4, last=(1, 1))
    assert core.ask(request) == VoteReply(route('a', 'c'), 4, True)
    assert core.state.voted_for == ('c', 'c1')


@pytest.mark.parametrize(
    ('own_log', 'last', 'granted'),
    [
        ([1, 1, 2], (3, 2), True),
        ([1, 1, 2], (4, 2), True),
        ([1, 1, 2], (2, 2), False),
        ([1, 1, 2], (9, 1), False),
        ([1, 1, 2], (1, 3), True),
        ([], (0, 0), True),
        ([1], (0, 0), False),
    ],
)
def test_vote_goes_only_to_a_log_at_least_as_up_to_date(own_log, last, granted):
    """Step 2: logs are compared by the last entry's term first, then by length (§5.4.1)."""
    core = follower_core(own_log, term=5)
    assert core.ask(request_vote(term=6, last=last)) == VoteReply(route('a', 'b'), 6, granted)
    assert core.state.voted_for == (('b', 'b1') if granted else None)


def test_later_term_is_adopted_even_when_the_vote_is_refused():
    """All servers: a later term in a request is adopted, whatever the answer (§5.1)."""
    core = follower_core([1, 2], term=2)
    assert core.ask(request_vote(term=7, last=(1, 1))) == VoteReply(route('a', 'b'), 7, False)
    assert core.disk.hard_state.current_term == 7


def test_granting_a_vote_restarts_the_election_timeout():
    """Followers: whoever grants a vote gives the candidate an election timeout's time."""
    core = follower_core([1])
    core.clock.now += 0.9 * T
    core.ask(request_vote(term=1, last=(1, 1)))
    assert core.deadline >= core.clock.now + T


def test_refusing_a_vote_does_not_restart_the_election_timeout():
    """Followers: only a granted vote or a leader's message holds an election off."""
    core = follower_core([1, 1])
    before = core.deadline
    core.clock.now += 0.9 * T
    core.ask(request_vote(term=1, last=(1, 1)))
    assert core.deadline == before
