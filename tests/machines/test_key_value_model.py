"""KeyValueStore beside a model that does the obvious, with restored copies beside both."""

import json
from math import inf
from typing import Any, Optional

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consensual.machines import KeyValueStore
from tests.machines.driven import Driven

KEYS = st.sampled_from(['a', 'b', 'ba', 'bb', 'c', 'é'])
VALUES = st.sampled_from([0, 1, None, True, 'x', [1], {'y': [None]}])
TTLS = st.none() | st.sampled_from([1, 2.5, 10])


class Model:
    """One dict of what is there, looked through from end to end each time."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, int, float]] = {}

    def find(self, key: str, time: float) -> Optional[tuple[Any, int]]:
        value, version, end = self.entries.get(key, (None, 0, -inf))
        return (value, version) if time < end else None

    def write(self, key: str, value: Any, version: int, end: float) -> None:
        self.entries[key] = value, version, end

    def all(self, time: float) -> list[Any]:
        return [
            {'key': key, 'value': value, 'version': version}
            for key, (value, version, end) in sorted(self.entries.items())
            if time < end
        ]


class Stores(RuleBasedStateMachine):
    """A store, a copy of it that is restored now and then, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Driven(KeyValueStore())
        self.copy = Driven(KeyValueStore())
        self.model = Model()
        self.read_time = 0.0

    def do(self, action: str, **parameters: Any) -> Any:
        result = self.store.do(action, parameters)
        assert self.copy.do(action, parameters) == result
        self.read_time = self.store.time
        return result

    def end_of(self, ttl: Optional[float]) -> float:
        return inf if ttl is None else self.store.time + ttl

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def put(self, key: str, value: Any, ttl: Optional[float]) -> None:
        parameters = {} if ttl is None else {'ttl': ttl}
        version = self.store.index + 1
        assert self.do('put', key=key, value=value, **parameters) == {'version': version}
        self.model.write(key, value, version, self.end_of(ttl))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        was_there = self.model.find(key, self.store.time) is not None
        assert self.do('delete', key=key) == {'deleted': was_there}
        self.model.entries.pop(key, None)

    @rule(key=KEYS, value=VALUES, expected=VALUES, ttl=TTLS)
    def cas_by_value(self, key: str, value: Any, expected: Any, ttl: Optional[float]) -> None:
        found = self.model.find(key, self.store.time)
        if found is None or expected is None:
            is_right = found is None and expected is None
        else:
            is_right = json.dumps(found[0]) == json.dumps(expected)
        self.check_cas(key, value, ttl, found, is_right, {'expected': expected})

    @rule(key=KEYS, value=VALUES, back=st.integers(0, 3), ttl=TTLS)
    def cas_by_version(self, key: str, value: Any, back: int, ttl: Optional[float]) -> None:
        found = self.model.find(key, self.store.time)
        version = max(1, (self.store.index if found is None else found[1]) - back)
        is_right = found is not None and found[1] == version
        self.check_cas(key, value, ttl, found, is_right, {'version': version})

    def check_cas(
        self, key: str, value: Any, ttl: Any, found: Any, is_right: bool, condition: Any
    ) -> None:
        version = self.store.index + 1
        result = self.do('cas', key=key, value=value, ttl=ttl, **condition)
        if is_right:
            assert result == {'succeeded': True, 'version': version}
            self.model.write(key, value, version, self.end_of(ttl))
        else:
            assert result == {'succeeded': False, 'version': found and found[1]}

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 9.5]))
    def wait(self, seconds: float) -> None:
        self.store.wait(seconds)
        self.copy.wait(seconds)

    @precondition(lambda self: self.store.index)
    @rule()
    def restore_the_copy(self) -> None:
        self.copy = self.store.copy(KeyValueStore())

    @precondition(lambda self: self.store.index)
    @rule()
    def go_on_from_the_copy(self) -> None:
        self.store, self.copy = self.copy, self.store

    @rule(
        prefix=st.sampled_from(['', 'b', 'ba', 'x']),
        after=st.just('') | KEYS,
        limit=st.integers(1, 4),
    )
    def range(self, prefix: str, after: str, limit: int) -> None:
        there = [
            item
            for item in self.model.all(self.read_time)
            if item['key'].startswith(prefix) and item['key'] > after
        ]
        for store in self.store, self.copy:
            assert store.range(prefix=prefix, after=after, limit=limit) == {
                'items': there[:limit],
                'more': len(there) > limit,
            }

    @invariant()
    def reads_are_the_models(self) -> None:
        for key in 'a', 'b', 'é':
            found = self.model.find(key, self.read_time)
            answer = found and {'value': found[0], 'version': found[1]}
            assert repr(self.store.get(key=key)) == repr(answer)

    @invariant()
    def snapshots_are_the_same(self) -> None:
        snapshot = self.store.machine.snapshot()
        assert snapshot == self.copy.machine.snapshot()
        assert [*sorted(snapshot['records'])] == [
            item['key'] for item in self.model.all(self.read_time)
        ]


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=150, stateful_step_count=40, derandomize=True, deadline=None
)
