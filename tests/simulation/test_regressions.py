"""What the state machine found, each as the shortest scenario that shows it."""

from collections.abc import Iterator

import pytest

from consensual.raft.core.configuration import Configuration
from consensual.testing.liveness import settle, state_of
from tests.simulation.ledger import THREE, Ledgers


@pytest.fixture(name='simulation')
def make_simulation() -> Iterator[Ledgers]:
    simulation = Ledgers()
    yield simulation
    simulation.close()


def test_session_does_not_outlive_a_reset(simulation: Ledgers) -> None:
    """A node that was reset and joins another cluster opens a session there.

    Its former session's id can be another's in the new cluster; commands in that
    would be taken for applied already: acknowledged, and never applied.
    """
    for name in 'a', 'b':
        simulation.add(name)
        assert simulation.finish(simulation.solo(name)) is None
    for _ in range(4):
        simulation.submit('a')
    simulation.finish(simulation.submit('b'))
    for _ in 'leave', 'reset':
        assert simulation.finish(simulation['b'].detach()) is None
    assert simulation.finish(simulation['a'].attach_nodes('b')) is None
    calls = [simulation.submit('b') for _ in range(4)]
    settle(simulation)
    simulation.check()
    assert [call.error for call in calls] == [None] * 4


@pytest.mark.parametrize('ending', ['detach', 'stop'])
def test_solo_ends_although_the_node_does_before_its_write_is_durable(
    simulation: Ledgers, ending: str
) -> None:
    """solo() waits for its own no-op to be applied; detached, nothing is applied any more."""
    node = simulation.add('a')
    node.disk.write_time = 1.0
    simulation.run(2.0)
    solo = simulation.solo('a')
    simulation.run(0.01)
    simulation.finish(node.detach() if ending == 'detach' else node.stop())
    simulation.run(5.0)
    assert solo.is_done
    simulation.check()


def test_stopping_during_a_change_leaves_no_exception_behind(simulation: Ledgers) -> None:
    """Nothing makes asyncio report that the exception of a future was never retrieved."""
    simulation.found(['a', 'b', 'c'])
    simulation.isolate('c')
    simulation['b'].detach_nodes('c')
    simulation.run(0.001)
    simulation.finish(simulation['b'].stop())
    simulation.run(40.0)
    simulation.check()


def test_node_that_the_uncommitted_configuration_removes_can_still_be_elected(
    simulation: Ledgers,
) -> None:
    """It may be needed until C_new is committed (thesis §4.2.2).

    n1 leads, and detaches n1 and n2. n3 has C_old,new, n2 has C_new already; n1
    is gone. n3 cannot win, for n2's log is longer; so n2 must stand, although
    its own latest configuration is {n3}.
    """
    simulation.found(THREE)
    simulation['n1'].detach_nodes('n1', 'n2')
    assert simulation.until(lambda: configuration(simulation, 'n3').is_joint, 1.0)
    simulation.network.cut([('n1', 'n3')])
    assert simulation.until(lambda: len(configuration(simulation, 'n2').electors) == 1, 1.0)
    simulation['n1'].crash()
    assert configuration(simulation, 'n3').is_joint
    simulation.heal()
    assert simulation.until(lambda: simulation.leader_of(['n2']) is not None, 10.0)
    assert simulation.until(lambda: simulation.leader_of(['n3']) is not None, 10.0)
    settle(simulation)
    simulation.check()
    assert simulation.leader_of(['n3']) == 'n3'


def test_newcomer_whose_attachment_was_overwritten_empties_itself(simulation: Ledgers) -> None:
    """A leader that is cut off appends a learner; the others overwrite that entry.

    Nobody's committed configuration is newer than the newcomer's, so nobody
    tells it that it was removed: it stays attached for ever, cannot be attached
    ("reset it first"), and cannot detach itself to be reset ("no leader").
    """
    simulation.found(THREE)
    simulation.add('n4')
    simulation.partition(['n1', 'n4'], ['n2', 'n3'])
    simulation['n1'].attach_nodes('n4')
    simulation.run(3.0)
    assert simulation['n4'].status.cluster_id is not None
    simulation.finish(simulation.submit('n2'))
    settle(simulation)
    simulation.check()
    assert simulation.finish(simulation['n2'].attach_nodes('n4')) is None


def test_newcomer_whose_attachment_was_lost_is_told_by_an_idle_cluster(
    simulation: Ledgers,
) -> None:
    """As before, but nobody enqueues anything: the lost entry's index is never reached again.

    Found by the soak, at seed 6707.
    """
    simulation.found(THREE)
    simulation.add('n4')
    for _ in range(3):
        simulation.finish(simulation.submit('n1'))
    simulation.partition(['n1', 'n4'], ['n2', 'n3'])
    for _ in range(9):
        simulation.submit('n1')
    simulation['n1'].attach_nodes('n4')
    simulation.run(8.0)
    assert simulation['n4'].status.cluster_id is not None
    settle(simulation)
    simulation.check()
    assert simulation.finish(simulation['n2'].attach_nodes('n4')) is None


def test_what_is_applied_is_in_the_log_after_stop_and_start(simulation: Ledgers) -> None:
    """A follower applies what a majority has before its own disk has it.

    Stopped in good order, it must not forget entries that its state machine has:
    gone solo then, it leads a log that lacks them, nodes that join it never get
    them, and the entries that take their indexes are never applied.
    """
    for node in simulation.found(THREE):
        node.disk.write_time = 0.001
    simulation.finish(simulation.submit('n1'))
    simulation['n2'].disk.write_time = 2.0
    simulation.submit('n1')
    simulation.run(0.03)
    for _ in range(3):
        simulation.submit('n1')
    simulation.run(0.3)
    durable, applied = (
        simulation['n2'].disk.contents.last_index,
        simulation['n2'].status.applied_index,
    )
    assert durable < applied
    simulation.finish(simulation['n2'].stop())
    simulation.isolate('n2')
    simulation.finish(simulation['n2'].start())
    assert simulation.finish(simulation.solo('n2')) is None
    call = simulation.submit('n2')
    simulation.add('n4')
    simulation.run(3.0)
    simulation.heal()
    assert simulation.finish(simulation['n2'].attach_nodes('n4')) is None
    assert call.error is None
    simulation.check()
    assert simulation['n2'].machine.commands == simulation['n4'].machine.commands


def configuration(simulation: Ledgers, name: str) -> Configuration:
    return state_of(simulation[name]).configuration
