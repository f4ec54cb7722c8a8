"""After the faults: what must come about is seen, and what does not come about is told."""

from collections.abc import Iterator
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import NoLeader
from consensual.testing.chronicle import Applied
from consensual.testing.liveness import settle, state_of
from consensual.testing.network import Noise
from tests.simulation.ledger import THREE, Ledgers

Patch = pytest.MonkeyPatch


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Ledgers]:
    simulation = Ledgers(seed=11)
    simulation.found(THREE)
    yield simulation
    simulation.close()


def found(simulation: Ledgers) -> set[str]:
    return {broken.invariant for broken in simulation.broken}


def cluster_id_of(simulation: Ledgers, name: str) -> str:
    return simulation[name].status.cluster_id or ''


def never(_: Any) -> None:
    """Stand for a rule that does nothing any more."""


# what comes about


def test_settled_cluster_has_one_leader_and_the_same_log_everywhere(simulation: Ledgers) -> None:
    simulation.network.disturb(Noise(drop=0.5, delay=1.0))
    simulation.partition(['n1'], ['n2', 'n3'], is_refusing=True)
    simulation['n1'].crash()
    simulation['n2'].stop()
    simulation['n3'].pause()
    settle(simulation)
    assert [node.status.role for node in simulation].count('leader') == 1
    assert len({str(node.disk.contents.entries) for node in simulation}) == 1
    assert [node.lives for node in simulation] == [2, 1, 1]
    simulation.check()


def test_node_whose_disk_failed_is_restarted(simulation: Ledgers) -> None:
    simulation['n1'].fill_disk()
    simulation.submit('n1')
    simulation.run(1.0)
    settle(simulation)
    assert (simulation['n1'].lives, simulation['n1'].disk.has_failed) == (2, False)
    simulation.check()


def test_calls_that_go_on_are_waited_for(simulation: Ledgers) -> None:
    simulation.partition(['n1'], ['n2'], ['n3'])
    calls = [simulation.submit('n1', timeout=20.0), simulation['n2'].detach_nodes('n3')]
    simulation.run(1.0)
    assert not any(call.is_done for call in calls)
    settle(simulation)
    assert all(call.is_done for call in calls)
    simulation.check()


def test_cluster_that_lost_its_majority_is_not_asked_to_go_on(simulation: Ledgers) -> None:
    for name in 'n2', 'n3':
        simulation[name].restart(with_disk=False)
    settle(simulation)
    assert simulation.leader is None
    simulation.check()


def test_every_cluster_of_a_world_goes_on(simulation: Ledgers) -> None:
    simulation.finish(simulation.submit('n3'))
    simulation.isolate('n3')
    assert simulation.finish(simulation.solo('n3')) is None
    settle(simulation)
    assert cluster_id_of(simulation, 'n1') != cluster_id_of(simulation, 'n3')
    assert simulation.leader_of(['n3']) == 'n3'
    assert simulation.leader_of(['n1', 'n2']) is not None
    simulation.check()


# what does not


def test_call_that_does_not_end_is_told(simulation: Ledgers) -> None:
    async def wait() -> None:
        await simulation['n1'].life.process.create_future()

    simulation['n1'].spawn('wait for ever', wait())
    settle(simulation)
    assert found(simulation) == {'every_call_ends'}
    assert 'n1: wait for ever' in simulation.broken[0].text


def test_majority_without_a_leader_is_told(simulation: Ledgers, monkeypatch: Patch) -> None:
    monkeypatch.setattr('consensual.raft.core.election.stand', never)
    simulation['n1'].crash()
    settle(simulation)
    assert found(simulation) == {'a_majority_makes_progress'}


def test_member_that_does_not_catch_up_is_told(simulation: Ledgers) -> None:
    """Its link to the leader does not heal."""
    simulation.finish(simulation.submit('n1'))
    simulation['n3'].crash()
    simulation.finish(simulation.submit('n1'))
    heal = simulation.network.heal

    def heal_badly() -> None:
        heal()
        simulation.network.cut([('n1', 'n3'), ('n2', 'n3')])

    simulation.network.heal = heal_badly  # type: ignore[method-assign]
    settle(simulation)
    assert found(simulation) == {'a_majority_makes_progress'}
    assert 'the log of' in simulation.broken[0].text


def test_member_that_cannot_be_read_is_told(simulation: Ledgers, monkeypatch: Patch) -> None:
    async def refuse(_: Any, **__: Any) -> None:
        raise NoLeader('on purpose')

    monkeypatch.setattr(Node, 'ensure_linearizable', refuse)
    settle(simulation)
    assert found(simulation) == {'a_majority_makes_progress'}
    assert 'on purpose' in simulation.broken[0].text


def test_removed_node_that_is_not_told_is_seen(simulation: Ledgers, monkeypatch: Patch) -> None:
    monkeypatch.setattr('consensual.raft.core.membership.leave', never)
    simulation.finish(simulation['n1'].detach_nodes('n3'))
    settle(simulation)
    assert found(simulation) == {'who_is_removed_is_told'}
    assert 'n3' in simulation.broken[0].text


def test_acknowledged_command_that_a_member_lacks_is_told(simulation: Ledgers) -> None:
    """As if a caller had been told of a command at an index that holds another now."""
    simulation.finish(simulation.submit('n1'))
    simulation.run(1.0)
    chronicle = simulation.world.observer.past.clusters[cluster_id_of(simulation, 'n1')]
    index = chronicle.acknowledged_index
    known = chronicle.applied[index]
    chronicle.applied[index] = Applied(
        known.term - 1, known.time, known.key, known.outcome, known.state
    )
    settle(simulation)
    assert found(simulation) == {'no_acknowledged_command_is_lost'}
    assert len(simulation.broken) == len(THREE)


def test_state_of_a_crashed_node_is_not_known(simulation: Ledgers) -> None:
    simulation['n1'].crash()
    with pytest.raises(RuntimeError, match='is not watched'):
        state_of(simulation['n1'])
