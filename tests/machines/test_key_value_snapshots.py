"""KeyValueStore: snapshots are copies of JSON types; a restored store goes on like the first."""

import json
from random import Random
from typing import Any

import pytest

from consensual.machines import KeyValueStore
from consensual.raft.errors import InvalidParameters
from tests.machines.driven import Driven


def fill(store: Driven, random: Random, commands: int = 200) -> list[Any]:
    """Apply drawn commands; return what they returned."""
    results = []
    for _ in range(commands):
        store.wait(random.choice([0.0, 0.1, 1.0, 5.0]))
        parameters: dict[str, Any] = {'key': f'k{random.randrange(20):02}'}
        action = random.choice(['put', 'put', 'put', 'delete', 'cas'])
        if action != 'delete':
            parameters['value'] = random.choice([random.randrange(3), [{'x': 1}], None])
            if random.random() < 0.7:
                parameters['ttl'] = random.choice([0.5, 2, 2.0, 30])
        if action == 'cas':
            parameters |= random.choice([{'expected': random.choice([0, None])}, {'version': 1}])
        results.append(store.do(action, parameters))
    return results


def everything(store: Driven) -> Any:
    return store.range(prefix='', limit=10_000), store.machine.snapshot()


@pytest.mark.parametrize('seed', range(20))
def test_restored_store_goes_on_like_the_first(seed: int) -> None:
    """The same commands have the same results, and lead to the same state."""
    random = Random(seed)
    first = Driven(KeyValueStore())
    fill(first, random)
    second = first.copy(KeyValueStore())
    assert everything(second) == everything(first)
    assert fill(second, Random(seed)) == fill(first, Random(seed))
    assert everything(second) == everything(first)


def test_snapshot_is_not_changed_by_later_commands() -> None:
    """A node writes it while it goes on."""
    store = Driven(KeyValueStore())
    fill(store, Random(1))
    snapshot = store.machine.snapshot()
    text = json.dumps(snapshot)
    fill(store, Random(2))
    assert json.dumps(snapshot) == text


def test_store_is_not_changed_through_what_it_was_restored_from() -> None:
    """Nor is a value changed by the store that was restored from it."""
    store = Driven(KeyValueStore())
    store.put(key='a', value=[1], ttl=5)
    value = json.loads(json.dumps(store.machine.snapshot()))
    text = json.dumps(value)
    other = Driven(KeyValueStore())
    other.machine.restore(value)
    other.put(key='b', value=2, ttl=5)
    other.delete(key='a')
    assert json.dumps(value) == text
    other.machine.restore(value)
    for container in value.values():
        if isinstance(container, dict):
            container.clear()
    assert other.get(key='a') == {'value': [1], 'version': 1}


def test_restoring_replaces_what_was_there() -> None:
    """Nothing of it stays, nor does its time."""
    store = Driven(KeyValueStore())
    fill(store, Random(1))
    store.range(prefix='')
    store.machine.restore(KeyValueStore().snapshot())
    assert everything(store) == everything(Driven(KeyValueStore()))


def test_first_command_after_a_restore_sees_what_expired_meanwhile() -> None:
    """The instants came with the snapshot."""
    first = Driven(KeyValueStore())
    for number in range(200):
        first.put(key=f'{number}', value=number, ttl=number + 1)
    second = first.copy(KeyValueStore())
    second.wait(150)
    assert second.delete(key='149') == {'deleted': False}
    assert second.delete(key='150') == {'deleted': True}
    assert len(second.range(prefix='')['items']) == 49


@pytest.mark.parametrize(
    'value',
    [
        None,
        [],
        {},
        {'time': 1.0, 'records': {}},
        {'time': 1.0, 'records': {}, 'expiries': {}, 'more': 1},
        {'time': 1.0, 'records': {'a': 1}, 'expiries': {}},
        {'time': 1.0, 'records': {}, 'expiries': {'a': 'soon'}},
        {'time': None, 'records': {}, 'expiries': {}},
    ],
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(value: Any) -> None:
    """A snapshot of another machine, for one."""
    store = Driven(KeyValueStore())
    store.put(key='a', value=1)
    before = store.machine.snapshot()
    with pytest.raises(InvalidParameters, match='no snapshot'):
        store.machine.restore(value)
    assert store.machine.snapshot() == before
