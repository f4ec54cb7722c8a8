"""Members, newcomers and removed nodes, with the log that told of them compacted away (§6, §7)."""

import pytest
from msgspec.structs import replace

from consensual.raft.core.messages import InstallSnapshot, Reason, Refused, VoteReply
from consensual.raft.core.state import Settings
from tests.core_snapshots import (
    EVERY,
    SMALL,
    SnapshotCluster,
    SnapshotCore,
    pieces_of,
    snapshot_of,
    stored_with,
)
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    T,
    append_entries,
    configuration,
    log_of,
    request_pre_vote,
    request_vote,
    stored,
)

TEN = [f'{number}' for number in range(10)]


def compacted_cluster(ids: str = 'abc', *, settings: Settings = SMALL) -> SnapshotCluster:
    """Return a cluster led by a, of which nothing is left of the first ten commands."""
    cluster = SnapshotCluster({id_: [1] for id_ in ids}, settings=settings)
    leader = cluster.elect('a')
    leader.propose(*TEN)
    cluster.settle()
    cluster.run(2 * HEARTBEAT)
    for id_ in ids:
        cluster[id_].compact()
    assert leader.state.log.base_index == 12 - EVERY
    return cluster


def fill(cluster: SnapshotCluster, id_: str = 'a') -> None:
    """Have so much more committed that nothing is left of what went before, and compact."""
    cluster[id_].propose(*TEN)
    cluster.settle()
    cluster[id_].compact()


# newcomers


@pytest.mark.parametrize('newcomers', ['d', 'de'])
def test_newcomer_that_is_caught_up_by_a_snapshot_becomes_a_voter(newcomers):
    """Thesis §4.2.1, with what it lacks compacted away."""
    cluster = compacted_cluster()
    cluster.add(newcomers)
    cluster['a'].attach(newcomers)
    cluster.run(4 * T)
    for id_ in newcomers:
        assert [snapshot.index for snapshot in cluster[id_].restored] == [12]
        assert cluster.voters(id_) == f'abc{newcomers}'
        assert cluster[id_].state.configuration.is_stable
        assert cluster[id_].texts == cluster['a'].texts


def test_newcomer_of_a_snapshot_votes_and_leads():
    """It is a member as any other."""
    cluster = compacted_cluster()
    cluster.add('d')
    cluster['a'].attach('d')
    cluster.run(4 * T)
    cluster.isolate('a')
    cluster.elect('d').propose('by d')
    cluster.settle()
    cluster.run(2 * HEARTBEAT)
    assert cluster['b'].texts[-1] == cluster['d'].texts[-1] == '"by d"'


def test_newcomer_restarts_behind_its_snapshot():
    """It knows what it was before, whatever came with the snapshot."""
    cluster = compacted_cluster()
    cluster.add('d')
    cluster['a'].attach('d')
    cluster.settle()
    cluster.restart('d')
    cluster.run(4 * T)
    assert cluster.voters('a') == cluster.voters('d') == 'abcd'
    assert cluster['d'].texts == cluster['a'].texts


@pytest.mark.parametrize('is_snapshot_of_the_end', [False, True])
def test_newcomer_of_a_snapshot_that_was_dropped_empties_itself(is_snapshot_of_the_end):
    """Told by entries, or by a snapshot in which nothing is left of its attachment (design §4)."""
    cluster = compacted_cluster(settings=replace(SMALL, attach_timeout=2 * T))
    cluster.add('d')
    cluster['a'].attach('d')
    cluster.mail = lambda requests: [
        item for item in requests if not isinstance(item, InstallSnapshot) or item.offset == 0
    ]
    cluster.settle()
    assert cluster['d'].state.is_attached
    cluster.isolate('d')
    cluster.run(4 * T)
    assert cluster['a'].state.configuration == configuration('abc')
    if is_snapshot_of_the_end:
        fill(cluster)
    cluster.mail = list
    cluster.give_up()
    cluster.heal()
    cluster.run(2 * ATTACH_TIMEOUT)
    assert cluster['d'].role == 'detached'
    assert cluster['d'].state.log.last_index == 0
    assert (cluster['d'].disk.snapshot, cluster['d'].texts) == (None, [])
    cluster['a'].attach('d', 'again')
    cluster.run(4 * T)
    assert cluster.voters('a') == 'abcd'


