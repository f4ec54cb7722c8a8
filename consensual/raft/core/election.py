"""Leader election: standing, voting, winning (§5.2, §5.4.1).

Asking beforehand whether it is worth it is `prevote`.
"""

from consensual.raft.core import replication, terms
from consensual.raft.core.configuration import NodeId
from consensual.raft.core.effects import INFO
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import configuration_position, refuse_removed
from consensual.raft.core.messages import Reason, Refused, RequestPreVote, RequestVote, VoteReply
from consensual.raft.core.quorum import has_quorum
from consensual.raft.core.roles import Candidate, Follower, Leader, PreCandidate
from consensual.raft.core.state import State


def stand(state: State, *, is_transfer: bool = False) -> None:
    """Enter a new term, vote for oneself and ask everybody else (§5.2).

    The requests are withheld until term and vote are durable.
    """
    state.enter_term(state.current_term + 1)
    state.vote_for(state.id, state.incarnation)
    state.role = Candidate(state.draw_election_deadline())
    state.notice(INFO, f'{state.id} stands for election in term {state.current_term}')
    for member in state.configuration.electors:
        if member != state.me:
            state.durability.withhold_request(
                RequestVote(
                    state.route_to(member),
                    state.current_term,
                    state.log.last_index,
                    state.log.last_term,
                    *configuration_position(state),
                    is_transfer,
                )
            )


def excuse_stall(state: State, waiting: Follower | PreCandidate | Candidate) -> bool:
    """Put a deadline off, once, that was noticed more than a heartbeat late (design §3).

    The loop or the process was stalled: what the leader said meanwhile may not
    have been heard yet.
    """
    late = state.now - waiting.election_deadline
    if waiting.is_excused or late <= state.settings.heartbeat:
        waiting.is_excused = False
        return False
    waiting.is_excused = True
    waiting.election_deadline = state.now + state.settings.heartbeat
    return True


def stop_waiting(state: State, node: NodeId) -> None:
    """A leader whose connection broke is held on to no more, until it is heard again.

    A crash is noticed so long before an election timeout. The delay before asking for
    votes is random, as in §5.2; whoever still hears the leader refuses them (thesis §4.2.3).
    """
    role = state.role
    if isinstance(role, Follower) and role.leader == node and state.may_stand:
        role.heard_at = None
        delay = state.random.random() * state.settings.heartbeat
        role.election_deadline = min(role.election_deadline, state.now + delay)


def answer_vote_request(state: State, call: CallId, request: RequestVote) -> None:
    """Grant one vote per term, to a log at least as complete as one's own (Figure 2)."""
    if refusal := refuse_removed(state, request):
        return state.durability.withhold_answer(call, refusal)
    if not request.is_transfer and hears_leader(state):
        return state.durability.withhold_answer(call, Refused(Reason.LEADER_ALIVE))
    terms.observe(state, request.term)
    is_granted = grant_vote(state, request)
    reply = VoteReply(request.route.back(), state.current_term, is_granted)
    return state.durability.withhold_answer(call, reply)


def grant_vote(state: State, request: RequestVote) -> bool:
    """Vote first come, first served, and repeat the vote to whom it was given (§5.2)."""
    candidate = request.route.sender, request.route.sender_incarnation
    if (
        request.term < state.current_term
        or state.voted_for not in (None, candidate)
        or not is_up_to_date(state, request)
    ):
        return False
    if state.voted_for is None:
        state.vote_for(*candidate)
    if isinstance(state.role, Follower):
        state.role.election_deadline = state.draw_election_deadline()
    return True


def is_up_to_date(state: State, request: RequestVote | RequestPreVote) -> bool:
    """The asker's log is at least as up to date: last term first, then length (§5.4.1)."""
    return (request.last_log_term, request.last_log_index) >= (
        state.log.last_term,
        state.log.last_index,
    )


def hears_leader(state: State) -> bool:
    """A voter that heard a leader within T, or that leads, disturbs it for nobody (thesis §4.2.3).

    A leader without a live quorum steps down by itself, see `replication.beat`.
    """
    match state.role:
        case Leader():
            return True
        case Follower(heard_at=heard_at) if heard_at is not None:
            return state.now - heard_at < state.settings.election_timeout
    return False


def take_vote(state: State, request: RequestVote, reply: VoteReply) -> None:
    """Count a vote once, for the term that asked."""
    terms.observe(state, reply.term)
    if (
        isinstance(state.role, Candidate)
        and request.term == state.current_term == reply.term
        and reply.granted
    ):
        voter = next(
            (
                member
                for member in state.configuration.electors
                if state.route_to(member) == request.route
            ),
            None,
        )
        if voter is not None:
            state.role.granted.add(voter)


def win_by_majority(state: State, candidate: Candidate) -> None:
    """A majority of votes makes a leader; one's own counts once it is durable (§5.2)."""
    if state.durability.is_hard_state_durable:
        candidate.granted.add(state.me)
    if has_quorum(state.electorate, candidate.granted):
        lead(state)


def lead(state: State) -> None:
    """Become the leader: a no-op of the new term, and word to everybody (§5.2, §8)."""
    state.clock_stamp, state.clock_base = replication.stamp(state), state.now
    leader = Leader(state.log.last_index + 1, state.now)
    state.role = leader
    replication.follow_configuration(state, leader)
    replication.append_no_op(state)
    leader.heartbeat_deadline = state.now + state.settings.heartbeat
    state.notice(INFO, f'{state.id} leads term {state.current_term}')
