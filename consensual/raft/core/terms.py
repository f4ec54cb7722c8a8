"""Terms: a later one always wins, and makes a follower of whoever sees it (§5.1)."""

from typing import Optional

from consensual.raft.core.configuration import NodeId
from consensual.raft.core.events import CallId
from consensual.raft.core.messages import Reason, Refused
from consensual.raft.core.roles import Detached, Follower, Leader
from consensual.raft.core.state import State


def observe(state: State, term: int) -> None:
    """Adopt a later term and follow in it (§5.1)."""
    if term > state.current_term:
        state.enter_term(term)
        become_follower(state)


def become_follower(
    state: State, leader: Optional[NodeId] = None, heard_at: Optional[float] = None
) -> None:
    """Stop leading or standing; wait for a leader, or follow the one named."""
    let_go(state)
    state.role = Follower(state.draw_election_deadline(), leader, heard_at)


def become_detached(state: State) -> None:
    """Be in no cluster; term, vote, log and cluster id are kept."""
    let_go(state)
    state.is_attached = False
    state.durability.hard_state_changed()
    state.role = Detached()


def let_go(state: State) -> None:
    """Tell whoever waits for this leader that it leads no more."""
    if isinstance(state.role, Leader):
        for call, _ in state.role.waiting_reads:
            refuse_as_not_leader(state, call)
        for _, _, call, _ in state.role.unconfirmed:
            refuse_as_not_leader(state, call)
        state.role.waiting_reads.clear()
        state.role.unconfirmed.clear()


def refuse_as_not_leader(state: State, call: CallId) -> None:
    """Only the leader can do it; name the one that is known."""
    state.durability.answer(call, Refused(Reason.NOT_LEADER, state.leader or ''))
