"""Thesis §4.2.1: newcomers are learners until they caught up; late ones are dropped."""

import pytest

from consensual.raft.core.effects import HardState, Stored
from consensual.raft.core.events import Failed
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    AppendEntries,
    Inquire,
    InquireReply,
    Reason,
    Refused,
    Route,
)
from consensual.raft.core.state import Settings
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    SETTINGS,
    Core,
    T,
    acknowledge,
    append_entries,
    configuration,
    follower_core,
    leader_core,
    log_of,
    reject,
    request_vote,
)

LEARNER = {2: configuration('abc', learners='d')}
IMPATIENT = Settings(HEARTBEAT, T, attach_timeout=1.5 * T)
"""An attachment is given up while a silent learner is not forgotten yet."""


def attaching_leader(voters: str = 'abc') -> Core:
    """Return core a, a leader that was asked to attach d and asks d who it is."""
    core = leader_core([1], voters=voters)
    core.acknowledge_all(*voters[1:])
    core.attach('d')
    return core


def introduce(core: Core, *, is_empty: bool = True, cluster_id: str = '') -> None:
    """Let d answer who it is."""
    request = core.sent(Inquire, 'd')
    back = Route(request.route.cluster_id, 'd', 'd1', 'a', 'a1')
    core.reply(request, InquireReply(back, is_empty, cluster_id))


def learning_leader() -> Core:
    """Return core a, a leader with d as a learner, which voters know and d not yet."""
    core = attaching_leader()
    introduce(core)
    core.acknowledge_all('b', 'c')
    return core


def cluster_of_learner(settings: Settings = SETTINGS) -> Cluster:
    """Return a leader a, alone, that attaches d, which it cannot reach any more."""
    cluster = Cluster({'a': [1]}, settings=settings)
    leader = cluster.elect('a')
    cluster.add('d')
    leader.attach('d')
    request = leader.sent(Inquire, 'd')
    reply = cluster['d'].ask(request)
    cluster.isolate('d')
    leader.reply(request, reply)
    cluster.settle()
    assert leader.state.configuration.learners == (cluster['d'].state.me,)
    return cluster


def test_newcomer_is_asked_before_anything_is_in_the_log():
    """Who cannot be reached or has a history must not become a member."""
    core = attaching_leader()
    (request,) = core.drain(Inquire)
    assert request.route == Route('cluster', 'a', 'a1', 'd', '')
    assert core.state.log.last_index == 2


def test_newcomer_becomes_a_learner_first():
    """A new server joins without a vote until it caught up."""
    core = attaching_leader()
    introduce(core)
    assert core.entries[-1].payload == Reconfiguration(LEARNER[2], 'attach')
    (request,) = core.drain(AppendEntries, 'd')
    assert request.route == Route('cluster', 'a', 'a1', 'd', 'd1')


def test_learner_does_not_count_towards_commitment():
    """A learner stores entries but is in no majority."""
    core = attaching_leader()
    introduce(core)
    for _ in range(3):
        for request in core.drain(AppendEntries, 'd'):
            core.reply(request, acknowledge(request))
    assert core.state.commit_index == 2


def test_learner_is_not_asked_for_votes_and_does_not_stand():
    """A learner neither votes for others nor for itself."""
    core = follower_core([1, 1], configurations=LEARNER).stand()
    assert {request.route.receiver for request in core.requests} == {'b', 'c'}
    learner = follower_core([1, 1], id_='d', configurations=LEARNER)
    learner.time_out()
    assert (learner.role, learner.state.current_term) == ('follower', 1)


def test_learner_that_caught_up_within_an_election_timeout_is_promoted():
    """A round that takes less than an election timeout is the last one."""
    core = learning_leader()
    core.acknowledge_all('d')
    assert core.state.configuration == configuration('abcd', 'abc')
    core.acknowledge_all('b', 'c', 'd')
    assert core.state.configuration == configuration('abcd')


