"""Lock in clusters under faults: never two holders, whatever happens."""

from collections.abc import Callable
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest

from consensual.machines import Lock
from consensual.testing import (
    Ask,
    Clients,
    History,
    Model,
    Returned,
    Simulation,
    check,
    draw_schedule,
    faults,
    models,
    play,
    settle,
)

SECONDS = 20.0


class Locks(models.Lock):
    """The kit's model, with the answers of a Lock; no owner asks twice."""

    def allows(self, request: Any, expected: Any, output: Any) -> bool:  # noqa: ARG002
        return bool(self.essence(output) == expected)

    def is_reading(self, request: Any, output: Any) -> bool:
        return super().is_reading(request, self.essence(output))

    def essence(self, output: Any) -> bool:
        return bool(output['acquired'] if 'acquired' in output else output['released'])


def asking(history: History, ttl: float, releases: float) -> Callable[[Random], Ask]:
    """Return what draws what is asked: owners that ask once, and releases of what is held.

    releases: the share of them.
    """
    numbers = count()

    def draw(random: Random) -> Ask:
        name = random.choice('ab')
        known = [
            operation.outcome.value
            for operation in history
            if operation.request[:2] == ('acquire', name)
            and isinstance(operation.outcome, Returned)
        ]
        if known and random.random() < releases:
            held = random.choice(known[-3:])
            request = 'release', name, held['owner']
            return Ask('release', {'name': name, 'token': held['token']}, request)
        owner = f'owner {next(numbers)}'
        wanted = {'name': name, 'owner': owner, 'ttl': ttl}
        return Ask('acquire', wanted, ('acquire', name, owner))

    return draw


def live(seed: int, ttl: float, releases: float) -> History:
    """Let clients ask a cluster that is tormented, but whose clocks are right."""
    schedule = [
        blow
        for blow in draw_schedule(Random(seed), ['n1', 'n2', 'n3'], SECONDS)
        if not isinstance(blow.fault, faults.SetClockRate)
    ]
    with Simulation(Lock, seed=seed, snapshot_every=10) as simulation:
        simulation.found(3)
        clients = Clients(simulation, asking(simulation.history, ttl, releases), pause=0.3)
        play(simulation, schedule)
        simulation.run(SECONDS)
        clients.stop()
        settle(simulation)
        return simulation.history


@pytest.mark.parametrize('seed', range(8))
def test_is_linearizable_whatever_happens(seed: int) -> None:
    """Each token is given to one owner only."""
    history = live(seed, ttl=1e6, releases=0.5)
    model: Model[Any] = Locks()
    result = check(history, model)
    assert result.is_linearizable, result
    holders = {
        (operation.outcome.value['token'], operation.outcome.value['owner'])
        for operation in history
        if operation.request[0] == 'acquire' and isinstance(operation.outcome, Returned)
    }
    assert len(holders) > 3
    assert len({token for token, _ in holders}) == len(holders)


@pytest.mark.parametrize('seed', range(8))
def test_lease_lasts_as_long_as_it_was_granted(seed: int) -> None:
    """Whoever is granted the lock next is told so when the lease before is over, not earlier."""
    grants: dict[str, list[tuple[int, float, float]]] = {'a': [], 'b': []}
    for operation in live(seed, ttl=2.0, releases=0.0):
        match operation.outcome:
            case Returned({'acquired': True, 'token': token}):
                name = operation.request[1]
                grants[name].append((token, operation.called, operation.returned))
    for granted in grants.values():
        granted.sort()
        assert granted
        for (_, called, _), (_, _, returned) in pairwise(granted):
            assert returned - called >= 2.0
