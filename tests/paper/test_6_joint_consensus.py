"""§6: joint consensus: both majorities, in force when appended, left automatically."""

import pytest

from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    ChangeMembership,
    Reason,
    Refused,
    RequestVote,
)
from tests.core_clusters import Cluster
from tests.cores import (
    Core,
    T,
    acknowledge,
    address,
    append_entries,
    configuration,
    follower_core,
    leader_core,
    log_of,
    vote,
)

JOINT = {2: configuration('ade', 'abc')}
"""C_old is a, b, c; C_new is a, d, e; the log's second entry is C_old,new."""


def joint_leader() -> Core:
    """Return core a, elected by everybody while C_old,new is in force."""
    core = follower_core([1, 1], configurations=JOINT)
    return core.win('b', 'c', 'd', 'e')


@pytest.mark.parametrize(
    ('voters', 'role'),
    [('b', 'candidate'), ('bc', 'candidate'), ('de', 'candidate'), ('bd', 'leader')],
)
def test_election_takes_both_majorities_while_joint(voters, role):
    """Agreement needs separate majorities of C_old and of C_new (§6)."""
    core = follower_core([1, 1], configurations=JOINT).stand()
    for request in core.drain(RequestVote):
        if request.route.receiver in voters:
            core.reply(request, vote(request))
    assert core.role == role


@pytest.mark.parametrize(
    ('followers', 'committed'), [('bc', False), ('de', False), ('cd', True), ('be', True)]
)
def test_commitment_takes_both_majorities_while_joint(followers, committed):
    """An entry is committed by majorities of C_old and of C_new (§6)."""
    core = joint_leader()
    core.acknowledge_all(*followers)
    assert (core.state.commit_index >= 3) is committed


def test_entries_go_to_the_servers_of_both_configurations():
    """Log entries are replicated to all servers in both configurations (§6)."""
    core = joint_leader()
    receivers = {request.route.receiver for request in core.drain(AppendEntries)}
    assert receivers == set('bcde')


@pytest.mark.parametrize('id_', 'abcde')
def test_any_server_of_either_configuration_may_lead(id_):
    """Any server from either configuration may serve as leader (§6)."""
    core = follower_core([1, 1], id_=id_, configurations=JOINT)
    core.win(*(set('abcde') - {id_}))
    assert core.state.current_term == 2


def test_change_begins_with_the_joint_configuration():
    """A leader asked for a change appends C_old,new before anything else (§6)."""
    core = leader_core([1], voters='abc')
    core.acknowledge_all('b', 'c')
    assert core.detach('c') == Accepted(core.to_itself())
    assert core.entries[-1].payload == Reconfiguration(configuration('ab', 'abc'), 'detach')
    assert [request.entries[-1] for request in core.drain(AppendEntries)] == [core.entries[-1]] * 2


def test_new_configuration_is_appended_once_the_joint_one_is_committed():
    """C_new follows C_old,new's commitment by itself, and not before (§6)."""
    core = leader_core([1], voters='abc')
    core.acknowledge_all('b', 'c')
    core.detach('c')
    assert core.state.configuration == configuration('ab', 'abc')
    request = core.sent(AppendEntries, 'b')
    core.acknowledge_all('c')
    assert core.state.configuration.is_joint
    core.requests.append(request)
    core.acknowledge_all('b')
    assert core.entries[-1].payload == Reconfiguration(configuration('ab'), 'detach')
    assert core.state.commit_index == core.state.log.last_index


def test_configuration_is_in_force_when_appended():
    """A server uses the latest configuration in its log, committed or not (§6)."""
    core = follower_core([1])
    entries = log_of([1, 1], configurations=JOINT)[1:]
    core.ask(append_entries(term=1, prev=(1, 1), entries=entries))
    assert core.state.commit_index == 0
    assert core.state.configuration == JOINT[2]


def test_truncated_configuration_is_rolled_back():
    """A server falls back on the configuration before, when its latest is removed (§6)."""
    core = follower_core([1, 1, 1], configurations=JOINT)
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:])
    assert core.ask(request).success
    assert core.state.configuration == configuration('abc')


def test_rolled_back_configuration_no_longer_elects():
    """After the roll-back only the old majority counts (§6)."""
    core = follower_core([1, 1, 1], configurations=JOINT)
    core.ask(append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:]))
    core.win('c')
    assert core.state.current_term == 3


def test_configuration_is_in_force_after_a_restart():
    """The log holds the configuration; who restarts uses the latest one in it (§6)."""
    assert follower_core([1, 1, 1], configurations=JOINT).state.configuration == JOINT[2]


