"""What may be done to a simulated cluster, as records: one for each fault and each change.

Scripted, drawn from a seed and shrunk by Hypothesis alike: what names a node that does
not run does nothing. When to do what is the business of `nemesis`.
"""

from collections.abc import Callable
from typing import Optional, Union

from msgspec import Struct

from consensual.raft import Snapshotting
from consensual.testing.network import QUIET, Link, Noise
from consensual.testing.simulated_node import SimulatedNode
from consensual.testing.simulation import Simulation

LEADER = 'leader'
"""Stands for whoever leads at that moment, in place of a node's name."""


class Fault(Struct, frozen=True, tag=True):
    """Something that befalls a cluster.

    Durations are in seconds of true time; what lasts ends by itself.
    """

    def befall(self, simulation: Simulation) -> None:
        """Let it happen now."""
        raise NotImplementedError


def _find(simulation: Simulation, name: str) -> Optional[SimulatedNode]:
    """Return the node of that name if it runs."""
    if name == LEADER:
        return simulation.leader
    return next((node for node in simulation.running if node.name == name), None)


def _later(simulation: Simulation, seconds: float, what: Callable[[], object]) -> None:
    simulation.timeline.call_later(seconds, _call, what)


def _call(what: Callable[[], object]) -> None:
    what()


def _cut(simulation: Simulation, links: list[Link], seconds: float, is_refusing: bool) -> None:
    simulation.network.cut(links, is_refusing=is_refusing)
    _later(simulation, seconds, lambda: simulation.network.mend(links))


# The network


class Partition(Fault, frozen=True):
    """The network is cut between groups of names; who is in two of them is a bridge.

    is_refusing: what is lost is reported to its sender at once; else never.
    """

    groups: tuple[tuple[str, ...], ...]
    seconds: float
    is_refusing: bool = False

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        links = simulation.partition(*self.groups, is_refusing=self.is_refusing)
        _later(simulation, self.seconds, lambda: simulation.network.mend(links))


class Isolate(Fault, frozen=True):
    """One node is cut off: whoever bears that name, the leader perhaps, at that moment.

    ways: 'both', 'in' for what is sent to it, 'out' for what it sends.
    """

    name: str
    seconds: float
    ways: str = 'both'
    is_refusing: bool = False

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is None:
            return
        others = [name for name in simulation.names if name != node.name]
        inward = [(other, node.name) for other in others]
        outward = [(node.name, other) for other in others]
        links = {'both': inward + outward, 'in': inward, 'out': outward}[self.ways]
        _cut(simulation, links, self.seconds, self.is_refusing)


class CutOneWay(Fault, frozen=True):
    """Nothing gets from one node to another; the way back stays."""

    source: str
    target: str
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        _cut(simulation, [(self.source, self.target)], self.seconds, is_refusing=False)


class Disturb(Fault, frozen=True):
    """Messages are dropped, duplicated, and so late that they overtake each other."""

    noise: Noise
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        simulation.network.disturb(self.noise)

        def calm() -> None:
            if simulation.network.noise is self.noise:  # not another one's, begun meanwhile
                simulation.network.disturb(QUIET)

        _later(simulation, self.seconds, calm)


# Processes


class Pause(Fault, frozen=True):
    """A process stands still, and wakes long after its leases and timers have run out."""

    name: str
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.pause(self.seconds)


class SlowDown(Fault, frozen=True):
    """Each turn of a process takes `lag` seconds."""

    name: str
    lag: float
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.slow_down(self.lag)
            _later(simulation, self.seconds, lambda: node.slow_down(0.0))


class SetClockRate(Fault, frozen=True):
    """A clock goes `rate` times as fast as true time, from now on."""

    name: str
    rate: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.set_clock_rate(self.rate)


class Crash(Fault, frozen=True):
    """A process ends at once, and starts again after so many seconds.

    with_disk: False where it starts on another machine, with an empty disk.
    """

    name: str
    seconds: float
    with_disk: bool = True

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.crash()
            _restart(simulation, node, self.seconds, with_disk=self.with_disk)


