"""What Hypothesis draws: it can be played, it breaks nothing that is right, and it shrinks."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from consensual.raft import ConsensualError
from consensual.testing import Blow, Lost, Simulation, play, settle
from consensual.testing.faults import LEADER, AnyFault
from consensual.testing.strategies import (
    NAMES,
    Setup,
    any_faults,
    clusters,
    commands,
    schedules,
)

PHASES = [Phase.generate, Phase.shrink]
few = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow],
)
many = settings(max_examples=400, derandomize=True, database=None, deadline=None, phases=PHASES)


class Tally:
    def __init__(self) -> None:
        self.total = 0
        self.processors = {'add': self._add, 'clear': self._clear}
        self.queries = {'total': lambda _: self.total}

    def reset(self) -> None:
        self.total = 0

    def snapshot(self) -> int:
        return self.total

    def _add(self, amount: int) -> int:
        self.total += amount
        return self.total

    def _clear(self, _: None) -> None:
        self.total = 0


class Forgetful(Tally):
    """Counts otherwise in a process that was started again."""

    lives = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).lives += 1
        self.is_first_life = self.lives <= len(NAMES)

    def _add(self, amount: int) -> int:
        return super()._add(amount if self.is_first_life else 2 * amount)


some_commands = commands({'add': st.integers(0, 9), 'clear': None})


@few
@given(clusters(), schedules(strangers=('n4',)), st.lists(some_commands, max_size=20))
def test_whatever_is_drawn_can_be_played_and_breaks_nothing(
    cluster: Setup, schedule: list[Blow], asked: list[tuple[str, Any]]
) -> None:
    with cluster.simulate(Tally) as simulation:
        play(simulation, schedule)
        for number, (action, parameters) in enumerate(asked):
            if simulation.running:
                node = simulation.running[number % len(simulation.running)]
                node.execute(action, parameters)
            simulation.run(0.5)
        simulation.run(20.0)
        settle(simulation)


@given(schedules(('a', 'b'), strangers=('c',), seconds=3.0, most=4))
def test_schedules_are_ordered_and_within_their_bounds(schedule: list[Blow]) -> None:
    instants = [blow.at for blow in schedule]
    assert instants == sorted(instants)
    assert all(0.0 <= at <= 3.0 for at in instants)
    assert len(schedule) <= 4


@given(any_faults(('a', 'b'), strangers=('c',)))
def test_faults_name_nobody_but_those_given(fault: AnyFault) -> None:
    known = {'a', 'b', 'c', LEADER, None}
    fields = ('name', 'by', 'source', 'target')
    assert {getattr(fault, field, None) for field in fields} <= known
    assert {name for group in getattr(fault, 'groups', ()) for name in group} <= known


@pytest.mark.parametrize('kind', get_args(AnyFault))
def test_every_kind_of_fault_is_drawn(kind: type[AnyFault]) -> None:
    assert isinstance(
        find(any_faults(), lambda fault: isinstance(fault, kind), settings=many), kind
    )


def test_leader_is_named_and_struck_whoever_leads() -> None:
    """`LEADER` stands for a node that is not known when the schedule is drawn."""
    crash = find(any_faults(), lambda _: True, settings=many)  # the simplest
    assert getattr(crash, 'name', None) == LEADER
    with Simulation(Tally, seed=1) as simulation:
        simulation.found(3)
        simulation['n1'].transfer_leadership('n3').result()
        assert simulation.leader is simulation['n3']
        play(simulation, [Blow(0.0, crash)])
        simulation.run(0.01)
        assert [node.name for node in simulation if not node.is_up] == ['n3']


@given(some_commands)
def test_commands_are_of_the_given_actions(command: tuple[str, Any]) -> None:
    match command:
        case 'add', int(amount):
            assert 0 <= amount <= 9
        case _:
            assert command == ('clear', None)


@given(clusters([2, 4]))
def test_clusters_are_of_the_given_sizes(cluster: Setup) -> None:
    assert cluster.names in {('n1', 'n2'), ('n1', 'n2', 'n3', 'n4')}


def test_simplest_cluster_has_three_nodes_and_the_simplest_schedule_is_empty() -> None:
    """What a failure does not need is not in what is shown of it."""
    assert find(clusters(), lambda _: True, settings=many) == Setup(0, NAMES, 0.0, 10_000)
    assert find(schedules(), lambda _: True, settings=many) == []


def shrunk(is_broken: Callable[[list[Blow]], bool]) -> list[Blow]:
    """Return the smallest schedule that Hypothesis finds, of those that break something."""
    return find(schedules(seconds=1.0, most=6), is_broken, settings=many)


def test_state_that_depends_on_crashes_is_found_and_shrinks_to_one_restart() -> None:
    def is_broken(schedule: list[Blow]) -> bool:
        Forgetful.lives = 0
        simulation = Simulation(Forgetful, is_traced=False)
        simulation.found(NAMES)
        simulation['n1'].execute('add', 1).result()
        play(simulation, schedule)
        simulation.run(7.0)
        simulation.close()
        return bool(simulation.broken)

    [blow] = shrunk(is_broken)
    assert type(blow.fault).__name__ in {'Crash', 'CrashAtWrite', 'FailWrite', 'FillDisk'}


def test_client_that_asks_again_is_found_and_shrinks_to_one_or_two_blows() -> None:
    """Nobody knows of a command whose node crashed whether it was done (thesis §6.3)."""

    def add(simulation: Simulation) -> None:
        for node in simulation.running:
            try:
                node.execute('add', 1).result()
            except (Lost, ConsensualError):
                continue
            return

    def is_broken(schedule: list[Blow]) -> bool:
        simulation = Simulation(Tally, is_traced=False, is_watched=False)
        simulation.found(NAMES)
        play(simulation, schedule)
        for _ in range(30):
            add(simulation)
            simulation.run(0.02)
        total = max((node.machine.total for node in simulation if node.is_up), default=0)
        simulation.close()
        return bool(total > 30)

    assert 1 <= len(shrunk(is_broken)) <= 2
