"""The same inputs give the same outputs (design §3)."""

from consensual.raft.core.messages import Inquire
from tests.core_clusters import Cluster
from tests.cores import T, leader_core

NEWCOMERS = 'defghijklmnopqrst'


def history() -> list[str]:
    """Return all that happens to a cluster, as text."""
    cluster = Cluster({'a': [1], 'b': [1, 1], 'c': [1]})
    cluster.run(4 * T)
    leader = next(core for core in cluster.cores.values() if core.role == 'leader')
    cluster.add('d')
    leader.attach('d')
    cluster.run(2 * T)
    cluster.isolate(leader.id)
    cluster.run(8 * T)
    return [*map(repr, cluster.trace), *map(repr, cluster.cores.values())]


def test_same_events_give_the_same_effects():
    """Two runs from the same seeds do not differ in anything."""
    assert history() == history()


def test_newcomers_are_asked_in_the_order_in_which_they_were_named():
    """Not in the order of a set of strings, which changes from process to process."""
    core = leader_core([1], voters='a')
    core.attach(NEWCOMERS)
    asked = [request.route.receiver for request in core.drain(Inquire)]
    assert asked == list(NEWCOMERS)
