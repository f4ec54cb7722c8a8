"""A voter that came back without its data is taken in again, through membership (design §4)."""

import pytest

from consensual.raft.core.configuration import Configuration
from consensual.raft.core.effects import HardState, Stored
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    Inquire,
    InquireReply,
    Reason,
    Refused,
    RequestPreVote,
    RequestVote,
    Route,
)
from tests.core_snapshots import SnapshotCluster, SnapshotCore, snapshot_of, stored_with
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    T,
    acknowledge,
    configuration,
    leader_core,
    member,
)

TEN = [f'{number}' for number in range(10)]
B2 = member('b', 2)


def begun(ids: str = 'abc', *, is_compacted: bool = False, **options) -> SnapshotCluster:
    """Return a cluster led by a, with ten commands."""
    cluster = SnapshotCluster({id_: [1] for id_ in ids}, **options)
    cluster.elect('a').propose(*TEN)
    cluster.settle()
    cluster.run(2 * HEARTBEAT)
    if is_compacted:
        for id_ in ids:
            cluster[id_].compact()
    return cluster


def changes(core: SnapshotCore) -> list[Configuration]:
    """Return the configurations that the log tells, but for the first."""
    return [
        entry.payload.configuration
        for entry in core.entries
        if isinstance(entry.payload, Reconfiguration) and entry.payload.request != 'change 1'
    ]


def lives(core: SnapshotCore) -> set[str]:
    """Return the incarnations of those who vote."""
    return {item.incarnation for item in core.state.configuration.electors}


READMITTED = [
    Configuration((member('a'), member('c')), (member('a'), member('b'), member('c')), (B2,)),
    Configuration((member('a'), member('c')), (), (B2,)),
    Configuration((member('a'), member('c'), B2), (member('a'), member('c'))),
    Configuration((member('a'), member('c'), B2)),
]
"""One joint change from the lost voter to a learner, then a promotion."""


def leader_that_hears_of_b(voters: str = 'abc') -> SnapshotCore:
    """Return core a, a leader whom b refuses as another incarnation; all others follow."""
    core = leader_core([1], voters=voters)
    others = [id_ for id_ in voters[1:] if id_ != 'b']
    core.acknowledge_all(*others)
    beat(core, others)
    beat(core, others)
    return core


def beat(core, others, *, incarnation: str = 'b2') -> None:
    """Let a heartbeat pass; b answers as another incarnation, before the others do."""
    core.time_out()
    for request in core.drain(AppendEntries, 'b'):
        core.reply(request, Refused(Reason.INCARNATION, incarnation))
    core.acknowledge_all(*others)


def introduce(core, *, incarnation: str = 'b2', is_empty: bool = True) -> None:
    """Let b tell who it is."""
    request = core.sent(Inquire, 'b')
    back = Route(request.route.cluster_id, 'b', incarnation, 'a', 'a1')
    core.reply(request, InquireReply(back, is_empty, '' if is_empty else 'another'))


@pytest.mark.parametrize('is_compacted', [False, True])
def test_wiped_voter_becomes_a_learner_and_then_a_voter(is_compacted):
    """Through joint consensus, in its new life; nobody has to do anything."""
    cluster = begun(is_compacted=is_compacted)
    cluster.lose('b')
    cluster.run(6 * T)
    assert changes(cluster['a'])[-4:] == READMITTED
    assert lives(cluster['b']) == {'a1', 'b2', 'c1'}
    assert cluster['b'].texts == cluster['a'].texts
    assert cluster.roles() == {'a': 'leader', 'b': 'follower', 'c': 'follower'}


def test_readmitted_voter_counts():
    """It is needed where the third one is gone."""
    cluster = begun()
    cluster.lose('b')
    cluster.run(6 * T)
    cluster.isolate('c')
    cluster['a'].propose('x')
    cluster.settle()
    assert cluster['a'].texts[-1] == '"x"'
    cluster.heal()
    cluster.isolate('a')
    cluster.run(6 * T)
    assert 'leader' in (cluster['b'].role, cluster['c'].role)


