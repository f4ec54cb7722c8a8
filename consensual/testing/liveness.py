"""What must come about once every fault is gone: calls end, clusters with a majority go on.

Which clusters those are is judged from the logs and disks of the nodes that run.
"""

from typing import Optional

from consensual.raft.core.configuration import Configuration, Electorate, Member
from consensual.raft.core.state import State
from consensual.testing.observer import Observer
from consensual.testing.simulated_node import SimulatedNode
from consensual.testing.simulation import Simulation

LONGEST_CALL = 70.0
"""Seconds after which every call has ended: a change takes 30 s, and a learner is given 30 s."""

PATIENCE = 60.0
"""Seconds that a cluster has to come to rest."""


def settle(simulation: Simulation) -> None:
    """Heal everything and restart everybody; see calls end and clusters go on.

    What does not come about is noted as a violation. Raises `ValueError` where nobody
    watches: then nothing would be noted.
    """
    if not simulation.world.is_watched:
        raise ValueError('nobody watches: make the simulation with is_watched=True')
    observer = simulation.world.observer
    simulation.heal()
    for node in simulation:
        if not node.is_up or node.disk.has_failed:
            node.restart()
        elif not node.is_running:
            node.start()
    if not simulation.until(lambda: not _going_on(simulation), LONGEST_CALL):
        observer.violate('every_call_ends', f'still going on: {_going_on(simulation)}')
    simulation.run(1.0)
    for cluster_id in sorted(observer.past.clusters):
        if cluster_id and _can_progress(simulation, cluster_id):
            _see_progress(simulation, observer, cluster_id)


def _going_on(simulation: Simulation) -> list[str]:
    return [call.what for node in simulation if node.is_up for call in node.life.calls]


def _see_progress(simulation: Simulation, observer: Observer, cluster_id: str) -> None:
    def is_at_rest() -> bool:
        return _unrest(simulation, cluster_id) is None

    if not simulation.until(is_at_rest, PATIENCE):
        unrest = _unrest(simulation, cluster_id)
        return observer.violate('a_majority_makes_progress', f'{cluster_id}: {unrest}')
    members = _members(simulation, cluster_id)
    for node in members:
        read = node.ensure_linearizable(timeout=10.0)
        simulation.until(lambda call=read: call.is_done, 20.0)  # type: ignore[misc]
        if not read.is_done or read.error is not None:
            observer.violate('a_majority_makes_progress', f'{read!r}')
    if not simulation.until(lambda: not _ghosts(simulation, cluster_id), PATIENCE):
        ghosts = _ghosts(simulation, cluster_id)
        observer.violate('who_is_removed_is_told', f'{ghosts} take themselves for members')
    _see_nothing_lost(observer, members, cluster_id)


def _see_nothing_lost(observer: Observer, members: list[SimulatedNode], cluster_id: str) -> None:
    """What a caller was told is applied is in every member's log, and applied there (§8)."""
    chronicle = observer.past.clusters[cluster_id]
    for node in members:
        log, applied = state_of(node).log, node.status.applied_index
        expected = max((index for index in chronicle.applied if index <= applied), default=0)
        if node.life.watcher.last_applied < expected:
            observer.violate(
                'no_acknowledged_command_is_lost',
                f'{node.name} says {applied}, and applied nothing after '
                f'{node.life.watcher.last_applied}',
            )
        for index in sorted(chronicle.acknowledged):
            known = chronicle.applied[index]
            is_compacted = index < log.base_index
            if index > applied or not (is_compacted or log.matches(index, known.term)):
                observer.violate(
                    'no_acknowledged_command_is_lost', f'{node.name} lacks {known} at {index}'
                )


def state_of(node: SimulatedNode) -> State:
    """Return what a running node's Raft knows."""
    state = node.state
    if state is None:
        raise RuntimeError(f'{node!r} is not watched')
    return state


def _attached(simulation: Simulation, cluster_id: str) -> list[SimulatedNode]:
    return [
        node
        for node in simulation.running
        if node.state is not None and node.state.is_attached and node.state.cluster_id == cluster_id
    ]


def _configurations(state: State) -> list[Configuration]:
    """Return the configuration that is known committed, and every later one in the log."""
    committed = state.committed_configured.index
    return [item.configuration for item in state.history if item.index >= max(committed, 1)]


def _completeness(node: SimulatedNode) -> tuple[int, int]:
    log = state_of(node).log
    return log.last_term, log.last_index


def _can_progress(simulation: Simulation, cluster_id: str) -> bool:
    """A majority, of each configuration that could be in force, runs with its memory."""
    attached = _attached(simulation, cluster_id)
    alive = {state_of(node).me for node in attached}
    if not attached:
        return False
    best = max(attached, key=_completeness)
    known = _configurations(state_of(best))
    if not known:
        return False
    electors = {member for configuration in known for member in configuration.electors}
    deciding = [best, *(node for node in attached if state_of(node).me in electors)]
    return all(
        _has_majority(configuration.electorate, alive)
        for node in deciding
        for configuration in _configurations(state_of(node))
    )


def _has_majority(electorate: Electorate, alive: set[Member]) -> bool:
    return all(2 * sum(member in alive for member in group) > len(group) for group in electorate)


def _members(simulation: Simulation, cluster_id: str) -> list[SimulatedNode]:
    """Return the running members, as the most complete log has them."""
    attached = _attached(simulation, cluster_id)
    if not attached:
        return []
    known = _configurations(state_of(max(attached, key=_completeness)))
    members = known[-1].members if known else ()
    return [node for node in attached if state_of(node).me in members]


def _ghosts(simulation: Simulation, cluster_id: str) -> list[SimulatedNode]:
    """Return who takes itself for a member and is none, though it knows a member to ask."""
    members = _members(simulation, cluster_id)
    known = {state_of(node).me for node in members}
    return [
        node
        for node in _attached(simulation, cluster_id)
        if node not in members
        and any(
            member in known
            for configuration in _configurations(state_of(node))[-1:]
            for member in configuration.electors
        )
    ]


def _unrest(simulation: Simulation, cluster_id: str) -> Optional[str]:
    """Return what is not yet as it should be; None when the cluster is at rest."""
    members = _members(simulation, cluster_id)
    if not members:
        return 'it has no member that runs'
    leaders = [node for node in members if node.status.role == 'leader']
    if len(leaders) != 1:
        best = max(_attached(simulation, cluster_id), key=_completeness)
        kind = 'a member' if best in members else 'no member'
        return f'{leaders} lead, of {members}; {best}, {kind}, has the most complete log'
    leader = state_of(leaders[0])
    known = _configurations(leader)
    if len(known) != 1 or not known[0].is_stable:
        return f'{leaders[0]} has {known}'
    if returned := _returned(simulation, known[0]):
        return f'{returned} came back without their data, and are not taken in again'
    for node in members:
        status, state = node.status, state_of(node)
        if _completeness(node) != _completeness(leaders[0]):
            return f'the log of {node} is not that of {leaders[0]}'
        if not state.log.last_index == status.commit_index == status.applied_index:
            return f'{node} has not applied everything'
    return None


def _returned(simulation: Simulation, configuration: Configuration) -> list[SimulatedNode]:
    """Return the nodes that are voters by their names, and empty: they lost their data."""
    names = {member.id for member in configuration.voters}
    return [
        node
        for node in simulation.running
        if node.name in names and not state_of(node).cluster_id and not state_of(node).is_attached
    ]
