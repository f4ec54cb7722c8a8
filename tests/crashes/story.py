"""A scripted life of four simulated nodes, which crashes once, at one write, or not at all.

Its users see errors, look at how things stand, and ask again. Which writes there are to
crash at is `boundaries`.
"""

from collections.abc import Callable
from typing import Any, Optional

from msgspec import Struct

from consensual.raft import ConsensualError, NodeStatus
from consensual.testing import Call, Lost, Simulation, settle
from consensual.testing.liveness import state_of
from consensual.testing.simulated_node import SimulatedNode
from tests.crashes.ledger import Ledger, numbers_of

SEED = 1
WRITE_TIME = 0.002
SNAPSHOT_EVERY = 8
"""Entries; few, so that whoever joins is sent a snapshot."""

PATIENCE = 60.0
"""Seconds for which a user asks for the same thing: a newcomer whose attachment was lost with
the leader's write gives up, and can be attached again, only when the attach timeout is over."""

PAUSE = 0.05
"""Seconds after which a user looks again."""


class Boundary(Struct, frozen=True):
    """Where a story crashes: within a write of one life of a node, the first being number 1.

    is_durable: the write reached the disk, although the node never learned it.
    lingers: seconds for which the process goes on while the write is under way, so
        that what it sends beside it gets out; with 0 nothing does.
    absence: seconds from the crash to the restart.
    """

    name: str
    life: int
    number: int
    is_durable: bool = False
    lingers: float = 0.0
    absence: float = 0.3


