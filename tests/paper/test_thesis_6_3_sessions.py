"""Thesis §6.3: a command is applied once, however often it is in the log."""

from hypothesis import given
from hypothesis import strategies as st

from consensual.raft.core.log import Command, OpenSession
from consensual.raft.core.messages import Accepted, Propose
from consensual.raft.core.sessions import Sessions
from tests.cores import REPRODUCIBLE, leader_core


def numbered(session: int, sequence: int, lowest: int = 0) -> Command:
    """Return a command of that session."""
    return Command(session, sequence, lowest, 'act', 'null')


def apply(sessions: Sessions[str], command: Command) -> str:
    """Apply as an applier does: once; return what the caller is told."""
    session = sessions.find(command)
    if session is None:
        return 'unknown'
    return session.outcomes.setdefault(command.sequence, f'outcome {command.sequence}')


def opened(*ids: int, capacity: int = 8) -> Sessions[str]:
    """Return a table with those sessions."""
    sessions: Sessions[str] = Sessions(capacity)
    for id_ in ids:
        sessions.open(id_)
    return sessions


def test_session_is_opened_by_a_committed_entry():
    """A client registers through the log; the entry's index names the session."""
    core = leader_core([1], voters='a')
    assert core.ask(Propose(core.to_itself(), [OpenSession('me')])) == Accepted(core.to_itself())
    index, entry = core.applied[-1]
    assert (index, entry.payload) == (3, OpenSession('me'))


def test_repeated_command_gets_the_first_outcome():
    """A duplicate is recognised by its sequence; the stored outcome is the answer."""
    sessions = opened(5)
    assert apply(sessions, numbered(5, 0)) == 'outcome 0'
    assert sessions.find(numbered(5, 0)).outcomes == {0: 'outcome 0'}


def test_commands_of_one_client_may_come_in_any_order():
    """Concurrent requests of a session are told apart by their sequences."""
    sessions = opened(5)
    assert [apply(sessions, numbered(5, sequence)) for sequence in (2, 0, 1)] == [
        'outcome 2',
        'outcome 0',
        'outcome 1',
    ]
    assert set(sessions.by_id[5].outcomes) == {0, 1, 2}


def test_outcomes_below_the_lowest_unfinished_sequence_are_discarded():
    """The client says what it got; the table forgets it."""
    sessions = opened(5)
    for sequence in range(4):
        apply(sessions, numbered(5, sequence))
    apply(sessions, numbered(5, 4, lowest=3))
    assert sessions.by_id[5].outcomes == {3: 'outcome 3', 4: 'outcome 4'}
    assert sessions.by_id[5].lowest == 3


def test_command_below_the_mark_is_never_applied():
    """Its outcome was discarded: nobody knows any more whether it was applied."""
    sessions = opened(5)
    apply(sessions, numbered(5, 4, lowest=3))
    assert sessions.find(numbered(5, 2)) is None


def test_mark_never_goes_back():
    """A delayed command with an older mark brings nothing back."""
    sessions = opened(5)
    apply(sessions, numbered(5, 6, lowest=5))
    apply(sessions, numbered(5, 5, lowest=1))
    assert sessions.by_id[5].lowest == 5
    assert sessions.find(numbered(5, 3)) is None


def test_command_of_an_unknown_session_is_never_applied():
    """A session that was never opened, or expired, cannot vouch for anything."""
    assert opened(5).find(numbered(6, 0)) is None


def test_least_recently_used_session_is_evicted():
    """The table is bounded; the log's order decides who goes, the same on every node."""
    sessions = opened(1, 2, 3, capacity=3)
    apply(sessions, numbered(1, 0))
    sessions.open(4)
    assert list(sessions.by_id) == [3, 1, 4]
    assert sessions.find(numbered(2, 0)) is None


def test_sessions_do_not_mix():
    """The same sequence of two sessions is two commands."""
    sessions = opened(1, 2)
    apply(sessions, numbered(1, 0))
    assert sessions.by_id[2].outcomes == {}


@REPRODUCIBLE
@given(
    st.lists(
        st.one_of(
            st.just(None),
            st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 5)),
        ),
        max_size=40,
    )
)
def test_no_command_is_applied_twice(log):
    """Whatever the log repeats and however sessions come and go: at most once."""
    sessions: Sessions[bool] = Sessions(3)
    applied = []
    for index, item in enumerate(log):
        if item is None:
            sessions.open(index)
            continue
        command = numbered(*item)
        session = sessions.find(command)
        if session is not None and command.sequence not in session.outcomes:
            session.outcomes[command.sequence] = True
            applied.append((command.session, command.sequence))
    assert len(applied) == len(set(applied))
    assert len(sessions.by_id) <= 3
    for session in sessions.by_id.values():
        assert all(sequence >= session.lowest for sequence in session.outcomes)
