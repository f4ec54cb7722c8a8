"""Who may speak to whom: cluster and incarnations come before terms.

A refusal made here carries no term and changes nothing. (The protocol version,
which comes first of all, is checked where messages are decoded.)
"""

from typing import Optional

from msgspec.structs import replace

from consensual.raft.core.configuration import Incarnation, NodeId
from consensual.raft.core.effects import HardState
from consensual.raft.core.messages import (
    AppendEntries,
    Inquire,
    Reason,
    Refused,
    Request,
    RequestPreVote,
    RequestVote,
    Route,
)
from consensual.raft.core.state import State


def refuse_stranger(state: State, request: Request) -> Optional[Refused]:
    """Refuse what is meant for another node, cluster or incarnation.

    An incarnation that came back without its data is another one: nothing that
    was said to the lost one is answered in its name.
    """
    route = request.route
    if route.receiver != state.id:
        return Refused(Reason.MISROUTED, state.id)
    if type(request) is Inquire:
        return None
    if state.cluster_id and route.cluster_id != state.cluster_id:
        return Refused(Reason.CLUSTER, state.cluster_id)
    if route.receiver_incarnation != state.incarnation:
        return Refused(Reason.INCARNATION, state.incarnation)
    if state.is_attached or (is_empty(state) and type(request) is AppendEntries):
        return None
    if isinstance(request, RequestVote | RequestPreVote) and (
        refusal := refuse_removed(state, request)
    ):
        return refusal
    return Refused(Reason.DETACHED)


def is_empty(state: State) -> bool:
    """A new node or a reset one: only such may join, others have a history of their own."""
    return not state.cluster_id and not state.log.last_index


def is_of_this_life(state: State, request: Request) -> bool:
    """The request was sent by this incarnation, as a member of the cluster it is in now.

    What a reply to any other says concerns somebody that is no more.
    """
    route = request.route
    return (
        state.is_attached
        and route.cluster_id == state.cluster_id
        and route.sender_incarnation == state.incarnation
    )


def was_voter(state: State) -> bool:
    """This incarnation is, or was, a voter in some configuration that is known here."""
    return any(configured.configuration.is_voter(state.me) for configured in state.history)


def is_member(state: State, route: Route) -> bool:
    """The sender is, as this very incarnation, in the configuration in force or committed."""
    return any(
        member.id == route.sender and member.incarnation == route.sender_incarnation
        for configured in (state.configured, state.committed_configured)
        for member in configured.configuration.members
    )


def refuse_removed(state: State, request: RequestVote | RequestPreVote) -> Optional[Refused]:
    """Refuse a non-member, if what is committed here is as new as its configuration.

    An older configuration proves nothing: the asker may have been added since,
    unless the entry that added it was lost: another one is committed in its place,
    or one of a later term before it, for terms never decrease along a log (§5.3). What was
    compacted away is committed: a configuration there that is later than ours, or of a later
    term, was lost.
    """
    committed, log = state.committed_configured, state.log
    term, index = request.configuration_term, request.configuration_index
    is_as_new = (committed.term, committed.index) >= (term, index)
    if index < log.base_index:
        is_lost = True
    elif index <= state.commit_index:
        is_lost = log.term_at(index) != term
    else:
        is_lost = log.term_at(state.commit_index) > term
    if (is_as_new or is_lost) and not is_member(state, request.route):
        return Refused(Reason.REMOVED)
    return None


def configuration_position(state: State) -> tuple[int, int]:
    """Return term and index of the configuration in force, as votes are asked with."""
    return state.configured.term, state.configured.index


def readdress(hard_state: HardState, node_id: NodeId, incarnation: Incarnation) -> HardState:
    """Return what makes a node's data another's, or its own again from a copy (design §4).

    A copy has forgotten what was promised since. So it goes on as an incarnation that
    promised nothing, and is in no cluster; term, cluster id and log are its history.
    """
    return replace(
        hard_state,
        node_id=node_id,
        incarnation=incarnation,
        voted_for='',
        voted_incarnation='',
        is_attached=False,
    )
