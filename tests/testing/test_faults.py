"""Each fault, as a record, does what its docstring says, and ends by itself."""

from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest

from consensual.testing import faults
from consensual.testing.faults import (
    LEADER,
    AnyFault,
    Attach,
    Crash,
    CrashAtWrite,
    CutOneWay,
    Detach,
    Disturb,
    FailWrite,
    Fault,
    FillDisk,
    Isolate,
    Partition,
    Pause,
    SetClockRate,
    SlowDisk,
    SlowDown,
    Stop,
    TakeSnapshot,
    Transfer,
)
from consensual.testing.liveness import settle
from consensual.testing.network import Noise
from consensual.testing.simulation import Simulation
from tests.simulation.ledger import Ledgers

EXAMPLES: list[AnyFault] = [
    Partition((('n1', 'n2'), ('n2', 'n3')), 1.0, is_refusing=True),
    Isolate('n1', 2.0, 'out'),
    CutOneWay('n1', 'n2', 0.5),
    Disturb(Noise(0.1, 0.2, 0.3), 1.0),
    Pause(LEADER, 1.0),
    SlowDown('n2', 0.1, 1.0),
    SetClockRate('n3', 1.5),
    Crash('n1', 1.0, with_disk=False),
    Stop('n2', 1.0),
    CrashAtWrite('n3', 2, is_durable=True, seconds=1.0),
    FailWrite('n1', is_written=True, seconds=1.0),
    FillDisk('n2', 1.0),
    SlowDisk('n3', 0.1),
    TakeSnapshot('n1'),
    Attach('n1', 'n4'),
    Detach('n2', 'n1'),
    Transfer('n2', 'n3'),
]


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Ledgers]:
    simulation = Ledgers(seed=3)
    simulation.found(3)
    yield simulation
    settle(simulation)
    simulation.close()
    simulation.check()


def hears(simulation: Simulation, source: str, target: str) -> bool:
    """Tell whether messages of one node reach the other."""
    link, seen = (source, target), list[object]()
    node = simulation[target].node
    original = node.receive

    async def receive(**message: object) -> object:
        if message['message']['route'][1] == source:  # type: ignore[index]
            seen.append(link)
        return await original(**message)  # type: ignore[arg-type]

    node.receive = receive  # type: ignore[method-assign]
    simulation.run(1.5)
    del node.receive
    return bool(seen)


# all of them


def test_every_fault_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == {*get_args(AnyFault)}
    kit = {fault for fault in Fault.__subclasses__() if fault.__module__ == faults.__name__}
    assert {*get_args(AnyFault)} == kit  # other tests make some of their own


@pytest.mark.parametrize('fault', EXAMPLES, ids=lambda fault: type(fault).__name__)
def test_faults_are_data(fault: AnyFault) -> None:
    """They can be printed, saved and read again."""
    assert msgspec.json.decode(msgspec.json.encode(fault), type=faults.AnyFault) == fault
    assert repr(fault).startswith(type(fault).__name__)


@pytest.mark.parametrize('fault', EXAMPLES, ids=lambda fault: type(fault).__name__)
def test_faults_of_who_does_not_run_do_nothing(fault: AnyFault) -> None:
    """What was drawn for another moment harms nobody: shrinking needs it."""
    with Ledgers() as simulation:
        fault.befall(simulation)
        simulation.run(10.0)
        assert [node.name for node in simulation.running] == []


@pytest.mark.parametrize('fault', EXAMPLES, ids=lambda fault: type(fault).__name__)
def test_faults_break_nothing(simulation: Ledgers, fault: AnyFault) -> None:
    fault.befall(simulation)
    for name in simulation.names:
        if simulation[name].is_running:
            simulation.submit(name)
    simulation.run(5.0)


# the network


def test_partition_ends_and_its_bridge_hears_both_sides(simulation: Ledgers) -> None:
    Partition((('n1', 'n2'), ('n2', 'n3')), 10.0).befall(simulation)
    assert not hears(simulation, 'n1', 'n3')
    assert hears(simulation, 'n1', 'n2')
    assert not hears(simulation, 'n3', 'n1')
    assert hears(simulation, 'n3', 'n2') or hears(simulation, 'n2', 'n3')
    simulation.run(10.0)
    lost = simulation.network.lost
    simulation.run(5.0)
    assert simulation.network.lost == lost


@pytest.mark.parametrize('ways', ['both', 'in', 'out'])
def test_isolated_leader_is_cut_off_in_these_ways(simulation: Ledgers, ways: str) -> None:
    Isolate(LEADER, 60.0, ways).befall(simulation)
    simulation.run(3.0)
    assert simulation.leader is not None
    assert simulation.leader.name in ('n2', 'n3')
    leader = simulation.leader.name
    assert hears(simulation, leader, 'n1') is (ways == 'out')
    before = simulation.now
    assert simulation.until(lambda: simulation['n1'].status.leader == simulation[leader].url)
    assert simulation.now <= before + 61.0


def test_cut_one_way_ends(simulation: Ledgers) -> None:
    CutOneWay('n1', 'n2', 2.0).befall(simulation)
    assert not hears(simulation, 'n1', 'n2')
    simulation.run(5.0)
    assert simulation.leader is not None
    assert hears(simulation, simulation.leader.name, 'n2') or simulation.leader.name == 'n2'


def test_disturbance_ends(simulation: Ledgers) -> None:
    Disturb(Noise(drop=0.5), 2.0).befall(simulation)
    simulation.run(2.0)
    lost = simulation.network.lost
    assert lost > 0
    simulation.run(2.0)
    assert simulation.network.lost <= lost + 2  # those that were on their way


# processes


