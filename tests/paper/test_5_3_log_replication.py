"""§5.3 and Figure 7: a leader brings every log to its own."""

import pytest

from consensual.raft.core.messages import AppendEntries
from tests.core_clusters import Cluster
from tests.cores import T, log_of

LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
FOLLOWERS = {
    'a': [1, 1, 1, 4, 4, 5, 5, 6, 6],
    'b': [1, 1, 1, 4],
    'c': [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    'd': [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    'e': [1, 1, 1, 4, 4, 4, 4],
    'f': [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


def figure_7() -> Cluster:
    """Return the leader l with Figure 7's followers, before its election in term 8."""
    logs = {'l': LEADER, **FOLLOWERS}
    return Cluster(logs, voters='labcdef', terms=dict.fromkeys(logs, 7))


def test_leader_of_figure_7_brings_all_logs_to_its_own():
    """Missing entries are added and extraneous ones removed, in all six cases (Figure 7)."""
    cluster = figure_7()
    leader = cluster.elect('l')
    assert leader.state.current_term == 8
    assert leader.entries[:10] == log_of(LEADER, 'labcdef')
    assert leader.terms == [*LEADER, 8]
    for id_ in 'abcdef':
        assert cluster[id_].entries == leader.entries
        assert list(cluster[id_].disk.entries) == leader.entries


@pytest.mark.parametrize(
    ('id_', 'most'), [('a', 2), ('b', 2), ('c', 1), ('d', 1), ('e', 2), ('f', 2)]
)
def test_agreement_in_figure_7_takes_few_round_trips(id_, most):
    """A rejection skips all conflicting entries of a term at once (§5.3, Figure 7)."""
    cluster = figure_7()
    cluster.elect('l')
    sent = [
        request
        for request in cluster.trace
        if isinstance(request, AppendEntries) and request.route.receiver == id_
    ]
    assert len(sent) <= most
    assert cluster[id_].terms == [*LEADER, 8]


def test_follower_of_figure_7_is_not_needed_for_commitment():
    """The new leader's entry commits everything before it once a majority has it (§5.3)."""
    cluster = figure_7()
    cluster.isolate('df')
    leader = cluster.elect('l')
    assert leader.state.commit_index == 11
    assert [index for index, _ in leader.applied] == list(range(1, 12))
    assert cluster['f'].terms == FOLLOWERS['f']


def test_entries_of_the_same_index_and_term_are_the_same_with_all_before():
    """Log matching: after any agreement logs are equal up to the agreed entry (§5.3)."""
    cluster = figure_7()
    leader = cluster.elect('l')
    leader.propose('x', 'y')
    cluster.settle()
    logs = [core.entries for core in cluster.cores.values()]
    assert all(log == logs[0] for log in logs)


def test_follower_that_was_away_catches_up():
    """A follower that missed entries gets them when it is back (§5.3)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    for number in range(5):
        leader.propose(f'{number}')
        cluster.settle()
    cluster.run(2 * T)
    assert len(cluster['c'].terms) == 2
    cluster.heal()
    cluster.run(3 * T)
    assert cluster['c'].entries == leader.entries
    assert cluster['c'].applied == leader.applied


def test_uncommitted_entries_of_a_lost_leader_give_way():
    """A new leader's log overwrites what the old one could not commit (§5.3)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    old = cluster.elect('a')
    cluster.isolate('a')
    old.propose('lost')
    cluster.settle()
    new = cluster.elect('b')
    new.propose('kept')
    cluster.settle()
    cluster.heal()
    cluster.run(3 * T)
    assert old.entries == new.entries
    assert {core.state.commit_index for core in cluster.cores.values()} == {4}
    assert old.applied == new.applied
