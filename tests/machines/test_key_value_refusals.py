"""KeyValueStore refuses what is malformed: with a text that teaches, and unchanged."""

from functools import partial
from typing import Any

import pytest

from consensual.machines import KeyValueStore
from consensual.raft.errors import InvalidParameters
from tests.machines.driven import Driven

LONG = 'é' * 512 + 'x'

REFUSED: list[tuple[str, Any, str]] = [
    ('put', None, r'put takes \{key, value, ttl\?\}: Expected `object`, got `null`'),
    ('put', 'a', 'got `str`'),
    ('put', ['a', 1], 'got `array`'),
    ('put', {'value': 1}, 'missing required field `key`'),
    ('put', {'key': 'a'}, 'missing required field `value`'),
    ('put', {'key': 1, 'value': 1}, r'Expected `str`, got `int` - at `\$.key`'),
    ('put', {'key': None, 'value': 1}, r'Expected `str`, got `null`'),
    ('put', {'key': '', 'value': 1}, '`key` takes 1 to 1024 bytes of UTF-8, not 0'),
    ('put', {'key': LONG, 'value': 1}, '`key` takes 1 to 1024 bytes of UTF-8, not 1025'),
    ('put', {'key': 'a', 'value': 1, 'tll': 1}, 'unknown field `tll`'),
    ('put', {'key': 'a', 'value': 1, 'ttl': 0}, r'Expected `float` > 0.0 - at `\$.ttl`'),
    ('put', {'key': 'a', 'value': 1, 'ttl': -1.5}, 'Expected `float` > 0.0'),
    ('put', {'key': 'a', 'value': 1, 'ttl': 1e10}, 'Expected `float` <= 1000000000'),
    ('put', {'key': 'a', 'value': 1, 'ttl': '5'}, 'Expected `float'),
    ('put', {'key': 'a', 'value': 1, 'ttl': True}, 'Expected `float'),
    ('delete', {}, r'delete takes \{key\}: .* missing required field `key`'),
    ('delete', {'key': ''}, 'not 0'),
    ('delete', {'key': 'a', 'version': 1}, 'unknown field `version`'),
    (
        'cas',
        {'key': 'a', 'value': 1},
        r'cas takes \{key, value, expected\?, version\?, ttl\?\}: give either `expected` .* or `v',
    ),
    ('cas', {'key': 'a', 'value': 1, 'expected': 1, 'version': 1}, 'and not both'),
    ('cas', {'key': 'a', 'value': 1, 'expected': None, 'version': 1}, 'and not both'),
    ('cas', {'key': 'a', 'expected': 1}, 'missing required field `value`'),
    ('cas', {'key': 'a', 'value': 1, 'version': None}, 'Expected `int`, got `null`'),
    ('cas', {'key': 'a', 'value': 1, 'version': 0}, 'Expected `int` >= 1'),
    ('cas', {'key': 'a', 'value': 1, 'version': True}, 'Expected `int`, got `bool`'),
    ('cas', {'key': 'a', 'value': 1, 'version': 1.0}, 'Expected `int`, got `float`'),
    ('cas', {'key': LONG, 'value': 1, 'version': 1}, 'not 1025'),
    ('get', None, r'get takes \{key\}: Expected `object`, got `null`'),
    ('get', 'a', 'got `str`'),
    ('get', {'key': ''}, 'not 0'),
    ('get', {'key': '\ud800'}, 'surrogates not allowed'),
    ('get', {'key': 'a', 'prefix': 'a'}, 'unknown field `prefix`'),
    ('range', {}, r'range takes \{prefix, after\?, limit\?\}: .* missing required field `prefix`'),
    ('range', {'prefix': None}, 'Expected `str`, got `null`'),
    ('range', {'prefix': '', 'limit': 0}, 'Expected `int` >= 1'),
    ('range', {'prefix': '', 'limit': 10_001}, 'Expected `int` <= 10000'),
    ('range', {'prefix': '', 'after': 1}, r'Expected `str`, got `int` - at `\$.after`'),
    ('range', {'prefix': '', 'start': 'a'}, 'unknown field `start`'),
]


@pytest.mark.parametrize(('name', 'parameters', 'text'), REFUSED, ids=str)
def test_malformed_parameters_are_refused_and_change_nothing(
    name: str, parameters: Any, text: str
) -> None:
    """Not even time passes: what has expired meanwhile is there as before."""
    store = Driven(KeyValueStore())
    store.put(key='a', value=1)
    store.put(key='b', value=2, ttl=5)
    store.wait(10)
    before = store.machine.snapshot()
    call = store.machine.queries.get(name) or partial(store.do, name)
    with pytest.raises(InvalidParameters, match=text):
        call(parameters)
    assert store.machine.snapshot() == before
    assert store.get(key='b') == {'value': 2, 'version': 2}


def test_longest_key_and_longest_range_are_taken() -> None:
    """The limits themselves are within them."""
    store = Driven(KeyValueStore())
    longest = 'é' * 512
    store.put(key=longest, value=1, ttl=1e9)
    assert store.get(key=longest) == {'value': 1, 'version': 1}
    assert len(store.range(prefix=longest, limit=10_000)['items']) == 1


def test_null_for_ttl_is_none() -> None:
    """For those who always send the field."""
    store = Driven(KeyValueStore())
    store.put(key='a', value=1, ttl=None)
    store.wait(1e9)
    store.put(key='b', value=1)
    assert store.get(key='a') == {'value': 1, 'version': 1}