def test_pause_ends(simulation: Ledgers) -> None:
    process = simulation['n2'].life.process
    turns = list[float]()
    Pause('n2', 2.0).befall(simulation)
    paused_at = simulation.now
    process.call_soon(lambda: turns.append(simulation.now))
    simulation.run(5.0)
    assert turns == [paused_at + 2.0]


def test_slowness_ends(simulation: Ledgers) -> None:
    def seconds_of_a_read() -> float:
        begun = simulation.now
        simulation['n2'].ensure_linearizable().result()
        return simulation.now - begun

    usual = seconds_of_a_read()
    SlowDown('n2', 0.1, 2.0).befall(simulation)
    assert seconds_of_a_read() > 0.2 > usual
    simulation.run(3.0)
    assert seconds_of_a_read() < 0.1


def test_clock_rate_stays(simulation: Ledgers) -> None:
    SetClockRate('n2', 1.5).befall(simulation)
    before = simulation['n2'].life.process.time()
    simulation.run(10.0)
    assert simulation['n2'].life.process.time() - before == pytest.approx(15.0)


@pytest.mark.parametrize('with_disk', [True, False])
def test_crashed_node_comes_back_with_its_disk_or_without(
    simulation: Ledgers, with_disk: bool
) -> None:
    incarnation = simulation['n2'].disk.incarnation
    Crash('n2', 2.0, with_disk=with_disk).befall(simulation)
    simulation.run(1.9)
    assert not simulation['n2'].is_up
    simulation.run(0.2)
    assert simulation['n2'].is_running
    assert (simulation['n2'].disk.incarnation == incarnation) is with_disk


def test_node_that_is_restarted_before_its_crash_ends_is_let_alone(simulation: Ledgers) -> None:
    Crash('n2', 2.0, with_disk=False).befall(simulation)
    simulation['n2'].restart()
    simulation.run(5.0)
    assert simulation['n2'].lives == 2
    assert simulation['n2'].disk.contents.entries


def test_stopped_node_is_started_again(simulation: Ledgers) -> None:
    Stop(LEADER, 2.0).befall(simulation)
    simulation.run(1.9)
    assert (simulation['n1'].is_up, simulation['n1'].is_running) == (True, False)
    simulation.run(0.2)
    assert (simulation['n1'].is_running, simulation['n1'].lives) == (True, 1)


# disks


@pytest.mark.parametrize('is_durable', [False, True])
def test_node_that_crashes_at_a_write_comes_back(simulation: Ledgers, is_durable: bool) -> None:
    node = simulation['n1']
    CrashAtWrite('n1', 2, is_durable, 5.0).befall(simulation)
    before = node.disk.contents.last_index
    calls = [simulation.submit('n1')]
    simulation.run(1.0)
    assert (node.is_up, calls[0].is_done) == (False, True)
    session = 1  # the first write opened it
    assert node.disk.contents.last_index == before + session + is_durable
    simulation.run(4.1)
    assert (node.is_running, node.lives) == (True, 2)


def test_crash_at_a_write_that_is_never_made_does_not_come(simulation: Ledgers) -> None:
    CrashAtWrite('n2', 1000, is_durable=False, seconds=5.0).befall(simulation)
    simulation.run(6.0)
    assert simulation['n2'].lives == 1


@pytest.mark.parametrize('is_written', [False, True])
def test_node_whose_write_failed_is_restarted(simulation: Ledgers, is_written: bool) -> None:
    node = simulation['n1']
    before = node.disk.contents.last_index
    FailWrite('n1', is_written, 3.0).befall(simulation)
    call = simulation.submit('n1')
    simulation.run(2.9)
    assert call.error is not None
    assert (node.disk.has_failed, node.lives) == (True, 1)
    assert (node.disk.contents.last_index > before) is is_written
    simulation.run(0.2)
    assert (node.disk.has_failed, node.lives) == (False, 2)


def test_full_disk_has_room_again(simulation: Ledgers) -> None:
    node = simulation['n1']
    before = node.disk.contents.last_index
    FillDisk('n1', 3.0).befall(simulation)
    simulation.submit('n1')
    simulation.run(2.9)
    assert (node.disk.is_full, node.disk.has_failed) == (True, True)
    assert node.disk.contents.last_index == before
    simulation.run(3.0)
    assert (node.disk.is_full, node.disk.has_failed, node.lives) == (False, False, 2)
    assert node.disk.contents.last_index > before


def test_disk_is_slow_from_now_on(simulation: Ledgers) -> None:
    for name in simulation.names:
        SlowDisk(name, 0.4).befall(simulation)
    begun = simulation.now
    simulation.finish(simulation.submit('n1'))
    assert simulation.now - begun > 0.4
    assert [node.disk.write_time for node in simulation] == [0.4] * 3


# membership


def test_new_node_is_attached_and_a_removed_one_again(simulation: Ledgers) -> None:
    voters = {node.name for node in simulation}
    for fault in Attach('n2', 'n4'), Detach('n1', 'n3'), Attach(LEADER, 'n3'):
        fault.befall(simulation)
        simulation.run(3.0)
        changed = {url.authority for url in simulation['n1'].status.voters}
        assert changed == voters ^ {fault.name}
        voters = changed


def test_two_voters_at_least_are_left(simulation: Ledgers) -> None:
    for name in 'n3', 'n2':
        Detach('n1', name).befall(simulation)
        simulation.run(2.0)
    assert len(simulation['n1'].status.voters) == 2


@pytest.mark.parametrize('target', ['n3', None])
def test_leader_hands_over(simulation: Ledgers, target: str | None) -> None:
    Transfer('n2', target).befall(simulation)
    simulation.run(1.0)
    assert simulation.leader is not None
    assert simulation.leader.name in ('n2', 'n3')
    assert target in (None, simulation.leader.name)
