"""A simulation: whole clusters of real nodes in virtual time, under faults and observation.

The kit's front door; what it is made of is in the rooms that it imports.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Optional, Self, Union

from consensual.testing.call import Call
from consensual.testing.history import History
from consensual.testing.network import Link, Network
from consensual.testing.observer import Broken
from consensual.testing.simulated_node import SimulatedNode, url_of
from consensual.testing.timeline import Stuck, Timeline
from consensual.testing.trace import leave
from consensual.testing.watched import Machine
from consensual.testing.world import World

SHOWN = 3
"""Violations of each invariant that an error's text shows, the first ones."""


_NO_FAILURES = KeyboardInterrupt, SystemExit, GeneratorExit


class InvariantsBroken(AssertionError):
    """Something that must always hold did not: see the list, in the order in which it was seen.

    broken: what, when and where.
    """

    def __init__(self, broken: Iterable[Broken], remark: str = '') -> None:
        self.broken = tuple(broken)
        lines = [f'{len(self.broken)} invariants broken:', *_first_of_each(self.broken)]
        super().__init__('\n'.join([*lines, remark] if remark else lines))


def _first_of_each(all_broken: Iterable[Broken]) -> Iterator[str]:
    """Yield the first violations of each invariant, and how many more there are."""
    counts: Counter[str] = Counter()
    for broken in all_broken:
        counts[broken.invariant] += 1
        if counts[broken.invariant] <= SHOWN:
            yield str(broken)
    for invariant, count in counts.items():
        if count > SHOWN:
            yield f'… and {count - SHOWN} more of {invariant}'


