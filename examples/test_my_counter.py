"""A property of one's own state machine, whatever befalls the cluster; run it by pytest."""

import time

import pytest
from hypothesis import given, settings

from consensual.raft import Context
from consensual.testing import InvariantsBroken, Simulation, play, settle
from consensual.testing.nemesis import Schedule
from consensual.testing.strategies import schedules


class Counter:
    """Knows when it was last changed, by the time of the log: the same on every node."""

    def __init__(self) -> None:
        self.processors = {'add': self.add}
        self.reset()

    def reset(self) -> None:
        self.total, self.changed_at = 0, 0.0

    def add(self, amount: int, *, context: Context) -> tuple[int, float]:
        self.total, self.changed_at = self.total + amount, context.time
        return self.total, self.changed_at


class CarelessCounter(Counter):
    def add(self, amount: int, *, context: Context) -> tuple[int, float]:
        return super().add(amount, context=context)[0], time.time()


def torment(make_machine: type[Counter], schedule: Schedule) -> None:
    """Add 1, 50 times, on any node, while faults come: what was acknowledged counts, once."""
    with Simulation(make_machine, seed=1) as simulation:
        simulation.found(3)
        play(simulation, schedule)
        calls = []
        for number in range(50):
            calls.append(simulation.running[number % len(simulation.running)].execute('add', 1))
            simulation.run(0.1)
        settle(simulation)  # the faults are over, and every call has ended
        acknowledged = sum(call.error is None for call in calls)
        assert simulation.leader is not None
        assert acknowledged <= simulation.leader.machine.total <= 50


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(schedules(seconds=5.0, most=4))
def test_my_counter_survives(schedule: Schedule) -> None:
    torment(Counter, schedule)


def test_careless_counter_is_found_out() -> None:
    with pytest.raises(InvariantsBroken, match='is not deterministic'):
        torment(CarelessCounter, [])
