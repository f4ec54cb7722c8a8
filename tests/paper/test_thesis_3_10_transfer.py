"""Thesis §3.10: leadership transfer."""

import pytest

from consensual.raft.core.events import Failed
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    Reason,
    Refused,
    RequestVote,
    TimeoutNow,
    TransferLeadership,
)
from tests.core_clusters import Cluster
from tests.cores import (
    Core,
    T,
    acknowledge,
    append_entries,
    follower_core,
    leader_core,
    request_vote,
    route,
)


def settled_leader(voters: str = 'abc') -> Core:
    """Return core a, a leader whose no-op everybody has."""
    core = leader_core([1], voters=voters)
    core.acknowledge_all(*voters[1:])
    return core


def test_target_with_the_whole_log_is_told_to_stand_at_once():
    """Steps 2 and 3: a target that matches the leader's log gets TimeoutNow."""
    core = settled_leader()
    assert core.transfer('b') == Accepted(core.to_itself(), 'b')
    assert core.drain(TimeoutNow) == [TimeoutNow(route('a', 'b'), 2)]


def test_target_is_brought_up_to_date_first():
    """Step 2: entries that the target lacks are sent before TimeoutNow."""
    core = settled_leader()
    core.propose('x')
    core.transfer('b')
    assert core.drain(TimeoutNow) == []
    core.acknowledge_all('b')
    assert core.drain(TimeoutNow) == [TimeoutNow(route('a', 'b'), 2)]


def test_leader_takes_no_commands_while_it_hands_over():
    """Step 1: the leader stops accepting new client requests."""
    core = settled_leader()
    core.transfer('b')
    before = core.entries
    assert core.propose('x') == Refused(Reason.BUSY)
    assert core.entries == before


def test_leader_changes_no_membership_while_it_hands_over():
    """Step 1: a change of membership is a new entry, too."""
    core = settled_leader()
    core.transfer('b')
    assert core.detach('c') == Refused(Reason.BUSY)


def test_target_stands_without_waiting_for_its_timeout():
    """Step 3: TimeoutNow begins an election at once, without asking beforehand."""
    core = follower_core([1], term=2)
    core.ask(append_entries(term=2, prev=(1, 1)))
    assert core.ask(TimeoutNow(route('b', 'a'), 2)) == Accepted(route('a', 'b'))
    assert (core.role, core.state.current_term) == ('candidate', 3)
    requests = core.drain(RequestVote)
    assert [(request.term, request.is_transfer) for request in requests] == [(3, True)] * 2


def test_target_that_asks_for_pre_votes_stands_as_well():
    """Step 3: whoever just timed out by itself has the leader's wish all the same."""
    core = follower_core([1], term=2)
    core.time_out()
    assert core.role == 'pre_candidate'
    core.ask(TimeoutNow(route('b', 'a'), 2))
    assert (core.role, core.state.current_term) == ('candidate', 3)


def test_target_ignores_a_late_timeout_now():
    """A TimeoutNow of an earlier term is another leader's wish."""
    core = follower_core([1], term=3)
    core.ask(TimeoutNow(route('b', 'a'), 2))
    assert (core.role, core.state.current_term, core.requests) == ('follower', 3, [])


def test_leadership_moves_to_the_target():
    """The target wins with its complete log, and the old leader follows it."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    leader.propose('x')
    cluster.settle()
    leader.transfer('c')
    cluster.settle()
    assert cluster.roles() == {'a': 'follower', 'b': 'follower', 'c': 'leader'}
    assert {core.state.current_term for core in cluster.cores.values()} == {3}
    assert cluster['c'].entries[:3] == leader.entries[:3]


def test_leader_goes_on_when_the_target_does_not_take_over_in_time():
    """After an election timeout the transfer is given up and commands are taken again."""
    core = settled_leader()
    core.transfer('b')
    core.drain(TimeoutNow)
    begun = core.clock.now
    while core.clock.now < begun + T:
        assert core.propose('x') == Refused(Reason.BUSY)
        core.time_out()
        core.acknowledge_all('b', 'c')
    assert core.propose('x') == Accepted(core.to_itself())


@pytest.mark.parametrize('is_reached', [True, False])
def test_leader_goes_on_when_the_target_cannot_be_told(is_reached):
    """A TimeoutNow that is refused or lost ends the transfer."""
    core = settled_leader()
    core.transfer('b')
    request = core.sent(TimeoutNow, 'b')
    if is_reached:
        core.reply(request, Refused(Reason.INCARNATION))
    else:
        core.step(Failed(request))
    assert core.propose('x') == Accepted(core.to_itself())


def test_successor_is_chosen_among_the_most_complete_logs():
    """Without a name, the voter that is nearest to the end of the log is chosen."""
    core = settled_leader()
    core.propose('x')
    request = core.sent(AppendEntries, 'c')
    core.reply(request, acknowledge(request))
    assert core.transfer() == Accepted(core.to_itself(), 'c')


def test_transfer_to_the_leader_itself_is_done_already():
    """Nothing has to happen."""
    core = settled_leader()
    assert core.transfer('a') == Accepted(core.to_itself(), 'a')
    assert core.drain(TimeoutNow) == []


def test_transfer_to_a_stranger_is_refused():
    """Only a voter can be elected."""
    core = settled_leader()
    assert core.transfer('x').reason == 'NotMember'


def test_only_voter_has_nobody_to_hand_over_to():
    """A cluster of one keeps its leader."""
    core = settled_leader('a')
    assert core.transfer().reason == 'TransferFailed'


def test_second_transfer_to_another_target_is_refused():
    """One transfer at a time; the same one again is accepted."""
    core = settled_leader()
    core.transfer('b')
    assert core.transfer('c').reason == 'TransferFailed'
    assert core.transfer('b') == Accepted(core.to_itself(), 'b')


def test_only_the_leader_hands_over():
    """A follower names the leader."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    reply = core.ask(TransferLeadership(route('c', 'a'), 'c'))
    assert reply == Refused(Reason.NOT_LEADER, 'b')


def test_vote_request_after_timeout_now_disturbs_even_a_live_leader():
    """An election that the leader called for is exempt from stickiness (thesis §4.2.3)."""
    core = settled_leader()
    core.transfer('b')
    request = request_vote(sender='b', term=3, last=(2, 2), is_transfer=True)
    assert core.ask(request).granted
    assert (core.role, core.state.current_term) == ('follower', 3)