class Simulation:
    """Nodes, their processes, disks, clocks and network, in virtual time.

    The same seed and the same calls make the same run, byte for byte. Minutes pass
    in milliseconds. After every turn of every node the invariants of Raft are
    checked; `check` raises what was found.

    make_machine: makes the state machine of a node, anew for each of its lives; or
        its processors by name.
    seed: of every random choice.
    heartbeat, election_timeout: seconds; see `Node.from_url`.
    snapshot_every: entries; see `Node.from_url`. Machines without snapshots keep their logs.
    write_time: seconds that a write to a disk takes at most; 0 for at once.
    is_watched: False leaves out the invariants, for speed.
    is_traced: False leaves out the trace.

    Use it in a `with` block, which closes it; a block that ends well is checked, and
    one that fails leaves its trace.
    """

    def __init__(
        self,
        make_machine: Callable[[], Machine],
        *,
        seed: int = 0,
        heartbeat: float = 0.1,
        election_timeout: Optional[float] = None,
        snapshot_every: int = 10_000,
        write_time: float = 0.0,
        is_watched: bool = True,
        is_traced: bool = True,
    ) -> None:
        self._make_machine = make_machine
        self._world = World(
            seed,
            heartbeat=heartbeat,
            election_timeout=election_timeout,
            snapshot_every=snapshot_every,
            write_time=write_time,
            is_watched=is_watched,
            is_traced=is_traced,
        )
        self._world.network.on_failure = self._see_failure
        self._nodes: dict[str, SimulatedNode] = {}

    def __repr__(self) -> str:
        return f'Simulation(seed={self._world.seed}, at {self.now:.3f} s, {[*self._nodes]})'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: Optional[BaseException], __: object) -> None:
        __tracebackhide__ = True  # pytest shows the `with` block
        try:
            if error is not None and not isinstance(error, _NO_FAILURES):
                self.explain(error)
            elif error is None and self.broken:
                raise InvariantsBroken(self.broken, self.leave_trace())
        finally:
            self.close()

    # what there is

    def __getitem__(self, name: str) -> SimulatedNode:
        return self._nodes[name]

    def __iter__(self) -> Iterator[SimulatedNode]:
        return iter([*self._nodes.values()])

    @property
    def names(self) -> list[str]:
        """The names of all nodes."""
        return [*self._nodes]

    @property
    def running(self) -> list[SimulatedNode]:
        """The nodes that neither crashed nor were stopped."""
        return [node for node in self._nodes.values() if node.is_running]

    @property
    def leader(self) -> Optional[SimulatedNode]:
        """The running leader of the highest term; None where nobody leads."""
        leaders = [node for node in self.running if node.status.role == 'leader']
        return max(leaders, key=lambda node: node.status.term, default=None)

    @property
    def network(self) -> Network:
        """The way between the nodes, with the faults that it may have."""
        return self._world.network

    @property
    def history(self) -> History:
        """What `execute` and `query` were asked and answered: see `linearizability.check`."""
        return self._world.history

    @property
    def broken(self) -> list[Broken]:
        """The invariants that were found broken."""
        return self._world.observer.broken

    @property
    def world(self) -> World:
        """What the nodes share."""
        return self._world

    @property
    def timeline(self) -> Timeline:
        """The true time, and what is planned."""
        return self._world.timeline

    # beginnings

    def add(self, name: str) -> SimulatedNode:
        """Start a new node, in no cluster. Raises `ValueError` for a name that is taken or none."""
        if name in self._nodes:
            raise ValueError(f'there is a node {name!r} already')
        if url_of(name).authority != name:
            raise ValueError(f'a name is that of a host, in small letters, not {name!r}')
        node = self._nodes[name] = SimulatedNode(self._world, name, self._make_machine)
        return node

    def found(self, nodes: Union[int, Iterable[str]] = 3) -> list[SimulatedNode]:
        """Start nodes, and make one cluster of them; return them.

        nodes: how many, named n1, n2, …; or their names.

        Raises `ValueError` when there are none.
        """
        names = [f'n{n}' for n in range(1, nodes + 1)] if isinstance(nodes, int) else [*nodes]
        if not names:
            raise ValueError('a cluster has one node at least')
        made = [self.add(name) for name in names]
        _done(made[0].solo())
        if made[1:]:
            _done(made[0].attach_nodes(*names[1:]))
        return made

    # time

    @property
    def now(self) -> float:
        """True time, in seconds since the beginning."""
        return self._world.timeline.now

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._world.timeline.run(seconds)

    def until(self, is_true: Callable[[], bool], limit: float = 60.0) -> bool:
        """Let virtual time pass until that is true; tell whether it was within the limit.

        limit: seconds.
        """
        with suppress(Stuck):
            return self._world.timeline.run_until(is_true, limit)
        return is_true()

    # faults of many

    def partition(self, *groups: Iterable[str], is_refusing: bool = False) -> list[Link]:
        """Cut the network between groups of names: see `Network.partition`."""
        named = [sorted(group) for group in groups]
        self._world.note('partition ' + ' | '.join(' '.join(group) for group in named))
        return self._world.network.partition(named, is_refusing=is_refusing)

    def isolate(self, name: str, *, is_refusing: bool = False) -> list[Link]:
        """Cut a node off from all others."""
        others = [other for other in self._nodes if other != name]
        return self.partition([name], others, is_refusing=is_refusing)

    def heal(self) -> None:
        """Let the network carry everything again; disks work, processes have their full speed.

        Crashed nodes stay crashed, and clocks keep their rates.
        """
        self._world.note('heal')
        self._world.network.heal()
        for node in self._nodes.values():
            node.disk.heal()
            node.slow_down(0.0)
            if node.is_up:
                node.resume()

    # the end

    def check(self) -> None:
        """Raise `InvariantsBroken` if an invariant did not hold."""
        if self.broken:
            raise InvariantsBroken(self.broken)

    def save_trace(self, path: Union[str, Path]) -> None:
        """Write all that the nodes' Rafts took in, to be replayed.

        Raises `ValueError` when nothing was recorded.
        """
        if self._world.trace is None:
            raise ValueError('nothing was recorded: make the simulation with is_traced=True')
        self._world.trace.save(path)

    def leave_trace(self, name: str = '') -> str:
        """Save the trace of what failed; return the sentence that says how to replay it.

        It is put into the folder that the environment's CONSENSUAL_TRACES names, else
        into one for temporary files.

        name: of the file; made of the seed unless given.
        """
        if self._world.trace is None:
            return f'seed {self._world.seed}; nothing was recorded (is_traced=False)'
        where = leave(self._world.trace, name or f'seed-{self._world.seed}')
        return f'seed {self._world.seed}; {where}'

    def explain(self, error: BaseException, name: str = '') -> None:
        """Add to an error what was found broken before it, and how to replay it all.

        name: of the trace's file; made of the seed unless given.
        """
        if self.broken and not isinstance(error, InvariantsBroken):
            error.add_note(str(InvariantsBroken(self.broken)))
        error.add_note(self.leave_trace(name))

    def close(self) -> None:
        """End all processes. Closed already, do nothing."""
        for node in self._nodes.values():
            node.crash()

    def _see_failure(self, name: str, error: BaseException) -> None:
        if self._nodes[name].disk.has_failed or not self._world.is_watched:
            return  # it says so to everybody
        self._world.observer.violate('no_node_fails', f'{name} failed to answer: {error!r}')


def _done(call: Call[Optional[str]]) -> None:
    text = call.result()
    if text is not None:
        raise RuntimeError(f'{call.what}: {text}')
