"""KeyValueStore in clusters under faults: linearizable, and the same on every node."""

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest

from consensual.machines import KeyValueStore
from consensual.raft.errors import InvalidParameters, ProcessorFailed
from consensual.testing import (
    Ask,
    Clients,
    History,
    KeyValue,
    Result,
    Returned,
    Simulation,
    Violation,
    check,
    draw_schedule,
    play,
    settle,
)

KEYS = 'a', 'b'
SECONDS = 20.0


class Store(KeyValue):
    """The kit's model, with the answers of a KeyValueStore.

    No value is written twice, so a version stands for a value: the model is asked by
    values where the store is asked by versions.
    """

    def allows(self, request: Any, expected: Any, output: Any) -> bool:
        return bool(self.essence(request, output) == expected)

    def is_reading(self, request: Any, output: Any) -> bool:
        return super().is_reading(request, self.essence(request, output))

    def essence(self, request: Any, output: Any) -> Any:
        """Return what the kit's model would answer."""
        match request[0]:
            case 'get':
                return output and output['value']
            case 'put':
                return None
            case 'delete':
                return output['deleted']
        return output['succeeded']


def seen(history: History) -> list[tuple[str, str, int]]:
    """Return key, value and version of all that clients were told, in the order of their calls."""
    found = []
    for operation in history:
        match operation.request, operation.outcome:
            case ('get', key), Returned({'value': value, 'version': version}):
                found.append((key, value, version))
            case ('put', key, value), Returned({'version': version}):
                found.append((key, value, version))
            case ('cas', key, _, value), Returned({'succeeded': True, 'version': version}):
                found.append((key, value, version))
    return found


def asking(history: History) -> Callable[[Random], Ask]:
    """Return what draws what is asked; a condition is mostly on what was seen lately."""
    numbers = count()

    def draw(random: Random) -> Ask:
        key, value = random.choice(KEYS), f'v{next(numbers)}'
        known = [it for it in seen(history) if it[0] == key][-3:]
        action = random.choice(['get', 'get', 'put', 'delete', 'value', 'version', 'new'])
        if action == 'get':
            return Ask('get', {'key': key}, ('get', key), is_query=True)
        if action == 'delete':
            return Ask('delete', {'key': key}, ('delete', key))
        if action == 'put' or not known:
            return Ask('put', {'key': key, 'value': value}, ('put', key, value))
        _, old, version = random.choice(known)
        condition = {
            'value': {'expected': old},
            'version': {'version': version},
            'new': {'expected': None},
        }[action]
        expected = None if action == 'new' else old
        return Ask('cas', {'key': key, 'value': value} | condition, ('cas', key, expected, value))

    return draw


def live(seed: int, make_store: Callable[[], KeyValueStore]) -> tuple[History, Result]:
    """Let clients ask a cluster that is tormented; return what they were told, and the verdict."""
    with Simulation(make_store, seed=seed, snapshot_every=10) as simulation:
        simulation.found(3)
        clients = Clients(simulation, asking(simulation.history), pause=0.3)
        play(simulation, draw_schedule(Random(seed), simulation.names, SECONDS))
        simulation.run(SECONDS)
        clients.stop()
        settle(simulation)
        return simulation.history, check(simulation.history, Store())


@pytest.mark.parametrize('seed', range(12))
def test_is_linearizable_whatever_happens(seed: int) -> None:
    """By value and by version. A version has one value, and versions grow as time goes on."""
    history, result = live(seed, KeyValueStore)
    assert result.is_linearizable, result
    told = seen(history)
    assert told
    assert len({version for _, _, version in told}) == len({value for _, value, _ in told})
    assert len({version for _, _, version in told}) == len({*told})
    writes = [
        (operation.called, operation.returned, operation.outcome.value['version'])
        for operation in history
        if operation.request[0] == 'put' and isinstance(operation.outcome, Returned)
    ]
    for _, returned, version in writes:
        assert all(later > version for called, _, later in writes if called > returned)