def test_slow_round_is_followed_by_another():
    """A learner whose round took longer gets another round, to what came meanwhile."""
    core = learning_leader()
    first = core.drain(AppendEntries, 'd')
    begun = core.clock.now
    while core.clock.now < begun + T:
        core.time_out()
        core.acknowledge_all('b', 'c')
    core.propose('meanwhile')
    core.acknowledge_all('b', 'c')
    for request in first:
        core.reply(request, acknowledge(request))
    assert core.state.configuration == LEARNER[2]
    core.acknowledge_all('d')
    assert core.state.configuration == configuration('abcd', 'abc')


def test_newcomers_are_promoted_together():
    """Several learners enter one joint configuration, once all of them caught up."""
    cluster = Cluster({'a': [1]})
    leader = cluster.elect('a')
    cluster.add('de')
    leader.attach('de')
    cluster.run(T)
    configurations = [
        entry.payload.configuration
        for entry in leader.entries
        if isinstance(entry.payload, Reconfiguration)
    ]
    assert [len(item.voters) for item in configurations] == [1, 1, 3, 3]
    assert [len(item.learners) for item in configurations] == [0, 2, 0, 0]


def test_new_leader_promotes_the_learners_of_the_old_one():
    """Learners exist to be promoted, whoever leads."""
    logs = {id_: [1, 1] for id_ in 'abcd'}
    cluster = Cluster(logs, voters='abc', configurations=LEARNER)
    cluster.elect('b')
    cluster.run(T)
    assert {cluster.voters(id_) for id_ in 'abcd'} == {'abcd'}


@pytest.mark.parametrize('leader', ['a', 'b'])
def test_late_learner_is_dropped_also_by_a_new_leader(leader):
    """A learner that does not catch up within the attach timeout is given up."""
    cluster = Cluster({id_: [1, 1] for id_ in 'abc'}, voters='abc', configurations=LEARNER)
    cluster.elect(leader)
    cluster.run(0.8 * ATTACH_TIMEOUT)
    assert cluster[leader].state.configuration == LEARNER[2]
    cluster.run(0.4 * ATTACH_TIMEOUT)
    assert {core.state.configuration for core in cluster.cores.values()} == {configuration('abc')}
    last = cluster[leader].entries[-1].payload
    assert last.request == 'change 2'
    assert 'd did not catch up' in last.failure


def test_change_of_leaders_gives_a_learner_the_whole_timeout_again():
    """A new leader cannot know when the attachment began; it counts from its election."""
    cluster = Cluster({id_: [1, 1] for id_ in 'abc'}, voters='abc', configurations=LEARNER)
    cluster.elect('a')
    cluster.run(0.8 * ATTACH_TIMEOUT)
    cluster.elect('b')
    cluster.run(0.8 * ATTACH_TIMEOUT)
    assert cluster['b'].state.configuration == LEARNER[2]


def test_dropped_learner_empties_itself():
    """A newcomer that is told that its attachment failed begins another life."""
    configurations = {**LEARNER, 3: configuration('abc')}
    learner = follower_core([1, 1], id_='d', configurations=LEARNER)
    entries = log_of([1, 1, 1], configurations=configurations)
    learner.ask(append_entries('d', term=1, prev=(2, 1), entries=entries[2:], commit=3))
    assert (learner.role, learner.terms, learner.resets) == ('detached', [], 1)
    assert learner.disk.hard_state.cluster_id == ''
    assert learner.disk.hard_state.incarnation != 'd1'


def test_welcomed_newcomer_that_got_no_entry_empties_itself_in_the_end():
    """It knows no voter that it could ask whether it was given up, and has nothing to lose."""
    newcomer = Core('d', Stored(HardState('d1')))
    newcomer.ask(append_entries('d', term=1, prev=(3, 1)))
    heard_at = newcomer.clock.now
    for _ in range(100):
        if newcomer.role == 'follower':
            newcomer.time_out()
    assert newcomer.clock.now >= heard_at + ATTACH_TIMEOUT
    assert (newcomer.role, newcomer.deadline, newcomer.requests) == ('detached', None, [])
    assert newcomer.disk.hard_state == HardState(newcomer.state.incarnation, node_id='d')
    assert newcomer.state.incarnation != 'd1'


