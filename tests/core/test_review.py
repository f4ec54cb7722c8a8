"""What a review of the core found: late clocks, silent peers, old answers, odd numbers.

Its findings about membership are in `test_review_membership`.
"""

from random import Random

import pytest

from consensual.raft.core.events import Failed, SoloRequested, Woken
from consensual.raft.core.log import Command
from consensual.raft.core.messages import (
    KINDS,
    Accepted,
    AppendEntries,
    AppendEntriesReply,
    ReadIndex,
    ReadIndexReply,
    Reason,
    Refused,
    TimeoutNow,
    VoteReply,
    decode_reply,
    decode_request,
    encode,
)
from consensual.raft.core.raft import Raft
from consensual.raft.core.sessions import Sessions
from consensual.raft.errors import InvalidMessage
from tests.cores import (
    HEARTBEAT,
    SETTINGS,
    Core,
    T,
    acknowledge,
    address,
    append_entries,
    follower_core,
    leader_core,
    log_of,
    request_pre_vote,
    request_vote,
    route,
)


def wake_late(core: Core, by: float = 2 * HEARTBEAT) -> None:
    """Wake the core only that long after its deadline."""
    core.clock.now = core.deadline + by
    core.step(Woken())


def established_leader() -> Core:
    """Return core a, whose no-op is committed and known to b and c."""
    core = leader_core([1])
    core.acknowledge_all('b', 'c')
    return core


# A stall excuses once (§5.2, thesis §6.2 and §9.6).


def test_leader_that_is_always_woken_late_steps_down_nevertheless():
    """Being late forgives the others' silence once; a leader without a majority must end.

    Thesis §6.2: a leader that reaches no majority for an election timeout steps down.
    """
    core = established_leader()
    wake_late(core, by=2 * T)
    assert core.role == 'leader'
    wake_late(core, by=2 * T)
    assert core.role == 'follower'


def test_leader_that_is_woken_a_little_late_each_time_steps_down_nevertheless():
    """However it is woken, it ends, and keeps nobody else from being elected (thesis §4.2.3)."""
    core = established_leader()
    call = core.read()
    begun = core.clock.now
    while core.clock.now < begun + 6 * T and core.role == 'leader':
        wake_late(core)
    assert core.role == 'follower'
    assert core.answers[call] == Refused(Reason.NOT_LEADER)
    assert core.ask(request_pre_vote(term=9, last=(9, 9))).granted


def test_stalled_leader_that_is_heard_again_is_excused_again():
    """Once is counted from the last time that it was woken in time."""
    core = established_leader()
    for _ in range(3):
        wake_late(core, by=2 * T)
        core.acknowledge_all('b', 'c')
        core.time_out()
        core.acknowledge_all('b', 'c')
    assert core.role == 'leader'


@pytest.mark.parametrize('role', ['follower', 'candidate'])
def test_late_deadline_is_put_off_by_one_heartbeat_once(role):
    """A stalled process may not have heard its leader yet; but then it asks (§5.2)."""
    core = follower_core([1])
    if role == 'candidate':
        core.stand()
    wake_late(core)
    assert (core.role, core.deadline) == (role, core.clock.now + HEARTBEAT)
    wake_late(core)
    assert core.role == 'pre_candidate'


# Peers that are silent (§5.3, thesis §10.2.1).


def leader_with_silent_c() -> Core:
    """Return core a, which has not heard c for an election timeout, while b answers."""
    core = established_leader()
    begun = core.clock.now
    while core.clock.now < begun + T:
        core.time_out()
        core.acknowledge_all('b')
    core.drain()
    return core


def test_silent_peer_is_not_sent_a_burst_of_empty_messages():
    """Entries are held back from a peer that seems to be away, and so is all but heartbeats."""
    core = leader_with_silent_c()
    for text in 'xyz':
        core.propose(text)
    assert core.drain(AppendEntries, 'c') == []
    core.time_out()
    assert [request.entries for request in core.drain(AppendEntries, 'c')] == [[]]


def test_silent_peer_that_answers_a_heartbeat_is_sent_what_it_lacks():
    """Followers are retried for ever: nothing is held back from who is there again (§5.3)."""
    core = leader_with_silent_c()
    core.propose('x')
    core.time_out()
    core.acknowledge_all('c')
    assert core.leader.peers['c'].match_index == core.state.log.last_index


# Answers that come after what they answer is over (thesis §3.10).


@pytest.mark.parametrize('is_sent', [False, True], ids=['before TimeoutNow', 'after it'])
def test_late_answer_to_timeout_now_does_not_end_a_transfer_to_another(is_sent):
    """A transfer ends by its own target's failure, not by an earlier one's (thesis §3.10)."""
    core = established_leader()
    core.transfer('b')
    old = core.sent(TimeoutNow, 'b')
    while core.propose('x') == Refused(Reason.BUSY):
        core.time_out()
        core.acknowledge_all('b', 'c')
    assert core.transfer('c') == Accepted(core.to_itself(), 'c')
    if is_sent:
        core.acknowledge_all('c')
    core.step(Failed(old))
    assert core.propose('y') == Refused(Reason.BUSY)
    core.acknowledge_all('c')
    assert core.sent(TimeoutNow, 'c').term == core.state.current_term


