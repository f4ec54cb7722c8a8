"""Whole clusters under everything that may happen to them, as Hypothesis wants it to.

Each rule begins something and lets little or no time pass: what it began goes
on while other rules run. The invariants are watched after every turn of every node.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Optional

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from consensual.testing.faults import (
    LEADER,
    CrashAtWrite,
    CutOneWay,
    FailWrite,
    Fault,
    FillDisk,
    Isolate,
    Partition,
    Pause,
    SetClockRate,
    SlowDisk,
    SlowDown,
    TakeSnapshot,
)
from consensual.testing.liveness import settle
from consensual.testing.network import Noise
from tests.simulation.ledger import Ledgers

MOST_NODES = 7
PAUSES = st.sampled_from([0.0, 0.1, 0.001, 0.01, 0.003, 0.7, 0.02, 1.5, 0.3])
SECONDS = st.sampled_from([0.3, 0.05, 1.0, 2.5, 5.0])
SNAPSHOTS = st.sampled_from([10_000, 1, 4, 15])
WRITE_TIMES = st.sampled_from([0.0, 0.0, 0.005, 0.05, 0.3])
PROBABILITIES = st.sampled_from([0.0, 0.05, 0.3])
NOISES = st.builds(
    Noise,
    drop=PROBABILITIES,
    duplicate=PROBABILITIES,
    delay=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
)
ACTIONS = st.sampled_from(['put', 'put', 'slow', 'fail'])
FOR_EVER = 1e9
"""Seconds after which a fault ends by itself; `heal` ends it before."""


def step(**arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a rule, after which a drawn time passes."""

    def make(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def run(self: 'Clusters', pause: float, **drawn: Any) -> Any:
            result = function(self, **drawn)
            self.simulation.run(pause)
            return result

        return rule(pause=PAUSES, **arguments)(run)

    return make


class Clusters(RuleBasedStateMachine):
    """Nodes, what their owners do, and what the world does to them."""

    names = Bundle('names')
    whom = st.just(LEADER) | names

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Ledgers()
        self.made = 0

    # beginnings

    @initialize(
        target=names,
        seed=st.integers(0, 2**16),
        size=st.sampled_from([3, 1, 2, 4, 5, 3]),
        snapshot_every=SNAPSHOTS,
        write_time=WRITE_TIMES,
    )
    def found(self, seed: int, size: int, snapshot_every: int, write_time: float) -> Any:
        self.simulation.close()
        self.simulation = Ledgers(seed, snapshot_every=snapshot_every, write_time=write_time)
        names = [self._name() for _ in range(size)]
        self.simulation.found(names)
        return multiple(*names)

    @precondition(lambda self: self.made < MOST_NODES)
    @step(target=names, write_time=WRITE_TIMES, host=st.none() | names)
    def make(self, write_time: float, host: Optional[str]) -> str:
        name = self._name()
        self.simulation.add(name).disk.write_time = write_time
        if host is not None and self._runs(host):
            self.simulation[host].attach_nodes(name)
        return name

    def _name(self) -> str:
        self.made += 1
        return f'n{self.made}'

    def _runs(self, name: str) -> bool:
        return self.simulation[name].is_running

    # what owners do

    @step(name=names, action=ACTIONS, count=st.integers(1, 4))
    def enqueue(self, name: str, action: str, count: int) -> None:
        if self._runs(name):
            for _ in range(count):
                self.simulation.submit(name, action)

    @step(action=ACTIONS)
    def enqueue_everywhere(self, action: str) -> None:
        for node in self.simulation.running:
            self.simulation.submit(node.name, action)

    @step(name=names)
    def read(self, name: str) -> None:
        if self._runs(name):
            self.simulation[name].ensure_linearizable()

    @step()
    def read_everywhere(self) -> None:
        for node in self.simulation.running:
            node.ensure_linearizable()

    @step(name=names, others=st.lists(names, min_size=1, max_size=3, unique=True))
    def attach(self, name: str, others: list[str]) -> None:
        if self._runs(name):
            self.simulation[name].attach_nodes(*others)

    @step(name=names, others=st.lists(names, min_size=1, max_size=2, unique=True))
    def detach(self, name: str, others: list[str]) -> None:
        if self._runs(name):
            self.simulation[name].detach_nodes(*others)

    @step(name=names)
    def detach_leader(self, name: str) -> None:
        leader = self.simulation.leader
        if self._runs(name) and leader is not None:
            self.simulation[name].detach_nodes(leader.name)

    @step(name=names)
    def detach_itself(self, name: str) -> None:
        if self._runs(name):
            self.simulation[name].detach()

    @step(name=names)
    def move_in(self, name: str) -> None:
        """A node leaves where it is, is reset, and joins the leader's cluster."""
        leader, node = self.simulation.leader, self.simulation[name]
        if leader is None or leader is node or not node.is_running:
            return
        leaving = node.detach()
        self.simulation.until(lambda: leaving.is_done, 2.0)
        if node.is_running and node.status.role == 'detached':
            node.detach()
            self.simulation.run(0.3)
        if leader.is_running:
            leader.attach_nodes(name)

    @precondition(lambda self: self.simulation.solos < 2)
    @step(name=names)
    def solo(self, name: str) -> None:
        if self._runs(name):
            self.simulation.solo(name)

    @step(name=names, successor=st.none() | names)
    def transfer(self, name: str, successor: Optional[str]) -> None:
        if self._runs(name):
            self.simulation[name].transfer_leadership(successor)

    @step(fault=st.builds(TakeSnapshot, whom))
    def take_snapshot(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(name=names)
    def stop(self, name: str) -> None:
        if self._runs(name) and len(self.simulation.running) > 2:
            self.simulation[name].stop()

    @step(name=names)
    def start(self, name: str) -> None:
        if self.simulation[name].is_up and not self._runs(name):
            self.simulation[name].start()

    # what befalls processes

    @property
    def down(self) -> list[str]:
        return [node.name for node in self.simulation if not node.is_up]

    @precondition(lambda self: len(self.down) < 2)
    @step(name=names)
    def crash(self, name: str) -> None:
        self.simulation[name].crash()

    @precondition(lambda self: len(self.down) < 2)
    @step()
    def crash_leader(self) -> None:
        if self.simulation.leader is not None:
            self.simulation.leader.crash()

    @step(name=names, with_disk=st.sampled_from([True, True, True, False]))
    def restart(self, name: str, with_disk: bool) -> None:
        self.simulation[name].restart(with_disk=with_disk)

    @precondition(lambda self: self.down)
    @step()
    def restart_all(self) -> None:
        for name in self.down:
            self.simulation[name].restart()

    @step(seconds=st.sampled_from([0.2, 0.7, 3.0]))
    def everything_stalls(self, seconds: float) -> None:
        self.simulation.pause_all(seconds)

    @step(fault=st.builds(Pause, whom, SECONDS))
    def pause(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(fault=st.builds(SlowDown, whom, st.sampled_from([0.005, 0.02, 0.1]), SECONDS))
    def slow_down(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(fault=st.builds(SetClockRate, whom, st.sampled_from([0.5, 0.8, 1.0, 1.3, 2.0])))
    def set_clock_rate(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    # what befalls disks

    @precondition(lambda self: len(self.down) < 2)
    @step(fault=st.builds(CrashAtWrite, whom, st.integers(1, 4), st.booleans(), SECONDS))
    def crash_at_write(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(fault=st.builds(FailWrite, whom, st.booleans(), SECONDS))
    def fail_write(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(fault=st.builds(FillDisk, whom, SECONDS))
    def fill_disk(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(fault=st.builds(SlowDisk, whom, WRITE_TIMES))
    def slow_disk(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    # what befalls the network

    @step(
        group=st.lists(names, min_size=1, max_size=3, unique=True),
        has_bridge=st.sampled_from([False, False, True]),
        is_refusing=st.booleans(),
        seconds=st.just(FOR_EVER) | SECONDS,
    )
    def partition(
        self, group: list[str], has_bridge: bool, is_refusing: bool, seconds: float
    ) -> None:
        others = [name for name in self.simulation.names if name not in group]
        groups = tuple(group), tuple(others + group[:has_bridge])
        Partition(groups, seconds, is_refusing).befall(self.simulation)

    @step(
        fault=st.builds(
            Isolate,
            whom,
            st.just(FOR_EVER) | SECONDS,
            st.sampled_from(['both', 'in', 'out']),
            st.booleans(),
        )
    )
    def isolate(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(is_refusing=st.booleans())
    def isolate_leader(self, is_refusing: bool) -> None:
        Isolate(LEADER, FOR_EVER, is_refusing=is_refusing).befall(self.simulation)

    @step(fault=st.builds(CutOneWay, names, names, st.just(FOR_EVER) | SECONDS))
    def cut_one_way(self, fault: Fault) -> None:
        fault.befall(self.simulation)

    @step(noise=NOISES)
    def disturb(self, noise: Noise) -> None:
        self.simulation.network.disturb(noise)

    @step()
    def heal(self) -> None:
        self.simulation.heal()

    @step(seconds=st.sampled_from([2.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.simulation.run(seconds)

    # what must hold

    @invariant()
    def all_invariants_hold(self) -> None:
        self.simulation.check()

    def teardown(self) -> None:
        try:
            if not self.simulation.broken:
                settle(self.simulation)
                self.simulation.check()
        finally:
            self.simulation.close()
