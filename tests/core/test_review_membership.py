"""What a review of the core found about membership: who may be needed, told or trusted.

Its other findings are in `test_review`.
"""

import pytest

from consensual.raft.core import membership
from consensual.raft.core.effects import HardState, Snapshot, Stored
from consensual.raft.core.events import LeaveRequested, Woken
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    ChangeMembership,
    Inquire,
    InquireReply,
    Reason,
    Refused,
    Route,
)
from consensual.raft.core.state import Settings
from consensual.raft.errors import MembershipChangeInProgress
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    Core,
    T,
    acknowledge,
    address,
    append_entries,
    configuration,
    follower_core,
    leader_core,
    member,
    request_pre_vote,
    request_vote,
    route,
)


def established_leader(voters: str = 'abc') -> Core:
    """Return core a, whose no-op is committed and known to the others."""
    core = leader_core([1], voters=voters)
    core.acknowledge_all(*voters[1:])
    return core


def retiring_leader() -> Core:
    """Return core a, which leads b and c until they know that C_new, without it, is committed."""
    core = established_leader()
    core.detach('a')
    for _ in range(2):  # C_old,new and C_new are acknowledged
        for request in core.drain(AppendEntries):
            core.reply(request, acknowledge(request))
    assert core.state.commit_index == core.state.log.last_index
    assert (core.role, core.state.configuration) == ('leader', configuration('bc'))
    return core


def introduction(request: Inquire, life: int = 1) -> InquireReply:
    """Return the answer of an empty node in its n-th life."""
    id_, back = request.route.receiver, request.route.back()
    return InquireReply(
        Route(back.cluster_id, id_, f'{id_}{life}', back.receiver, back.receiver_incarnation), True
    )


def beat(core: Core, seconds: float, *followers: str) -> None:
    """Let the leader wake for so long, once at least; those followers acknowledge everything."""
    begun = core.clock.now
    while True:
        core.time_out()
        core.acknowledge_all(*followers)
        if core.clock.now >= begun + seconds:
            return


def carry_once(cluster: Cluster, sender: str) -> None:
    """Carry what waits at that node to the others, and their answers back."""
    for request in cluster[sender].drain(AppendEntries):
        cluster[sender].reply(request, cluster[request.route.receiver].ask(request))


def deliver_once(cluster: Cluster, sender: str, to: str) -> None:
    """Carry what waits at that node to those others alone; their answers are lost."""
    for request in cluster[sender].drain():
        if request.route.receiver in to:
            cluster[request.route.receiver].ask(request)


# Removed, but not yet: needed until C_new is committed (thesis §4.2.2).


@pytest.mark.parametrize('is_restarted', [False, True])
def test_leader_that_an_uncommitted_configuration_removes_stands_again(is_restarted):
    """Its log alone has C_new: it leads on until that is committed (thesis §4.2.2)."""
    cluster = Cluster({'a': [1], 'b': [1]})
    leader = cluster.elect('a')
    leader.detach('a')
    carry_once(cluster, 'a')
    assert leader.state.configuration == configuration('b')
    assert cluster['b'].state.configuration == configuration('b', 'ab')
    cluster.isolate('a')
    cluster.run(3 * T)
    assert cluster['a'].role != 'leader'
    if is_restarted:
        cluster.restart('a')
    cluster.heal()
    cluster.run(20 * T)
    assert cluster.roles() == {'a': 'detached', 'b': 'leader'}
    assert cluster['b'].state.configuration == configuration('b')


@pytest.mark.parametrize('is_restarted', [False, True])
def test_follower_that_an_uncommitted_configuration_removes_stands_for_election(is_restarted):
    """With the leader dead, only it has the longest log of C_old's majority (thesis §4.2.2)."""
    cluster = Cluster({id_: [1] for id_ in 'abcd'})
    leader = cluster.elect('a')
    leader.detach('b')
    carry_once(cluster, 'a')
    deliver_once(cluster, 'a', 'b')
    assert cluster['b'].state.configuration == configuration('acd')
    assert cluster['c'].state.configuration == configuration('acd', 'abcd')
    cluster.isolate('a')
    if is_restarted:
        cluster.restart('b')
    cluster.run(40 * T)
    del cluster.cores['a']
    assert sorted(cluster.roles().values()) == ['detached', 'follower', 'leader']
    assert (cluster['b'].role, cluster.voters('c'), cluster.voters('d')) == (
        'detached',
        'acd',
        'acd',
    )


def test_voter_of_the_committed_configuration_stands_whatever_is_in_force():
    """An uncommitted configuration may be rolled back: it takes nobody's right to stand."""
    without_a = {2: configuration('bc', 'abc'), 3: configuration('bc')}
    for committed in (1, 2):
        core = follower_core([1, 1, 1], configurations=without_a, commit_index=committed)
        core.time_out()
        assert core.role == 'pre_candidate'


