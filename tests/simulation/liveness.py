"""What must come about once every fault is gone: calls end, clusters with a majority go on.

Which clusters those are is judged from the logs of the nodes that run.
"""

from typing import Optional

from consensual.raft.core.configuration import Configuration, Electorate, Member
from consensual.raft.core.log import Reconfiguration
from tests.simulation import invariants
from tests.simulation.replica import Replica
from tests.simulation.world import World

LONGEST_CALL = 60.0
"""Seconds after which every call has ended: a change takes 30 s, and a learner is given 30 s."""

PATIENCE = 60.0
"""Seconds that a cluster has to come to rest."""


def settle(world: World) -> None:
    """Heal everything; see every call end, and every cluster that can go on, go on."""
    world.network.heal()
    if not world.until(lambda: all(call.is_done for call in world.calls), LONGEST_CALL):
        late = [call.what for call in world.calls if not call.is_done]
        world.observer.violate(invariants.CALLS_END, f'still going on: {late}')
    world.run(1.0)
    for cluster_id in sorted(world.observer.clusters):
        _see_progress(world, cluster_id)


def _see_progress(world: World, cluster_id: str) -> None:
    def is_at_rest() -> bool:
        return _unrest(world, cluster_id) is None

    if not _can_progress(world, cluster_id):
        return
    if not world.until(is_at_rest, PATIENCE):
        return world.observer.violate(
            invariants.LIVENESS, f'cluster {cluster_id}: {_unrest(world, cluster_id)}'
        )
    members = _members(world, cluster_id)
    calls = [world.enqueue(replica.name, timeout=10.0) for replica in members]
    for call in calls:
        if (outcome := world.finish(call)) is not None:
            world.observer.violate(invariants.LIVENESS, f'{call.what}: {outcome!r}')
    if not world.until(is_at_rest, PATIENCE):
        world.observer.violate(
            invariants.LIVENESS, f'cluster {cluster_id}: {_unrest(world, cluster_id)}'
        )
    if not world.until(lambda: not _ghosts(world, cluster_id), PATIENCE):
        world.observer.violate(
            invariants.TOLD, f'cluster {cluster_id}: {_ghosts(world, cluster_id)} are not told'
        )
    acknowledged = world.observer.clusters[cluster_id].acknowledged
    for replica in members:
        if missing := acknowledged - replica.ledger.commands:
            world.observer.violate(invariants.ACKNOWLEDGED, f'{replica} lacks {sorted(missing)}')


def _attached(world: World, cluster_id: str) -> list[Replica]:
    return [
        replica
        for replica in world.running
        if replica.storage.hard_state.is_attached
        and replica.storage.hard_state.cluster_id == cluster_id
    ]


def configurations(replica: Replica) -> list[Configuration]:
    """Return the configuration that is known committed, and every later one in the log."""
    found: list[Configuration] = []
    for index, entry in enumerate(replica.storage.entries, 1):
        if isinstance(entry.payload, Reconfiguration):
            if index <= replica.node.status.commit_index:
                found.clear()
            found.append(entry.payload.configuration)
    return found


def _can_progress(world: World, cluster_id: str) -> bool:
    """A majority, of each configuration that could be in force, runs with its memory."""
    attached = _attached(world, cluster_id)
    alive = {_identity(replica) for replica in attached}
    if not attached:
        return False
    best = max(attached, key=_completeness)
    if not configurations(best):
        return False
    electors = {
        (member.id, member.incarnation)
        for configuration in configurations(best)
        for member in configuration.electors
    }
    deciding = [best, *(replica for replica in attached if _identity(replica) in electors)]
    return all(
        _has_majority(configuration.electorate, alive)
        for replica in deciding
        for configuration in configurations(replica)
    )


def _completeness(replica: Replica) -> tuple[int, int]:
    log = replica.storage.entries
    return (log[-1].term if log else 0), len(log)


def _has_majority(electorate: Electorate, alive: set[tuple[str, str]]) -> bool:
    def is_alive(member: Member) -> bool:
        return (member.id, member.incarnation) in alive

    return all(2 * sum(map(is_alive, group)) > len(group) for group in electorate)


def _identity(replica: Replica) -> tuple[str, str]:
    return replica.name, replica.storage.hard_state.incarnation


def _members(world: World, cluster_id: str) -> list[Replica]:
    """Return the running members, as the most complete log has them."""
    attached = _attached(world, cluster_id)
    if not attached:
        return []
    known = configurations(max(attached, key=_completeness))
    members = {(member.id, member.incarnation) for member in known[-1].members} if known else set()
    return [replica for replica in attached if _identity(replica) in members]


def _ghosts(world: World, cluster_id: str) -> list[Replica]:
    """Return who takes itself for a member and is none, though it knows a member to ask."""
    members = _members(world, cluster_id)
    known = {_identity(replica) for replica in members}
    return [
        replica
        for replica in _attached(world, cluster_id)
        if replica not in members
        and any(
            (member.id, member.incarnation) in known
            for configuration in configurations(replica)[-1:]
            for member in configuration.electors
        )
    ]


def _unrest(world: World, cluster_id: str) -> Optional[str]:
    """Return what is not yet as it should be; None when the cluster is at rest."""
    members = _members(world, cluster_id)
    if not members:
        return 'it has no member that runs'
    leaders = [replica for replica in members if replica.node.status.role == 'leader']
    if len(leaders) != 1:
        best = max(_attached(world, cluster_id), key=_completeness)
        kind = 'member' if best in members else 'no member'
        return f'{leaders} lead, of {members}; {best}, {kind}, has the most complete log'
    log = leaders[0].storage.entries
    if len(configurations(leaders[0])) != 1 or not configurations(leaders[0])[0].is_stable:
        return f'{leaders[0]} has {configurations(leaders[0])}'
    for replica in members:
        status = replica.node.status
        if replica.storage.entries != log:
            return f'the log of {replica} is not that of {leaders[0]}'
        if not len(log) == status.commit_index == status.applied_index:
            return f'{replica.node} has not applied everything'
    return None
