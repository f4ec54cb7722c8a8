"""KeyValueStore: what its actions and queries do, one rule a test (docs/machines.md)."""

from typing import Any

import pytest

from consensual.machines import KeyValueStore
from consensual.raft import StateMachine
from tests.machines.driven import Driven
from tests.readable import readable

VALUES: list[Any] = [None, True, 0, -1.5, 'text', '', [], {}, [1, [None]], {'a': {'b': [False]}}]


@pytest.fixture(name='store')
def make_store() -> Driven:
    return Driven(KeyValueStore())


def test_is_a_state_machine() -> None:
    """What a node asks of one, and what compaction needs."""
    store = KeyValueStore()
    assert isinstance(store, StateMachine)
    assert callable(store.snapshot)
    assert callable(store.restore)
    assert set(store.processors) == {'put', 'delete', 'cas'}
    assert set(store.queries) == {'get', 'range'}


# put, get, delete


def test_put_returns_the_version_and_get_returns_both(store: Driven) -> None:
    """A version is the log index of the command that wrote the value."""
    assert store.put(key='a', value='one') == {'version': 1}
    assert store.put(key='b', value='two') == {'version': 2}
    assert store.get(key='a') == {'value': 'one', 'version': 1}
    assert store.put(key='a', value='three') == {'version': 3}
    assert store.get(key='a') == {'value': 'three', 'version': 3}


@pytest.mark.parametrize('value', VALUES, ids=readable)
def test_values_are_whatever_json_carries(store: Driven, value: Any) -> None:
    """They come back equal and of the same types."""
    store.put(key='a', value=value)
    assert repr(store.get(key='a')['value']) == repr(value)


def test_get_of_what_is_not_there_is_none(store: Driven) -> None:
    """A null that was put is something else."""
    assert store.get(key='a') is None
    store.put(key='a', value=None)
    assert store.get(key='a') == {'value': None, 'version': 1}


def test_order_of_fields_is_kept(store: Driven) -> None:
    """Objects come back as they were written."""
    store.put(key='a', value={'z': 1, 'a': 2})
    assert [*store.get(key='a')['value']] == ['z', 'a']


def test_delete_tells_whether_there_was_something(store: Driven) -> None:
    """Deleting what is not there is no error."""
    store.put(key='a', value=None)
    assert store.delete(key='a') == {'deleted': True}
    assert store.get(key='a') is None
    assert store.delete(key='a') == {'deleted': False}
    assert store.range(prefix='') == {'items': [], 'more': False}


# cas


def test_cas_by_version_succeeds_on_that_version_only(store: Driven) -> None:
    """Success returns the new version, failure the present one."""
    store.put(key='a', value=1)
    store.put(key='a', value=2)
    assert store.cas(key='a', value=3, version=1) == {'succeeded': False, 'version': 2}
    assert store.get(key='a') == {'value': 2, 'version': 2}
    assert store.cas(key='a', value=3, version=2) == {'succeeded': True, 'version': 4}
    assert store.get(key='a') == {'value': 3, 'version': 4}


def test_cas_by_version_fails_where_there_is_nothing(store: Driven) -> None:
    """Not even the version that it had."""
    store.put(key='a', value=1)
    store.delete(key='a')
    assert store.cas(key='a', value=2, version=1) == {'succeeded': False, 'version': None}
    assert store.get(key='a') is None


def test_cas_by_version_sees_a_value_that_was_changed_there_and_back(store: Driven) -> None:
    """It is what a comparison of values cannot see."""
    for value in 'x', 'y', 'x':
        store.put(key='a', value=value)
    assert store.cas(key='a', value='z', version=1)['succeeded'] is False
    assert store.cas(key='a', value='z', expected='x')['succeeded'] is True


def test_cas_expecting_null_creates_and_never_replaces(store: Driven) -> None:
    """Null is for a key that must not exist, also where null is the value."""
    assert store.cas(key='a', value=None, expected=None) == {'succeeded': True, 'version': 1}
    assert store.cas(key='a', value=2, expected=None) == {'succeeded': False, 'version': 1}
    assert store.get(key='a') == {'value': None, 'version': 1}


@pytest.mark.parametrize('value', [it for it in VALUES if it is not None], ids=readable)
def test_cas_by_value_succeeds_on_an_equal_value(store: Driven, value: Any) -> None:
    """Also on compound ones."""
    store.put(key='a', value=value)
    assert store.cas(key='a', value='new', expected=value) == {'succeeded': True, 'version': 2}


