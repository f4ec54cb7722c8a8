"""Thesis §6.4: ReadIndex."""

from consensual.raft.core.events import Failed, Received
from consensual.raft.core.messages import (
    AppendEntries,
    ReadIndex,
    ReadIndexReply,
    Reason,
    Refused,
)
from tests.cores import (
    HEARTBEAT,
    Core,
    T,
    acknowledge,
    append_entries,
    follower_core,
    leader_core,
    reject,
    request_vote,
    route,
)


def reading_leader(voters: str = 'abc') -> Core:
    """Return core a, a leader that committed its no-op, at index 2."""
    core = leader_core([1], voters=voters)
    core.acknowledge_all(*voters[1:])
    assert core.state.commit_index == 2
    return core


def answer(core: Core, index: int) -> ReadIndexReply:
    """Return the read index as its own callers get it."""
    return ReadIndexReply(core.to_itself(), index)


def test_read_waits_for_a_commit_in_the_leaders_own_term():
    """Step 1: a new leader may not know yet what is committed."""
    core = leader_core([1, 1, 1])
    call = core.read()
    for request in core.drain(AppendEntries):
        core.reply(request, reject(request, (1, 1)))
    assert core.answers == {}
    core.acknowledge_all('b', 'c')
    core.time_out()
    core.acknowledge_all('b', 'c')
    assert core.answers[call] == answer(core, 4)


def test_read_on_a_cluster_of_one_waits_for_the_own_term_as_well():
    """Step 1: also the only voter must first commit its no-op."""
    core = follower_core([1, 1], voters='a', is_disk_slow=True)
    core.time_out()
    core.persist()
    call = core.read()
    assert (core.role, core.answers) == ('leader', {})
    core.persist()
    assert core.answers[call] == answer(core, 3)


def test_read_index_is_the_commit_index_when_the_read_came():
    """Step 2: what is committed later need not be waited for."""
    core = reading_leader()
    call = core.read()
    core.propose('later')
    core.acknowledge_all('b', 'c')
    assert core.state.commit_index == 3
    assert core.answers[call] == answer(core, 2)


def test_read_index_does_not_include_what_is_not_committed():
    """Step 2: entries that are only appended may yet be lost."""
    core = reading_leader('abcde')
    core.propose('not committed')
    core.drain()
    call = core.read()
    for request in core.drain(AppendEntries):
        core.reply(request, reject(request, (2, 2)))
    assert core.answers[call] == answer(core, 2)


def test_read_waits_for_a_quorum_of_a_round_begun_after_it():
    """Step 3: only answers to messages sent after the read prove that it still leads."""
    core = reading_leader()
    core.time_out()
    earlier = core.drain(AppendEntries)
    call = core.read()
    for request in earlier:
        core.reply(request, acknowledge(request))
    assert core.answers == {}
    core.acknowledge_all('c')
    assert core.answers[call] == answer(core, 2)


def test_read_is_confirmed_by_a_majority_not_by_one():
    """Step 3: of five voters, two others must confirm."""
    core = reading_leader('abcde')
    call = core.read()
    core.acknowledge_all('b')
    assert core.answers == {}
    core.acknowledge_all('d')
    assert core.answers[call] == answer(core, 2)


def test_read_round_is_begun_at_once():
    """The heartbeat that confirms a read does not wait for its interval."""
    core = reading_leader()
    core.drain()
    core.read()
    assert [request.route.receiver for request in core.drain(AppendEntries)] == ['b', 'c']


def test_many_reads_share_a_round():
    """Reads that come together, or while nothing was sent yet, cost one message per peer."""
    core = reading_leader()
    core.drain()
    request = ReadIndex(core.to_itself())
    core.step(*[Received(1000 + number, request) for number in range(50)])
    assert len(core.drain(AppendEntries, 'b')) == 1
    core.acknowledge_all('c')
    assert core.answers == {1000 + number: answer(core, 2) for number in range(50)}


def test_rejection_confirms_a_read_as_well():
    """A follower whose log does not match acknowledges the leader of the term all the same."""
    core = reading_leader()
    core.drain()
    call = core.read()
    request = core.sent(AppendEntries, 'b')
    core.reply(request, reject(request, (1, 1)))
    assert core.answers[call] == answer(core, 2)


def test_lost_message_confirms_nothing():
    """A call that failed is no answer."""
    core = reading_leader()
    core.drain()
    call = core.read()
    core.step(*map(Failed, core.drain(AppendEntries)))
    assert call not in core.answers
    core.time_out()
    core.acknowledge_all('b')
    assert core.answers[call] == answer(core, 2)


def test_read_is_refused_when_leadership_is_lost():
    """A deposed leader cannot answer: another may have committed more."""
    core = reading_leader()
    call = core.read()
    core.ask(append_entries(term=9, prev=(2, 2)))
    assert core.answers[call].reason == Reason.NOT_LEADER


def test_refusal_does_not_name_the_leader_that_was():
    """A deposed leader must not send the asker back to itself."""
    core = reading_leader()
    call = core.read()
    core.ask(append_entries(term=9, prev=(2, 2)))
    assert core.answers[call].detail != 'a'


def test_waiting_read_is_refused_when_leadership_is_lost_before_the_first_commit():
    """Reads that wait for the no-op are refused, too."""
    core = leader_core([1])
    call = core.read()
    core.ask(request_vote(term=9, last=(9, 8), is_transfer=True))
    assert core.answers[call].reason == Reason.NOT_LEADER


def test_deposed_leader_in_a_minority_answers_no_read():
    """Without a quorum the read is never confirmed, whatever the others did meanwhile."""
    core = reading_leader()
    core.drain()
    call = core.read()
    begun = core.clock.now
    while core.clock.now < begun + T + 2 * HEARTBEAT:
        core.step(*map(Failed, core.drain(AppendEntries)))
        core.time_out()
    assert core.answers[call].reason == Reason.NOT_LEADER


def test_follower_hands_the_question_to_the_leader():
    """A follower asks for the read index; who does not lead names the leader."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    assert core.ask(ReadIndex(route('c', 'a'))) == Refused(Reason.NOT_LEADER, 'b')


def test_member_that_asks_is_told_the_commits_it_waits_for():
    """The reader gets the commit index in the confirming round, not a heartbeat later."""
    core = leader_core([1])
    core.acknowledge_all('b')
    call = core.call(ReadIndex(route('c', 'a')))
    core.acknowledge_all('b')
    assert core.answers[call] == ReadIndexReply(route('a', 'c'), 2)


def test_stranger_is_refused():
    """Only members read."""
    core = reading_leader()
    assert core.ask(ReadIndex(route('x', 'a'))) == Refused(Reason.REMOVED)


def test_read_never_enters_the_log():
    """A linearizable read costs no entry (thesis §6.4)."""
    core = reading_leader()
    before = core.entries
    core.read()
    core.acknowledge_all('b', 'c')
    assert core.entries == before
