"""When an entry is committed: the rule of Figure 8, and nothing else (§5.4.2)."""

from consensual.raft.core.configuration import Member
from consensual.raft.core.quorum import agreed_value
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State


def advance_commit_index(state: State, leader: Leader) -> None:
    """Commit by counting only entries of the current term (§5.3, §5.4.2, Figure 8).

    Entries of earlier terms are committed by it indirectly, through the Log
    Matching Property; counted themselves, they could still be overwritten.
    """

    def durable_index_of(member: Member) -> int:
        """A leader counts itself only by what is durable here (thesis §10.2.1)."""
        if member == state.me:
            return state.durability.durable_index
        progress = leader.peers.get(member.id)
        return progress.match_index if progress and progress.member == member else 0

    index = agreed_value(state.electorate, durable_index_of)
    if index > state.commit_index and state.log.term_at(index) == state.current_term:
        state.commit(index)


def has_committed_in_own_term(state: State, leader: Leader) -> bool:
    """Until its no-op is committed, a leader does not know what is (thesis §6.4)."""
    return state.commit_index >= leader.first_index


def knows_commit(state: State) -> bool:
    """The same of whoever follows: an entry of its term is known committed, and all before it."""
    return state.log.term_at(state.commit_index) == state.current_term
