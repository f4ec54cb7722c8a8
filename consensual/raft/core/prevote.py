"""Pre-vote: ask whether an election could be won before disturbing anybody (thesis §9.6).

Nothing that is asked or granted here changes a term or a vote.
"""

from consensual.raft.core import election, terms
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import configuration_position, refuse_removed, was_voter
from consensual.raft.core.messages import Reason, Refused, RequestPreVote, VoteReply
from consensual.raft.core.quorum import has_quorum
from consensual.raft.core.roles import Follower, PreCandidate
from consensual.raft.core.state import State


def time_out(state: State) -> None:
    """No leader was heard for an election timeout: ask for pre-votes (§5.2, thesis §9.6).

    A node that has no vote asks, too: only to hear whether it was removed. One
    that never got an entry has nobody to ask, and nothing to lose: it empties
    itself.
    """
    if not state.may_stand and is_patient(state):
        return None
    state.pre_vote_round += 1
    deadline = state.draw_election_deadline()
    if state.may_stand:
        state.role = PreCandidate(deadline, state.pre_vote_round)
        state.role.granted.add(state.me)
        if has_quorum(state.electorate, state.role.granted):
            return election.stand(state)
    elif not state.log.last_index:
        return state.reset()
    elif isinstance(state.role, Follower):
        state.role.election_deadline = deadline
    else:
        state.role = Follower(deadline, state.now)
    for member in state.configuration.electors:
        if member != state.me:
            state.durability.withhold_request(
                RequestPreVote(
                    state.route_to(member),
                    state.current_term + 1,
                    state.pre_vote_round,
                    state.log.last_index,
                    state.log.last_term,
                    *configuration_position(state),
                )
            )
    return None


def is_patient(state: State) -> bool:
    """A newcomer waits until its leader, or another one, must have given it up."""
    role = state.role
    if was_voter(state) or not isinstance(role, Follower):
        return False
    silent_since = role.since if role.heard_at is None else role.heard_at
    given_up_at = silent_since + state.settings.attach_timeout
    if state.now >= given_up_at:
        return False
    role.election_deadline = given_up_at
    return True


def answer_pre_vote_request(state: State, call: CallId, request: RequestPreVote) -> None:
    """Tell whether a vote could be had; change nothing (thesis §9.6).

    A refusal for the log or the term carries this node's term, which the asker
    adopts: otherwise a longer log with a lower term could never be elected, nor
    elect anybody.
    """
    if refusal := refuse_removed(state, request):
        return state.durability.withhold_answer(call, refusal)
    if election.hears_leader(state):
        return state.durability.withhold_answer(call, Refused(Reason.LEADER_ALIVE))
    is_granted = request.term > state.current_term and election.is_up_to_date(state, request)
    reply = VoteReply(request.route.back(), state.current_term, is_granted)
    return state.durability.withhold_answer(call, reply)


def take_pre_vote(state: State, request: RequestPreVote, reply: VoteReply) -> None:
    """Count a pre-vote once, for the round that asked; with a majority, stand."""
    terms.observe(state, reply.term)
    candidate = state.role
    if (
        not isinstance(candidate, PreCandidate)
        or request.round != candidate.round
        or request.term != state.current_term + 1
        or not reply.granted
    ):
        return
    for member in state.configuration.electors:
        if state.route_to(member) == request.route:
            candidate.granted.add(member)
    if has_quorum(state.electorate, candidate.granted):
        election.stand(state)