def test_newcomer_is_patient_until_its_attachment_must_have_been_given_up():
    """A learner that hears nothing asks nobody before the attach timeout, and then does."""
    learner = follower_core([1, 1], id_='d', configurations=LEARNER)
    learner.ask(append_entries('d', term=1, prev=(2, 1)))
    heard_at = learner.clock.now
    for _ in range(100):
        if not learner.requests:
            learner.time_out()
    assert learner.clock.now >= heard_at + ATTACH_TIMEOUT
    assert {request.route.receiver for request in learner.requests} == set('abc')


def test_newcomer_with_a_history_is_refused():
    """Only an empty node can be attached; the error says what to do."""
    core = attaching_leader()
    introduce(core, is_empty=False, cluster_id='another')
    reply = core.attach('d')
    assert (reply.reason, 'reset it first' in reply.detail) == ('NodeNotEmpty', True)
    assert core.state.configuration == configuration('abc')


def test_newcomer_that_cannot_be_reached_is_named_and_nothing_changes():
    """After 2 T of silence the attachment fails, and the log has no trace of it."""
    core = attaching_leader()
    begun = core.clock.now
    while core.clock.now < begun + 2 * T:
        core.step(*map(Failed, core.drain(Inquire)))
        core.time_out()
        core.acknowledge_all('b', 'c')
    reply = core.attach('d')
    assert (reply.reason, 'd cannot be reached' in reply.detail) == ('NodeUnreachable', True)
    assert core.terms == [1, 2]


def test_newcomer_of_another_name_is_an_error():
    """A node that calls itself otherwise must be attached by its own name."""
    core = attaching_leader()
    core.reply(core.sent(Inquire, 'd'), Refused(Reason.MISROUTED, 'x'))
    assert core.attach('d').reason == 'InvalidAddress'


def test_learner_is_no_obstacle_to_commitment():
    """A silent learner does not stop the cluster (thesis §4.2.1)."""
    core = learning_leader()
    core.propose('x')
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == core.state.log.last_index


def test_learner_grants_no_quorum_to_a_leader():
    """Check quorum counts voters only."""
    core = learning_leader()
    for _ in range(2 * int(T / HEARTBEAT)):
        for request in core.drain(AppendEntries, 'd'):
            core.reply(request, reject(request, (0, 0)))
        core.time_out()
        if core.role != 'leader':
            return
    raise AssertionError('a leader that hears only a learner goes on leading')


def test_learner_may_help_a_candidate_that_counts_it_as_a_voter():
    """A voter need not know its own promotion yet to vote (§6: server not in its own log)."""
    learner = follower_core([1, 1], id_='d', configurations=LEARNER)
    request = request_vote('d', sender='a', term=5, last=(3, 1), position=(1, 3))
    assert learner.ask(request).granted


def test_learner_that_is_attached_again_at_once_is_kept():
    """Dropped and attached again before it heard of it: the same life, a member as any other."""
    cluster = cluster_of_learner(IMPATIENT)
    leader = cluster['a']
    cluster.run(1.5 * T + 2 * HEARTBEAT)
    assert leader.state.configuration.learners == ()
    cluster.heal()
    leader.attach('d', 'again')
    cluster.run(6 * T)
    assert cluster.voters('a') == 'ad'
    leader.propose('x')
    cluster.run(6 * T)
    assert cluster['d'].entries == leader.entries
    assert (cluster.roles(), leader.state.current_term) == ({'a': 'leader', 'd': 'follower'}, 2)


def test_learner_that_refuses_is_never_promoted():
    """Who was never matched must not become a voter: it could block the cluster for good."""
    cluster = cluster_of_learner(IMPATIENT)
    leader = cluster['a']
    cluster.run(1.5 * T + 2 * HEARTBEAT)
    cluster.heal()
    leader.attach('d', 'again')
    request = leader.sent(Inquire, 'd')
    reply = cluster['d'].ask(request)
    cluster.restart('d', is_memory_lost=True)
    leader.reply(request, reply)
    cluster.run(8 * T)
    assert cluster.voters('a') == 'a'
    leader.propose('x')
    cluster.settle()
    assert leader.state.commit_index == leader.state.log.last_index