def test_lost_leader_is_taken_in_again_by_the_next_one():
    """Whoever leads then finds it without its data."""
    cluster = begun()
    cluster.lose('a')
    cluster.run(10 * T)
    leader = next(core for core in cluster.cores.values() if core.role == 'leader')
    assert leader.id in 'bc'
    assert lives(leader) == {'a2', 'b1', 'c1'}
    assert cluster['a'].texts == leader.texts


def test_newcomer_is_asked_for_its_incarnation_first():
    """As one that is attached by hand; the log tells of nothing yet."""
    core = leader_that_hears_of_b()
    (request,) = core.drain(Inquire)
    assert request.route == Route('cluster', 'a', 'a1', 'b', '')
    assert request.spent == 'b1'
    assert len(core.entries) == 2


def test_lost_incarnation_stays_in_the_denominator_until_the_change_is_committed():
    """Both majorities: that of the old voters has the silent one among it."""
    core = leader_that_hears_of_b()
    introduce(core)
    assert core.entries[-1].payload.configuration == READMITTED[0]
    for request in core.drain(AppendEntries, 'b'):
        assert request.route.receiver_incarnation == 'b2'
        core.reply(request, acknowledge(request))
    assert core.state.commit_index == 2, 'a alone is no majority of a, b1 and c'
    core.acknowledge_all('c')
    assert core.state.commit_index > 2
    assert not core.state.configuration.is_joint


def test_learner_in_place_of_a_voter_does_not_count():
    """Until it is promoted it decides nothing."""
    cluster = begun()
    cluster.lose('b')
    cluster['a'].time_out()
    cluster.isolate('c')
    cluster.run(4 * T)
    assert lives(cluster['a']) >= {'a1', 'c1'}
    assert cluster['a'].role != 'leader'
    assert 'b2' not in lives(cluster['a'])


