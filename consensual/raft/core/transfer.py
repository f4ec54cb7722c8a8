"""Leadership transfer: a leader hands over to a voter it chose (thesis §3.10)."""

from typing import Optional

from consensual.raft.core import election, terms
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import is_member
from consensual.raft.core.messages import Accepted, Reason, Refused, TimeoutNow, TransferLeadership
from consensual.raft.core.progress import Flow, Progress
from consensual.raft.core.roles import Follower, Leader, PreCandidate, Transfer
from consensual.raft.core.state import State
from consensual.raft.errors import NotMember, TransferFailed


def take_transfer_request(state: State, call: CallId, request: TransferLeadership) -> None:
    """Begin to hand over; new commands wait until it is done or given up."""
    leader = state.role
    if not isinstance(leader, Leader):
        return terms.refuse_as_not_leader(state, call)
    if not is_member(state, request.route):
        return state.durability.answer(call, Refused(Reason.REMOVED))
    if request.target == state.id:
        return state.durability.answer(call, Accepted(request.route.back(), state.id))
    if leader.transfer is not None and request.target not in ('', leader.transfer.target):
        return _refuse(state, call, f'leadership is being handed to {leader.transfer.target}')
    target = leader.transfer.target if leader.transfer else request.target
    if not target:
        successor = best_successor(state, leader)
        if successor is None or successor.flow is not Flow.REPLICATE:
            return _refuse(state, call, f'no other voter answers {state.id}')
        target = successor.member.id
    progress = leader.peers.get(target)
    if progress is None or progress.member not in state.configuration.voters:
        text = f'{target} is no voter of this cluster, so it cannot lead it'
        return state.durability.answer(call, Refused(NotMember.__name__, text))
    if leader.transfer is None:
        leader.transfer = Transfer(target, state.now + state.settings.election_timeout)
    return state.durability.answer(call, Accepted(request.route.back(), target))


def _refuse(state: State, call: CallId, text: str) -> None:
    state.durability.answer(call, Refused(TransferFailed.__name__, text))


def best_successor(state: State, leader: Leader) -> Optional[Progress]:
    """Return the voter with the longest log among those that answer."""
    since = state.now - state.settings.election_timeout
    return max(
        (
            progress
            for progress in leader.peers.values()
            if progress.member in state.configuration.voters
        ),
        key=lambda progress: (
            progress.flow is Flow.REPLICATE,
            progress.heard_at > since,
            progress.match_index,
        ),
        default=None,
    )


def hand_over(state: State, leader: Leader) -> None:
    """Send TimeoutNow once the target has the whole log (thesis §3.10, steps 2 and 3).

    If it does not take over within an election timeout, go on leading.
    """
    transfer = leader.transfer
    if transfer is None:
        return
    progress = leader.peers.get(transfer.target)
    if progress is None or state.now >= transfer.deadline:
        give_up(state, leader)
    elif progress.match_index == state.log.last_index and not transfer.is_sent:
        transfer.is_sent = True
        state.durability.withhold_request(TimeoutNow(progress.route, state.current_term))


def give_up(state: State, leader: Leader) -> None:
    """Go on leading; a leader that was removed leaves all the same (§6)."""
    leader.transfer = None
    if leader.retire_deadline is not None:
        terms.become_detached(state)


def take_answer(state: State, request: TimeoutNow, reply: object) -> None:
    """The target was told, or cannot be: a removed leader has nothing left to do (§6)."""
    leader = state.role
    if (
        isinstance(leader, Leader)
        and request.term == state.current_term
        and leader.transfer is not None
        and leader.transfer.is_sent
        and leader.transfer.target == request.route.receiver
        and (leader.retire_deadline is not None or not isinstance(reply, Accepted))
    ):
        give_up(state, leader)


def retire(state: State, leader: Leader) -> None:
    """A leader that C_new removes manages the cluster until it commits, then hands over (§6).

    Before, it tells everybody that C_new is committed, as far as they can be
    reached within an election timeout.
    """
    if leader.retire_deadline is None:
        leader.retire_deadline = state.now + state.settings.election_timeout
        leader.transfer = None
    is_told = state.commit_index == state.log.last_index and all(
        progress.told_commit >= state.configured.index for progress in leader.peers.values()
    )
    if leader.transfer is None and (is_told or state.now >= leader.retire_deadline):
        successor = best_successor(state, leader)
        if successor is None:
            return terms.become_detached(state)
        leader.transfer = Transfer(successor.member.id, state.now + state.settings.election_timeout)
    return None


def take_over(state: State, call: CallId, request: TimeoutNow) -> None:
    """Stand at once, without asking beforehand; voters know that the leader wants it."""
    if (
        isinstance(state.role, Follower | PreCandidate)
        and request.term == state.current_term
        and state.may_stand
    ):
        election.stand(state, is_transfer=True)
    state.durability.withhold_answer(call, Accepted(request.route.back()))
