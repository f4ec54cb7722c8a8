"""The harness itself: virtual time, the network's faults, and checkers that no mutant shows."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.simulation import invariants
from tests.simulation.clock import Stuck, VirtualLoop
from tests.simulation.liveness import settle
from tests.simulation.network import Noise
from tests.simulation.world import World


@pytest.fixture(name='world')
def make_world() -> Iterator[World]:
    world = World(seed=7)
    world.found(['n1', 'n2', 'n3'])
    yield world
    world.close()


def found(world: World) -> set[str]:
    return {violation.invariant for violation in world.observer.violations}


def test_time_passes_without_sleeping() -> None:
    loop, begun = VirtualLoop(), time.monotonic()
    before = loop.time()
    loop.run_for(3600.0)
    loop.close()
    assert loop.time() - before == pytest.approx(3600.0)
    assert time.monotonic() - begun < 5.0


def test_waiting_for_what_never_comes_is_an_error() -> None:
    loop = VirtualLoop()

    async def wait() -> None:
        await loop.create_future()

    task = loop.create_task(wait())
    with pytest.raises(Stuck):
        loop.run_until_complete(task)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


def _life(seed: int) -> list[object]:
    """Return what a short, noisy life of a cluster leaves behind."""
    world = World(seed)
    world.found(['n1', 'n2', 'n3'], write_time=0.01)
    world.network.noise = Noise(drop=0.1, lose_reply=0.1, duplicate=0.2, delay=0.1)
    for name in 'n1', 'n2', 'n3', 'n1':
        world.enqueue(name)
        world.run(0.2)
    world.crash('n1')
    world.run(3.0)
    world.restart('n1', keeps_memory=True)
    settle(world)
    left = [world.loop.time(), world.loop.steps, world.network.delivered]
    left += [(call.what, str(call.outcome)) for call in world.calls]
    left += [replica.storage.entries for replica in world.running]
    world.close()
    world.check()
    return left


def test_same_seed_same_run() -> None:
    assert _life(3) == _life(3)
    assert _life(3) != _life(4)


def test_cluster_that_is_well_breaks_nothing(world: World) -> None:
    calls = [world.enqueue(name, action) for name in ['n1', 'n2', 'n3'] for action in ACTIONS]
    settle(world)
    assert [call.outcome for call in calls] == [None] * len(calls)
    world.check()


ACTIONS = 'put', 'slow', 'fail'


def test_nobody_hears_a_node_that_is_cut_off(world: World) -> None:
    world.network.isolate('n1', world.replicas)
    world.run(3.0)
    assert world.leader_of(['n2', 'n3']) is not None
    assert world.leader_of(['n1']) is None
    settle(world)
    world.check()


def test_one_way_cut_lets_the_other_way_through(world: World) -> None:
    for name in 'n2', 'n3':
        world.network.cut(name, 'n1')
    world.run(0.3)
    assert world.leader_of(['n1']) == 'n1'
    before = world.replicas['n2'].storage.entries
    world.enqueue('n1')
    world.run(0.05)
    assert len(world.replicas['n2'].storage.entries) > len(before)
    world.run(3.0)
    assert world.leader_of(['n2', 'n3']) is not None
    settle(world)
    world.check()


@pytest.mark.parametrize(
    'noise',
    [Noise(drop=0.3), Noise(lose_reply=0.3), Noise(duplicate=1.0), Noise(delay=0.3)],
    ids=str,
)
def test_noise_is_heard_and_harms_nothing(world: World, noise: Noise) -> None:
    world.run(2.0)
    delivered = world.network.delivered
    world.run(2.0)
    quiet = world.network.delivered - delivered
    world.network.noise = noise
    delivered = world.network.delivered
    world.run(2.0)
    if noise.lose_reply == 0:
        assert world.network.delivered - delivered != quiet
    for name in 'n1', 'n2', 'n3':
        world.enqueue(name)
    settle(world)
    world.check()


def test_crash_forgets_what_was_not_durable() -> None:
    world = World()
    world.make('n1', write_time=1.0)
    world.run(2.0)
    world.solo('n1')
    world.run(0.01)
    assert len(world.replicas['n1'].storage.entries) == 2
    world.crash('n1')
    replica = world.restart('n1', keeps_memory=True)
    world.run()
    assert replica.storage.entries == []
    world.close()
    world.check()


def test_restart_without_memory_is_another_incarnation(world: World) -> None:
    before = world.replicas['n2'].storage.hard_state.incarnation
    world.crash('n2')
    world.restart('n2', keeps_memory=False)
    world.run(2.0)
    assert world.replicas['n2'].node.status.role == 'detached'
    assert world.replicas['n2'].storage.hard_state.incarnation != before
    settle(world)
    world.check()


def test_applying_what_was_refused_is_caught(world: World) -> None:
    """No core can be broken so: that the clerk refuses truthfully is the driver's promise."""
    world.finish(world.enqueue('n1'))
    world.observer.see_refused(world.replicas['n1'], 1, ValueError('refused'))
    assert found(world) == {invariants.REFUSED}


def test_refusing_what_is_applied_later_is_caught(world: World) -> None:
    world.observer.see_refused(world.replicas['n1'], 1, ValueError('refused'))
    world.finish(world.enqueue('n1'))
    assert found(world) == {invariants.REFUSED}


def test_acknowledging_what_is_not_applied_is_caught(world: World) -> None:
    world.observer.see_acknowledged(world.replicas['n1'], 99)
    assert found(world) == {invariants.ACKNOWLEDGED}


def test_call_that_does_not_end_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await world.loop.create_future()

    monkeypatch.setattr(world.replicas['n1'].node, 'solo', never)
    world.solo('n1')
    settle(world)
    assert found(world) == {invariants.CALLS_END}


def test_call_that_raises_what_is_not_documented_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise KeyError('solo')

    monkeypatch.setattr(world.replicas['n1'].node, 'solo', fail)
    world.solo('n1')
    world.run()
    assert found(world) == {invariants.CALLS_END}
