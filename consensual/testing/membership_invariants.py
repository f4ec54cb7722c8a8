"""What must hold of the membership after every turn of every node (§6).

Each returns what is wrong, or None; see `invariants`, of which these are a part.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Optional

from consensual.raft.core.configuration import Configuration
from consensual.raft.core.log import Reconfiguration
from consensual.testing.chronicle import Turn
from consensual.testing.disk import Disk


def configuration_is_the_logs(turn: Turn) -> Optional[str]:
    """A server uses the latest configuration in its log, committed or not (§6)."""
    latest = turn.configurations[-1] if turn.configurations else 0
    configured = turn.state.configured
    if configured.index != latest:
        return f'uses the configuration of {configured.index}, where its log has one at {latest}'
    log = turn.state.log
    if latest > log.base_index and log.entry_at(latest).payload != configured.change:
        return f'uses another configuration than that at {latest}'
    return None


def electorate_is_the_configurations(turn: Turn) -> Optional[str]:
    """Voters decide, while joint in both majorities; learners do not (§6, thesis §4.2.1)."""
    if not turn.configurations:
        return None
    configuration = _change_at(turn, turn.configurations[-1]).configuration
    groups = [configuration.voters, configuration.outgoing]
    electorate = tuple(group for group in groups if group)
    if turn.state.electorate != electorate:
        return f'lets {turn.state.electorate} decide, where {configuration} is in force'
    return None


def one_change_at_a_time(turn: Turn) -> Optional[str]:
    """A leader appends a configuration when the one before is committed, and it in its term (§6).

    A new cluster's first one is its founder's own.
    """
    state = turn.state
    if turn.changed_from is None or turn.is_new_cluster or not turn.is_leader:
        return None
    for before, index in pairwise(turn.configurations):
        if index < turn.changed_from or state.log.term_at(index) != state.current_term:
            continue
        if state.commit_index < before:
            return f'changes the membership at {index}, before that of {before} is committed'
        if state.log.term_at(state.commit_index) != state.current_term:
            return f'changes the membership at {index}, before it committed in its term'
    return None


def voters_change_by_joint_consensus(turn: Turn) -> Optional[str]:
    """C_old is followed by C_old,new, and that by C_new (§6); learners come and go freely."""
    if turn.changed_from is None or turn.is_new_cluster:
        return None
    for before, index in pairwise(turn.configurations):
        change, old = _change_at(turn, index), _change_at(turn, before).configuration
        new = change.configuration
        is_solo = not change.request and len(new.members) == 1
        if index < turn.changed_from or is_solo:
            continue
        kept = new.outgoing if new.is_joint and not old.is_joint else new.voters
        if kept != old.voters or (old.is_joint and new.is_joint):
            return f'has {new} at {index}, after {old}'
    return None


def only_the_empty_join(turn: Turn) -> Optional[str]:
    """Only a new node or a reset one can be attached; others have a history (design §4)."""
    state, stored = turn.state, turn.disk.hard_state
    if (
        state.is_attached
        and _has_left(turn.disk, state.incarnation)
        and stored is not None
        and stored.cluster_id == state.cluster_id
    ):
        return 'is a member again, with the history that it left with'
    if not turn.is_leader or turn.changed_from is None or turn.is_superseded:
        return None
    for member in state.configuration.learners:
        disk = turn.past.disks.get(member.incarnation)
        if disk is not None and _has_left(disk, member.incarnation):
            return f'attaches {member}, which has a history'
    return None


def _has_left(disk: Disk, incarnation: str) -> bool:
    """That incarnation left a cluster, with a history."""
    stored = disk.hard_state
    is_its = stored is not None and stored.incarnation == incarnation and not stored.is_attached
    return is_its and bool(disk.contents.last_index)


def _change_at(turn: Turn, index: int) -> Reconfiguration:
    changes = (item.change for item in turn.state.history if item.index == index)
    return next(changes, Reconfiguration(Configuration()))


AFTER_EVERY_TURN: tuple[Callable[[Turn], Optional[str]], ...] = (
    configuration_is_the_logs,
    electorate_is_the_configurations,
    one_change_at_a_time,
    voters_change_by_joint_consensus,
    only_the_empty_join,
)
