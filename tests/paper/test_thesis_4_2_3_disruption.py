"""Thesis §4.2.3 and §6.2: voters hold on to a live leader; a leader without quorum leaves."""

import pytest

from consensual.raft.core.messages import AppendEntries, Reason, Refused
from consensual.raft.core.state import Settings
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    T,
    acknowledge,
    append_entries,
    configuration,
    follower_core,
    leader_core,
    reject,
    request_pre_vote,
    request_vote,
)


@pytest.mark.parametrize('ask', [request_vote, request_pre_vote])
def test_voter_that_hears_a_leader_ignores_requests_for_votes(ask):
    """Within an election timeout of the leader's word neither term nor vote moves."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    core.clock.now += 0.99 * T
    deadline = core.deadline
    assert core.ask(ask(sender='c', term=9, last=(9, 8))) == Refused(Reason.LEADER_ALIVE)
    assert (core.state.current_term, core.state.voted_for) == (1, None)
    assert (core.state.leader, core.deadline) == ('b', deadline)


@pytest.mark.parametrize('ask', [request_vote, request_pre_vote])
def test_voter_that_hears_no_leader_any_more_votes(ask):
    """After an election timeout of silence the leader is taken for lost."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    core.clock.now += T
    assert core.ask(ask(sender='c', term=9, last=(9, 8))).granted


@pytest.mark.parametrize('ask', [request_vote, request_pre_vote])
def test_leader_ignores_requests_for_votes(ask):
    """A leader that reaches a quorum is as alive as can be."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    assert core.ask(ask(sender='c', term=9, last=(9, 8))) == Refused(Reason.LEADER_ALIVE)
    assert (core.role, core.state.current_term) == ('leader', 2)


def test_request_caused_by_timeout_now_is_exempt():
    """The leader wanted this election: it is no disruption."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    request = request_vote(sender='c', term=2, last=(1, 1), is_transfer=True)
    assert core.ask(request).granted
    assert core.state.voted_for == ('c', 'c1')


def test_server_that_restarted_has_heard_no_leader():
    """Hearing a leader is volatile: who restarts votes."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    again = type(core)('a', core.disk, clock=core.clock)
    assert again.ask(request_vote(sender='c', term=2, last=(1, 1))).granted


def test_removed_server_disturbs_nobody():
    """A server that does not know of its removal keeps asking; the leader stays (§6)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1], 'd': [1]})
    leader = cluster.elect('a')
    cluster.isolate('d')
    leader.detach('d')
    cluster.run(6 * T)
    assert cluster['d'].role == 'pre_candidate'
    cluster.heal()
    cluster.cut |= {('d', 'a'), ('a', 'd')}
    cluster.run(10 * T)
    assert (leader.role, leader.state.current_term) == ('leader', 2)


# Thesis §6.2: check quorum.


def test_leader_that_reaches_no_quorum_steps_down():
    """After an election timeout without a majority's answers a leader follows again."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('a')
    cluster.run(0.9 * T)
    assert leader.role == 'leader'
    cluster.run(0.1 * T + 2 * HEARTBEAT)
    assert leader.role != 'leader'
    assert leader.state.current_term == 2


def test_leader_that_reaches_a_quorum_stays():
    """A majority is enough, however many others are silent."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1], 'd': [1], 'e': [1]})
    leader = cluster.elect('a')
    cluster.isolate('de')
    cluster.run(10 * T)
    assert (leader.role, leader.state.current_term) == ('leader', 2)


def test_any_answer_of_the_term_counts_as_contact():
    """A follower whose log does not match yet is in contact all the same."""
    core = leader_core([1, 1, 1])
    for _ in range(3 * int(T / HEARTBEAT)):
        for request in core.drain(AppendEntries, 'b'):
            core.reply(request, reject(request, (0, 0)))
        core.time_out()
    assert core.role == 'leader'


def test_only_voter_needs_nobody():
    """A cluster of one is its own quorum."""
    core = leader_core([1], voters='a')
    for _ in range(20):
        core.time_out()
    assert core.role == 'leader'


def test_old_and_new_majority_are_both_needed():
    """While joint, contact with one of the majorities is not enough (§6)."""
    joint = {2: configuration('ade', 'abc')}
    core = follower_core([1, 1], configurations=joint).win(*'bcde')
    begun = core.clock.now
    while core.role == 'leader' and core.clock.now < begun + 4 * T:
        for request in core.drain(AppendEntries):
            if request.route.receiver in 'bc':
                core.reply(request, acknowledge(request))
        core.time_out()
    assert core.role != 'leader'


def test_leader_that_steps_down_answers_its_reads():
    """Whoever waits for a leader that leads no more is told so."""
    core = leader_core([1])
    call = core.read()
    for _ in range(2 * int(T / HEARTBEAT)):
        core.time_out()
    assert core.role != 'leader'
    assert core.answers[call].reason == Reason.NOT_LEADER


def test_silent_follower_is_not_flooded():
    """A peer that seems away gets heartbeats without entries, one per interval."""
    core = leader_core([1], settings=Settings(HEARTBEAT, T, ATTACH_TIMEOUT, in_flight_limit=4))
    core.acknowledge_all('b', 'c')
    for number in range(40):
        core.propose(f'{number}')
        core.acknowledge_all('b')
        core.time_out()
        core.acknowledge_all('b')
    requests = core.drain(AppendEntries, 'c')
    assert sum(bool(request.entries) for request in requests) <= 4
    assert len(requests) <= 40 + 4
