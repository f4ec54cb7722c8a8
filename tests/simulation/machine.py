"""Whole clusters under everything that may happen to them, as Hypothesis wants it to.

Each rule begins something and lets little or no time pass: what it began goes
on while other rules run. The invariants are watched in every step of the loop.
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

from tests.simulation.liveness import settle
from tests.simulation.network import Noise
from tests.simulation.world import World

MOST_NODES = 7
PAUSES = st.sampled_from([0.0, 0.1, 0.001, 0.01, 0.003, 0.7, 0.02, 1.5, 0.3])
WRITE_TIMES = st.sampled_from([0.0, 0.0, 0.005, 0.05, 0.3])
PROBABILITIES = st.sampled_from([0.0, 0.05, 0.3])
NOISES = st.builds(
    Noise,
    drop=PROBABILITIES,
    lose_reply=PROBABILITIES,
    duplicate=PROBABILITIES,
    delay=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
)
ACTIONS = st.sampled_from(['put', 'put', 'slow', 'fail'])


def step(**arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a rule, after which a drawn time passes."""

    def make(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def run(self: 'Clusters', pause: float, **drawn: Any) -> Any:
            result = function(self, **drawn)
            self.world.run(pause)
            return result

        return rule(pause=PAUSES, **arguments)(run)

    return make


class Clusters(RuleBasedStateMachine):
    """Nodes, what their owners do, and what the world does to them."""

    names = Bundle('names')

    def __init__(self) -> None:
        super().__init__()
        self.world: World = World()
        self.made = self.solos = 0

    # beginnings

    @initialize(
        target=names,
        seed=st.integers(0, 2**16),
        size=st.sampled_from([3, 1, 2, 4, 5, 3]),
        write_time=WRITE_TIMES,
    )
    def found(self, seed: int, size: int, write_time: float) -> Any:
        self.world.close()
        self.world = World(seed)
        names = [self._name() for _ in range(size)]
        self.world.found(names, write_time=write_time)
        return multiple(*names)

    @precondition(lambda self: self.made < MOST_NODES)
    @step(target=names, write_time=WRITE_TIMES, host=st.none() | names)
    def make(self, write_time: float, host: Optional[str]) -> str:
        name = self._name()
        self.world.make(name, write_time=write_time)
        self.world.run()
        if host is not None and self._runs(host):
            self.world.attach(host, [name])
        return name

    def _name(self) -> str:
        self.made += 1
        return f'n{self.made}'

    def _runs(self, name: str) -> bool:
        replica = self.world.replicas.get(name)
        return replica is not None and replica.is_running

    # what owners do

    @step(name=names, action=ACTIONS, count=st.integers(1, 4))
    def enqueue(self, name: str, action: str, count: int) -> None:
        if self._runs(name):
            for _ in range(count):
                self.world.enqueue(name, action)

    @step(action=ACTIONS)
    def enqueue_everywhere(self, action: str) -> None:
        for replica in self.world.running:
            self.world.enqueue(replica.name, action)

    @step(name=names)
    def read(self, name: str) -> None:
        if self._runs(name):
            self.world.read(name)

    @step(name=names, others=st.lists(names, min_size=1, max_size=3, unique=True))
    def attach(self, name: str, others: list[str]) -> None:
        if self._runs(name):
            self.world.attach(name, others)

    @step(name=names, others=st.lists(names, min_size=1, max_size=2, unique=True))
    def detach(self, name: str, others: list[str]) -> None:
        if self._runs(name):
            self.world.detach(name, others)

    @step(name=names)
    def detach_leader(self, name: str) -> None:
        leader = self._leader()
        if self._runs(name) and leader is not None:
            self.world.detach(name, [leader])

    @step(name=names)
    def detach_itself(self, name: str) -> None:
        if self._runs(name):
            self.world.leave(name)

    @step(name=names)
    def move_in(self, name: str) -> None:
        """A node leaves where it is, is reset, and joins the leader's cluster."""
        leader = self._leader()
        if self._runs(name) and leader not in (None, name):
            leaving = self.world.leave(name)
            self.world.until(lambda: leaving.is_done, 2.0)
            if self.world.replicas[name].node.status.role == 'detached':
                self.world.leave(name)
                self.world.run(0.3)
            if leader is not None and self._runs(leader):
                self.world.attach(leader, [name])

    @precondition(lambda self: self.solos < 2)
    @step(name=names)
    def solo(self, name: str) -> None:
        if self._runs(name):
            self.solos += 1
            self.world.solo(name)

    @step(name=names, successor=st.none() | names)
    def transfer(self, name: str, successor: Optional[str]) -> None:
        if self._runs(name):
            self.world.transfer(name, successor)

    @step(name=names)
    def stop(self, name: str) -> None:
        if self._runs(name) and len(self.world.running) > 2:
            self.world.stop(name)

    @step(name=names)
    def start(self, name: str) -> None:
        if name in self.world.replicas and not self._runs(name):
            self.world.start(name)

    def _leader(self) -> Optional[str]:
        return self.world.leader_of(replica.name for replica in self.world.running)

    # what the world does

    @precondition(lambda self: len(self.world.down) < 2)
    @step(name=names)
    def crash(self, name: str) -> None:
        if name in self.world.replicas:
            self.world.crash(name)

    @precondition(lambda self: len(self.world.down) < 2)
    @step()
    def crash_leader(self) -> None:
        leader = self._leader()
        if leader is not None:
            self.world.crash(leader)

    @step(name=names, keeps_memory=st.sampled_from([True, True, True, False]))
    def restart(self, name: str, keeps_memory: bool) -> None:
        if name in self.world.replicas:
            self.world.crash(name)
        self.world.restart(name, keeps_memory=keeps_memory)

    @precondition(lambda self: self.world.down)
    @step()
    def restart_all(self) -> None:
        for name in list(self.world.down):
            self.world.restart(name, keeps_memory=True)

    @step(
        group=st.lists(names, min_size=1, max_size=3, unique=True),
        is_refusing=st.booleans(),
    )
    def partition(self, group: list[str], is_refusing: bool) -> None:
        others = [f'n{number + 1}' for number in range(self.made)]
        self.world.network.is_refusing = is_refusing
        self.world.network.partition([group, [name for name in others if name not in group]])

    @step(is_refusing=st.booleans())
    def isolate_leader(self, is_refusing: bool) -> None:
        leader = self._leader()
        if leader is not None:
            self.world.network.is_refusing = is_refusing
            self.world.network.isolate(leader, self.world.replicas)

    @step(source=names, destination=names)
    def cut_one_way(self, source: str, destination: str) -> None:
        self.world.network.cut(source, destination)

    @step(name=names, is_incoming=st.booleans())
    def cut_half(self, name: str, is_incoming: bool) -> None:
        for other in self.world.replicas:
            link = (other, name) if is_incoming else (name, other)
            self.world.network.cut(*link)

    @step(noise=NOISES)
    def disturb(self, noise: Noise) -> None:
        self.world.network.noise = noise

    @step()
    def heal(self) -> None:
        self.world.network.heal()

    @step(seconds=st.sampled_from([2.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @step(seconds=st.sampled_from([0.2, 0.7, 3.0]))
    def everything_stalls(self, seconds: float) -> None:
        self.world.loop.stall(seconds)

    # what must hold

    @invariant()
    def all_invariants_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        try:
            if not self.world.observer.violations:
                settle(self.world)
                self.world.check()
        finally:
            self.world.close()
