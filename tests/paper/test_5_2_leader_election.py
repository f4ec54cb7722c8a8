"""§5.1 and §5.2: terms and elections, between several cores."""

from consensual.raft.core.events import Woken
from tests.core_clusters import Cluster
from tests.cores import Core, T, follower_core, stored


def test_cluster_elects_one_leader():
    """A follower that times out first wins, and the others follow it (§5.2)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.run(3 * T)
    assert sorted(cluster.roles().values()) == ['follower', 'follower', 'leader']
    assert len({core.state.leader for core in cluster.cores.values()}) == 1


def test_leader_is_kept_while_its_heartbeats_arrive():
    """A leader stays one as long as its heartbeats hold elections off (§5.2)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.elect('b')
    cluster.run(20 * T)
    assert cluster.roles() == {'a': 'follower', 'b': 'leader', 'c': 'follower'}
    assert {core.state.current_term for core in cluster.cores.values()} == {2}


def test_lost_leader_is_replaced():
    """When the leader falls silent, the others elect another in a later term (§5.2)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.elect('a')
    cluster.isolate('a')
    cluster.run(6 * T)
    leaders = [id_ for id_ in 'bc' if cluster[id_].role == 'leader']
    assert len(leaders) == 1
    assert cluster[leaders[0]].state.current_term > 2


def test_minority_elects_nobody():
    """Without a majority there is no leader, however long it takes (§5.2)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1], 'd': [1], 'e': [1]})
    cluster.isolate('ab')
    cluster.run(20 * T)
    assert 'leader' not in (cluster['a'].role, cluster['b'].role)


def test_old_leader_follows_the_new_one():
    """A leader of an earlier term steps down when it hears the later term (§5.1)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.elect('a')
    cluster.isolate('a')
    cluster.elect('b')
    assert cluster['a'].role == 'leader'
    cluster.heal()
    cluster['b'].time_out()
    cluster.settle()
    assert cluster.roles() == {'a': 'follower', 'b': 'leader', 'c': 'follower'}
    assert cluster['a'].state.leader == 'b'


def test_split_vote_is_resolved_by_the_next_election():
    """When two candidates split the votes, randomised timeouts let one win later (§5.2)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1], 'd': [1]})
    cluster.clock.now += 2 * T
    for id_ in 'ab':
        cluster[id_].step(Woken())
    cluster.isolate('ac')
    cluster.settle()
    cluster.heal()
    cluster.run(10 * T)
    assert sorted(cluster.roles().values()) == ['follower'] * 3 + ['leader']


def test_election_timeouts_are_drawn_from_an_interval():
    """Timeouts are random in [T, 2T), so that split votes are rare (§5.2)."""
    timeouts = set()
    core = follower_core([1])
    for _ in range(200):
        core.time_out()
        timeouts.add(core.deadline - core.clock.now)
    assert all(T <= timeout <= 2 * T for timeout in timeouts)
    assert min(timeouts) < 1.1 * T
    assert max(timeouts) > 1.9 * T


def test_timeouts_of_different_servers_differ():
    """Each server draws for itself (§5.2)."""
    deadlines = {Core(id_, stored(id_)).deadline for id_ in 'abcde'}
    assert len(deadlines) == 5


def test_term_survives_a_restart():
    """Terms increase monotonically, also over restarts (§5.1)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    cluster.elect('a')
    cluster.restart('b')
    assert (cluster['b'].role, cluster['b'].state.current_term) == ('follower', 2)
