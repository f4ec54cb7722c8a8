"""§6 and thesis §4.2.2: removed leaders and removed servers."""

from consensual.raft.core.events import ResetRequested
from consensual.raft.core.messages import (
    AppendEntries,
    Reason,
    Refused,
    RequestPreVote,
    TimeoutNow,
)
from tests.core_clusters import Cluster
from tests.cores import (
    T,
    acknowledge,
    configuration,
    follower_core,
    leader_core,
    request_pre_vote,
    request_vote,
)


def test_removed_leader_does_not_count_itself_in_the_new_majority():
    """While it manages C_new, a leader outside it is no part of its majority (§6)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.detach('a')
    joint = core.state.log.last_index
    to_b, to_c = (core.sent(AppendEntries, id_) for id_ in 'bc')
    core.requests.append(to_b)
    core.acknowledge_all('b')
    assert core.state.commit_index == joint - 1
    core.requests.append(to_c)
    core.acknowledge_all('c')
    assert core.state.commit_index == joint
    assert core.state.configuration == configuration('bc')


def test_removed_leader_leads_until_the_new_configuration_is_committed():
    """It steps down when C_new is committed, not when C_new is appended (§6)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.detach('a')
    for id_ in 'bc':
        request = core.sent(AppendEntries, id_)
        core.reply(request, acknowledge(request))
    assert core.state.configuration == configuration('bc')
    assert core.role == 'leader'
    core.acknowledge_all('b')
    assert core.state.commit_index < core.state.log.last_index
    assert core.role == 'leader'
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == core.state.log.last_index


def test_removed_leader_hands_over():
    """When everybody knows C_new, it has the best successor stand at once (§6, thesis §3.10)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.detach('a')
    core.acknowledge_all('b', 'c')
    (request,) = core.drain(TimeoutNow)
    assert request.route.receiver in 'bc'
    assert request.term == core.state.current_term


def test_removed_leader_becomes_detached_and_another_leads():
    """After C_new the leader is one of C_new, and the removed one keeps its history (§6)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    old = cluster.elect('a')
    old.propose('kept')
    cluster.settle()
    old.detach('a')
    cluster.settle()
    assert cluster.roles()['a'] == 'detached'
    assert sorted(cluster.roles().values()) == ['detached', 'follower', 'leader']
    assert cluster.voters('b') == cluster.voters('c') == 'bc'
    assert len(old.entries) >= 4
    assert (old.disk.hard_state.is_attached, old.deadline) == (False, None)


def test_removed_leader_of_two_leaves_the_other_leading():
    """Of two, the one that is left needs only itself."""
    cluster = Cluster({'a': [1], 'b': [1]})
    cluster.elect('a').detach('a')
    cluster.run(T)
    assert cluster.roles() == {'a': 'detached', 'b': 'leader'}
    assert cluster['b'].state.configuration == configuration('b')


def test_removed_leader_takes_no_commands_while_it_hands_over():
    """Who hands over stops accepting commands (thesis §3.10)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.detach('a')
    core.acknowledge_all('b', 'c')
    assert core.propose('x') == Refused(Reason.BUSY)


def test_removed_leader_that_cannot_reach_a_successor_leaves_all_the_same():
    """Its time is bounded: the others elect one of themselves without it."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    old = cluster.elect('a')
    old.detach('a')
    for _ in range(2):  # both steps are acknowledged, the hand-over is not
        for request in old.drain(AppendEntries):
            old.reply(request, cluster[request.route.receiver].ask(request))
    cluster.isolate('a')
    cluster.run(8 * T)
    assert 'leader' in (cluster['b'].role, cluster['c'].role)
    assert old.role != 'leader'


def test_removed_follower_is_told_and_becomes_detached():
    """A removed server learns that C_new is committed, and leaves with its history."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    leader.detach('c')
    cluster.settle()
    removed = cluster['c']
    assert (removed.role, removed.deadline) == ('detached', None)
    assert removed.entries == leader.entries
    assert list(leader.leader.peers) == ['b']


def test_removed_server_that_was_away_is_told_when_it_asks_for_votes():
    """A removed server that missed C_new hears of it instead of disturbing anybody (§6)."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    leader.detach('c')
    cluster.run(6 * T)
    term = leader.state.current_term
    assert cluster['c'].role == 'pre_candidate'
    cluster.heal()
    cluster.run(4 * T)
    assert cluster.roles() == {'a': 'leader', 'b': 'follower', 'c': 'detached'}
    assert {cluster[id_].state.current_term for id_ in 'abc'} == {term}


def test_non_member_is_refused_if_the_voters_committed_configuration_is_newer():
    """The refusal says that it was removed, and changes nothing (§6)."""
    core = follower_core(
        [1, 1, 1],
        voters='abc',
        configurations={2: configuration('ab', 'abc'), 3: configuration('ab')},
        commit_index=3,
    )
    for request in (
        request_pre_vote(sender='c', term=9, last=(9, 8)),
        request_vote(sender='c', term=9, last=(9, 8), is_transfer=True),
    ):
        assert core.ask(request) == Refused(Reason.REMOVED)
    assert (core.state.current_term, core.state.voted_for) == (1, None)


def test_non_member_with_a_newer_configuration_may_be_elected():
    """Who is not in the voter's configuration may have been added since (§6)."""
    core = follower_core([1, 1], voters='ab', commit_index=2)
    request = request_vote(sender='c', term=5, last=(9, 4), position=(4, 8))
    assert core.ask(request).granted


def test_non_member_is_heard_while_the_removal_is_not_committed():
    """An uncommitted removal may be rolled back: it proves nothing (§6)."""
    core = follower_core(
        [1, 1, 1],
        configurations={2: configuration('ab', 'abc'), 3: configuration('ab')},
        commit_index=2,
    )
    assert core.ask(request_vote(sender='c', term=9, last=(9, 8))).granted


def test_server_that_is_told_of_its_removal_leaves():
    """A voter that knows more of the membership is believed."""
    core = follower_core([1])
    core.time_out()
    request = core.sent(RequestPreVote, 'b')
    core.reply(request, Refused(Reason.REMOVED))
    assert (core.role, core.terms) == ('detached', [1])
    assert not core.disk.hard_state.is_attached


def test_news_of_a_removal_that_is_out_of_date_is_ignored():
    """The refusal is about the configuration that was asked with, not about a later one."""
    core = follower_core([1])
    core.time_out()
    request = core.sent(RequestPreVote, 'b')
    newer = follower_core([1, 1], configurations={2: configuration('abd')})
    newer.time_out()
    newer.reply(request, Refused(Reason.REMOVED))
    assert newer.role == 'pre_candidate'


def test_removed_server_can_be_attached_again_after_a_reset():
    """A reset node is a new incarnation, and empty: it joins like any newcomer."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    leader.detach('c')
    cluster.settle()
    old_life = cluster['c'].state.incarnation
    assert leader.attach('c', 'too early') is not None
    cluster.settle()
    assert leader.attach('c', 'too early').reason == 'NodeNotEmpty'
    cluster['c'].step(ResetRequested())
    assert cluster['c'].state.incarnation != old_life
    leader.attach('c', 'again')
    cluster.run(4 * T)
    assert cluster['c'].entries == leader.entries
    assert cluster.voters('b') == 'abc'
