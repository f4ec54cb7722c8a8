"""A leader whose connection broke is not held on to until an election timeout has passed (§5.2)."""

from consensual.raft.core.events import ConnectionLost
from consensual.raft.core.messages import Reason, Refused
from tests.cores import (
    HEARTBEAT,
    Core,
    T,
    append_entries,
    configuration,
    follower_core,
    leader_core,
    request_pre_vote,
)


def test_follower_asks_for_votes_within_a_heartbeat_of_its_leaders_end():
    """The delay is random, so that not all of them stand at the same time."""
    delays = []
    for id_ in 'acd':
        core = follower_core([1], id_=id_, voters='abcd')
        core.ask(append_entries(id_, term=1, prev=(1, 1)))
        core.step(ConnectionLost('b'))
        delays.append(core.deadline - core.clock.now)
        core.time_out()
        assert core.role == 'pre_candidate'
    assert all(0 <= delay < HEARTBEAT for delay in delays)
    assert len(set(delays)) == 3


def test_follower_whose_leader_is_lost_votes_until_it_hears_it_again():
    """Stickiness (thesis §4.2.3) ends with the connection, and is back with the leader's word."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    core.step(ConnectionLost('b'))
    assert core.ask(request_pre_vote(sender='c', term=2, last=(1, 1))).granted
    core.ask(append_entries(term=1, prev=(1, 1), number=2))
    assert core.ask(request_pre_vote(sender='c', term=2, last=(1, 1))) == Refused(
        Reason.LEADER_ALIVE
    )
    assert core.deadline >= core.clock.now + T


def test_lost_connection_to_anybody_else_changes_nothing():
    """Followers come and go."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    before = core.deadline
    core.step(ConnectionLost('c'), ConnectionLost('nobody'))
    assert core.deadline == before
    assert core.ask(request_pre_vote(sender='c', term=2, last=(1, 1))) == Refused(
        Reason.LEADER_ALIVE
    )


def test_leader_and_detached_node_do_not_care():
    """A leader steps down by check quorum only; who is in no cluster waits for nobody."""
    leader = leader_core([1])
    leader.step(ConnectionLost('b'), ConnectionLost('c'), ConnectionLost('a'))
    assert leader.role == 'leader'
    alone = Core('a')
    alone.step(ConnectionLost('b'))
    assert (alone.role, alone.deadline) == ('detached', None)


def test_newcomer_is_patient_whatever_happens_to_its_leader():
    """A learner has no vote, and waits for the leader that attaches it, or for the next one."""
    core = follower_core([1, 1], voters='bc', configurations={2: configuration('bc', '', 'a')})
    core.ask(append_entries(term=1, prev=(2, 1)))
    before = core.deadline
    core.step(ConnectionLost('b'))
    assert core.deadline == before
