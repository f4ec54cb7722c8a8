"""Thesis §9.6: pre-vote."""

import pytest

from consensual.raft.core.messages import Reason, Refused, RequestPreVote, RequestVote, VoteReply
from tests.core_clusters import Cluster
from tests.cores import (
    T,
    append_entries,
    follower_core,
    request_pre_vote,
    request_vote,
    route,
    vote,
)


def test_timeout_asks_beforehand_in_a_term_that_nobody_enters():
    """Before it increments its term, a server asks whether it could win in the next one."""
    core = follower_core([1, 1, 2], term=4)
    writes = core.disk
    core.time_out()
    assert core.drain() == [
        RequestPreVote(route('a', 'b'), 5, 1, 3, 2, 1, 1),
        RequestPreVote(route('a', 'c'), 5, 1, 3, 2, 1, 1),
    ]
    assert (core.state.current_term, core.state.voted_for) == (4, None)
    assert core.disk == writes


def test_majority_of_pre_votes_begins_the_election():
    """Only with a majority does the term increase."""
    core = follower_core([1], term=4)
    core.time_out()
    request = core.drain(RequestPreVote)[0]
    core.reply(request, vote(request))
    assert (core.role, core.state.current_term) == ('candidate', 5)
    assert {request.term for request in core.drain(RequestVote)} == {5}


def test_pre_votes_without_a_majority_begin_nothing():
    """One of four others is no majority of five."""
    core = follower_core([1], voters='abcde')
    core.time_out()
    request = core.drain(RequestPreVote)[0]
    core.reply(request, vote(request))
    core.reply(request, vote(request))
    assert (core.role, core.state.current_term) == ('pre_candidate', 1)


def test_granting_a_pre_vote_changes_nothing():
    """Term, vote, role and timeout stay; nothing is written."""
    core = follower_core([1], term=3, voted_for='b')
    before = (core.disk, core.role, core.deadline, core.state.current_term)
    request = request_pre_vote(sender='c', term=4, last=(1, 1))
    assert core.ask(request) == VoteReply(route('a', 'c'), 3, True)
    assert (core.disk, core.role, core.deadline, core.state.current_term) == before
    assert core.state.voted_for == ('b', 'b1')


def test_pre_votes_are_granted_to_several():
    """A pre-vote is an opinion, not a vote: it binds nobody."""
    core = follower_core([1])
    for sender in 'bc':
        assert core.ask(request_pre_vote(sender=sender, term=2, last=(1, 1))).granted


@pytest.mark.parametrize(
    ('last', 'granted'), [((2, 2), True), ((3, 2), True), ((1, 2), False), ((9, 1), False)]
)
def test_pre_vote_needs_a_log_at_least_as_up_to_date(last, granted):
    """It is granted where a vote would be (§5.4.1)."""
    core = follower_core([1, 2], term=3)
    reply = core.ask(request_pre_vote(term=9, last=last))
    assert reply == VoteReply(route('a', 'b'), 3, granted)


@pytest.mark.parametrize(('term', 'granted'), [(5, True), (4, False), (3, False)])
def test_pre_vote_needs_a_term_in_which_a_vote_could_be_given(term, granted):
    """A term that the voter reached already is refused, with its own term."""
    core = follower_core([1], term=4)
    reply = core.ask(request_pre_vote(term=term, last=(1, 1)))
    assert reply == VoteReply(route('a', 'b'), 4, granted)


def test_refused_asker_adopts_the_voters_term():
    """Otherwise a longer log with a lower term could be elected by nobody."""
    core = follower_core([1, 1, 1], term=1)
    core.time_out()
    request = core.drain(RequestPreVote)[0]
    core.reply(request, vote(request, granted=False, term=6))
    assert (core.role, core.state.current_term) == ('follower', 6)
    assert core.disk.hard_state.current_term == 6


def test_longer_log_with_a_lower_term_is_elected_in_the_end():
    """No deadlock: the voter's higher term is adopted, then the longer log wins."""
    cluster = Cluster({'a': [1, 2, 2], 'b': [1], 'c': [1]}, terms={'b': 7, 'c': 6})
    cluster.isolate('c')
    cluster.run(12 * T)
    assert cluster['a'].role == 'leader'
    assert cluster['b'].terms[:3] == [1, 2, 2]


def test_isolated_node_that_rejoins_raises_no_term():
    """Asking in vain, alone, it stays in its term, and follows the leader when it is back."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    cluster.run(20 * T)
    assert (cluster['c'].role, cluster['c'].state.current_term) == ('pre_candidate', 2)
    cluster.heal()
    cluster.run(4 * T)
    assert cluster.roles() == {'a': 'leader', 'b': 'follower', 'c': 'follower'}
    assert {core.state.current_term for core in cluster.cores.values()} == {2}
    assert leader.state.leader == cluster['c'].state.leader


def test_pre_vote_of_an_earlier_round_does_not_count():
    """A late answer says nothing about now."""
    core = follower_core([1])
    core.time_out()
    late = core.drain(RequestPreVote)[0]
    core.time_out()
    core.reply(late, vote(late))
    assert (core.role, core.state.current_term) == ('pre_candidate', 1)


def test_pre_candidate_that_hears_the_leader_follows_it():
    """A leader of its term ends the asking."""
    core = follower_core([1])
    core.time_out()
    core.ask(append_entries(term=1, prev=(1, 1)))
    assert (core.role, core.state.leader, core.state.current_term) == ('follower', 'b', 1)


def test_late_pre_votes_do_not_make_a_follower_stand():
    """Who follows a leader again has no use for them."""
    core = follower_core([1])
    core.time_out()
    request = core.drain(RequestPreVote)[0]
    core.ask(append_entries(term=1, prev=(1, 1)))
    core.reply(request, vote(request))
    assert (core.role, core.state.current_term) == ('follower', 1)


def test_pre_candidate_grants_votes_and_pre_votes():
    """It hears no leader either: another may well be elected."""
    core = follower_core([1])
    core.time_out()
    assert core.ask(request_pre_vote(term=2, last=(1, 1))).granted
    assert core.ask(request_vote(term=2, last=(1, 1))).granted
    assert core.role == 'follower'


def test_refusal_for_a_live_leader_carries_no_term():
    """A voter that hears a leader answers without its term (thesis §4.2.3)."""
    core = follower_core([1], term=5)
    core.ask(append_entries(term=5, prev=(1, 1)))
    reply = core.ask(request_pre_vote(sender='c', term=2, last=(1, 1)))
    assert reply == Refused(Reason.LEADER_ALIVE)
