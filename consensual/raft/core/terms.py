"""Terms: a later one always wins, and makes a follower of whoever sees it (§5.1)."""

from typing import Optional

from consensual.raft.core.configuration import NodeId
from consensual.raft.core.events import CallId
from consensual.raft.core.messages import Reason, Refused
from consensual.raft.core.roles import Detached, Follower, Leader, Role
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
    former, state.role = (
        state.role,
        Follower(state.draw_election_deadline(), state.now, leader, heard_at),
    )
    let_go(state, former)


def become_detached(state: State) -> None:
    """Be in no cluster; term, vote, log and cluster id are kept."""
    former, state.role = state.role, Detached()
    state.is_attached = False
    state.incoming = None
    state.durability.hard_state_changed()
    let_go(state, former)


def let_go(state: State, former: Role) -> None:
    """Tell whoever waits for a leader that it leads no more."""
    if isinstance(former, Leader):
        for call, _ in former.waiting_reads:
            refuse_as_not_leader(state, call)
        for _, _, call, _ in former.unconfirmed:
            refuse_as_not_leader(state, call)
        former.waiting_reads.clear()
        former.unconfirmed.clear()


def refuse_as_not_leader(state: State, call: CallId) -> None:
    """Only the leader can do it; name the one that is known."""
    state.durability.answer(call, Refused(Reason.NOT_LEADER, state.leader or ''))