# Removed for good: whoever asks is told (§6).


@pytest.mark.parametrize('kind', [request_pre_vote, request_vote])
def test_asker_whose_own_configuration_is_the_committed_one_is_told_of_its_removal(kind):
    """The voter knows that it is committed, which is all that the asker lacks (§6)."""
    without_c = {2: configuration('ab', 'abc'), 3: configuration('ab')}
    core = follower_core([1, 1, 1], configurations=without_c, commit_index=3)
    request = kind(sender='c', term=9, last=(3, 1), position=(1, 3))
    assert core.ask(request) == Refused(Reason.REMOVED)


@pytest.mark.parametrize('removed', ['e', 'a'])
def test_removed_node_that_has_the_new_configuration_uncommitted_becomes_detached(removed):
    """The leader died before it could tell that C_new is committed; another one tells (§6)."""
    cluster = Cluster({id_: [1] for id_ in 'abcde'})
    cluster.elect('a').detach(removed)
    carry_once(cluster, 'a')
    deliver_once(cluster, 'a', 'bcde')
    if removed == 'a':
        cluster.restart('a')
    else:
        cluster.isolate('a')
    cluster.run(40 * T)
    assert cluster[removed].role == 'detached'
    assert [role for id_, role in cluster.roles().items() if id_ in 'bcd'].count('leader') == 1


def test_detached_voter_tells_who_was_removed_by_what_is_committed_there():
    """When all of C_old was replaced, nobody else is left whom the asker knows (§6)."""
    replaced = {2: configuration('de', 'abc'), 3: configuration('de')}
    core = follower_core([1, 1, 1], configurations=replaced)
    core.ask(append_entries(sender='d', term=1, prev=(3, 1), commit=3))
    assert core.role == 'detached'
    for kind in (request_pre_vote, request_vote):
        asked_by_removed = kind(sender='c', term=9, last=(1, 1))
        asked_by_member = kind(sender='d', term=9, last=(3, 1), position=(1, 3))
        assert core.ask(asked_by_removed) == Refused(Reason.REMOVED)
        assert core.ask(asked_by_member) == Refused(Reason.DETACHED)


def test_node_that_was_away_while_all_were_replaced_becomes_detached():
    """It knows only nodes that are detached by now; they tell it (§6)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.add('def')
    cluster.isolate('c')
    leader.attach('def')
    cluster.run(4 * T)
    leader.detach('abc')
    cluster.run(20 * T)
    assert (cluster['a'].role, cluster['b'].role) == ('detached', 'detached')
    cluster.heal()
    cluster.run(10 * T)
    assert cluster['c'].role == 'detached'
    assert cluster['c'].terms == [1, 2]


@pytest.mark.parametrize('reason', ['a later term', 'silence'])
def test_removed_leader_that_must_stop_leading_becomes_detached(reason):
    """It knows that C_new is committed: nobody has to tell it that it is removed (§6)."""
    core = retiring_leader()
    if reason == 'silence':
        begun = core.clock.now
        while core.clock.now < begun + 4 * T and core.role == 'leader':
            core.time_out()
    else:
        core.ask(request_vote(term=9, last=(9, 2), is_transfer=True))
    assert (core.role, core.deadline) == ('detached', None)


# Newcomers whose attachment came to nothing (thesis §4.2.1).


def test_asker_whose_configuration_was_overwritten_is_told_of_its_removal():
    """Another entry is committed where it stood: the asker was never added (§5.4, §6)."""
    core = follower_core([1, 3], voters='abc', commit_index=2)
    for kind in (request_pre_vote, request_vote):
        overwritten = kind(sender='d', term=9, last=(2, 2), position=(2, 2))
        assert core.ask(overwritten) == Refused(Reason.REMOVED)
    later = request_vote(sender='d', term=9, last=(3, 4), position=(4, 3))
    assert core.ask(later).granted


def test_asker_whose_configuration_can_follow_nothing_committed_is_told_of_its_removal():
    """Terms never decrease along a log: after an entry of term 3 none of term 2 comes (§5.3).

    The cluster may be idle: nothing need ever be committed where it stood.
    """
    core = follower_core([1, 3], voters='abc', commit_index=2)
    for kind in (request_pre_vote, request_vote):
        superseded = kind(sender='d', term=9, last=(3, 2), position=(2, 3))
        assert core.ask(superseded) == Refused(Reason.REMOVED)
    possible = request_vote(sender='d', term=9, last=(3, 3), position=(3, 3))
    assert core.ask(possible).granted


def test_newcomer_whose_learner_entry_was_overwritten_is_told_and_empties_itself():
    """Its leader died with the entry uncommitted; as an empty node it can be attached again."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.add('d')
    first_life = cluster['d'].state.incarnation
    cluster.cut = {(one, other) for one in 'ad' for other in 'bc'}
    cluster.cut |= {(other, one) for one, other in cluster.cut}
    leader.attach('d')
    cluster.settle()
    assert cluster['d'].state.configuration.learners == (cluster['d'].state.me,)
    cluster.heal()
    cluster.isolate('a')
    cluster.run(4 * T)
    for _ in range(2):
        next(core for core in map(cluster.__getitem__, 'bc') if core.role == 'leader').propose('x')
        cluster.settle()
    cluster.run(2 * ATTACH_TIMEOUT)
    newcomer = cluster['d']
    assert (newcomer.role, newcomer.resets, newcomer.terms) == ('detached', 1, [])
    assert newcomer.state.incarnation != first_life
    next(core for core in map(cluster.__getitem__, 'bc') if core.role == 'leader').attach('d', '2')
    cluster.run(4 * T)
    assert cluster.voters('d') == 'abcd'


