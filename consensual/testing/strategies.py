"""Hypothesis strategies: commands, faults, schedules and clusters, drawn and shrunk.

Needs Hypothesis; nothing else of the kit does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct

from consensual.testing import faults
from consensual.testing.faults import LEADER, AnyFault
from consensual.testing.nemesis import Blow
from consensual.testing.network import Noise
from consensual.testing.simulation import Simulation
from consensual.testing.watched import Machine

NAMES = ('n1', 'n2', 'n3')


class Setup(Struct, frozen=True):
    """A cluster that can be founded: see `Simulation`."""

    seed: int
    names: tuple[str, ...]
    write_time: float
    snapshot_every: int

    def simulate(self, make_machine: Callable[[], Machine]) -> Simulation:
        """Return a simulation in which it is founded; use it in a `with` block."""
        simulation = Simulation(
            make_machine,
            seed=self.seed,
            snapshot_every=self.snapshot_every,
            write_time=self.write_time,
        )
        simulation.found(self.names)
        return simulation


def clusters(sizes: Sequence[int] = (3, 1, 2, 5)) -> SearchStrategy[Setup]:
    """Draw clusters of these sizes, the simplest first; their nodes are n1, n2 and so on."""
    names = st.sampled_from(sizes).map(lambda size: tuple(f'n{n + 1}' for n in range(size)))
    return st.builds(
        Setup,
        seed=st.integers(0, 2**32 - 1),
        names=names,
        write_time=st.sampled_from((0.0, 0.002, 0.02)),
        snapshot_every=st.sampled_from((10_000, 1, 5, 20)),
    )


def commands(
    actions: Mapping[str, Optional[SearchStrategy[Any]]],
) -> SearchStrategy[tuple[str, Any]]:
    """Draw commands: an action, and its parameters.

    actions: strategies of parameters by action; None for an action without.
    """
    return st.one_of(
        [
            st.tuples(st.just(action), st.none() if parameters is None else parameters)
            for action, parameters in actions.items()
        ]
    )


def any_faults(
    names: Sequence[str] = NAMES, *, strangers: Sequence[str] = ()
) -> SearchStrategy[AnyFault]:
    """Draw a fault, or a change of membership, the mildest first.

    names: of the cluster's nodes.
    strangers: of nodes that may join.
    """
    everybody = (*names, *strangers)
    name = st.sampled_from((LEADER, *names))
    anybody = st.sampled_from(everybody)
    seconds = st.sampled_from((0.3, 0.05, 1.0, 2.5, 5.0))
    probability = st.sampled_from((0.0, 0.05, 0.3))
    noise = st.builds(Noise, probability, probability, st.sampled_from((0.0, 0.02, 0.2, 1.0)))
    ways = st.sampled_from(('both', 'in', 'out'))
    group = st.lists(anybody, min_size=1, unique=True).map(tuple)
    return st.one_of(
        st.builds(faults.Crash, name, seconds, st.sampled_from((True, True, True, False))),
        st.builds(faults.Isolate, name, seconds, ways, st.booleans()),
        st.builds(faults.Partition, st.tuples(group, group), seconds, st.booleans()),
        st.builds(faults.CutOneWay, anybody, anybody, seconds),
        st.builds(faults.Disturb, noise, seconds),
        st.builds(faults.Pause, name, seconds),
        st.builds(faults.SlowDown, name, st.sampled_from((0.005, 0.02, 0.1)), seconds),
        st.builds(faults.SetClockRate, anybody, st.sampled_from((1.0, 0.5, 2.0, 1.1))),
        st.builds(faults.Stop, name, seconds),
        st.builds(faults.CrashAtWrite, name, st.integers(1, 5), st.booleans(), seconds),
        st.builds(faults.FailWrite, name, st.booleans(), seconds),
        st.builds(faults.FillDisk, name, seconds),
        st.builds(faults.SlowDisk, anybody, st.sampled_from((0.0, 0.005, 0.05, 0.3))),
        st.builds(faults.TakeSnapshot, name),
        st.builds(faults.Transfer, name, st.none() | anybody),
        st.builds(faults.Attach, name, anybody),
        st.builds(faults.Detach, name, anybody),
    )


def schedules(
    names: Sequence[str] = NAMES,
    *,
    strangers: Sequence[str] = (),
    seconds: float = 10.0,
    most: int = 12,
) -> SearchStrategy[list[Blow]]:
    """Draw what befalls a cluster, and when: see `nemesis.play`.

    seconds: within which it does.
    most: how many faults there are at most.
    """
    instants = st.floats(0.0, seconds).map(lambda at: round(at, 3))
    blows = st.builds(Blow, instants, any_faults(names, strangers=strangers))
    return st.lists(blows, max_size=most).map(lambda all_: sorted(all_, key=lambda blow: blow.at))
