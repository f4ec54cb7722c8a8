"""KeyValueStore: what has a ttl is absent once its time has come, by the commands' own time."""

import json
from typing import Any

import pytest

from consensual.machines import KeyValueStore
from tests.machines.driven import Driven


@pytest.fixture(name='store')
def make_store() -> Driven:
    store = Driven(KeyValueStore())
    store.wait(1000.0)
    return store


def touch(store: Driven) -> None:
    """A command that changes nothing but the time of reads."""
    assert store.delete(key='nothing') == {'deleted': False}


def test_key_is_there_until_its_time_and_not_at_it(store: Driven) -> None:
    """The ttl is in seconds after the time of the command that wrote it."""
    store.put(key='a', value=1, ttl=5)
    store.wait(4.999)
    touch(store)
    assert store.get(key='a') == {'value': 1, 'version': 1}
    store.wait(0.001)
    touch(store)
    assert store.get(key='a') is None
    assert store.range(prefix='') == {'items': [], 'more': False}


def test_reads_see_the_time_of_the_latest_command(store: Driven) -> None:
    """Queries have no time of their own, or two nodes would see different things."""
    store.put(key='a', value=1, ttl=5)
    store.wait(100)
    assert store.get(key='a') == {'value': 1, 'version': 1}
    touch(store)
    assert store.get(key='a') is None


def test_expired_key_is_absent_for_delete(store: Driven) -> None:
    """By the time of the very command."""
    store.put(key='a', value=1, ttl=5)
    store.wait(5)
    assert store.delete(key='a') == {'deleted': False}


@pytest.mark.parametrize('condition', [{'expected': 1}, {'version': 1}])
def test_expired_key_is_absent_for_cas(store: Driven, condition: Any) -> None:
    """A condition on what it was fails; that it must not exist holds."""
    store.put(key='a', value=1, ttl=5)
    store.wait(5)
    assert store.cas(key='a', value=2, **condition) == {'succeeded': False, 'version': None}
    assert store.cas(key='a', value=2, expected=None) == {'succeeded': True, 'version': 3}


def test_put_without_ttl_clears_an_earlier_one(store: Driven) -> None:
    """The key stays."""
    store.put(key='a', value=1, ttl=5)
    store.put(key='a', value=2)
    store.wait(5)
    touch(store)
    assert store.get(key='a') == {'value': 2, 'version': 2}


def test_cas_takes_ttl_as_put_does(store: Driven) -> None:
    """With one it sets it, without one it clears an earlier one; failed, it leaves it."""
    store.put(key='a', value=1, ttl=5)
    store.put(key='b', value=1)
    store.put(key='c', value=1, ttl=5)
    store.cas(key='a', value=2, expected=1)
    store.cas(key='b', value=2, expected=1, ttl=5)
    store.cas(key='c', value=2, expected=7)
    store.wait(5)
    touch(store)
    assert [item['key'] for item in store.range(prefix='')['items']] == ['a']


@pytest.mark.parametrize(('ttl', 'is_there'), [(2, False), (20, True)])
def test_later_ttl_replaces_an_earlier_one(store: Driven, ttl: float, is_there: bool) -> None:
    """Whether it is shorter or longer."""
    store.put(key='a', value=1, ttl=10)
    store.put(key='a', value=1, ttl=ttl)
    store.wait(3)
    touch(store)
    assert (store.get(key='a') is not None) == is_there
    store.wait(8)
    touch(store)
    assert (store.get(key='a') is not None) == is_there


def test_key_that_was_deleted_and_written_again_has_no_old_ttl(store: Driven) -> None:
    """Nor does one that expired."""
    store.put(key='a', value=1, ttl=5)
    store.delete(key='a')
    store.put(key='a', value=2)
    store.put(key='b', value=1, ttl=5)
    store.wait(5)
    store.put(key='b', value=2)
    store.wait(5)
    touch(store)
    assert store.get(key='a') == {'value': 2, 'version': 3}
    assert store.get(key='b') == {'value': 2, 'version': 5}


def test_many_that_expire_at_once_are_absent_at_once(store: Driven) -> None:
    """Though a command removes only some of them."""
    for number in range(1000):
        store.put(key=f'{number}', value=number, ttl=5)
    store.put(key='x', value=None)
    store.wait(5)
    touch(store)
    assert [item['key'] for item in store.range(prefix='', limit=1)['items']] == ['x']
    assert store.range(prefix='', limit=1)['more'] is False
    assert store.get(key='999') is None
    assert store.cas(key='998', value=1, expected=None)['succeeded'] is True
    assert store.delete(key='997') == {'deleted': False}
    for _ in range(20):
        touch(store)
    assert [item['key'] for item in store.range(prefix='')['items']] == ['998', 'x']
    assert repr(store.machine).startswith('KeyValueStore(Table(2 records ')


def test_earliest_are_removed_first(store: Driven) -> None:
    """A few with each command, which a repr shows and nothing else."""
    for number in range(100):
        store.put(key=f'late {number}', value=0, ttl=20)
    for number in range(100):
        store.put(key=f'early {number}', value=0, ttl=10)
    store.wait(10)
    for _ in range(5):
        touch(store)
    assert repr(store.machine).startswith('KeyValueStore(Table(100 records ')
    assert len(store.range(prefix='late')['items']) == 100


def test_ttl_that_is_often_renewed_is_the_latest(store: Driven) -> None:
    """However many instants it had before."""
    for _ in range(3000):
        store.put(key='a', value=1, ttl=5)
        store.wait(0.01)
    store.wait(4.98)
    touch(store)
    assert store.get(key='a') == {'value': 1, 'version': 3000}
    store.wait(0.02)
    touch(store)
    assert store.get(key='a') is None


def test_snapshot_holds_nothing_that_has_expired(store: Driven) -> None:
    """So it is the same on all nodes, however much each has removed."""
    for number in range(300):
        store.put(key=f'{number}', value=number, ttl=5)
    store.put(key='x', value=None, ttl=6)
    store.wait(5)
    touch(store)
    assert [*store.machine.snapshot()['records']] == ['x']
    json.dumps(store.machine.snapshot(), allow_nan=False)
