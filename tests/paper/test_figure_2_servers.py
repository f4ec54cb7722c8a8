"""Figure 2, rules for servers: all servers, followers, candidates."""

import pytest

from consensual.raft.core.events import Woken
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    RequestVote,
    VoteReply,
)
from tests.cores import (
    Core,
    T,
    append_entries,
    follower_core,
    leader_core,
    log_of,
    reject,
    request_vote,
    route,
    vote,
)


def candidate_core(terms=(1,), **options) -> Core:
    """Return core a as a candidate: others granted its pre-vote."""
    return follower_core(terms, **options).stand()


# All servers.


def test_committed_entries_are_applied_once_and_in_order():
    """When the commit index passes what was applied, what is between is applied (§5.3)."""
    core = follower_core([1, 1, 1, 1])
    for commit in (2, 2, 4):
        core.ask(append_entries(term=1, prev=(4, 1), commit=commit, number=commit))
    assert core.applied == list(enumerate(log_of([1, 1, 1, 1]), 1))


@pytest.mark.parametrize('role', ['follower', 'candidate', 'leader'])
@pytest.mark.parametrize(
    'request_of_later_term',
    [append_entries(term=9, prev=(1, 1)), request_vote(term=9, last=(1, 1), is_transfer=True)],
)
def test_later_term_in_a_request_makes_a_follower(role, request_of_later_term):
    """A later term in a request is adopted, and its receiver follows (§5.1)."""
    make = {'follower': follower_core, 'candidate': candidate_core, 'leader': leader_core}
    core = make[role]()
    core.ask(request_of_later_term)
    assert (core.role, core.state.current_term) == ('follower', 9)
    assert core.disk.hard_state.current_term == 9


def test_later_term_in_a_vote_reply_makes_a_follower():
    """A later term in a reply is adopted as well (§5.1)."""
    core = candidate_core()
    request = core.sent(RequestVote, 'b')
    core.reply(request, VoteReply(request.route.back(), 9, False))
    assert (core.role, core.state.current_term, core.state.voted_for) == ('follower', 9, None)


def test_later_term_in_an_append_entries_reply_makes_a_follower():
    """A leader that hears of a later term leads no more (§5.1)."""
    core = leader_core()
    request = core.sent(AppendEntries, 'b')
    core.reply(request, reject(request, (0, 0), term=9))
    assert (core.role, core.state.current_term, core.state.voted_for) == ('follower', 9, None)


# Followers (§5.2).


def test_server_starts_as_a_follower():
    """Whoever starts or restarts follows, in the term it knew (§5.2)."""
    core = follower_core([1], term=4)
    assert (core.role, core.state.current_term, core.state.leader) == ('follower', 4, None)
    assert core.requests == []


def test_follower_sends_no_requests():
    """Followers are passive: they only answer (§5.1)."""
    core = follower_core([1])
    core.ask(append_entries(term=1, prev=(1, 1)))
    core.ask(request_vote(term=2, last=(1, 1)))
    core.step(Woken())
    assert core.requests == []


def test_follower_that_hears_nobody_asks_for_an_election():
    """After an election timeout without a leader or a granted vote an election begins (§5.2)."""
    core = follower_core([1], term=4)
    core.time_out()
    assert core.role == 'pre_candidate'
    assert [request.route for request in core.requests] == [route('a', 'b'), route('a', 'c')]
    assert {request.term for request in core.requests} == {5}


# Candidates (§5.2).


def test_candidate_begins_by_a_new_term_its_own_vote_and_a_new_timeout():
    """Standing: term + 1, a vote for itself, a timeout drawn anew, requests to all (§5.2)."""
    core = candidate_core([1, 1, 2], term=4)
    assert core.state.current_term == 5
    assert core.state.voted_for == ('a', 'a1')
    assert core.clock.now + T <= core.deadline < core.clock.now + 2 * T
    assert core.drain(RequestVote) == [
        RequestVote(route('a', 'b'), 5, 3, 2, 1, 1),
        RequestVote(route('a', 'c'), 5, 3, 2, 1, 1),
    ]


def test_candidate_with_a_majority_leads():
    """Votes of a majority, its own among them, make a leader (§5.2)."""
    core = candidate_core()
    request = core.sent(RequestVote, 'c')
    core.reply(request, vote(request))
    assert (core.role, core.state.current_term) == ('leader', 2)


def test_candidate_without_a_majority_does_not_lead():
    """Half of the votes is not enough (§5.2)."""
    core = candidate_core(voters='abcd')
    request = core.sent(RequestVote, 'b')
    core.reply(request, vote(request))
    assert core.role == 'candidate'


def test_vote_of_one_server_counts_once():
    """Each server has one vote: the same one, repeated, does not make a majority (§5.2)."""
    core = candidate_core(voters='abcde')
    request = core.sent(RequestVote, 'b')
    core.reply(request, vote(request))
    core.reply(request, vote(request))
    assert core.role == 'candidate'


def test_refused_votes_do_not_make_a_leader():
    """Only granted votes count."""
    core = candidate_core()
    for request in core.drain(RequestVote):
        core.reply(request, vote(request, granted=False))
    assert core.role == 'candidate'


def test_vote_of_an_earlier_term_does_not_count():
    """A vote is for the term that asked for it; a late one is void (§5.2)."""
    core = candidate_core()
    late = core.sent(RequestVote, 'b')
    core.stand()
    assert (core.role, core.state.current_term) == ('candidate', 3)
    core.reply(late, vote(late))
    assert core.role == 'candidate'


@pytest.mark.parametrize('later', [0, 1])
def test_candidate_that_hears_the_leader_follows_it(later):
    """AppendEntries of its own term or a later one end a candidacy (§5.2)."""
    core = candidate_core()
    term = core.state.current_term + later
    reply = core.ask(append_entries(term=term, prev=(1, 1)))
    assert reply == AppendEntriesReply(route('a', 'b'), term, 1, True)
    assert (core.role, core.state.leader) == ('follower', 'b')
    assert core.state.voted_for == (None if later else ('a', 'a1'))


def test_candidate_stays_when_a_leader_of_an_earlier_term_speaks():
    """AppendEntries of an earlier term are refused and change nothing (§5.2)."""
    core = candidate_core([1], term=4)
    reply = core.ask(append_entries(term=4, prev=(1, 1)))
    assert reply == AppendEntriesReply(route('a', 'b'), 5, 1, False)
    assert (core.role, core.state.current_term) == ('candidate', 5)


def test_candidate_whose_election_fails_begins_another():
    """When nobody wins in time, a new election is begun in a new term (§5.2)."""
    core = candidate_core()
    core.drain()
    core.stand()
    assert (core.role, core.state.current_term) == ('candidate', 3)
    assert {request.term for request in core.drain(RequestVote)} == {3}


def test_only_voter_elects_itself():
    """One vote is a majority of one; it counts once it is durable."""
    core = follower_core([1], voters='a', is_disk_slow=True)
    core.time_out()
    assert core.role == 'candidate'
    core.persist()
    assert (core.role, core.state.current_term) == ('leader', 2)