class Story:
    """The script, and what its users were told.

    crashed_as: what the node was when it crashed at the boundary; None where it did not.
    restored: who took over a snapshot in its last life, its own or a leader's.
    """

    def __init__(self, boundary: Optional[Boundary] = None) -> None:
        self.simulation = Simulation(
            Ledger,
            seed=SEED,
            write_time=WRITE_TIME,
            snapshot_every=SNAPSHOT_EVERY,
            is_traced=False,
        )
        self.boundary = boundary
        self.crashed_as: Optional[str] = None
        self.submitted = 0
        self.acknowledged: list[int] = []
        self.restored: list[str] = []

    def play(self) -> None:
        """Live it, settle, and check everything. Raises `AssertionError`."""
        with self.simulation:
            for name in 'n1', 'n2', 'n3', 'n4':
                self._arm(self.simulation.add(name))
            self._live()
            self._end()
            settle(self.simulation)
            self._check_commands()
            self.restored = [node.name for node in self.simulation if node.machine.restored]

    # the script

    def _live(self) -> None:
        self._found()
        self._put('n1', 'n3')
        self._insist(self._is_led_by('n2'), lambda node: node.transfer_leadership('n2'))
        self._put('n3')
        self._take_snapshot()
        self._insist(self._has('n1', 'n2', 'n3', 'n4'), lambda node: node.attach_nodes('n4'))
        self._crash_the_leader()
        self._insist(self._has('n2', 'n3', 'n4'), lambda node: node.detach_nodes('n1'))
        self._reset('n1')
        self._lose_the_disk('n3')
        self._put('n3')
        self._read()

    def _found(self) -> None:
        def is_founded() -> bool:
            return any(node.status.cluster_id for node in self.simulation.running)

        self._insist(is_founded, SimulatedNode.solo, 'n1')
        self._insist(self._has('n1', 'n2', 'n3'), lambda node: node.attach_nodes('n2', 'n3'))

    def _crash_the_leader(self) -> None:
        """The others elect another one, and go on; then it comes back."""
        leader = self.simulation.leader
        if leader is None:
            return
        leader.crash()
        self._put('n1', 'n3')
        self._restart(leader)

    def _take_snapshot(self) -> None:
        if self.simulation.leader is not None:
            _outcome(self.simulation.leader.take_snapshot())

    def _lose_the_disk(self, name: str) -> None:
        """The leader takes the member in again, as another incarnation."""
        self.simulation[name].restart(with_disk=False)
        self._arm(self.simulation[name])
        self._insist(self._has('n2', 'n3', 'n4'))

    def _reset(self, name: str) -> None:
        """A removed node, which has written by now that it is, forgets its history."""
        node = self.simulation[name]
        self.simulation.run(0.1)

        def is_empty() -> bool:
            return node.is_running and node.status.last_index == 0

        self._insist(is_empty, SimulatedNode.detach, name)

    def _put(self, *names: str) -> None:
        """Have a command applied on each of those nodes that runs, all at once."""
        calls = {}
        for name in names:
            if self.simulation[name].is_running:
                self.submitted += 1
                call = self.simulation[name].execute('put', self.submitted)
                calls[self.submitted] = call
        for number, call in calls.items():
            if _outcome(call):
                self.acknowledged.append(number)

    def _read(self) -> None:
        """Every node tells how many commands there were, or why it cannot."""
        calls = [node.query('count') for node in self.simulation.running]
        for call in calls:
            if _outcome(call):
                assert call.result() >= len(self.acknowledged)

    def _end(self) -> None:
        """Whoever crashed at the last write is back; no other write is begun."""
        self.simulation.run(0.2)
        self._insist(lambda: len(self.simulation.running) == 4)

    # its users

    def _insist(
        self,
        is_so: Callable[[], bool],
        ask: Optional[Callable[[SimulatedNode], Call[Any]]] = None,
        name: str = '',
    ) -> None:
        """Wait until it is so, and ask for it: that node, or any member that runs."""
        end = self.simulation.now + PATIENCE
        while not is_so():
            assert self.simulation.now < end, f'it is not so: {[*self.simulation]}'
            for node in self.simulation.running if ask is not None else ():
                if node.name == name or (not name and node.status.role != 'detached'):
                    _outcome(ask(node))
                    break
            self.simulation.run(PAUSE)

    def _has(self, *names: str) -> Callable[[], bool]:
        """Return whether those, as they are now, are the voters of a stable cluster."""
        nodes = [self.simulation[name] for name in names]

        def has() -> bool:
            leader, states = self.simulation.leader, [node.state for node in nodes]
            if leader is None or not leader.status.stable or None in states:
                return False
            voters = state_of(leader).configuration.voters
            return {*voters} == {state.me for state in states if state is not None}

        return has

    def _is_led_by(self, name: str) -> Callable[[], bool]:
        return lambda: self.simulation.leader is self.simulation[name]

    # the crash

    def _arm(self, node: SimulatedNode) -> None:
        """Let this life of the node crash at the boundary, if it is the one."""
        at = self.boundary
        if at is None or (node.name, node.lives) != (at.name, at.life):
            return
        life = node.life

        def end() -> None:
            if node.is_up and node.life is life:
                node.crash()
                self.simulation.timeline.call_later(at.absence, self._restart, node)

        def crash() -> None:
            if not (node.is_up and node.life is life):
                return
            self.crashed_as = part_of(node.status)
            if not at.lingers:
                return end()
            node.resume()
            self.simulation.timeline.call_later(at.lingers, end)

        node.disk.crash_at_write(at.number, crash, is_durable=at.is_durable)

    def _restart(self, node: SimulatedNode) -> None:
        if not node.is_up:
            node.restart()
            self._arm(node)

    # the end

    def _check_commands(self) -> None:
        """Each that was acknowledged is applied on each member, and none is twice."""
        members = [node for node in self.simulation if state_of(node).is_attached]
        assert len(members) == 3, members
        for node in members:
            applied = numbers_of(node.machine.runs)
            lost = {*self.acknowledged} - applied
            assert not lost, f'{node.name} lacks {lost}, which were acknowledged'
            assert not node.machine.twice, f'{node.name} applied {node.machine.twice} twice'
            assert applied <= {*range(1, self.submitted + 1)}


def _outcome(call: Call[Any]) -> bool:
    """Wait for the end of a call; tell whether it returned, if only to say that it failed."""
    try:
        call.result()
    except (Lost, ConsensualError):
        return False
    return True


def part_of(status: NodeStatus) -> str:
    """Return which part a node plays: its role, and a name for what is no role."""
    if status.role == 'detached':
        return 'removed' if status.last_index else 'newcomer'
    if status.url in status.learners:
        return 'learner'
    if status.role == 'leader' and status.voters == (status.url,):
        return 'founder'
    return status.role
