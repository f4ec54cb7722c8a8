"""What the state machine found, each as the shortest scenario that shows it."""

from collections.abc import Iterator

import pytest

from consensual.raft.core.configuration import Configuration
from tests.simulation.liveness import configurations, settle
from tests.simulation.world import World


@pytest.fixture(name='world')
def make_world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_session_does_not_outlive_a_reset(world: World) -> None:
    """A node that was reset and joins another cluster opens a session there.

    Its former session's id can be another's in the new cluster; commands in that
    would be taken for applied already: acknowledged, and never applied.
    """
    for name in 'a', 'b':
        world.make(name)
    world.run()
    for name in 'a', 'b':
        world.finish(world.solo(name))
    for _ in range(4):
        world.enqueue('a')
    world.finish(world.enqueue('b'))
    world.finish(world.leave('b'))
    world.finish(world.leave('b'))
    world.finish(world.attach('a', ['b']))
    calls = [world.enqueue('b') for _ in range(4)]
    settle(world)
    world.check()
    assert [call.outcome for call in calls] == [None] * 4


def test_solo_ends_although_the_node_leaves_before_its_write_is_durable(world: World) -> None:
    """solo() waits for its own no-op to be applied; detached, nothing is applied any more."""
    world.make('a', write_time=1.0)
    world.run(2.0)
    solo = world.solo('a')
    world.run(0.01)
    world.finish(world.leave('a'))
    world.run(5.0)
    assert solo.is_done
    world.check()


def test_solo_ends_when_the_node_stops_before_its_write_is_durable(world: World) -> None:
    world.make('a', write_time=1.0)
    world.run(2.0)
    solo = world.solo('a')
    world.run(0.01)
    world.finish(world.stop('a'))
    world.run(5.0)
    assert solo.is_done
    world.check()


def test_stopping_during_a_change_leaves_no_exception_behind(world: World) -> None:
    """Nothing makes asyncio report that the exception of a future was never retrieved."""
    world.found(['a', 'b', 'c'])
    world.network.isolate('c', world.replicas)
    world.detach('b', ['c'])
    world.run(0.001)
    world.finish(world.stop('b'))
    world.calls.clear()
    world.run(40.0)
    world.check()


def test_node_that_the_uncommitted_configuration_removes_can_still_be_elected(
    world: World,
) -> None:
    """It may be needed until C_new is committed (thesis §4.2.2).

    n1 leads, and detaches n1 and n2. n3 has C_old,new, n2 has C_new already; n1
    is gone. n3 cannot win, for n2's log is longer; so n2 must stand, although
    its own latest configuration is {n3}.
    """
    world.found(['n1', 'n2', 'n3'])
    world.detach('n1', ['n1', 'n2'])
    assert world.until(lambda: _last_configuration(world, 'n3').is_joint, 1.0, 0.0002)
    world.network.cut('n1', 'n3')
    assert world.until(lambda: not _last_configuration(world, 'n2').is_joint, 1.0, 0.0002)
    world.crash('n1')
    assert _last_configuration(world, 'n3').is_joint
    settle(world)
    world.check()
    assert world.leader_of(['n3']) == 'n3'


def test_newcomer_whose_attachment_was_overwritten_empties_itself(world: World) -> None:
    """A leader that is cut off appends a learner; the others overwrite that entry.

    Nobody's committed configuration is newer than the newcomer's, so nobody
    tells it that it was removed: it stays attached for ever, cannot be attached
    ("reset it first"), and cannot detach itself to be reset ("no leader").
    """
    world.found(['n1', 'n2', 'n3'])
    world.make('n4')
    world.run()
    world.network.partition([['n1', 'n4'], ['n2', 'n3']])
    world.attach('n1', ['n4'])
    world.run(3.0)
    assert world.replicas['n4'].node.status.cluster_id is not None
    world.finish(world.enqueue('n2'))
    settle(world)
    world.check()
    assert world.finish(world.attach('n2', ['n4'])) is None


def test_what_is_applied_is_in_the_log_after_stop_and_start(world: World) -> None:
    """A follower applies what a majority has before its own disk has it.

    Stopped in good order, it must not forget entries that its state machine has:
    gone solo then, it leads a log that lacks them, nodes that join it never get
    them, and the entries that take their indexes are never applied.
    """
    world.found(['n1', 'n2', 'n3'], write_time=0.001)
    world.finish(world.enqueue('n1'))
    world.write_times['n2'] = 2.0
    world.enqueue('n1')
    world.run(0.03)
    for _ in range(3):
        world.enqueue('n1')
    world.run(0.3)
    world.finish(world.stop('n2'))
    world.network.isolate('n2', world.replicas)
    world.finish(world.start('n2'))
    world.finish(world.solo('n2'))
    call = world.enqueue('n2')
    world.make('n4')
    world.run(3.0)
    world.network.heal()
    world.finish(world.attach('n2', ['n4']))
    assert call.outcome is None
    world.check()
    ledgers = [world.replicas[name].ledger.commands for name in ('n2', 'n4')]
    assert ledgers[0] == ledgers[1]


def _last_configuration(world: World, name: str) -> Configuration:
    return configurations(world.replicas[name])[-1]