def test_newcomer_that_restarts_before_its_first_entry_is_patient():
    """It waits for the attach timeout, not for an election timeout, before it gives up."""
    core = Core('d', Stored(HardState('d1', 'cluster', True, 2), []))
    begun = core.clock.now
    core.clock.now = core.deadline
    core.step(Woken())
    assert (core.role, core.resets) == ('follower', 0)
    assert core.deadline == begun + ATTACH_TIMEOUT
    core.clock.now = core.deadline
    core.step(Woken())
    assert (core.role, core.resets) == ('detached', 1)


def test_newcomer_that_restarts_with_a_snapshot_from_before_its_time_is_patient():
    """What it lacks may name it: asked too early, a voter would take it for a removed one."""
    change = Reconfiguration(configuration('abc'), 'change')
    snapshot = Snapshot(5, 1, 0.0, 1, 1, change, b'state', 0)
    core = Core('d', Stored(HardState('d1', 'cluster', True, 2), [], snapshot, 6))
    begun = core.clock.now
    core.clock.now = core.deadline
    core.step(Woken())
    assert (core.role, core.requests, core.deadline) == ('follower', [], begun + ATTACH_TIMEOUT)
    core.clock.now = core.deadline
    core.step(Woken())
    assert {request.route.receiver for request in core.requests} == set('abc')


# An incarnation never comes back (design §4).


def test_empty_node_that_was_attached_before_begins_another_life():
    """What was said to the former member must not be heard by the new one."""
    core = Core('d')
    spent = core.state.incarnation
    to_d = Route('cluster', 'a', 'a1', 'd', '')
    reply = core.ask(Inquire(to_d, 'again', spent))
    assert reply.route.sender_incarnation not in ('', spent)
    assert core.disk == Stored(HardState(reply.route.sender_incarnation, node_id='d'), [])
    assert core.ask(Inquire(to_d, 'again', spent)) == reply


def test_node_with_a_history_keeps_its_incarnation_when_it_is_asked():
    """Only who has nothing to lose begins another life; others are still members somewhere."""
    core = follower_core([1])
    reply = core.ask(Inquire(Route('cluster', 'x', 'x1', 'a', ''), 'again', 'a1'))
    assert (reply.is_empty, reply.route.sender_incarnation) == (False, 'a1')
    assert core.state.incarnation == 'a1'


def test_newcomer_that_was_dropped_unheard_is_attached_again_in_another_life():
    """The log names its first life: entries that do so must not make the second one leave."""
    settings = Settings(HEARTBEAT, T, ATTACH_TIMEOUT, message_limit=2000)
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]}, settings=settings)
    leader = cluster.elect('a')
    cluster.add('d')
    first_life = cluster['d'].state.incarnation
    leader.attach('d', 'first')
    request = leader.sent(Inquire, 'd')
    reply = cluster['d'].ask(request)
    cluster.isolate('d')
    leader.reply(request, reply)
    cluster.run(1.5 * ATTACH_TIMEOUT)
    assert leader.state.configured.change.failure.startswith('d did not')
    for number in range(60):
        leader.propose(f'command {number}')
        cluster.settle()
    cluster.heal()
    leader.attach('d', 'second')
    cluster.run(4 * T)
    assert cluster['d'].state.incarnation != first_life
    assert (cluster['d'].resets, cluster.voters('d')) == (0, 'abcd')
    assert cluster['d'].entries == leader.entries


# What the leader must know before it goes on (§6, thesis §4.1 and §4.2.1).


def leader_with_silent_learner() -> Core:
    """Return core a, whose learner d caught up and then fell silent, while e was slow."""
    core = established_leader()
    core.attach('de')
    for request in core.drain(Inquire):
        core.reply(request, introduction(request))
    core.acknowledge_all('b', 'c', 'd')
    beat(core, 2 * T, 'b', 'c')
    beat(core, 0, 'b', 'c', 'e')
    return core


