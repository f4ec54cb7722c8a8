"""The pytest plugin: the fixture `cluster`, and traces of the tests that fail.

Installed with the package; whatever a simulation is made of is elsewhere.
"""

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import pytest

from consensual.testing.simulation import InvariantsBroken, Simulation
from consensual.testing.watched import Machine

_simulations = pytest.StashKey[list[Simulation]]()


class MakeCluster(Protocol):
    """Makes a cluster for a test."""

    def __call__(
        self, make_machine: Callable[[], Machine], nodes: int = 3, **options: Any
    ) -> Simulation:
        """Return a simulation in which a cluster of so many nodes, n1, n2, …, is founded.

        make_machine: makes a node's state machine.
        options: those of `Simulation`.
        """


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[MakeCluster]:
    """Make simulated clusters, founded and watched.

    Call it: `simulation = cluster(Counter, nodes=5, seed=7)`. For tests of any kind,
    those of pytest-asyncio included, in which calls are awaited. A test that ends well
    fails all the same when an invariant did not hold; one that fails leaves its trace.
    """
    made: list[Simulation] = request.node.stash.setdefault(_simulations, [])

    def make(make_machine: Callable[[], Machine], nodes: int = 3, **options: Any) -> Simulation:
        simulation = Simulation(make_machine, **options)
        made.append(simulation)
        simulation.found(nodes)
        return simulation

    yield make
    for simulation in made:
        simulation.close()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Let a test fail that broke an invariant, and leave the trace of one that fails."""
    name = re.sub(r'[^\w.-]+', '-', pyfuncitem.nodeid)[-150:].strip('-')
    try:
        result = yield
    except (Exception, pytest.fail.Exception) as error:
        for simulation, file in _files(pyfuncitem, name):
            simulation.explain(error, file)
        raise
    for simulation, file in _files(pyfuncitem, name):
        if simulation.broken:
            raise InvariantsBroken(simulation.broken, simulation.leave_trace(file))
    return result


def _files(item: pytest.Function, name: str) -> Iterator[tuple[Simulation, str]]:
    """Yield the test's simulations, each with the name of its trace."""
    made: list[Simulation] = item.stash.get(_simulations, [])
    for number, simulation in enumerate(made, 1):
        yield simulation, name if number == 1 else f'{name}-{number}'