def test_dropped_newcomer_with_a_snapshot_only_asks_and_keeps_its_history():
    """It got a snapshot from before its own configuration; it may have voted before that."""
    core = SnapshotCore('d', stored_with('d', snapshot_of(TEN, index=8)))
    assert core.state.configuration == configuration('abc')
    core.time_out()
    core.time_out()
    requests = core.drain()
    assert {request.route.receiver for request in requests} == {'a', 'b', 'c'}
    core.reply(requests[0], Refused(Reason.REMOVED))
    assert core.role == 'detached'
    assert core.state.snapshot_index == 8


def test_learner_in_a_snapshot_is_promoted_by_a_later_leader():
    """Learners exist only to be promoted, also where their entry was compacted away."""
    learning = configuration('abc', learners='d')
    snapshot = snapshot_of(TEN, index=12, change=learning)
    cluster = SnapshotCluster({})
    for id_ in 'abcd':
        cluster.cores[id_] = SnapshotCore(id_, stored_with(id_, snapshot), clock=cluster.clock)
    cluster.elect('b')
    cluster.run(4 * T)
    assert cluster['b'].state.configuration == configuration('abcd')
    assert cluster.voters('d') == 'abcd'


def test_joint_configuration_in_a_snapshot_decides_by_both_majorities():
    """§6, after a restart from it; it is left automatically, under a new leader, too."""
    joint = configuration('cde', outgoing='abc')
    snapshot = snapshot_of(TEN, index=12, change=joint)
    cluster = SnapshotCluster({})
    for id_ in 'abcde':
        cluster.cores[id_] = SnapshotCore(id_, stored_with(id_, snapshot), clock=cluster.clock)
    cluster.isolate('de')
    cluster.run(6 * T)
    assert 'leader' not in cluster.roles().values(), 'a, b and c are a majority of C_old only'
    cluster.heal()
    cluster.run(8 * T)
    leader = next(core for core in cluster.cores.values() if core.role == 'leader')
    assert leader.state.configuration == configuration('cde')
    assert cluster.roles()['a'] == cluster.roles()['b'] == 'detached'


# removed nodes


@pytest.mark.parametrize(('removed', 'leader'), ['ca', 'ab'])
def test_removed_member_that_is_told_by_a_snapshot_leaves(removed, leader):
    """It keeps what it has: the history, as the snapshot tells it (design §4)."""
    cluster = compacted_cluster()
    cluster.isolate(removed)
    if leader == 'b':
        cluster.run(2 * T)
        cluster.elect('b')
    cluster.run(1.2 * T)
    cluster[leader].detach(removed)
    cluster.settle()
    fill(cluster, leader)
    assert cluster[leader].leader.peers[removed].leaves_at is not None
    cluster.heal()
    cluster.run(2 * T)
    core = cluster[removed]
    assert (core.role, core.state.is_attached) == ('detached', False)
    assert [*core.restored] == [cluster[leader].state.snapshot] == [core.disk.snapshot]
    assert core.texts == cluster[leader].texts
    assert removed not in cluster[leader].leader.peers


def test_snapshot_without_a_member_removes_it():
    """In one write: a restart finds it detached, with the history."""
    core = SnapshotCore('a', stored('a', [1, 1, 1]), is_disk_slow=True)
    snapshot = snapshot_of(TEN, index=12, position=(9, 1), voters='bc')
    for piece in pieces_of(snapshot, term=1):
        core.call(piece)
    assert core.role == 'detached'
    assert core.write.snapshot == snapshot
    assert not core.write.hard_state.is_attached
    core.persist()
    again = SnapshotCore('a', core.disk)
    assert (again.role, again.texts) == ('detached', TEN)


