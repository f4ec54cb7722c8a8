"""Who may speak to whom: cluster and incarnations come before terms (design §4)."""

import pytest
from msgspec.structs import replace

from consensual.raft.core.effects import HardState, Stored
from consensual.raft.core.events import LeaveRequested, ResetRequested
from consensual.raft.core.messages import (
    AppendEntries,
    ChangeMembership,
    Inquire,
    InquireReply,
    Propose,
    ReadIndex,
    Reason,
    Refused,
    RequestVote,
    Route,
    TimeoutNow,
    TransferLeadership,
)
from tests.core_clusters import Cluster
from tests.cores import (
    Core,
    T,
    append_entries,
    follower_core,
    leader_core,
    log_of,
    request_pre_vote,
    request_vote,
    route,
)

TO_A = route('b', 'a')
REQUESTS = [
    append_entries(term=9, prev=(1, 1), entries=log_of([1, 9])[1:], commit=2),
    request_vote(term=9, last=(9, 8), is_transfer=True),
    request_pre_vote(term=9, last=(9, 8)),
    TimeoutNow(TO_A, 1),
    Propose(TO_A, []),
    ReadIndex(TO_A),
    ChangeMembership(TO_A, 'change', detach=['c']),
    TransferLeadership(TO_A),
]
named = pytest.mark.parametrize('request_', REQUESTS, ids=lambda item: type(item).__name__)


def whole_state(core: Core) -> tuple:
    """Return everything that a refusal must leave alone."""
    state = core.state
    return (
        core.role,
        core.deadline,
        core.disk,
        core.entries,
        state.hard_state,
        state.commit_index,
        state.leader,
    )


@named
@pytest.mark.parametrize(
    ('wrong', 'refusal'),
    [
        ({'cluster_id': 'another'}, Refused(Reason.CLUSTER, 'cluster')),
        ({'receiver_incarnation': 'a0'}, Refused(Reason.INCARNATION, 'a1')),
        ({'receiver': 'x'}, Refused(Reason.MISROUTED, 'a')),
        (
            {'cluster_id': 'another', 'receiver_incarnation': 'a0'},
            Refused(Reason.CLUSTER, 'cluster'),
        ),
    ],
    ids=['cluster', 'incarnation', 'receiver', 'cluster before incarnation'],
)
def test_refusal_for_identity_carries_no_term_and_changes_nothing(request_, wrong, refusal):
    """Cluster id, then incarnation, then the term; a refusal leaves everything as it was."""
    core = follower_core([1])
    before = whole_state(core)
    stray = replace(request_, route=replace(request_.route, **wrong))
    assert core.ask(stray) == refusal
    assert whole_state(core) == before


@named
def test_detached_node_takes_part_in_nothing(request_):
    """A node that left its cluster answers none of its requests, and keeps its history."""
    core = follower_core([1], voters='a')
    core.step(LeaveRequested())
    before = whole_state(core)
    assert core.ask(request_) == Refused(Reason.DETACHED)
    assert whole_state(core) == before


def test_empty_node_is_welcomed_by_append_entries_alone():
    """An empty node joins whoever knows its incarnation; it votes for nobody."""
    core = Core('a', Stored(HardState('a1')))
    assert core.ask(request_vote(term=9, last=(9, 8))) == Refused(Reason.DETACHED)
    assert core.role == 'detached'
    assert core.ask(append_entries(term=3, prev=(0, 0), entries=log_of([3]))).success
    assert (core.role, core.state.cluster_id, core.state.leader) == ('follower', 'cluster', 'b')
    assert core.disk.hard_state == HardState('a1', 'cluster', True, 3, node_id='a')


def test_welcome_to_an_earlier_incarnation_is_refused():
    """A reset node hears nothing that was meant for its earlier life."""
    core = Core('a', Stored(HardState('a2')))
    request = append_entries(term=3, prev=(0, 0), entries=log_of([3]))
    assert core.ask(request) == Refused(Reason.INCARNATION, 'a2')
    assert (core.role, core.terms) == ('detached', [])


