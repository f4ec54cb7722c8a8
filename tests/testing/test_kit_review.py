"""What a review of the kit found: violations that were not seen, and false alarms."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from consensual.raft.core import reads, replication
from consensual.raft.core.state import State
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.outcome import Outcome
from consensual.testing import Blow, Simulation, faults, play, settle


class Adder:
    """Adds; every command may have the same text."""

    def __init__(self) -> None:
        self.total = 0
        self.processors: dict[str, Any] = {'add': self.add}
        self.queries: dict[str, Any] = {'total': lambda _: self.total, 'broken': self.broken}

    def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    def broken(self, _: Any) -> Any:
        raise LookupError('no such thing')

    def snapshot(self) -> Any:
        return self.total

    def reset(self) -> None:
        self.total = 0


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Simulation]:
    simulation = Simulation(Adder, seed=3)
    simulation.found(3)
    yield simulation
    simulation.close()


def found(simulation: Simulation) -> set[str]:
    return {broken.invariant for broken in simulation.broken}


Patch = pytest.MonkeyPatch


def test_node_that_stops_applying_is_found_out(simulation: Simulation, monkeypatch: Patch) -> None:
    """It says that it applied everything; nobody compares a state that nothing changes."""
    original: Callable[..., Any] = Applier.__dict__['_run_processor']

    def run(self: Any, index: int, entry: Any, command: Any) -> Any:
        is_lazy = asyncio.get_running_loop() is simulation['n3'].node.loop and index > 12
        return Outcome(None) if is_lazy else original(self, index, entry, command)

    monkeypatch.setattr(Applier, '_run_processor', run)
    for _ in range(20):
        simulation['n1'].execute('add', 1).result()
    settle(simulation)
    assert 'no_acknowledged_command_is_lost' in found(simulation)


def test_vote_that_is_lost_at_a_restart_is_found_out(
    simulation: Simulation, monkeypatch: Patch
) -> None:
    """Figure 2: votedFor is persistent state."""
    original: Callable[..., None] = State.__init__

    def forgetful(self: State, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.voted_for = None

    voter = next(node for node in simulation if node.disk.hard_state.voted_for)  # type: ignore[union-attr]
    voter.crash()
    monkeypatch.setattr(State, '__init__', forgetful)
    voter.restart()
    simulation.run(0.1)
    assert 'recovered_is_what_was_stored' in found(simulation)


def test_stale_read_is_found_out_though_all_commands_are_alike(
    simulation: Simulation, monkeypatch: Patch
) -> None:
    for _ in range(3):
        simulation['n1'].execute('add', 1).result()
    monkeypatch.setattr(reads, 'agreed_value', lambda *_: 10**9)
    monkeypatch.setattr(replication, 'has_quorum', lambda *_: True)
    simulation.isolate('n1')
    simulation.run(3.0)
    simulation['n2'].execute('add', 1).result()
    assert simulation['n1'].query('total').result() == 3
    assert 'read_sees_what_was_acknowledged' in found(simulation)


def test_query_may_raise_what_it_likes(simulation: Simulation) -> None:
    with pytest.raises(LookupError):
        simulation['n1'].query('broken').result()
    assert found(simulation) == set()


def test_code_of_the_users_own_may_raise_what_it_likes(simulation: Simulation) -> None:
    async def fails() -> None:
        assert await simulation['n1'].node.execute('add', 1) == 1
        raise LookupError('mine')

    with pytest.raises(LookupError, match='mine'):
        simulation['n1'].spawn('mine', fails()).result()
    assert found(simulation) == set()


def test_failure_of_pytest_inside_a_node_is_its_callers(simulation: Simulation) -> None:
    async def fails() -> None:
        pytest.fail('inside')

    with pytest.raises(pytest.fail.Exception, match='inside'):
        simulation['n1'].spawn('mine', fails()).result()


def test_processor_may_raise_a_cancellation() -> None:
    def cancel(_: Any) -> None:
        raise asyncio.CancelledError

    with Simulation(lambda: {'cancel': cancel}) as simulation:
        simulation.found(3)
        call = simulation['n2'].execute('cancel')
        assert simulation.until(lambda: call.is_done)
        assert type(call.error).__name__ == 'ProcessorFailed'


def test_processors_alone_are_reset_like_those_of_a_node() -> None:
    with Simulation(lambda: {'add': lambda amount: amount}) as simulation:
        simulation.found(3)
        simulation['n1'].execute('add', 1).result()
        assert simulation['n1'].detach_nodes('n3').result() is None
        simulation.run(2.0)
        assert simulation['n3'].detach().result() is None
        assert simulation['n1'].attach_nodes('n3').result() is None
        simulation['n3'].execute('add', 1).result()


def test_results_that_json_cannot_carry_are_compared_by_their_leaves() -> None:
    values = iter(range(100))

    def draw(_: Any) -> Any:
        return {'thing': object(), 'value': next(values), (1, 2): float('nan')}

    with Simulation(lambda: {'draw': draw}) as simulation:
        simulation.found(3)
        simulation['n1'].execute('draw').result()
        simulation.run(1.0)
        assert found(simulation) == {'applied_is_the_same_everywhere'}
        simulation.broken.clear()


def test_parameters_that_are_changed_later_do_no_harm() -> None:
    parameters = [1]
    with Simulation(lambda: {'sum': sum}) as simulation:
        simulation.found(3)
        call = simulation['n1'].execute('sum', parameters)
        parameters.append(5)
        assert call.result() == 1


def test_time_does_not_pass_by_asking_for_a_result_inside_the_simulation(
    simulation: Simulation,
) -> None:
    async def asks() -> Any:
        return simulation['n2'].execute('add', 1).result()

    with pytest.raises(RuntimeError, match='await'):
        simulation['n1'].spawn('asks', asks()).result()


def test_generator_that_is_left_is_closed_in_its_own_process(simulation: Simulation) -> None:
    closed: list[object] = []

    async def numbers() -> Any:
        try:
            for number in range(3):
                yield number
        finally:
            closed.append(asyncio.get_running_loop())

    async def leaves() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(0.1)

    simulation['n1'].spawn('leaves', leaves()).result()
    assert closed == [simulation['n1'].node.loop]


def test_node_may_crash_itself(simulation: Simulation) -> None:
    async def crashes() -> None:
        simulation['n1'].crash()

    call = simulation['n1'].spawn('crashes', crashes())
    simulation.run(1.0)
    assert call.is_done
    assert not simulation['n1'].is_up
    assert found(simulation) == set()


def test_longer_fault_outlasts_a_shorter_one_in_its_midst(simulation: Simulation) -> None:
    """What is cut twice carries again when both have ended; a pause ends with the longest."""
    play(
        simulation,
        [
            Blow(0.1, faults.Isolate('n3', seconds=5.0)),
            Blow(0.2, faults.CutOneWay('n1', 'n3', seconds=0.2)),
            Blow(0.2, faults.Pause('n2', seconds=3.0)),
            Blow(0.3, faults.Pause('n2', seconds=0.2)),
        ],
    )
    simulation.run(2.5)
    commands = [simulation['n1'].execute('add', 1, timeout=0.4) for _ in range(2)]
    simulation.run(0.5)
    assert [command.error is None for command in commands] == [False, False]


def test_node_that_crashed_at_a_write_starts_again_however_late_that_was(
    simulation: Simulation,
) -> None:
    play(simulation, [Blow(0.0, faults.CrashAtWrite('n2', 3, False, seconds=0.5))])
    simulation.run(2.0)
    for _ in range(4):
        simulation['n1'].execute('add', 1).result()
    assert simulation.until(lambda: not simulation['n2'].is_up, 5.0)
    assert simulation.until(lambda: simulation['n2'].is_up, 1.0)


def test_settle_wants_a_watcher() -> None:
    with Simulation(Adder, is_watched=False) as simulation:
        simulation.found(1)
        with pytest.raises(ValueError, match='is_watched'):
            settle(simulation)


@pytest.mark.parametrize('nodes', [0, ['A']])
def test_clusters_of_nobody_and_names_of_no_host_are_refused(nodes: Any) -> None:
    with Simulation(Adder) as simulation, pytest.raises(ValueError, match='a '):
        simulation.found(nodes)
