"""A user's own state machine under test: a counter that knows when it was last changed.

Run it: pytest examples/test_my_counter.py
"""

import time
from typing import Any

import pytest

from consensual.raft import Context
from consensual.testing import Blow, InvariantsBroken, Simulation, faults, play, settle


class CarelessCounter:
    """Asks the machine for the time, so that no two nodes have the same state."""

    def __init__(self) -> None:
        self.total = 0
        self.changed_at = 0.0
        self.processors = {'add': self.add}
        self.queries = {'total': lambda _: self.total}

    def add(self, amount: int) -> int:
        self.total += amount
        self.changed_at = time.time()
        return self.total

    def snapshot(self) -> Any:
        return {'total': self.total, 'changed_at': self.changed_at}

    def reset(self) -> None:
        self.total, self.changed_at = 0, 0.0


class Counter(CarelessCounter):
    """Takes the time from the log, which is the same on every node."""

    def __init__(self) -> None:
        super().__init__()
        self.processors = {'add': self.add_at}

    def add_at(self, amount: int, *, context: Context) -> int:
        self.total += amount
        self.changed_at = context.time
        return self.total


def torment(simulation: Simulation) -> None:
    """Add 50 times one, on any node, while the leader crashes and the network is cut."""
    simulation.found(3)
    play(
        simulation,
        [
            Blow(1.0, faults.Crash('leader', seconds=2.0)),
            Blow(4.0, faults.Isolate('leader', seconds=3.0)),
            Blow(6.0, faults.Pause('n2', seconds=1.5)),
        ],
    )
    for number in range(50):
        running = simulation.running
        running[number % len(running)].execute('add', 1)
        simulation.run(0.2)
    settle(simulation)


def test_careless_counter_is_found_out() -> None:
    careless = Simulation(CarelessCounter, seed=1)
    with pytest.raises(InvariantsBroken, match='is not deterministic'), careless:
        torment(careless)


def test_counter_survives() -> None:
    with Simulation(Counter, seed=1) as simulation:
        torment(simulation)
        totals = {node.machine.total for node in simulation}
        assert len(totals) == 1