def test_reset_draws_a_new_incarnation():
    """Reset erases log, term, vote and cluster, and begins another life."""
    core = follower_core([1, 1], voters='a', term=5, voted_for='a')
    core.step(LeaveRequested())
    core.step(ResetRequested())
    assert (core.terms, core.resets, core.role) == ([], 1, 'detached')
    assert core.disk == Stored(HardState(core.state.incarnation, node_id='a'), [])
    assert core.state.incarnation not in ('', 'a1')


def test_inquiry_is_answered_by_whatever_incarnation():
    """The leader asks for what it cannot know yet: who the newcomer is."""
    core = Core('d')
    reply = core.ask(Inquire(Route('cluster', 'a', 'a1', 'd', ''), 'r'))
    back = Route('cluster', 'd', core.state.incarnation, 'a', 'a1')
    assert reply == InquireReply(back, True, '')


@pytest.mark.parametrize('cluster_id', ['cluster', 'another'])
def test_member_is_not_empty(cluster_id):
    """Only an empty node can be attached; a history could contradict the cluster's."""
    core = follower_core([1])
    reply = core.ask(Inquire(Route(cluster_id, 'x', 'x1', 'a', ''), 'r'))
    assert (reply.is_empty, reply.cluster_id) == (False, 'cluster')


def test_incarnation_is_durable_before_it_is_told():
    """A newcomer that forgot who it said it was would be another one."""
    core = Core('d', is_disk_slow=True)
    call = core.call(Inquire(Route('cluster', 'a', 'a1', 'd', ''), 'r'))
    assert core.answers == {}
    core.persist()
    assert core.answers[call].is_empty
    assert core.disk.hard_state.incarnation == core.answers[call].route.sender_incarnation


def test_member_that_lost_its_memory_never_votes():
    """It is another incarnation: the lost one stays silent in the denominator."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.restart('b', is_memory_lost=True)
    cluster.isolate('c')
    cluster.run(10 * T)
    assert cluster['a'].role == 'pre_candidate'
    assert cluster['b'].role == 'detached'
    core = cluster['b']
    vote = RequestVote(route('a', 'b'), 9, 9, 8, 1, 1, True)
    assert core.ask(vote) == Refused(Reason.INCARNATION, 'b2')


def test_member_that_lost_its_memory_does_not_count_towards_commitment():
    """What the lost incarnation acknowledged is gone; the other one acknowledges nothing."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.restart('b', is_memory_lost=True)
    cluster.isolate('c')
    leader.propose('x')
    cluster.settle()
    assert leader.state.commit_index == 2
    assert cluster['b'].terms == []


def test_leader_names_a_member_that_lost_its_memory_once():
    """The owner is told, not once per heartbeat."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.restart('b', is_memory_lost=True)
    cluster.run(10 * T)
    assert leader.role == 'leader'
    assert len([text for text in leader.notices if 'b lost its data' in text]) == 1


def test_refusal_of_an_incarnation_does_not_make_the_leader_step_down():
    """It carries no term; but it is no contact with the voter either."""
    core = leader_core([1])
    for request in core.drain(AppendEntries):
        core.reply(request, Refused(Reason.INCARNATION, 'b2'))
    assert (core.role, core.state.commit_index) == ('leader', 0)
    begun = core.clock.now
    while core.role == 'leader' and core.clock.now < begun + 4 * T:
        core.time_out()
        for request in core.drain(AppendEntries):
            core.reply(request, Refused(Reason.INCARNATION, 'b2'))
    assert core.role == 'follower'


def test_vote_of_another_incarnation_does_not_bind():
    """A vote names the incarnation that it was given to."""
    core = follower_core([1], term=3, voted_for='b')
    reborn = request_vote(term=3, last=(1, 1))
    reborn = replace(reborn, route=replace(reborn.route, sender_incarnation='b2'))
    assert not core.ask(reborn).granted


@pytest.mark.parametrize('kind', [Propose, ReadIndex, TransferLeadership])
def test_leader_serves_members_only(kind):
    """A stranger, or a lost incarnation of a member, is refused."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    way = Route('cluster', 'b', 'b2', 'a', 'a1')
    request = Propose(way, []) if kind is Propose else kind(way)
    assert core.ask(request) == Refused(Reason.REMOVED)