class Careless(KeyValueStore):
    """Takes no notice of conditions."""

    def __init__(self) -> None:
        super().__init__()
        put = self.processors['put']

        def cas(parameters: Any, *, context: Any) -> Any:
            wanted = {'key': parameters['key'], 'value': parameters['value']}
            return {'succeeded': True} | put(wanted, context=context)

        self.processors = {**self.processors, 'cas': cas}


def test_careless_store_is_found_out() -> None:
    """The test above can fail."""
    _, result = live(1, Careless)
    assert isinstance(result, Violation)


def draw_expiring(random: Random) -> Ask:
    key = f'k{random.randrange(30)}'
    action = random.choice(['get', 'put', 'put', 'cas', 'delete'])
    if action in {'get', 'delete'}:
        return Ask(action, {'key': key}, is_query=action == 'get')
    wanted = {'key': key, 'value': random.randrange(3), 'ttl': random.choice([0.1, 1, 2.5, 5])}
    return Ask(action, wanted if action == 'put' else wanted | {'expected': None})


@pytest.mark.parametrize('seed', range(6))
def test_expiry_is_the_same_everywhere(seed: int) -> None:
    """Leaders and clocks come and go; the kit compares all results and all states meanwhile."""
    with Simulation(KeyValueStore, seed=seed, snapshot_every=10) as simulation:
        first, *_ = simulation.found(3)
        first.execute('put', {'key': 'kept', 'value': 1, 'ttl': 1e6}).result()
        clients = Clients(simulation, draw_expiring, count=5, pause=0.1)
        play(simulation, draw_schedule(Random(seed), simulation.names, SECONDS))
        simulation.run(SECONDS)
        clients.stop()
        settle(simulation)
        simulation.run(30.0)
        members = [node for node in simulation.running if node.status.leader is not None]
        members[0].execute('put', {'key': 'last', 'value': 2}).result()
        for node in members:
            page = node.query('range', {'prefix': ''}).result()
            assert [item['key'] for item in page['items']] == ['kept', 'last']


def test_newcomers_and_restarted_nodes_go_on_from_a_snapshot() -> None:
    """Values, versions and instants of expiry came with it; the entries themselves are gone."""
    with Simulation(KeyValueStore, seed=1, snapshot_every=5) as simulation:
        (first,) = simulation.found(1)
        for number in range(40):
            wanted = {'key': f'{number:02}', 'value': [number]}
            first.execute('put', wanted | ({'ttl': 60} if number % 2 else {})).result()
        second = simulation.add('n2')
        assert first.attach_nodes('n2').result() is None
        first.crash()
        first.restart()
        first.execute('delete', {'key': '00'}).result()
        assert all(node.status.snapshot_index > 30 for node in simulation)
        pages = [node.query('range', {'prefix': ''}).result() for node in simulation]
        assert [item['value'] for item in pages[0]['items']] == [[it] for it in range(1, 40)]
        assert pages[1] == pages[0]
        simulation.run(60.0)
        second.execute('delete', {'key': '02'}).result()
        pages = [node.query('range', {'prefix': ''}).result() for node in simulation]
        assert [item['value'] for item in pages[0]['items']] == [[it] for it in range(4, 40, 2)]
        assert pages[1] == pages[0]


def test_caller_is_told_what_was_malformed() -> None:
    """As the command's failure; of a query, as the caller's own."""
    with Simulation(KeyValueStore, seed=1) as simulation:
        _, second, _ = simulation.found(3)
        call = second.execute('put', {'key': 'a'})
        with pytest.raises(ProcessorFailed, match=r'put takes \{key, value, ttl\?\}: .*`value`'):
            call.result()
        query = second.query('get', {})
        with pytest.raises(InvalidParameters, match=r'get takes \{key\}: .*`key`'):
            query.result()
        assert second.query('get', {'key': 'a'}).result() is None