def test_new_leader_ends_the_change_that_another_began():
    """A leader that finds C_old,new in its log brings the change to its end (§6)."""
    cluster = Cluster({id_: [1, 1] for id_ in 'abcde'}, voters='abc', configurations=JOINT)
    leader = cluster.elect('d')
    cluster.run(T)
    assert leader.state.configuration == configuration('ade')
    assert leader.entries[-1].payload == Reconfiguration(configuration('ade'), 'change 2')
    assert cluster.roles() == {
        'a': 'follower',
        'b': 'detached',
        'c': 'detached',
        'd': 'leader',
        'e': 'follower',
    }


def test_joint_configuration_of_a_lost_leader_may_vanish():
    """Without C_old,new in its log, a new leader goes on with C_old (§6)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    old = cluster.elect('a')
    cluster.isolate('a')
    old.detach('c')
    cluster.settle()
    assert old.state.configuration.is_joint
    cluster.elect('b')
    cluster.heal()
    cluster.run(2 * T)
    assert {core.state.configuration for core in cluster.cores.values()} == {configuration('abc')}


def test_one_change_at_a_time():
    """No second change begins before the first one's C_new is committed (§6)."""
    core = leader_core([1], voters='abcd')
    core.acknowledge_all('b', 'c', 'd')
    core.detach('c', 'first')
    before = core.entries
    reply = core.detach('d', 'second')
    assert (type(reply), reply.reason) == (Refused, 'MembershipChangeInProgress')
    assert core.entries == before


def test_no_change_while_the_last_configuration_is_not_committed():
    """C_new that is only appended may be rolled back: the change has not ended (§6)."""
    core = leader_core([1], voters='abcd')
    core.acknowledge_all('b', 'c', 'd')
    core.detach('d', 'first')
    for id_ in 'bc':
        request = core.sent(AppendEntries, id_)
        core.reply(request, acknowledge(request))
    assert core.state.configuration == configuration('abc')
    assert core.state.commit_index < core.state.log.last_index
    assert core.detach('c', 'second').reason == 'MembershipChangeInProgress'


def test_no_change_while_there_are_learners():
    """An attachment ends when its learners are voters, or dropped."""
    core = follower_core([1, 1], configurations={2: configuration('abc', learners='d')})
    core.win('b', 'c')
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == 3
    assert core.detach('c', 'second').reason == 'MembershipChangeInProgress'


def test_change_that_is_asked_for_again_is_not_begun_twice():
    """The same request, retried, is the same change; also after its end."""
    core = leader_core([1], voters='abcd')
    core.acknowledge_all('b', 'c', 'd')
    core.detach('c')
    assert core.detach('c') == Accepted(core.to_itself())
    core.acknowledge_all('b', 'c', 'd')
    length = len(core.entries)
    assert core.detach('c') == Accepted(core.to_itself())
    assert len(core.entries) == length


def test_no_change_before_a_commit_in_the_leaders_own_term():
    """A new leader may not know of a change that is committed; it waits for its no-op."""
    core = leader_core([1], voters='abcd')
    assert core.detach('c') == Refused(Reason.BUSY)
    core.acknowledge_all('b', 'c', 'd')
    assert core.detach('c') == Accepted(core.to_itself())


def test_new_configuration_is_computed_from_the_leaders_own():
    """Whatever the caller knew: the leader takes its own members less the named ones."""
    core = leader_core([1], voters='abcd')
    core.acknowledge_all('b', 'c', 'd')
    core.detach('c')
    assert core.state.configuration == configuration('abd', 'abcd')


@pytest.mark.parametrize(
    ('ids', 'reason'),
    [('x', 'NotMember'), ('abc', 'InvalidParameters'), ('', 'InvalidParameters')],
)
def test_impossible_detachment_is_refused(ids, reason):
    """Detaching a non-member, everybody or nobody is the caller's error; nothing changes."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    before = core.entries
    assert core.detach(ids).reason == reason
    assert core.entries == before


def test_attaching_a_member_is_refused():
    """Who is a member already cannot be attached."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    assert core.attach('b').reason == 'AlreadyMember'


def test_only_the_leader_changes_the_membership():
    """A follower names the leader instead."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    assert core.detach('c') == Refused(Reason.NOT_LEADER, 'b')


def test_change_that_names_no_request_is_an_error():
    """A change without a name could not be recognised when asked for again."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    reply = core.ask(ChangeMembership(core.to_itself(), '', attach=[address('d')]))
    assert isinstance(reply, Refused)


def test_several_nodes_join_and_leave_at_once():
    """Arbitrary changes take one joint step, also of all other members (§6)."""
    cluster = Cluster({id_: [1] for id_ in 'abcde'})
    leader = cluster.elect('a')
    leader.detach('bcde')
    cluster.settle()
    assert leader.state.configuration == configuration('a')
    assert [core.role for core in cluster.cores.values()] == ['leader'] + ['detached'] * 4
    cluster.add('xyz')
    assert leader.attach('xyz') == Accepted(leader.to_itself())
    cluster.run(4 * T)
    assert sorted(cluster.voters('z')) == list('axyz')
    assert {cluster[id_].state.leader for id_ in 'axyz'} == {'a'}
