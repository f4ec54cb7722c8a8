"""Figure 2, rules for servers: leaders."""

import pytest

from consensual.raft.core.events import Failed
from consensual.raft.core.log import NoOp
from consensual.raft.core.messages import Accepted, AppendEntries, Propose, Reason, Refused
from consensual.raft.errors import InvariantViolated
from tests.cores import (
    HEARTBEAT,
    acknowledge,
    append_entries,
    command,
    follower_core,
    leader_core,
    log_of,
    reject,
    route,
)


def test_new_leader_speaks_to_everybody_at_once():
    """Upon election AppendEntries go to all others, against new elections (§5.2)."""
    core = leader_core([1, 1, 2])
    requests = core.drain(AppendEntries)
    assert [request.route for request in requests] == [route('a', 'b'), route('a', 'c')]
    assert {(item.term, item.prev_log_index, item.prev_log_term) for item in requests} == {
        (3, 3, 2)
    }


def test_new_leader_appends_a_no_op_of_its_term():
    """An entry of its own term tells a new leader what is committed (§8)."""
    core = leader_core([1, 1, 2])
    assert core.entries[:3] == log_of([1, 1, 2])
    assert [(entry.term, entry.payload) for entry in core.entries[3:]] == [(3, NoOp())]


def test_next_index_begins_after_the_leaders_last_entry_and_match_index_at_zero():
    """Volatile state of leaders: reinitialised after election."""
    core = leader_core([1, 1, 2])
    for progress in core.leader.peers.values():
        assert progress.match_index == 0
    assert {request.prev_log_index for request in core.drain(AppendEntries)} == {3}


def test_idle_leader_sends_heartbeats():
    """Empty AppendEntries go out again and again while nothing happens (§5.2)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    for _ in range(3):
        before = core.clock.now
        core.time_out()
        assert core.clock.now - before == pytest.approx(HEARTBEAT)
        beats = core.drain(AppendEntries)
        assert [(beat.route.receiver, beat.entries) for beat in beats] == [('b', []), ('c', [])]
        for beat in beats:
            core.reply(beat, acknowledge(beat))


def test_leader_appends_a_command_and_replicates_it():
    """A client's command is appended to the leader's log, then sent (§5.3)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    assert core.propose('x') == Accepted(core.to_itself())
    assert core.entries[-1].payload == command('x')
    assert [request.entries for request in core.drain(AppendEntries)] == [core.entries[2:]] * 2


def test_command_is_applied_only_once_committed():
    """Responding to a client waits until the entry is applied to the state machine (§5.3)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.propose('x')
    assert [index for index, _ in core.applied] == [1, 2]
    core.acknowledge_all('b')
    assert [index for index, _ in core.applied] == [1, 2, 3]


@pytest.mark.parametrize('terms', [[1], [1, 1]])
def test_who_does_not_lead_takes_no_commands(terms):
    """Clients send to the leader; a follower names it (§5.1)."""
    core = follower_core(terms)
    core.ask(append_entries(term=1, prev=(1, 1)))
    reply = core.ask(Propose(route('c', 'a'), [command('x')]))
    assert reply == Refused(Reason.NOT_LEADER, 'b')
    assert core.terms == terms


def test_success_moves_next_index_and_match_index():
    """What a follower acknowledged is matched, and the next entry follows (§5.3)."""
    core = leader_core([1, 1])
    request = core.sent(AppendEntries, 'b')
    core.reply(request, acknowledge(request))
    progress = core.leader.peers['b']
    assert (progress.match_index, progress.next_index) == (3, 4)


def test_rejection_moves_next_index_back_and_is_retried():
    """After an inconsistency the leader tries again further back (§5.3)."""
    core = leader_core([1, 1, 1, 1])
    request = core.sent(AppendEntries, 'b')
    core.reply(request, reject(request, (2, 1)))
    again = core.sent(AppendEntries, 'b')
    assert (again.prev_log_index, again.prev_log_term, len(again.entries)) == (2, 1, 3)


def test_unanswered_append_entries_is_sent_again_and_again():
    """A leader retries until the follower stored every entry (§5.3)."""
    core = leader_core([1])
    core.acknowledge_all('c')
    for _ in range(20):
        request = core.sent(AppendEntries, 'b')
        assert request.prev_log_index == 1
        core.step(Failed(request))
        core.time_out()
        core.acknowledge_all('c')
    core.acknowledge_all('b')
    core.time_out()
    core.acknowledge_all('b', 'c')
    assert core.leader.peers['b'].match_index == 2


def test_entry_on_a_majority_is_committed():
    """An own-term entry that a majority stores is committed, with all before it (§5.3)."""
    core = leader_core([1, 1], voters='abcde')
    core.acknowledge_all('b')
    assert core.state.commit_index == 0
    core.acknowledge_all('c')
    assert core.state.commit_index == 3
    assert [index for index, _ in core.applied] == [1, 2, 3]


def test_followers_learn_the_commit_index():
    """The leader sends its commit index along, heartbeats included (§5.3)."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    core.time_out()
    assert [request.leader_commit for request in core.drain(AppendEntries)] == [2, 2]


def test_slow_follower_does_not_hold_up_a_command():
    """A majority is enough for a command to complete (§2, §5.3)."""
    core = leader_core([1])
    core.acknowledge_all('b')
    core.propose('x')
    core.acknowledge_all('b')
    assert core.state.commit_index == 3


def test_leader_never_overwrites_its_own_log():
    """Leader append-only: another leader of its own term cannot be, and the node stops (§5.3)."""
    core = leader_core([1, 1])
    before = core.entries
    request = append_entries(term=2, prev=(1, 1), entries=log_of([1, 2])[1:])
    with pytest.raises(InvariantViolated):
        core.ask(request)
    assert core.entries == before
