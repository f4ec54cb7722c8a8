"""Whole clusters in the kit: what is well breaks nothing, and what no mutant shows is caught."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import NoLeader
from consensual.testing.liveness import settle
from consensual.testing.network import Noise
from consensual.testing.simulation import InvariantsBroken, Simulation
from tests.simulation.ledger import ACTIONS, THREE, Ledgers

Patch = pytest.MonkeyPatch


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Ledgers]:
    simulation = Ledgers(seed=7)
    simulation.found(THREE)
    yield simulation
    simulation.close()


def found(simulation: Simulation) -> set[str]:
    return {broken.invariant for broken in simulation.broken}


def test_cluster_that_is_well_breaks_nothing(simulation: Ledgers) -> None:
    calls = [simulation.submit(name, action) for name in THREE for action in ACTIONS]
    settle(simulation)
    assert all(call.is_done for call in calls)
    assert all(node.machine.commands == simulation['n1'].machine.commands for node in simulation)
    assert sorted(simulation['n1'].machine.commands) == [*range(1, 10)]
    simulation.check()


@pytest.mark.parametrize(
    'noise', [Noise(drop=0.3), Noise(duplicate=1.0), Noise(delay=0.3)], ids=str
)
def test_noise_is_heard_and_harms_nothing(simulation: Ledgers, noise: Noise) -> None:
    simulation.run(2.0)
    before = simulation.network.carried
    simulation.run(2.0)
    quiet = simulation.network.carried - before
    simulation.network.disturb(noise)
    before = simulation.network.carried
    simulation.run(2.0)
    assert simulation.network.carried - before != quiet
    for name in THREE:
        simulation.submit(name)
    settle(simulation)
    simulation.check()


def test_refusing_what_is_applied_is_caught(simulation: Ledgers, monkeypatch: Patch) -> None:
    """No core can be broken so: that the clerk refuses truthfully is the driver's promise."""
    original = Node.execute

    async def execute(self: Any, action: str, parameters: Any, **options: Any) -> Any:
        await original(self, action, parameters, **options)
        raise NoLeader('it is applied all the same')

    monkeypatch.setattr(Node, 'execute', execute)
    simulation.finish(simulation.submit('n1'))
    assert found(simulation) == {'refused_is_never_applied'}


def test_applying_what_was_refused_is_caught(simulation: Ledgers, monkeypatch: Patch) -> None:
    original, tasks = Node.execute, []

    async def execute(self: Any, action: str, parameters: Any, **options: Any) -> Any:
        tasks.append(self.loop.create_task(original(self, action, parameters, **options)))
        raise NoLeader('it will be applied all the same')

    monkeypatch.setattr(Node, 'execute', execute)
    simulation.finish(simulation.submit('n1'))
    assert found(simulation) == set()
    simulation.run(1.0)
    assert found(simulation) == {'refused_is_never_applied'}


def test_acknowledging_what_is_not_applied_is_caught(
    simulation: Ledgers, monkeypatch: Patch
) -> None:
    async def execute(_self: Any, _action: str, parameters: Any, **_: Any) -> Any:
        return parameters

    monkeypatch.setattr(Node, 'execute', execute)
    simulation.finish(simulation.submit('n1'))
    assert found(simulation) == {'acknowledged_is_applied'}


def test_call_that_raises_what_is_not_documented_is_caught(
    simulation: Ledgers, monkeypatch: Patch
) -> None:
    async def solo(_: Any) -> None:
        raise KeyError('solo')

    monkeypatch.setattr(Node, 'solo', solo)
    simulation.finish(simulation['n1'].solo())
    assert found(simulation) == {'calls_end_as_documented'}


def test_call_that_does_not_end_is_caught(simulation: Ledgers, monkeypatch: Patch) -> None:
    async def solo(self: Any) -> None:
        await self.loop.create_future()

    monkeypatch.setattr(Node, 'solo', solo)
    simulation['n1'].solo()
    settle(simulation)
    assert found(simulation) == {'every_call_ends'}


def test_state_machine_that_is_not_deterministic_is_caught() -> None:
    """Every node gives another result, and has another state, for the same command."""
    machines = count()

    class Dice:
        def __init__(self) -> None:
            self.value = next(machines)
            self.processors = {'roll': lambda _: self.value}

        def reset(self) -> None:
            raise NotImplementedError

    simulation = Simulation(Dice)
    simulation.found()
    simulation['n1'].execute('roll').result()
    simulation.run(1.0)
    with pytest.raises(InvariantsBroken, match='is not deterministic: roll') as caught:
        simulation.check()
    simulation.close()
    assert {broken.invariant for broken in caught.value.broken} == {
        'applied_is_the_same_everywhere'
    }
