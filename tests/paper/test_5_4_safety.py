"""§5.4: who may be elected, and what counts as committed."""

from consensual.raft.core.messages import AppendEntries, RequestPreVote, RequestVote
from consensual.raft.core.state import Settings
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    SETTINGS,
    T,
    acknowledge,
    follower_core,
    leader_core,
    reject,
    request_vote,
)

ONE_BY_ONE = Settings(HEARTBEAT, T, ATTACH_TIMEOUT, message_limit=1)
"""One entry per message."""


def figure_8(settings: Settings = SETTINGS) -> Cluster:
    """Return Figure 8 before S1 (a) is elected in term 4: S5 (e) led term 3."""
    logs = {'a': [1, 2], 'b': [1, 2], 'c': [1], 'd': [1], 'e': [1, 3]}
    return Cluster(logs, terms=dict.fromkeys(logs, 3), settings=settings)


def test_candidate_without_all_committed_entries_is_not_elected():
    """A majority holds every committed entry, and refuses whoever lacks one (§5.4.1)."""
    cluster = Cluster({'a': [1, 2, 2], 'b': [1, 2, 2], 'c': [1]}, terms={'c': 2})
    cluster.clock.now += 2 * T
    cluster['c'].time_out()
    cluster.settle()
    assert cluster['c'].role != 'leader'
    assert cluster.elect('b').terms == [1, 2, 2, 3]


def test_up_to_date_is_judged_by_the_last_term_before_the_length():
    """A later last term beats any length; of equal terms the longer log wins (§5.4.1)."""
    assert follower_core([1, 1, 1]).ask(request_vote(term=4, last=(2, 2))).granted
    assert not follower_core([1, 3]).ask(request_vote(term=4, last=(9, 2))).granted
    assert not follower_core([1, 3, 3]).ask(request_vote(term=4, last=(2, 3))).granted


def test_leader_does_not_commit_prior_term_by_counting():
    """Figure 8 (c): entry 2 of term 2 on a majority is not committed by that (§5.4.2)."""
    core = leader_core([1, 2], voters='abcde', term=3, settings=ONE_BY_ONE)
    for id_ in 'bc':
        probe = core.sent(AppendEntries, id_)
        core.reply(probe, reject(probe, (1, 1)))
        request = core.sent(AppendEntries, id_)
        assert [entry.term for entry in request.entries] == [2]
        core.reply(request, acknowledge(request))
    assert [core.leader.peers[id_].match_index for id_ in 'bc'] == [2, 2]
    assert core.state.commit_index == 0
    assert core.applied == []


def test_own_term_entry_on_a_majority_commits_prior_terms():
    """Figure 8 (e): an own-term entry commits what is before it (§5.4.2)."""
    core = leader_core([1, 2], voters='abcde', term=3)
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == 3
    assert [index for index, _ in core.applied] == [1, 2, 3]


def test_figure_8_old_entry_on_a_majority_can_still_be_overwritten():
    """Figure 8 (c) and (d): S5 with a later last term overwrites what S1 replicated."""
    cluster = figure_8(ONE_BY_ONE)
    old = cluster['a']
    _elect_by(cluster, 'a', 'bc')
    for id_ in 'bc':
        _replicate_only_the_old_entry(cluster, id_)
    assert [cluster[id_].terms for id_ in 'abc'] == [[1, 2, 4], [1, 2], [1, 2]]
    assert (old.state.commit_index, old.applied) == (0, [])
    cluster.isolate('a')
    assert cluster.elect('e').terms == [1, 3, 5]
    assert {tuple(cluster[id_].terms) for id_ in 'bcde'} == {(1, 3, 5)}


def test_figure_8_old_entry_is_committed_with_one_of_the_own_term():
    """Figure 8 (e): once an entry of term 4 is on a majority, S5 cannot win any more."""
    cluster = figure_8()
    cluster.isolate('de')
    leader = cluster.elect('a')
    assert leader.terms == [1, 2, 4]
    assert leader.state.commit_index == 3
    assert [index for index, _ in leader.applied] == [1, 2, 3]
    cluster.heal()
    cluster.isolate('a')
    cluster.clock.now += 2 * T
    cluster['e'].time_out()
    cluster.settle()
    assert cluster['e'].role != 'leader'
    assert cluster.elect('b').terms == [1, 2, 4, 5]


def test_entries_of_earlier_terms_keep_their_terms():
    """A new leader replicates old entries with the term they were appended in (§5.4.2)."""
    cluster = Cluster({'a': [1, 2, 2], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    assert leader.terms == [1, 2, 2, 3]
    assert cluster['b'].terms == cluster['c'].terms == [1, 2, 2, 3]


def test_leader_has_all_committed_entries():
    """Leader completeness: whatever was committed is in every later leader's log (§5.4.3)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    committed = []
    for id_ in 'abcacb':
        leader = cluster.elect(id_)
        leader.propose(f'by {id_}')
        cluster.settle()
        assert leader.entries[: len(committed)] == committed
        committed = leader.entries[: leader.state.commit_index]
    assert len(committed) == 13


def test_servers_apply_the_same_entries_at_the_same_indexes():
    """State machine safety: nobody applies another entry at an index (§5.4.3)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    for id_ in 'abc':
        cluster.elect(id_).propose(f'by {id_}')
        cluster.settle()
        cluster.run(T)
    applied = [core.applied for core in cluster.cores.values()]
    assert applied[0] == applied[1] == applied[2]
    assert [index for index, _ in applied[0]] == list(range(1, 8))


def _elect_by(cluster: Cluster, id_: str, voters: str) -> None:
    """Let only those vote; the rest hears nothing."""
    core = cluster[id_]
    core.time_out()
    for type_ in (RequestPreVote, RequestVote):
        for request in core.drain(type_):
            if request.route.receiver in voters:
                core.reply(request, cluster[request.route.receiver].ask(request))
    assert core.role == 'leader'


def _replicate_only_the_old_entry(cluster: Cluster, id_: str) -> None:
    """Carry AppendEntries to one follower up to where it holds entry 2, and no further."""
    leader, follower = cluster['a'], cluster[id_]
    while follower.terms != [1, 2] or leader.leader.peers[id_].match_index < 2:
        request = leader.drain(AppendEntries, id_)[0]
        if request.prev_log_index == 2:
            request = AppendEntries(request.route, 4, request.number, 2, 2, [], 0)
        leader.reply(request, follower.ask(request))
