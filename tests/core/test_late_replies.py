"""What arrives late from an earlier cluster, life or round changes nothing (design §4)."""

import pytest

from consensual.raft.core.events import Failed, ResetRequested, SoloRequested
from consensual.raft.core.messages import (
    AppendEntries,
    Reason,
    Refused,
    RequestPreVote,
    RequestVote,
    Route,
    TimeoutNow,
)
from tests.cores import (
    Core,
    acknowledge,
    append_entries,
    follower_core,
    leader_core,
    log_of,
    reject,
    vote,
)


def asked(kind: type) -> tuple[Core, RequestVote | RequestPreVote, RequestVote | RequestPreVote]:
    """Return core a, which asks b and c for votes or pre-votes, and both requests."""
    core = follower_core([1])
    if kind is RequestVote:
        core.stand()
    else:
        core.time_out()
    return core, core.sent(kind, 'b'), core.sent(kind, 'c')


@pytest.mark.parametrize('kind', [RequestPreVote, RequestVote])
def test_detached_node_ignores_late_votes(kind):
    """A node that was told of its removal owns no timer and enters no term any more."""
    core, to_b, to_c = asked(kind)
    core.reply(to_b, Refused(Reason.REMOVED))
    term = core.state.current_term
    core.reply(to_c, vote(to_c, granted=False, term=9))
    assert (core.role, core.deadline, core.state.current_term) == ('detached', None, term)


@pytest.mark.parametrize('kind', [RequestPreVote, RequestVote])
def test_reset_node_ignores_votes_of_its_earlier_life(kind):
    """An empty node knows no term; else it would depose the leader that it joins."""
    core, to_b, to_c = asked(kind)
    core.reply(to_b, Refused(Reason.REMOVED))
    core.step(ResetRequested())
    core.reply(to_c, vote(to_c, granted=False, term=9))
    assert (core.role, core.state.current_term) == ('detached', 0)
    way = Route('new', 'b', 'b1', 'a', core.state.incarnation)
    reply = core.ask(AppendEntries(way, 3, 1, 0, 0, log_of([3]), 0))
    assert (reply.success, reply.term, core.state.cluster_id) == (True, 3, 'new')


@pytest.mark.parametrize('kind', [RequestPreVote, RequestVote])
def test_solo_node_ignores_votes_of_its_former_cluster(kind):
    """After solo, old and new cluster never mix: a term of the old one deposes nobody."""
    core, to_b, _ = asked(kind)
    core.step(SoloRequested())
    term = core.state.current_term
    core.reply(to_b, vote(to_b, granted=False, term=50))
    assert (core.role, core.state.current_term) == ('leader', term)


def test_solo_leader_ignores_replies_to_what_it_led_before():
    """AppendEntries of the old cluster, answered late, say nothing in the new one."""
    core = leader_core([1])
    old = core.drain(AppendEntries)
    core.step(SoloRequested())
    core.reply(old[0], acknowledge(old[0]))
    core.reply(old[1], reject(old[1], (0, 0), term=50))
    assert (core.role, core.state.current_term) == ('leader', 3)
    assert core.leader.peers == {}


def test_reply_of_an_earlier_term_is_ignored():
    """Replies are counted for the term that asked: a leader again does not count old ones."""
    core = leader_core([1])
    old = core.sent(AppendEntries, 'b')
    core.ask(append_entries(term=5, prev=(1, 1), sender='c', entries=log_of([1, 5])[1:]))
    core.drain()
    core.win('b', 'c')
    assert core.state.current_term == 6
    core.reply(old, acknowledge(old))
    assert core.leader.peers['b'].match_index == 0


def test_reply_that_comes_twice_is_counted_once():
    """The second answer to a message is an answer to nothing."""
    core = leader_core([1, 1, 1])
    request = core.sent(AppendEntries, 'b')
    core.reply(request, reject(request, (2, 1)))
    assert len(core.drain(AppendEntries, 'b')) == 1
    core.reply(request, reject(request, (1, 1)))
    assert core.drain(AppendEntries, 'b') == []


@pytest.mark.parametrize('outcome', ['failed', 'refused'])
def test_late_outcome_of_a_transfer_does_not_end_another(outcome):
    """What was sent in an earlier term is of no concern to the leader of a later one."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.transfer('b')
    old = core.sent(TimeoutNow, 'b')
    core.ask(append_entries(term=5, prev=(2, 2), sender='c'))
    core.win('b', 'c')
    core.acknowledge_all('b', 'c')
    core.transfer('c')
    if outcome == 'failed':
        core.step(Failed(old))
    else:
        core.reply(old, Refused(Reason.DETACHED))
    assert core.propose('x') == Refused(Reason.BUSY)