def _restart(
    simulation: Simulation, node: SimulatedNode, seconds: float, *, with_disk: bool = True
) -> None:
    def restart() -> None:
        if not node.is_up:
            node.restart(with_disk=with_disk)

    _later(simulation, seconds, restart)


class Stop(Fault, frozen=True):
    """A node is stopped in good order, and started again."""

    name: str
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is None:
            return
        node.stop()

        def start() -> None:
            if node.disk.has_failed:
                node.restart()  # its state may be ahead of its disk
            elif node.is_up and not node.is_running:
                node.start()

        _later(simulation, self.seconds, start)


# Disks


class CrashAtWrite(Fault, frozen=True):
    """A process ends within a write to its disk, the next one being number 1.

    is_durable: the write reached the disk, although the node never learned it.
    seconds: from the crash to the next start.
    """

    name: str
    number: int
    is_durable: bool
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.crash_at_write(
                self.number,
                is_durable=self.is_durable,
                then=lambda: _restart(simulation, node, self.seconds),
            )


class FailWrite(Fault, frozen=True):
    """The next write fails, whether it is written or not; the node stops and is restarted."""

    name: str
    is_written: bool
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.fail_next_write(is_written=self.is_written)
            _later(simulation, self.seconds, lambda: _repair(node))


class FillDisk(Fault, frozen=True):
    """A disk is full; then there is room again, and the node is restarted."""

    name: str
    seconds: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.fill_disk()
            _later(simulation, self.seconds, lambda: _repair(node))


def _repair(node: SimulatedNode) -> None:
    """The disk works again; a node that met its failure has stopped, and is restarted."""
    has_failed = node.disk.has_failed
    node.disk.heal()
    if has_failed:
        node.restart()


class SlowDisk(Fault, frozen=True):
    """Writes take up to `write_time` seconds, from now on."""

    name: str
    write_time: float

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None:
            node.disk.write_time = self.write_time


class TakeSnapshot(Fault, frozen=True):
    """A node takes a snapshot now, if its state machine can, and drops what that covers."""

    name: str

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        node = _find(simulation, self.name)
        if node is not None and isinstance(node.machine, Snapshotting):
            node.take_snapshot()


# Membership


class Attach(Fault, frozen=True):
    """A node, new or once removed, joins the cluster of the node `by`."""

    by: str
    name: str

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        host = _find(simulation, self.by)
        if host is None or host.name == self.name:
            return
        if self.name not in simulation.names:
            simulation.add(self.name)
        newcomer = _find(simulation, self.name)
        if newcomer is not None and newcomer.status.role == 'detached':
            newcomer.detach()  # reset: it may have a history

        def attach() -> None:
            if host.is_running:
                host.attach_nodes(self.name)

        _later(simulation, 0.1, attach)


class Detach(Fault, frozen=True):
    """The node `by` removes another one, or itself, from its cluster."""

    by: str
    name: str

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        host, removed = _find(simulation, self.by), _find(simulation, self.name)
        if host is not None and removed is not None and len(host.status.voters) > 2:
            host.detach_nodes(removed.name)


class Transfer(Fault, frozen=True):
    """The node `by` asks the leader to hand over."""

    by: str
    target: Optional[str] = None

    def befall(self, simulation: Simulation) -> None:
        """See `Fault`."""
        host = _find(simulation, self.by)
        if host is not None:
            host.transfer_leadership(self.target)


AnyFault = Union[
    Partition,
    Isolate,
    CutOneWay,
    Disturb,
    Pause,
    SlowDown,
    SetClockRate,
    Crash,
    Stop,
    CrashAtWrite,
    FailWrite,
    FillDisk,
    SlowDisk,
    TakeSnapshot,
    Attach,
    Detach,
    Transfer,
]