@pytest.mark.parametrize('outcome', ['failed', 'accepted'])
def test_late_answer_to_timeout_now_does_not_make_a_removed_leader_leave(outcome):
    """It tells the others that C_new is committed, and hands over, before it leaves (§6)."""
    core = established_leader()
    core.detach('a')
    core.transfer('b')
    for _ in range(2):  # b acknowledges C_old,new and C_new
        for request in core.drain(AppendEntries, 'b'):
            core.reply(request, acknowledge(request))
        if core.state.configuration.is_joint:
            request = core.sent(AppendEntries, 'c')
            core.reply(request, acknowledge(request))
    old = core.sent(TimeoutNow, 'b')
    for request in core.drain(AppendEntries, 'c'):
        core.reply(request, acknowledge(request))
    assert core.state.commit_index == core.state.configured.index
    if outcome == 'failed':
        core.step(Failed(old))
    else:
        core.reply(old, Accepted(old.route.back()))
    assert core.role == 'leader'
    core.acknowledge_all('b', 'c')
    assert len(core.drain(TimeoutNow)) == 1


# Names that must not repeat, although random numbers may (design §4).


def test_cluster_ids_of_one_node_differ_although_its_random_numbers_repeat():
    """Two clusters of one name would hear each other's terms: a restart draws the same seed."""
    cores = [Core('a')]
    cores[0].step(SoloRequested())
    for _ in range(2):
        cores.append(Core('a', cores[-1].disk))
        cores[-1].step(SoloRequested())
    assert len({core.state.cluster_id for core in cores}) == 3


def test_cluster_ids_of_two_nodes_differ_although_their_random_numbers_are_the_same():
    """What is drawn is not all that names a cluster: its founder is part of it."""

    def found_cluster(id_: str) -> str:
        raft = Raft(address(id_), settings=SETTINGS, random=Random(7), now=0.0)
        raft.step(SoloRequested(), 0.0)
        return raft.state.cluster_id

    assert found_cluster('x') != found_cluster('y')
    assert found_cluster('x') == found_cluster('x')


# Numbers that no honest peer sends.


@pytest.mark.parametrize('lowest', [10**18, 2**63 - 1])
def test_mark_far_above_what_was_applied_costs_nothing(lowest):
    """Forgetting costs what is remembered, not how far the client's mark jumps (thesis §6.3)."""
    sessions: Sessions[str] = Sessions()
    sessions.open(5)
    for sequence in range(3):
        command = Command(5, sequence, 0, 'act', 'null')
        sessions.find(command).outcomes[sequence] = 'done'
    session = sessions.find(Command(5, lowest + 1, lowest, 'act', 'null'))
    assert (session.lowest, session.outcomes) == (lowest, {})
    assert sessions.find(Command(5, 2, 0, 'act', 'null')) is None


REQUESTS = [
    append_entries(term=4, prev=(3, 2), entries=log_of([4]), commit=2),
    request_vote(term=4, last=(3, 2)),
    request_pre_vote(term=4, last=(3, 2)),
    TimeoutNow(route('b', 'a'), 4),
]
REPLIES = [
    (REQUESTS[0], AppendEntriesReply(route('a', 'b'), 4, 1, False, 3, 2)),
    (REQUESTS[1], VoteReply(route('a', 'b'), 4, True)),
    (ReadIndex(route('b', 'a')), ReadIndexReply(route('a', 'b'), 7)),
]


def with_each_number_negative(message: dict) -> list[dict]:
    """Return copies of the message, each with one of its numbers below zero."""
    return [
        {**message, name: -1}
        for name, value in message.items()
        if type(value) is int and name != 'version'
    ]


@pytest.mark.parametrize('request_', REQUESTS, ids=lambda item: type(item).__name__)
def test_request_with_a_negative_number_is_invalid(request_):
    """Terms, indexes and counts begin at zero (Figure 2): below there is nothing to answer."""
    broken = with_each_number_negative(encode(request_))
    assert broken
    for message in broken:
        with pytest.raises(InvalidMessage):
            decode_request(KINDS[type(request_)], message)


@pytest.mark.parametrize(('request_', 'reply'), REPLIES, ids=lambda item: type(item).__name__)
def test_reply_with_a_negative_number_is_invalid(request_, reply):
    """The same for what is answered: a hint below zero would be looked up in the log."""
    broken = with_each_number_negative(encode(reply))
    assert broken
    for message in broken:
        with pytest.raises(InvalidMessage):
            decode_reply(request_, message)


@pytest.mark.parametrize(
    'entry',
    [
        [-1, 0.0, ['noop']],
        [4, 0.0, ['command', -1, 0, 0, 'act', 'null']],
        [4, 0.0, ['command', 1, -1, 0, 'act', 'null']],
        [4, 0.0, ['command', 1, 0, -1, 'act', 'null']],
    ],
    ids=str,
)
def test_entry_with_a_negative_number_is_invalid(entry):
    """It would be in every log for ever: it must not get into the first (§5.3)."""
    message = {**encode(REQUESTS[0]), 'prev_log_term': 0, 'entries': [entry]}
    with pytest.raises(InvalidMessage):
        decode_request(KINDS[AppendEntries], message)


def test_negative_numbers_are_all_that_is_wrong_with_those_messages():
    """The examples above are valid but for the sign."""
    for request in REQUESTS:
        assert decode_request(KINDS[type(request)], encode(request)) == request
    for request, reply in REPLIES:
        assert decode_reply(request, encode(reply)) == reply
