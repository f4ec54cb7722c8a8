"""What a node does by itself, without anybody's consent: solo, leave, reset.

Membership by consent is `membership`.
"""

from hashlib import sha256

from consensual.raft.core import election, terms
from consensual.raft.core.configuration import Configuration
from consensual.raft.core.effects import INFO
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.replication import append_own
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State
from consensual.raft.errors import MembershipChangeInProgress, NotMember


def go_solo(state: State) -> None:
    """Become the only member and the leader of a new cluster, history and state kept.

    The cluster id is new and the term higher, so that nothing that was said in
    the old cluster is heard in the new one, nor the other way.
    """
    terms.become_detached(state)
    state.enter_term(state.current_term + 1)
    state.cluster_id = name_cluster(state)
    state.is_attached = True
    state.vote_for(state.id, state.incarnation)
    append_own(state, [Reconfiguration(Configuration((state.me,)))])
    state.notice(INFO, f'{state.id} is a cluster of its own: {state.cluster_id}')
    election.lead(state)


def name_cluster(state: State) -> str:
    """Return an id that no other cluster has: no incarnation enters a term twice.

    So it is new although the injected random numbers should repeat.
    """
    draw = state.random.getrandbits(64)
    life = f'{state.id} {state.incarnation} {state.current_term} {draw}'
    return sha256(life.encode()).hexdigest()[:16]


def leave_alone(state: State) -> None:
    """The only member leaves its cluster, which ends with that; its history is kept."""
    configuration = state.configuration
    if not state.is_attached:
        raise NotMember(f'{state.id} is in no cluster')
    if configuration.voters != (state.me,) or not configuration.is_stable:
        raise MembershipChangeInProgress(f'{state.id} is not the only member of its cluster')
    if isinstance(state.role, Leader) and state.configured.index > state.commit_index:
        raise MembershipChangeInProgress(
            f'{state.id} is about to be the only member of its cluster: wait a moment'
        )
    terms.become_detached(state)


def reset(state: State) -> None:
    """Empty a detached node: it begins another life and can be attached anywhere."""
    if state.is_attached:
        raise MembershipChangeInProgress(f'{state.id} is in a cluster: detach it first')
    state.reset()