def test_learners_that_caught_up_and_fell_silent_are_not_promoted():
    """A round that took less than T proves nothing of who has not answered for T since."""
    core = leader_with_silent_learner()
    assert core.state.configuration == configuration('abc', learners='de')
    beat(core, T, 'b', 'c', 'd', 'e')
    assert core.state.configuration == configuration('abcde')


def test_learner_that_caught_up_and_fell_silent_is_dropped_in_time():
    """The cluster stays as it was; the outcome names the silent one alone (thesis §4.2.1)."""
    core = leader_with_silent_learner()
    beat(core, ATTACH_TIMEOUT, 'b', 'c', 'e')
    assert core.state.configuration == configuration('abc')
    assert core.state.configured.change.failure.startswith('d did not')


def test_detachment_that_leaves_no_live_majority_is_refused():
    """C_old,new needs a majority of C_new: without one the cluster would be stuck (§6)."""
    core = established_leader()
    beat(core, 2 * T, 'b')
    last = core.state.log.last_index
    refusal = core.detach('b', 'the living')
    assert (refusal.reason, core.state.log.last_index) == ('NodeUnreachable', last)
    assert core.detach('c', 'the dead') == Accepted(core.to_itself())
    core.acknowledge_all('b')
    assert core.state.configuration == configuration('ab')


def test_last_member_does_not_leave_while_its_configuration_is_uncommitted():
    """The other one would still be in C_old,new, with nobody to lead it out (§6)."""
    core = established_leader('ab')
    core.is_disk_slow = True
    core.detach('b')
    core.persist()
    core.acknowledge_all('b')
    assert core.state.configuration == configuration('a')
    assert core.state.configured.index > core.state.commit_index
    with pytest.raises(MembershipChangeInProgress):
        core.step(LeaveRequested())
    assert core.role == 'leader'
    core.persist()
    core.step(LeaveRequested())
    assert core.role == 'detached'


def test_late_answer_of_a_newcomer_to_an_earlier_attachment_is_ignored():
    """It may have been reset since: who is attached is whoever answers this attachment."""
    core = established_leader()
    core.attach('d', 'one')
    old = core.sent(Inquire, 'd')
    beat(core, 3 * T, 'b', 'c')
    core.attach('d', 'two')
    new = core.sent(Inquire, 'd')
    core.reply(old, introduction(old, life=1))
    assert core.state.configuration == configuration('abc')
    core.reply(new, introduction(new, life=2))
    assert core.state.configuration.learners == (member('d', life=2),)


def test_leader_remembers_the_latest_failures_only():
    """What callers may still ask about is bounded; an old failure may be tried anew."""
    core = established_leader()
    requests = [f'request {number}' for number in range(membership.FAILURE_LIMIT + 5)]
    for request in requests:
        assert core.attach('d', request) == Accepted(core.to_itself())
        inquire = core.sent(Inquire, 'd')
        core.reply(inquire, InquireReply(inquire.route.back(), False, 'another'))
    assert len(core.leader.failures) == membership.FAILURE_LIMIT
    assert core.attach('d', requests[5]).reason == 'NodeNotEmpty'
    assert core.attach('d', requests[-1]).reason == 'NodeNotEmpty'
    assert core.attach('d', requests[0]) == Accepted(core.to_itself())


def test_leader_proceeds_only_after_it_committed_in_its_own_term():
    """Until then it does not know whether another configuration is committed (thesis §4.1)."""
    joint = configuration('abd', 'abc')
    core = leader_core(
        [1, 1], voters='abcd', configurations={1: configuration('abc'), 2: joint}, commit_index=2
    )
    core.time_out()
    assert (core.terms, core.state.configuration) == ([1, 1, 2], joint)
    core.acknowledge_all('b')
    assert (core.terms, core.state.configuration) == ([1, 1, 2, 2], configuration('abd'))


def test_leader_accepts_a_change_only_after_it_committed_in_its_own_term():
    """The same before a change begins, even if the log's end is known to be committed."""
    core = leader_core([1], commit_index=1)
    for change in (core.attach('d', 'one'), core.detach('c', 'two')):
        assert change == Refused(Reason.BUSY)
    core.acknowledge_all('b')
    assert core.detach('c', 'three') == Accepted(core.to_itself())


@pytest.mark.parametrize(
    'change', [{'attach': [address('d')]}, {'detach': ['c']}], ids=['attach', 'detach']
)
def test_retiring_leader_refuses_membership_changes(change):
    """A leader outside C_new only hands over: what it began, it could not end (§6)."""
    core = retiring_leader()
    last = core.state.log.last_index
    request = ChangeMembership(route('b', 'a'), 'another', **change)
    assert core.ask(request) == Refused(Reason.BUSY)
    assert (core.drain(Inquire), core.state.log.last_index) == ([], last)
