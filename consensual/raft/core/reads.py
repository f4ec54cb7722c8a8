"""Linearizable reads without the log: ReadIndex (thesis §6.4).

A read index is handed out only by who proved to lead after the read was asked for.
"""

from consensual.raft.core import terms
from consensual.raft.core.commitment import has_committed_in_own_term
from consensual.raft.core.configuration import Member
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import is_member
from consensual.raft.core.messages import ReadIndex, ReadIndexReply, Reason, Refused
from consensual.raft.core.quorum import agreed_value
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State


def take_read(state: State, call: CallId, request: ReadIndex) -> None:
    """Only the leader can tell up to where a reader must have applied."""
    if not isinstance(state.role, Leader):
        return terms.refuse_as_not_leader(state, call)
    if not is_member(state, request.route):
        return state.durability.answer(call, Refused(Reason.REMOVED))
    state.role.waiting_reads.append((call, request))
    if reader := state.role.peers.get(request.route.sender):
        reader.awaited_commit = max(reader.awaited_commit, state.commit_index)
    return None


def open_round(state: State, leader: Leader) -> None:
    """Give the waiting reads the commit index, to be confirmed by one common round.

    They wait first for a commit in the leader's own term: until then it may not
    know of entries that are committed (thesis §6.4, step 1).
    """
    if not leader.waiting_reads or not has_committed_in_own_term(state, leader):
        return
    number = leader.last_number + 1
    for call, request in leader.waiting_reads:
        leader.unconfirmed.append((number, state.commit_index, call, request))
    leader.waiting_reads.clear()


def ask_for_confirmation(leader: Leader) -> None:
    """Everybody is due a message that was sent after the latest reads came."""
    if leader.unconfirmed:
        number = leader.unconfirmed[-1][0]
        for progress in leader.peers.values():
            progress.is_due = progress.is_due or progress.sent_number < number


def release_confirmed(state: State, leader: Leader) -> None:
    """Answer the reads whose round a quorum confirmed (thesis §6.4, step 3)."""
    if not leader.unconfirmed:
        return

    def acked_number_of(member: Member) -> int:
        if member == state.me:
            return leader.last_number + 1
        progress = leader.peers.get(member.id)
        return progress.acked_number if progress and progress.member == member else 0

    confirmed = agreed_value(state.electorate, acked_number_of)
    while leader.unconfirmed and leader.unconfirmed[0][0] <= confirmed:
        _, index, call, request = leader.unconfirmed.popleft()
        state.durability.answer(call, ReadIndexReply(request.route.back(), index))
