"""Replication over a network that loses, delays, duplicates and reorders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensual.raft.core.events import Failed
from consensual.raft.core.log import payload_size
from consensual.raft.core.messages import AppendEntries, Propose
from consensual.raft.core.state import Settings
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    REPRODUCIBLE,
    Core,
    T,
    acknowledge,
    append_entries,
    command,
    follower_core,
    leader_core,
    log_of,
    route,
)

LOG = [1, 1, 2, 2, 2, 3, 3, 4]


def pipelining_leader(**limits: int) -> Core:
    """Return core a, a leader that b follows and c does not answer; small windows."""
    settings = Settings(HEARTBEAT, T, ATTACH_TIMEOUT, **limits)
    core = leader_core([1], settings=settings)
    core.acknowledge_all('b')
    return core


# The follower.


@REPRODUCIBLE
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)),
        min_size=1,
        max_size=15,
    )
)
def test_messages_of_one_leader_in_any_order_never_regress(messages):
    """Delayed, duplicated, reordered: the log and the commit index only grow."""
    core, leader_log = follower_core([1]), log_of(LOG)
    for prev, count, commit in messages:
        before, committed = core.entries, core.state.commit_index
        request = append_entries(
            term=4,
            prev=(prev, ([0, *LOG])[prev]),
            entries=leader_log[prev : prev + count],
            commit=commit,
        )
        reply = core.ask(request)
        proven = min(prev + count, len(LOG))
        assert core.entries[: len(before)] == before
        assert core.entries == leader_log[: len(core.entries)]
        assert reply.success is (prev <= len(before))
        if reply.success:
            assert core.state.commit_index == max(committed, min(commit, proven))
        else:
            assert core.state.commit_index == committed


@REPRODUCIBLE
@given(st.lists(st.integers(1, 4), max_size=8).map(sorted), st.integers(0, 8))
def test_hint_is_an_entry_of_the_follower_that_may_agree(terms, prev):
    """It is before the rejected one and not of a later term: nothing that agrees is skipped."""
    core = follower_core([1, *terms])
    prev_term = ([0, *LOG])[prev]
    reply = core.ask(append_entries(term=9, prev=(prev, prev_term)))
    if reply.success:
        return
    assert reply.hint_index <= min(prev, len(core.entries))
    assert reply.hint_term == core.state.log.term_at(reply.hint_index) <= prev_term
    later = core.terms[reply.hint_index : min(prev, len(core.terms))]
    assert all(term > prev_term for term in later)


# The leader.


@REPRODUCIBLE
@given(
    st.lists(st.sampled_from([1, 2]), max_size=6).map(sorted),
    st.lists(st.sampled_from([4, 6, 8]), max_size=15).map(sorted),
    st.lists(st.sampled_from([3, 5, 7]), max_size=15).map(sorted),
)
def test_agreement_takes_a_round_per_term_not_per_entry(common, leaders, followers):
    """Whatever the logs: messages to agree are as few as their terms (§5.3)."""
    logs = {'a': [1, *common, *leaders], 'b': [1, *common, *followers], 'c': [1]}
    cluster = Cluster(logs, terms=dict.fromkeys('abc', 8))
    cluster.isolate('b')
    leader = cluster.elect('a')
    cluster.heal()
    cluster.trace.clear()
    leader.time_out()
    cluster.settle()
    sent = [
        request
        for request in cluster.trace
        if isinstance(request, AppendEntries) and request.route.receiver == 'b'
    ]
    assert cluster['b'].entries == leader.entries
    assert len(sent) <= 3 + min(len(set(leaders)), len(set(followers)))


def test_long_conflicting_log_is_brought_into_line_in_few_messages():
    """A thousand entries of another term are skipped at once."""
    cluster = Cluster({'a': [1] + [2] * 1000, 'b': [1] * 1000, 'c': [1]})
    cluster.elect('a')
    sent = [
        request
        for request in cluster.trace
        if isinstance(request, AppendEntries) and request.route.receiver == 'b'
    ]
    assert cluster['b'].terms == [1] + [2] * 1000 + [3]
    assert len(sent) <= 3


def test_messages_are_pipelined():
    """The next entries go out before the last ones are acknowledged (thesis §10.2.1)."""
    core = pipelining_leader()
    for text in 'xyz':
        core.propose(text)
    assert [len(request.entries) for request in core.drain(AppendEntries, 'b')] == [1, 1, 1]


def test_window_bounds_the_messages_under_way():
    """No more than in_flight_limit messages wait for an answer; an answer admits more."""
    core = pipelining_leader(in_flight_limit=3)
    for number in range(10):
        core.propose(f'{number}')
    under_way = core.drain(AppendEntries, 'b')
    assert [request.prev_log_index for request in under_way] == [2, 3, 4]
    core.reply(under_way[0], acknowledge(under_way[0]))
    (more,) = core.drain(AppendEntries, 'b')
    assert (more.prev_log_index, len(more.entries)) == (5, 7)


def test_message_holds_no_more_than_its_limit():
    """Bytes per message are bounded; one entry is sent however large."""
    size = payload_size(log_of([1, 1])[1].payload)
    core = pipelining_leader(message_limit=3 * size + 10)
    core.propose(*(f'1.{number}' for number in range(8)))
    assert [len(request.entries) for request in core.drain(AppendEntries, 'b')] == [3, 3, 2]
    core.propose('x' * 1000, 'y' * 1000)
    assert [len(request.entries) for request in core.drain(AppendEntries, 'b')] == [1, 1]


def test_peer_that_does_not_match_yet_is_probed_one_message_at_a_time():
    """Until the logs agree, entries sent in advance would be in vain."""
    core = pipelining_leader()
    core.drain(AppendEntries, 'c')
    for text in 'xyz':
        core.propose(text)
    assert core.drain(AppendEntries, 'c') == []


def test_failed_call_is_followed_by_a_probe_not_by_a_flood():
    """A peer that does not answer is asked again at the next heartbeat, once."""
    core = pipelining_leader()
    core.propose('x')
    core.propose('y')
    core.step(*map(Failed, core.drain(AppendEntries, 'b')))
    assert core.drain(AppendEntries, 'b') == []
    core.time_out()
    (probe,) = core.drain(AppendEntries, 'b')
    assert (probe.prev_log_index, len(probe.entries)) == (2, 2)


def test_dead_peer_gets_one_message_per_heartbeat():
    """However many commands come: entries up to the window, then heartbeats alone."""
    core = pipelining_leader(in_flight_limit=4)
    core.acknowledge_all('c')
    for number in range(50):
        core.propose(f'{number}')
        core.acknowledge_all('b')
        if number % 5 == 0:
            core.time_out()
            core.acknowledge_all('b')
    requests = core.drain(AppendEntries, 'c')
    assert sum(bool(request.entries) for request in requests) <= 4
    assert len(requests) <= 4 + 10
    assert sum(len(request.entries) for request in requests[-6:]) == 0


def test_dead_peer_does_not_delay_another():
    """Each peer has its own window."""
    core = pipelining_leader(in_flight_limit=2)
    for number in range(20):
        core.propose(f'{number}')
        core.acknowledge_all('b')
    assert core.state.commit_index == 22


def test_peer_that_is_back_gets_what_it_missed_at_once():
    """Its first answer to a heartbeat brings the entries, without waiting for another."""
    core = pipelining_leader()
    for number in range(12):
        core.propose(f'{number}')
        core.acknowledge_all('b')
        core.step(*map(Failed, core.drain(AppendEntries, 'c')))
        core.time_out()
        core.acknowledge_all('b')
    (heartbeat,) = core.drain(AppendEntries, 'c')
    assert heartbeat.entries == []
    core.reply(heartbeat, acknowledge(heartbeat))
    assert sum(len(request.entries) for request in core.drain(AppendEntries, 'c')) == 13


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_reordered_messages_are_no_proof_of_a_lost_storage(order):
    """A later message that overtakes an earlier one is rejected; nobody is accused for it."""
    core = pipelining_leader()
    core.notices.clear()
    follower = follower_core([1], id_='b', term=2)
    follower.ask(append_entries('b', sender='a', term=2, prev=(1, 1), entries=core.entries[1:]))
    core.propose('x')
    core.propose('y')
    earlier, later = core.drain(AppendEntries, 'b')
    replies = {1: (later, follower.ask(later)), 0: (earlier, follower.ask(earlier))}
    assert [replies[place][1].success for place in (0, 1)] == [True, False]
    for place in order:
        core.reply(*replies[place])
    core.time_out()
    for _ in range(4):
        for request in core.drain(AppendEntries, 'b'):
            core.reply(request, follower.ask(request))
    assert follower.entries == core.entries
    assert core.notices == []


def test_follower_that_denies_what_it_acknowledged_is_named_once():
    """Its storage went back in time: the owner is told, and match_index stays."""
    core = pipelining_leader()
    core.notices.clear()
    old = follower_core([1], id_='b', term=2)
    for _ in range(4):
        core.time_out()
        request = core.drain(AppendEntries, 'b')[-1]
        core.reply(request, old.ask(request))
    assert core.leader.peers['b'].match_index == 2
    assert len([text for text in core.notices if 'went back in time' in text]) == 1


def test_old_success_does_not_move_match_index_back():
    """match_index increases monotonically (Figure 2)."""
    core = pipelining_leader()
    core.propose('x')
    core.propose('y')
    earlier, later = core.drain(AppendEntries, 'b')
    core.reply(later, acknowledge(later))
    core.reply(earlier, acknowledge(earlier))
    progress = core.leader.peers['b']
    assert (progress.match_index, progress.next_index) == (4, 5)


def test_leader_refuses_commands_when_too_much_is_uncommitted():
    """What is taken in and not committed is bounded in bytes."""
    core = pipelining_leader(uncommitted_limit=1000)
    core.propose('x' * 2000)
    assert core.propose('y').reason == 'busy'
    core.acknowledge_all('b')
    assert core.propose('y').route.receiver == 'a'


def test_proposer_is_told_of_the_commit_at_once():
    """Whoever proposed does not wait for a heartbeat to learn that it is committed."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    leader.ask(Propose(route('b', 'a'), [command('x')]))
    cluster.settle()
    assert cluster['b'].state.commit_index == 3
    assert cluster['c'].state.commit_index < 3