def test_whoever_was_detached_meanwhile_is_not_taken_in_again():
    """That it lost its data was heard while it was being detached; its owner wants it gone."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    assert isinstance(core.detach('b'), Accepted)
    beat(core, 'c')
    for _ in range(2):
        core.time_out()
        core.acknowledge_all('c')
    assert core.state.configuration == configuration('ac')
    assert core.state.configured.index <= core.state.commit_index
    assert core.drain(Inquire) == []


@pytest.mark.parametrize('kind', [RequestVote, RequestPreVote])
def test_newcomer_never_votes_in_the_lost_ones_name(kind):
    """Before it is a member, and as a learner that is asked as the lost one."""
    cluster = begun()
    cluster.lose('b')
    way = Route('cluster', 'c', 'c1', 'b', 'b1')
    ask = (
        RequestVote
        if kind is RequestVote
        else lambda *rest: RequestPreVote(*rest[:2], 1, *rest[2:])
    )
    request = ask(way, 9, 99, 9, 9, 99)
    assert cluster['b'].ask(request) == Refused(Reason.INCARNATION, 'b2')
    cluster.settle()
    assert cluster['b'].ask(request) == Refused(Reason.INCARNATION, 'b2')


def test_vote_is_not_counted_for_the_lost_one():
    """A reply that comes from another incarnation answers nobody (design §4)."""
    cluster = begun()
    cluster.lose('b')
    cluster.isolate('a')
    cluster.run(6 * T)
    assert cluster['c'].role == 'pre_candidate', 'b2 has no vote, so c is alone'


@pytest.mark.parametrize('steps', range(5))
def test_later_leader_finishes_what_was_begun(steps):
    """However far it came: what is in the log of the next leader goes on."""
    cluster = begun('abcde')
    cluster.lose('b')
    cluster.run_until(lambda: len(changes(cluster['a'])) == steps)
    cluster.isolate('a')
    cluster.run(16 * T)
    (leader,) = (cluster[id_] for id_ in 'bcde' if cluster[id_].role == 'leader')
    assert lives(leader) == {'a1', 'b2', 'c1', 'd1', 'e1'}
    assert leader.state.configuration.is_stable
    cluster.heal()
    cluster.run(8 * T)
    assert len({core.state.configuration for core in cluster.cores.values()}) == 1


def shown_once() -> SnapshotCluster:
    """Return a cluster in which b came back empty, answered a heartbeat, and is gone again."""
    cluster = begun()
    cluster.lose('b')
    cluster['a'].time_out()
    request = cluster['a'].sent(AppendEntries, 'b')
    cluster['a'].reply(request, cluster['b'].ask(request))
    cluster.isolate('b')
    cluster.run(6 * T)
    assert cluster['a'].role == 'leader'
    return cluster


def test_unreachable_newcomer_does_not_stand_in_the_way_of_other_changes():
    """Its owner can still detach it."""
    cluster = shown_once()
    assert isinstance(cluster['a'].detach('b'), Accepted)
    cluster.settle()
    assert cluster['a'].state.configuration == configuration('ac')


def test_unreachable_newcomer_is_tried_again_when_it_shows_itself():
    """What failed once is not given up for good."""
    cluster = shown_once()
    cluster.heal()
    cluster.run(6 * T)
    assert lives(cluster['a']) == {'a1', 'b2', 'c1'}


def test_newcomer_with_a_history_stays_out_and_its_owner_is_told():
    """Only an empty node can be taken in; others are to be reset first (design §4)."""
    core = leader_that_hears_of_b()
    introduce(core, is_empty=False)
    assert len(core.entries) == 2
    told = [text for text in core.notices if 'b has a history' in text and 'reset it' in text]
    for _ in range(8):
        beat(core, 'c')
    assert core.drain(Inquire) == []
    assert len(told) == len([text for text in core.notices if 'reset it' in text]) == 1


def test_newcomer_that_was_reset_is_taken_in():
    """It draws a new incarnation then."""
    core = leader_that_hears_of_b()
    introduce(core, is_empty=False)
    for _ in range(2):
        beat(core, 'c', incarnation='b3')
    introduce(core, incarnation='b3')
    assert core.state.configuration.learners == (member('b', 3),)


def test_two_that_were_lost_at_once_are_taken_in_one_after_the_other():
    """In a cluster of five, the other three are a majority of each configuration in between."""
    cluster = begun('abcde')
    cluster.lose('d')
    cluster.lose('e')
    cluster.run(12 * T)
    assert lives(cluster['a']) == {'a1', 'b1', 'c1', 'd2', 'e2'}
    assert cluster['d'].texts == cluster['e'].texts == cluster['a'].texts
    joint = [item for item in changes(cluster['a']) if item.is_joint]
    assert all(len(set(item.voters) ^ set(item.outgoing)) == 1 for item in joint)


def test_nobody_is_taken_in_where_a_majority_was_lost():
    """There is no leader, and there must not be one (§5.2)."""
    cluster = begun('abcde')
    for id_ in 'cde':
        cluster.lose(id_)
    cluster.run(20 * T)
    assert 'leader' not in cluster.roles().values()
    assert [cluster.roles()[id_] for id_ in 'cde'] == ['detached'] * 3


def test_cluster_of_two_cannot_take_in_its_second_again():
    """One is no majority of the old voters: nothing is begun that could never be committed."""
    cluster = begun('ab')
    cluster.lose('b')
    cluster.run(8 * T)
    assert cluster['a'].role != 'leader'
    assert changes(cluster['a']) == []
    assert cluster['b'].role == 'detached'


def test_voter_that_finds_its_data_again_in_a_cluster_of_two_is_welcome():
    """Nothing was begun in its absence that would remove it."""
    cluster = begun('ab')
    disk = cluster['b'].disk
    cluster.lose('b')
    cluster.run(4 * T)
    cluster.cores['b'] = SnapshotCore('b', disk, clock=cluster.clock)
    cluster.run(8 * T)
    assert 'leader' in cluster.roles().values()
    assert lives(cluster['a']) == lives(cluster['b']) == {'a1', 'b1'}


def test_nobody_is_taken_in_while_the_others_cannot_go_on_alone():
    """The one joint change needs a majority of those that are left."""
    cluster = begun('abcd')
    cluster.isolate('d')
    cluster.run(2 * T)
    cluster.lose('b')
    cluster['a'].time_out()
    cluster.settle()
    assert changes(cluster['a']) == []
    cluster.heal()
    cluster.run(10 * T)
    leader = next(core for core in cluster.cores.values() if core.role == 'leader')
    assert lives(leader) == {'a1', 'b2', 'c1', 'd1'}


@pytest.mark.parametrize(('attach', 'detach'), [('d', ''), ('', 'c'), ('', 'b')])
def test_change_of_a_user_waits_until_it_is_over(attach, detach):
    """One change at a time (§6); the refusal says so."""
    core = leader_that_hears_of_b()
    answer = core.attach(attach) if attach else core.detach(detach)
    assert answer.reason == 'MembershipChangeInProgress'
    introduce(core)
    answer = core.attach(attach, 'again') if attach else core.detach(detach, 'again')
    assert answer.reason == 'MembershipChangeInProgress'


def test_change_of_a_user_goes_first_where_it_came_first():
    """The lost member is taken in when that is over."""
    cluster = begun()
    cluster.add('d')
    cluster.lose('b')
    cluster['a'].attach('d')
    cluster.run(8 * T)
    assert lives(cluster['a']) == {'a1', 'b2', 'c1', cluster['d'].state.incarnation}
    assert cluster['a'].state.configuration.is_stable


def test_lost_member_cannot_be_attached_by_hand():
    """It is a member still; the leader sees to it by itself."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    beat(core, 'c')
    assert core.attach('b').reason == 'AlreadyMember'


