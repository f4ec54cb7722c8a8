"""A simulation as its users know it: clusters in virtual time, the same for the same seed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consensual.raft.errors import (
    InvalidParameters,
    NodeStopped,
    ProcessorFailed,
    StorageError,
    UnknownAction,
)
from consensual.testing import Counter, NotDone, Returned, Unknown, check
from consensual.testing.call import Lost
from consensual.testing.liveness import settle
from consensual.testing.network import Noise
from consensual.testing.simulation import InvariantsBroken, Simulation
from consensual.testing.trace import load, replay

TALLIES = 'tests.testing.test_simulation'


class Tally:
    """A total."""

    def __init__(self) -> None:
        self.total = 0
        self.processors = {'add': self._add, 'fail': self._fail, 'nap': self._nap}
        self.queries = {'get': lambda _: self.total}

    def reset(self) -> None:
        self.total = 0

    def snapshot(self) -> int:
        return self.total

    def restore(self, value: int) -> None:
        self.total = value

    def _add(self, amount: int) -> int:
        self.total += amount
        return self.total

    def _fail(self, _: Any) -> None:
        raise ValueError('on purpose')

    async def _nap(self, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return self.total


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Simulation]:
    with Simulation(Tally, seed=1) as simulation:
        simulation.found()
        yield simulation


def eventful_life(seed: int) -> str:
    """Live a short and noisy life; return its whole trace."""
    simulation = Simulation(Tally, seed=seed, snapshot_every=4, write_time=0.01)
    simulation.found()
    simulation.network.disturb(Noise(drop=0.1, duplicate=0.2, delay=0.1))
    simulation['n2'].set_clock_rate(1.3)
    simulation['n3'].slow_down(0.003)
    for node in [*simulation, *simulation]:
        node.execute('add', 1)
        node.execute('nap', 0.1)
        simulation.run(0.2)
    simulation['n1'].crash_at_write(2)
    simulation.run(3.0)
    simulation['n1'].restart()
    simulation.partition(['n1'], ['n2', 'n3'])
    simulation.run(2.0)
    settle(simulation)
    simulation.close()
    simulation.check()
    trace = simulation.world.trace
    assert trace is not None
    return trace.text()


# the same again


def test_same_seed_makes_the_same_run_byte_for_byte() -> None:
    assert eventful_life(3) == eventful_life(3)
    assert eventful_life(3) != eventful_life(4)


@pytest.mark.parametrize('hash_seed', ['0', '4711'])
def test_same_seed_makes_the_same_run_in_every_process(hash_seed: str) -> None:
    """Sets and hashes of texts have another order in each; nothing may depend on it."""
    code = f'import sys; from {TALLIES} import eventful_life; sys.stdout.write(eventful_life(3))'
    environment = {
        **os.environ,
        'PYTHONHASHSEED': hash_seed,
        'PYTHONPATH': os.pathsep.join(sys.path),
    }
    run = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, check=True
    )
    assert run.stdout.decode() == eventful_life(3)


def test_watching_changes_nothing_of_a_run() -> None:
    def life(is_watched: bool) -> str:
        simulation = Simulation(Tally, seed=5, is_watched=is_watched)
        simulation.found()
        simulation['n1'].crash()
        simulation['n2'].execute('add', 1).result()
        simulation.close()
        trace = simulation.world.trace
        assert trace is not None
        return trace.text()

    assert life(is_watched=True) == life(is_watched=False)


def test_trace_can_be_saved_and_replayed(simulation: Simulation, tmp_path: Path) -> None:
    simulation['n2'].crash()
    simulation['n2'].restart()
    simulation.run(1.0)
    simulation.save_trace(tmp_path / 'trace')
    notes = (tmp_path / 'trace').read_text()
    assert 'n2 crashes' in notes
    assert 'n2 starts, life 2' in notes
    replayed = replay(load(tmp_path / 'trace'))
    assert [moment.error for moment in replayed if moment.error is not None] == []
    assert {
        life: str(core.state) for life, core in replayed.cores.items() if life != ('n2', 1)
    } == {(node.name, node.lives): str(node.state) for node in simulation}


def test_what_was_not_recorded_cannot_be_saved(tmp_path: Path) -> None:
    simulation = Simulation(Tally, is_traced=False)
    with pytest.raises(ValueError, match='is_traced=True'):
        simulation.save_trace(tmp_path / 'trace')


# nodes and time


def test_founded_cluster_has_a_leader_and_all_its_members() -> None:
    with Simulation(Tally) as simulation:
        made = simulation.found(['x', 'y'])
        simulation.run(1.0)
        assert [node.name for node in simulation] == simulation.names == ['x', 'y']
        assert (made, simulation.running) == ([*simulation], [*simulation])
        assert (simulation.leader, simulation['x'].status.role) == (simulation['x'], 'leader')
        assert all(node.status.voters == (made[0].url, made[1].url) for node in made)
        with pytest.raises(ValueError, match="a node 'x' already"):
            simulation.add('x')


def test_time_passes_without_being_spent(simulation: Simulation) -> None:
    before = simulation.now
    simulation.run(60.0)
    assert simulation.now == before + 60.0
    assert simulation.until(lambda: simulation.now >= before + 61.0)
    assert not simulation.until(lambda: False, limit=2.0)


def test_waiting_for_nothing_in_a_dead_world_ends() -> None:
    simulation = Simulation(Tally)
    assert not simulation.until(lambda: False)


def test_leader_is_who_leads_in_the_latest_term(simulation: Simulation) -> None:
    simulation.isolate('n1')
    assert simulation.until(lambda: simulation.leader is not simulation['n1'])
    assert simulation.leader is not None
    assert simulation.leader.status.term > simulation['n1'].status.term
    for node in simulation:
        node.crash()
    assert (simulation.leader, simulation.running) == (None, [])


def test_partition_separates_and_heal_joins(simulation: Simulation) -> None:
    simulation.partition(['n1'], ['n2', 'n3'])
    call = simulation['n1'].execute('add', 1, timeout=1.0)
    simulation.run(2.0)
    assert call.is_done
    assert isinstance(call.error, Exception)
    simulation.heal()
    assert simulation['n1'].execute('add', 1).result() >= 1


# calls


def test_commands_and_queries_return_what_the_machine_says(simulation: Simulation) -> None:
    assert simulation['n1'].execute('add', 2).result() == 2
    assert simulation['n2'].execute('add', 3).result() == 5
    assert simulation['n3'].query('get').result() == 5
    assert simulation['n3'].ensure_linearizable().result() is None
    assert [node.machine.total for node in simulation if node.name != 'n2'] == [5, 5]


def test_errors_of_calls_are_raised_by_their_results(simulation: Simulation) -> None:
    for action, parameters, error in (
        ('fail', None, ProcessorFailed),
        ('unheard of', None, UnknownAction),
        ('add', float('nan'), InvalidParameters),
    ):
        call = simulation['n2'].execute(action, parameters)
        with pytest.raises(error):
            call.result()
        assert type(call.error) is error


def test_result_that_takes_too_long_is_an_error_of_the_test(simulation: Simulation) -> None:
    call = simulation['n1'].execute('nap', 3.0)
    with pytest.raises(TimeoutError, match='execute nap goes on after 1 s'):
        call.result(limit=1.0)
    assert not call.is_done
    assert call.result() == 0


def test_users_own_code_runs_in_the_process_of_a_node(simulation: Simulation) -> None:
    async def add_and_look() -> int:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await simulation['n3'].execute('add', 1) == 1
        await asyncio.sleep(10.0)
        assert await simulation['n2'].node.query('get') == 1
        return round(loop.time() - begun)

    assert simulation['n2'].spawn('add and look', add_and_look()).result() == 10


@pytest.mark.asyncio
async def test_calls_are_awaited_in_a_loop_of_another_kind(simulation: Simulation) -> None:
    assert await simulation['n1'].execute('add', 4) == 4
    assert await simulation['n2'].query('get') == 4
    assert await simulation['n2'].transfer_leadership('n3') is None
    assert simulation.leader is simulation['n3']
    with pytest.raises(ProcessorFailed):
        await simulation['n2'].execute('fail')


def test_membership_changes_as_asked(simulation: Simulation) -> None:
    newcomer = simulation.add('n4')
    assert simulation['n2'].attach_nodes('n4').result() is None
    assert simulation['n2'].detach_nodes('n1').result() is None
    simulation.run(1.0)
    assert simulation['n1'].status.role == 'detached'
    assert newcomer.detach().result() is None
    assert newcomer.status.role == 'detached'
    assert newcomer.detach().result() is None
    assert newcomer.status.last_index == 0
    assert newcomer.solo().result() is None
    assert newcomer.status.role == 'leader'


# crashes and stops


def test_crashed_node_is_gone_until_it_is_restarted(simulation: Simulation) -> None:
    node = simulation['n3']
    call = node.execute('nap', 100.0, timeout=50.0)
    node.crash()
    node.crash()
    with pytest.raises(Lost, match='crashed before it returned'):
        call.result()
    assert (node.is_up, node.is_running, node.state) == (False, False, None)
    with pytest.raises(RuntimeError, match=r'n3 has crashed: restart\(\) it first'):
        node.execute('add', 1)
    assert simulation['n1'].execute('add', 1).error is None


def test_node_that_is_restarted_with_its_disk_is_the_member_that_it_was(
    simulation: Simulation,
) -> None:
    node = simulation['n3']
    simulation['n1'].execute('add', 7).result()
    simulation.run(1.0)
    before, incarnation = node.machine, node.disk.incarnation
    node.crash()
    node.restart()
    assert node.lives == 2
    assert node.execute('add', 1).result() == 8
    assert (before.total, node.machine.total) == (7, 8)
    assert node.disk.incarnation == incarnation


def test_node_that_is_restarted_without_its_disk_is_another_one(simulation: Simulation) -> None:
    node = simulation['n3']
    simulation['n1'].execute('add', 7).result()
    incarnation = node.disk.incarnation
    node.restart(with_disk=False)
    assert node.disk.hard_state is None
    simulation.run(0.01)
    assert (node.status.role, node.machine.total) == ('detached', 0)
    settle(simulation)
    assert node.disk.incarnation not in ('', incarnation)


def test_crash_forgets_what_was_not_durable() -> None:
    """By seed, the write under way is on the disk as a whole, or not at all."""

    def left(seed: int) -> int:
        with Simulation(Tally, seed=seed, write_time=1.0) as simulation:
            node = simulation.add('n1')
            simulation.run(2.0)
            node.solo()
            simulation.run(0.01)
            assert node.status.last_index == 2
            node.restart()
            simulation.run(0.01)
            return node.status.last_index

    assert {left(seed) for seed in range(10)} == {0, 2}


@pytest.mark.parametrize('is_durable', [False, True])
def test_crash_at_a_write_ends_the_process_within_it(
    simulation: Simulation, is_durable: bool
) -> None:
    node = simulation['n1']
    before = node.disk.contents.last_index
    node.crash_at_write(is_durable=is_durable)
    call = node.execute('add', 1)
    with pytest.raises(Lost):
        call.result()
    assert not node.is_up
    assert (node.disk.contents.last_index > before) is is_durable
    node.restart()
    settle(simulation)


def test_node_whose_disk_is_full_stops_and_fails_its_calls(simulation: Simulation) -> None:
    node = simulation['n1']
    node.fill_disk()
    call = node.execute('add', 1)
    with pytest.raises(StorageError, match='No space left'):
        call.result()
    assert node.disk.has_failed
    assert simulation.until(lambda: simulation['n2'].status.leader not in (None, node.url))
    settle(simulation)
    assert node.lives == 2


def test_stopped_node_keeps_its_machine_and_starts_again(simulation: Simulation) -> None:
    node, machine = simulation['n1'], simulation['n1'].machine
    assert node.stop().result() is None
    assert (node.is_up, node.is_running) == (True, False)
    assert simulation.leader is not None
    with pytest.raises(NodeStopped):
        node.execute('add', 1).result()
    assert node.start().result() is None
    assert (node.is_running, node.lives, node.machine) == (True, 1, machine)
    assert node.execute('add', 1).result() == 1


def test_paused_leader_is_replaced_and_follows_when_it_wakes(simulation: Simulation) -> None:
    leader = simulation['n1']
    leader.pause(5.0)
    simulation.run(4.9)
    roles = [node.status.role for node in simulation]
    assert roles.count('leader') == 2
    assert leader.status.role == 'leader'
    simulation.run(1.0)
    assert leader.status.role == 'follower'


def test_clock_rate_and_slowness_outlive_a_crash(simulation: Simulation) -> None:
    node = simulation['n2']
    node.set_clock_rate(2.0)
    node.slow_down(0.05)
    node.restart()
    process = node.life.process
    before = process.time()
    simulation.run(1.0)
    assert process.time() - before == pytest.approx(2.0)
    asked = simulation.now
    node.query('get').result()
    assert simulation.now - asked > 0.1


def test_processors_alone_will_do_as_a_machine() -> None:
    with Simulation(lambda: {'double': lambda number: 2 * number}) as simulation:
        simulation.found(2)
        assert simulation['n2'].execute('double', 4).result() == 8


# the history


def test_history_tells_what_was_asked_and_answered_and_is_linearizable(
    simulation: Simulation,
) -> None:
    for number, node in enumerate([*simulation, *simulation]):
        node.execute('add', number, client=f'c{number}', request=('add', number))
        node.query('get', client='reader', request=('get',))
        simulation.run(0.01)
    simulation['n1'].execute('add', 9)
    simulation['n1'].crash()
    simulation['n2'].execute('unheard of')
    simulation.run(5.0)
    operations = [*simulation.history]
    assert {type(operation.outcome) for operation in operations} == {Returned, Unknown, NotDone}
    assert operations[0].client == 'c0'
    assert operations[-1].request == ('unheard of', None)
    assert operations[-1].client == 'n2'
    assert check(operations[:-1], Counter())


# its end


def test_block_that_ends_well_is_checked_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('CONSENSUAL_TRACES', str(tmp_path))
    simulation = Simulation(Tally, seed=9)

    def live() -> None:
        with simulation:
            simulation.found()
            simulation.world.observer.violate('a_test_of_the_check', 'on purpose')

    with pytest.raises(InvariantsBroken, match='a_test_of_the_check: on purpose') as caught:
        live()
    assert [broken.invariant for broken in caught.value.broken] == ['a_test_of_the_check']
    assert not any(node.is_up for node in simulation)
    assert [*replay(load(tmp_path / 'seed-9.trace'))]


def test_block_that_fails_leaves_its_trace_and_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('CONSENSUAL_TRACES', str(tmp_path))
    simulation = Simulation(Tally, seed=9)

    def live() -> None:
        with simulation:
            simulation.found(1)
            simulation.world.observer.violate('a_test_of_the_check', 'on purpose')
            raise KeyError('of the test')

    with pytest.raises(KeyError, match='of the test') as caught:
        live()
    assert (tmp_path / 'seed-9.trace').exists()
    assert 'seed 9' in ' '.join(caught.value.__notes__)
    assert not simulation['n1'].is_up


def test_closed_simulation_leaves_no_warning_behind(recwarn: pytest.WarningsRecorder) -> None:
    for instant in 0.0, 0.001, 0.01, 0.1, 1.0:
        simulation = Simulation(Tally, write_time=0.005)
        simulation.found()
        for node in simulation:
            node.execute('nap', 1.0)
            node.query('get')
        simulation.run(instant)
        simulation.close()
        simulation.close()
        simulation.run(1.0)
        simulation.check()
    assert [*recwarn] == []