@pytest.mark.parametrize(
    ('present', 'expected'),
    [(1, 1.0), ({'a': 1, 'b': [2]}, {'b': [2.0], 'a': 1})],
)
def test_cas_takes_equal_json_for_equal(store: Driven, present: Any, expected: Any) -> None:
    """RFC 6902 §4.6: numbers by what they amount to, objects in any order."""
    store.put(key='a', value=present)
    assert store.cas(key='a', value=0, expected=expected)['succeeded'] is True


@pytest.mark.parametrize(
    ('present', 'expected'),
    [
        (1, True),
        (False, 0),
        ([1], [True]),
        ({'a': [0]}, {'a': [False]}),
        ({'a': 1}, {'a': 1, 'b': None}),
        ([1, 2], [1]),
        ('1', 1),
        ([], {}),
        (0, ''),
    ],
)
def test_cas_takes_different_json_for_different(store: Driven, present: Any, expected: Any) -> None:
    """Also where Python takes them for equal."""
    store.put(key='a', value=present)
    assert store.cas(key='a', value='new', expected=expected)['succeeded'] is False
    assert store.get(key='a') == {'value': present, 'version': 1}


# range


def keys_of(answer: Any) -> list[str]:
    return [item['key'] for item in answer['items']]


def test_range_gives_the_keys_of_a_prefix_in_order(store: Driven) -> None:
    """By their code points, whatever the order of the writes."""
    for key in 'b/2', 'a', 'b', 'b/10', 'c', 'b/1', 'b/é', 'b/\U0001f600', 'b/\uffff':
        store.put(key=key, value=key.upper())
    answer = store.range(prefix='b/')
    assert keys_of(answer) == ['b/1', 'b/10', 'b/2', 'b/é', 'b/\uffff', 'b/\U0001f600']
    assert answer['items'][0] == {'key': 'b/1', 'value': 'B/1', 'version': 6}
    assert answer['more'] is False
    assert keys_of(store.range(prefix=''))[:2] == ['a', 'b']
    assert keys_of(store.range(prefix='x')) == []


def test_range_is_read_in_pages(store: Driven) -> None:
    """`more` says whether to ask again, `after` the last key."""
    for number in range(5):
        store.put(key=f'k{number}', value=number)
    store.put(key='l', value=None)
    page = store.range(prefix='k', limit=2)
    assert (keys_of(page), page['more']) == (['k0', 'k1'], True)
    page = store.range(prefix='k', limit=2, after='k1')
    assert (keys_of(page), page['more']) == (['k2', 'k3'], True)
    page = store.range(prefix='k', limit=2, after='k3')
    assert (keys_of(page), page['more']) == (['k4'], False)


def test_range_after_a_key_that_is_gone_or_elsewhere(store: Driven) -> None:
    """`after` is a place in the order."""
    for key in 'a1', 'a2', 'a2\0', 'a3':
        store.put(key=key, value=0)
    store.delete(key='a2')
    assert keys_of(store.range(prefix='a', after='a2')) == ['a2\0', 'a3']
    assert keys_of(store.range(prefix='a', after='Z')) == ['a1', 'a2\0', 'a3']
    assert keys_of(store.range(prefix='a', after='b')) == []


def test_range_has_a_thousand_items_unless_told_otherwise(store: Driven) -> None:
    """The last page says that there is no more."""
    for number in range(1001):
        store.put(key=f'{number:04}', value=None)
    page = store.range(prefix='')
    assert (len(page['items']), page['more']) == (1000, True)
    page = store.range(prefix='', limit=1001)
    assert (len(page['items']), page['more']) == (1001, False)


def test_range_ends_once_its_values_are_large(store: Driven) -> None:
    """At some 1 MiB, with one item at least."""
    for key in 'abc':
        store.put(key=key, value='x' * 600_000)
    page = store.range(prefix='')
    assert (keys_of(page), page['more']) == (['a', 'b'], True)
    page = store.range(prefix='', after='b')
    assert (keys_of(page), page['more']) == (['c'], False)


# nobody else holds the state


def test_what_a_caller_does_with_an_answer_changes_nothing(store: Driven) -> None:
    """Answers are copies, all the way down."""
    store.put(key='a', value={'list': [1]})
    before = store.machine.snapshot()
    store.get(key='a')['value']['list'].append(2)
    store.range(prefix='')['items'][0]['value']['list'].clear()
    assert store.get(key='a')['value'] == {'list': [1]}
    assert store.machine.snapshot() == before


def test_reset_forgets_everything(store: Driven) -> None:
    """Also the time, which begins anew with a new log."""
    store.wait(100)
    store.put(key='a', value=1, ttl=1)
    store.put(key='b', value=1)
    store.machine.reset()
    assert store.range(prefix='') == {'items': [], 'more': False}
    assert store.machine.snapshot() == KeyValueStore().snapshot()
