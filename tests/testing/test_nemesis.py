"""The nemesis: what it draws from a seed, and that it befalls when it is said to."""

from collections import Counter
from random import Random
from typing import get_args

import pytest

from consensual.testing import Blow, Simulation, draw_schedule, faults, play
from consensual.testing.faults import LEADER, AnyFault

NAMES = ('n1', 'n2', 'n3')
STRANGERS = ('n4', 'n5')
SEEDS = range(200)


def schedule_of(seed: int, seconds: float = 20.0) -> list[Blow]:
    return draw_schedule(Random(seed), NAMES, seconds, strangers=STRANGERS)


def tallies() -> dict[str, object]:
    total = [0]

    def add(amount: int) -> int:
        total[0] += amount
        return total[0]

    return {'add': add}


def test_same_seed_draws_the_same_schedule() -> None:
    assert all(schedule_of(seed) == schedule_of(seed) for seed in SEEDS)


def test_other_seeds_draw_other_schedules() -> None:
    assert len({repr(schedule_of(seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize('seconds', [0.5, 20.0])
def test_schedule_is_ordered_and_within_its_seconds(seconds: float) -> None:
    for seed in SEEDS:
        instants = [blow.at for blow in schedule_of(seed, seconds)]
        assert instants == sorted(instants)
        assert all(0.0 <= at < seconds for at in instants)


def test_every_kind_of_fault_is_drawn_and_none_only_now_and_then() -> None:
    kinds = Counter(type(blow.fault) for seed in SEEDS for blow in schedule_of(seed))
    assert set(kinds) == set(get_args(AnyFault))
    assert min(kinds.values()) > len(SEEDS) / 10


def test_each_seed_has_kinds_of_faults_that_it_does_not_draw() -> None:
    """A cluster that everything befalls all the time never gets anywhere."""
    kinds = [{type(blow.fault) for blow in schedule_of(seed, 100.0)} for seed in range(20)]
    assert all(len(drawn) > 3 for drawn in kinds)
    assert any(len(drawn) < len(get_args(AnyFault)) for drawn in kinds)


def test_faults_name_members_strangers_or_the_leader() -> None:
    fields = ('name', 'by', 'source', 'target')
    named = {
        getattr(blow.fault, field, None)
        for seed in SEEDS
        for blow in schedule_of(seed)
        for field in fields
    }
    assert named == {*NAMES, *STRANGERS, LEADER, None}


def test_parts_of_a_partition_name_everybody() -> None:
    drawn = (blow.fault for seed in SEEDS for blow in schedule_of(seed))
    partitions = [fault for fault in drawn if isinstance(fault, faults.Partition)]
    assert partitions
    for partition in partitions:
        assert {name for group in partition.groups for name in group} == {*NAMES, *STRANGERS}
        assert all(partition.groups)


def test_two_members_are_enough() -> None:
    for seed in SEEDS:
        assert draw_schedule(Random(seed), ('a', 'b'), 20.0)


def test_play_lets_each_blow_befall_at_its_instant() -> None:
    with Simulation(tallies, seed=1) as simulation:
        simulation.found(3)
        begun = simulation.now
        play(
            simulation,
            [Blow(2.0, faults.Crash('n1', 0.75)), Blow(1.5, faults.Stop('n2', 0.25))],
        )
        changes = [(0.0, ['n1', 'n2', 'n3'])]

        def has_changed() -> bool:
            return [node.name for node in simulation.running] != changes[-1][1]

        for _ in range(4):
            assert simulation.until(has_changed, 5.0)
            names = [node.name for node in simulation.running]
            changes.append((round(simulation.now - begun, 1), names))
    assert changes == [
        (0.0, ['n1', 'n2', 'n3']),
        (1.5, ['n1', 'n3']),
        (1.8, ['n1', 'n2', 'n3']),
        (2.0, ['n2', 'n3']),
        (2.8, ['n1', 'n2', 'n3']),
    ]


def test_play_counts_from_the_moment_of_the_call() -> None:
    with Simulation(tallies, seed=1) as simulation:
        simulation.found(3)
        simulation.run(10.0)
        play(simulation, [Blow(1.0, faults.Crash('n2', 1.0))])
        simulation.run(0.99)
        assert simulation['n2'].is_up
        simulation.run(0.02)
        assert not simulation['n2'].is_up


def test_nothing_befalls_before_time_passes() -> None:
    with Simulation(tallies, seed=1) as simulation:
        simulation.found(3)
        play(simulation, [Blow(0.0, faults.Crash('n1', 1.0))])
        assert simulation['n1'].is_up


def test_same_schedule_of_the_same_seed_makes_the_same_run() -> None:
    def live() -> str:
        simulation = Simulation(tallies, seed=5)
        simulation.found(NAMES)
        play(simulation, [blow for blow in schedule_of(5) if type(blow.fault) is not faults.Attach])
        for number in range(40):
            for node in simulation.running[:1]:
                node.execute('add', number)
            simulation.run(0.5)
        simulation.close()
        trace = simulation.world.trace
        assert trace is not None
        return trace.text()

    assert live() == live()