@pytest.mark.parametrize('steps', range(1, 5))
def test_newcomer_that_is_lost_again_half_way_does_no_harm(steps):
    """Dropped as a learner that does not catch up, or taken in once more as a voter."""
    cluster = begun()
    cluster.lose('b')
    cluster.run_until(lambda: len(changes(cluster['a'])) == steps)
    cluster.lose('b', life=3)
    cluster.run(2 * ATTACH_TIMEOUT)
    assert cluster['a'].role == 'leader'
    assert cluster['a'].state.configuration.is_stable
    assert lives(cluster['a']) in ({'a1', 'c1'}, {'a1', 'b3', 'c1'})
    if lives(cluster['a']) == {'a1', 'c1'}:
        cluster['a'].attach('b', 'by hand')
        cluster.run(8 * T)
    assert lives(cluster['a']) == lives(cluster['b']) == {'a1', 'b3', 'c1'}
    assert cluster['b'].texts == cluster['a'].texts


def test_lost_learner_is_dropped_and_not_taken_in():
    """It was no voter yet: whoever attached it is told (thesis §4.2.1)."""
    cluster = begun()
    cluster.add('d')
    cluster['a'].attach('d')
    cluster.run_until(lambda: cluster['a'].state.configuration.learners != ())
    cluster.lose('d')
    cluster.heal()
    cluster.run(2 * ATTACH_TIMEOUT)
    assert cluster.voters('a') == 'abc'
    assert cluster['d'].state.log.last_index == 0


def test_readmission_goes_on_behind_a_snapshot_of_the_joint_configuration():
    """The log that told of it may be compacted away at any moment."""
    snapshot = snapshot_of(TEN, index=12, change=READMITTED[0])
    cluster = SnapshotCluster({})
    for id_ in 'ac':
        cluster.cores[id_] = SnapshotCore(id_, stored_with(id_, snapshot), clock=cluster.clock)
    cluster.cores['b'] = SnapshotCore('b', Stored(HardState('b2')), clock=cluster.clock)
    cluster.elect('c')
    cluster.run(6 * T)
    assert lives(cluster['c']) == lives(cluster['b']) == {'a1', 'b2', 'c1'}
    assert cluster['b'].texts == cluster['c'].texts