def test_snapshot_from_before_a_newcomers_time_does_not_remove_it():
    """It never named it: its own configuration is still to come."""
    core = SnapshotCore('d')
    welcome = append_entries('d', term=1, prev=(14, 1), commit=0)
    way = replace(welcome.route, receiver_incarnation=core.state.incarnation)
    core.ask(replace(welcome, route=way))
    for piece in pieces_of(snapshot_of(TEN, index=12), term=1, receiver='d'):
        answer = core.ask(replace(piece, route=way))
    assert answer.is_installed
    assert core.role == 'follower'
    assert not core.state.may_stand


def test_configurations_before_a_snapshot_do_not_bring_a_removed_member_back():
    """The latest configuration is the snapshot's, whatever the log held."""
    core = SnapshotCore('a', stored('a', [1, 1, 1], configurations={3: configuration('abcd')}))
    snapshot = snapshot_of(TEN, index=12, position=(9, 1), voters='abe')
    for piece in pieces_of(snapshot, term=1):
        core.ask(piece)
    assert core.state.configuration == configuration('abe')
    assert core.role == 'follower'


def voter(voters: str = 'abc', position: tuple[int, int] = (6, 2)) -> SnapshotCore:
    """Return core a behind a snapshot up to 8: the log begins at 9, and goes to 10."""
    snapshot = snapshot_of(TEN, index=8, term=3, position=position, voters=voters)
    return SnapshotCore('a', stored_with('a', snapshot, log_of([0] * 8 + [3, 3])[8:]))


@pytest.mark.parametrize('ask', [request_vote, request_pre_vote])
@pytest.mark.parametrize('position', [(1, 1), (1, 5), (2, 6), (2, 7), (3, 7)], ids=str)
def test_non_member_with_a_configuration_below_the_base_is_refused(ask, position):
    """What was compacted away is committed: a configuration there that is none of ours was lost."""
    core = voter()
    request = ask(sender='x', term=9, last=(99, 9), position=position)
    assert core.ask(request) == Refused(Reason.REMOVED)


@pytest.mark.parametrize('position', [(3, 9), (3, 10), (4, 10), (4, 11), (9, 99)], ids=str)
def test_non_member_with_a_later_configuration_is_not_refused(position):
    """It may have been added since: what is known here is older."""
    core = voter()
    core.clock.now += 2 * T
    answer = core.ask(request_pre_vote(sender='x', term=9, last=(99, 9), position=position))
    assert isinstance(answer, VoteReply)


@pytest.mark.parametrize('position', [(1, 1), (1, 5), (2, 6)], ids=str)
def test_member_with_an_old_configuration_is_not_refused(position):
    """Who lags behind is a member all the same."""
    core = voter()
    core.clock.now += 2 * T
    answer = core.ask(request_pre_vote(sender='b', term=4, last=(10, 3), position=position))
    assert answer.granted


def test_removed_node_hears_of_it_although_its_removal_was_compacted_away():
    """It asks for pre-votes after the leader has forgotten it, and is told."""
    cluster = compacted_cluster()
    cluster.isolate('c')
    cluster.run(2 * T)
    cluster['a'].detach('c')
    cluster.settle()
    cluster.run(4 * T)
    for id_ in 'ab':
        fill(cluster) if id_ == 'a' else cluster['b'].compact()
    assert 'c' not in cluster['a'].leader.peers
    cluster.heal()
    cluster.run(4 * T)
    assert cluster['c'].role == 'detached'
    assert cluster.roles()['a'] == 'leader'


def test_detached_node_answers_from_behind_its_snapshot():
    """It, too, may be the only one that the asker knows."""
    core = voter()
    core.raft.state.is_attached = False
    request = request_pre_vote(sender='x', term=9, last=(99, 9), position=(1, 3))
    assert core.ask(request) == Refused(Reason.REMOVED)


def test_member_is_known_by_its_incarnation_behind_a_snapshot():
    """The same name in another life is another node."""
    disk = stored_with('b', snapshot_of(TEN, index=8))
    assert SnapshotCore('b', disk).state.may_stand
    hard_state = replace(disk.hard_state, incarnation='b2')
    assert not SnapshotCore('b', replace(disk, hard_state=hard_state)).state.may_stand
