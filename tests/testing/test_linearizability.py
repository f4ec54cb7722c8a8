"""Histories known to be linearizable or not, one of each kind that matters; bounds and texts."""

import re
from typing import Any

import pytest

from consensual.testing import (
    Counter,
    KeyValue,
    Linearizable,
    Lock,
    Model,
    NotDone,
    Operation,
    Queue,
    Raised,
    Register,
    Returned,
    Undecided,
    Violation,
    check,
)
from tests.testing.histories import done, lost

LINEARIZABLE = {
    'nothing happened': (Register(), []),
    'a read during a write sees it or not': (
        Register(0),
        [
            done('a', 0, 9, ('write', 1)),
            done('b', 1, 2, ('read',), 0),
            done('b', 3, 4, ('read',), 1),
        ],
    ),
    'concurrent writes come in any order': (
        Register(),
        [
            done('a', 0, 5, ('write', 1)),
            done('b', 1, 5, ('write', 2)),
            done('c', 6, 7, ('read',), 1),
        ],
    ),
    'what meets at one instant is concurrent': (
        Register(0),
        [done('a', 0, 1, ('write', 1)), done('b', 1, 2, ('read',), 0)],
    ),
    'one of two compare-and-sets wins': (
        KeyValue(),
        [
            done('a', 0, 1, ('put', 'k', 0)),
            done('b', 2, 5, ('cas', 'k', 0, 1), True),
            done('c', 2, 5, ('cas', 'k', 0, 2), False),
            done('a', 6, 7, ('get', 'k'), 1),
            done('a', 8, 9, ('delete', 'k'), True),
            done('a', 10, 11, ('delete', 'k'), False),
            done('a', 12, 13, ('get', 'other')),
        ],
    ),
    'additions with and without totals': (
        Counter(10),
        [
            done('a', 0, 5, ('add', 2), 15),
            done('b', 0, 5, ('add', 3)),
            done('b', 6, 7, ('get',), 15),
        ],
    ),
    'concurrent items are queued in any order': (
        Queue(),
        [
            done('a', 0, 5, ('enqueue', 1)),
            done('b', 0, 5, ('enqueue', 2)),
            done('a', 6, 7, ('dequeue',), 2),
            done('b', 6, 7, ('dequeue',), 1),
            done('b', 8, 9, ('dequeue',)),
        ],
    ),
    'a lock changes hands': (
        Lock(),
        [
            done('a', 0, 1, ('acquire', 'l', 'a'), True),
            done('b', 2, 3, ('acquire', 'l', 'b'), False),
            done('b', 2, 3, ('acquire', 'm', 'b'), True),
            done('b', 4, 9, ('acquire', 'l', 'b'), True),
            done('a', 5, 6, ('release', 'l', 'a'), True),
            done('a', 10, 11, ('release', 'l', 'a'), False),
        ],
    ),
}

VIOLATIONS = {
    'stale read': (
        Register(0),
        [
            done('a', 0, 1, ('write', 1)),
            done('b', 2, 3, ('read',), 0),
        ],
    ),
    'a read goes back': (
        Register(0),
        [
            done('a', 0, 9, ('write', 1)),
            done('b', 1, 2, ('read',), 1),
            done('c', 3, 4, ('read',), 0),
        ],
    ),
    'a value from nowhere': (Register(0), [done('a', 0, 1, ('read',), 5)]),
    'a write back to the same value is not skipped': (
        Register(0),
        [
            done('a', 0, 9, ('write', 0)),
            done('b', 1, 2, ('write', 1)),
            done('b', 3, 4, ('read',), 0),
            done('b', 5, 6, ('read',), 1),
        ],
    ),
    'both compare-and-sets win': (
        KeyValue(),
        [
            done('a', 0, 5, ('cas', 'k', None, 1), True),
            done('b', 0, 5, ('cas', 'k', None, 2), True),
        ],
    ),
    'a deleted value is back': (
        KeyValue(),
        [
            done('a', 0, 1, ('put', 'k', 1)),
            done('a', 2, 3, ('delete', 'k'), True),
            done('b', 4, 5, ('get', 'k'), 1),
        ],
    ),
    'lost update': (
        Counter(),
        [
            done('a', 0, 5, ('add', 1), 1),
            done('b', 0, 5, ('add', 1), 1),
        ],
    ),
    'acknowledged addition is gone': (
        Counter(),
        [done('a', 0, 5, ('add', 1)), done('b', 6, 7, ('get',), 0)],
    ),
    'duplicate apply': (
        Counter(),
        [lost('a', 0, ('add', 1)), done('b', 6, 7, ('get',), 2)],
    ),
    'reordered queue': (
        Queue(),
        [
            done('a', 0, 1, ('enqueue', 1)),
            done('a', 2, 3, ('enqueue', 2)),
            done('b', 4, 5, ('dequeue',), 2),
        ],
    ),
    'an item is delivered twice': (
        Queue(),
        [
            done('a', 0, 1, ('enqueue', 1)),
            done('b', 2, 5, ('dequeue',), 1),
            done('c', 2, 5, ('dequeue',), 1),
        ],
    ),
    'an item is lost': (
        Queue(),
        [done('a', 0, 1, ('enqueue', 1)), done('b', 2, 5, ('dequeue',))],
    ),
    'double acquire': (
        Lock(),
        [
            done('a', 0, 1, ('acquire', 'l', 'a'), True),
            done('b', 2, 3, ('acquire', 'l', 'b'), True),
        ],
    ),
    'the lock of another is released': (
        Lock(),
        [
            done('a', 0, 1, ('acquire', 'l', 'a'), True),
            done('b', 2, 3, ('release', 'l', 'b'), True),
        ],
    ),
}


@pytest.mark.parametrize(('model', 'operations'), LINEARIZABLE.values(), ids=LINEARIZABLE)
def test_linearizable_history_is_accepted(model: Model[Any], operations: list[Operation]) -> None:
    """There is an order that explains it."""
    result = check(operations, model)
    assert isinstance(result, Linearizable), result
    assert result.is_linearizable


@pytest.mark.parametrize(('model', 'operations'), VIOLATIONS.values(), ids=VIOLATIONS)
def test_violation_is_rejected(model: Model[Any], operations: list[Operation]) -> None:
    """There is none; the text names an operation that is stuck, and its client."""
    result = check(operations, model)
    assert isinstance(result, Violation)
    assert not result.is_linearizable
    assert set(result.order) | set(result.stuck) <= set(operations)
    assert model.describe(result.stuck[0].request) in str(result)
    assert f'client {result.stuck[0].client}' in str(result)


def test_unknown_outcome_may_take_effect_or_not() -> None:
    """A write without an answer explains both what sees it and what does not, long after."""
    write = lost('a', 0, ('write', 1))
    for output in (0, 1):
        assert check([write, done('b', 50, 51, ('read',), output)], Register(0)).is_linearizable
    late = [write, done('b', 1, 2, ('read',), 0), done('b', 90, 91, ('read',), 1)]
    assert check(late, Register(0)).is_linearizable
    back = [*late, done('b', 92, 93, ('read',), 0)]
    assert not check(back, Register(0)).is_linearizable


def test_unknown_outcome_does_not_take_effect_before_its_call() -> None:
    """What was not asked for yet cannot be seen."""
    operations = [done('b', 0, 1, ('read',), 1), lost('a', 2, ('write', 1))]
    assert not check(operations, Register(0)).is_linearizable


def test_several_unknown_outcomes_may_be_needed_at_once() -> None:
    """Two of three lost additions explain the total, none explains more than all."""
    losses = [lost(name, 0, ('add', amount)) for name, amount in (('a', 1), ('b', 2), ('c', 4))]
    for total in range(8):
        assert check([*losses, done('d', 5, 6, ('get',), total)], Counter()).is_linearizable
    assert not check([*losses, done('d', 5, 6, ('get',), 8)], Counter()).is_linearizable


def test_unknown_outcome_spent_in_vain_is_tried_later() -> None:
    """The same operations done and the same state: it matters what is still to come."""
    operations = [
        done('z', 0, 1, ('put', 'k', 7)),
        lost('u', 2, ('put', 'k', 7)),
        done('a', 3, 5, ('put', 'k', 9)),
        done('b', 3, 6, ('cas', 'k', 7, 9), True),
        done('c', 7, 8, ('get', 'k'), 9),
        done('c', 9, 10, ('get', 'k'), 7),
    ]
    assert check(operations, KeyValue()).is_linearizable


def test_many_unknown_outcomes_alike_cost_little() -> None:
    """Lost operations that ask for the same are interchangeable: no 2**200 choices."""
    losses = [lost(f'c{number}', number, ('add', 1)) for number in range(200)]
    assert check([*losses, done('z', 300, 301, ('get',), 150)], Counter()).steps < 1000
    result = check([*losses, done('z', 300, 301, ('get',), 201)], Counter())
    assert isinstance(result, Violation)
    assert result.steps < 1000


def test_overwritten_unknown_outcomes_cost_little() -> None:
    """Of lost writes only the last one that took effect is seen: no 2**60 choices."""
    losses = [lost(f'c{number}', number, ('write', number)) for number in range(60)]
    result = check([*losses, done('z', 300, 301, ('read',), 'never written')], Register())
    assert isinstance(result, Violation)
    assert result.steps < 10_000


def test_definite_failure_is_ignored() -> None:
    """What was refused has no effect, and nothing that sees it is explained by it."""
    refused = Operation('a', ('write', 1), NotDone('no leader'), 0, 1)
    assert check([refused, done('b', 2, 3, ('read',), 0)], Register(0)).is_linearizable
    assert not check([refused, done('b', 2, 3, ('read',), 1)], Register(0)).is_linearizable


class Stock(Model[int]):
    """A user's model: taking from an empty stock raises."""

    def init(self) -> int:
        return 1

    def step(self, state: int, request: Any) -> tuple[int, Any]:
        if request == ('take',):
            return (state - 1, None) if state else (state, Raised('ValueError: empty'))
        self.refuse(request)


def test_error_of_a_processor_is_an_output() -> None:
    """A model says which errors it allows, and the checker holds the system to it."""
    taken = done('a', 0, 1, ('take',))
    failed = Operation('b', ('take',), Raised('ValueError: empty'), 2, 3)
    assert check([taken, failed], Stock()).is_linearizable
    result = check([failed], Stock())
    assert not result.is_linearizable
    assert 'take() -> an error: ValueError: empty' in str(result)


class LyingRegister(Register):
    """A model whose two statements disagree."""

    def is_reading(self, request: Any, output: Any) -> bool:  # noqa: ARG002
        return True


def test_wrong_models_are_refused() -> None:
    """What the model does not know, and what it says of itself that is not so."""
    with pytest.raises(ValueError, match='Stock has no operation'):
        check([done('a', 0, 1, ('steal',))], Stock())
    with pytest.raises(ValueError, match='KeyValue has no operation'):
        check([done('a', 0, 1, ('get',))], KeyValue())
    with pytest.raises(ValueError, match=re.escape('is_reading()')):
        check([done('a', 0, 1, ('write', 1))], LyingRegister())


def hard_history(name: str) -> list[Operation]:
    """Many additions that differ, and a total that none of their sums gives."""
    losses = [lost(name, number, ('add', name, 2 << number)) for number in range(40)]
    return [*losses, done(name, 50, 51, ('get', name), 1)]


class Counters(Counter):
    """Counters by name."""

    def step(self, state: int, request: Any) -> tuple[int, Any]:
        return super().step(state, (request[0], *request[2:]))

    def partition(self, request: Any) -> Any:
        return request[1]


def test_bounds_make_it_undecided() -> None:
    """A search that would take for ever ends, and does not call the history right or wrong."""
    for bounds in ({'max_steps': 20_000}, {'timeout': 0.0}):
        result = check(hard_history('x'), Counters(), **bounds)  # type: ignore[arg-type]
        assert isinstance(result, Undecided)
        assert not result.is_linearizable
        assert result.partitions == ('x',)
        assert result.steps <= 20_100
        assert 'undecided' in str(result)


def test_hard_partition_does_not_hide_a_violation() -> None:
    """Partitions take turns."""
    stale = [done('a', 0, 1, ('add', 'y', 1)), done('a', 2, 3, ('get', 'y'), 0)]
    result = check([*hard_history('x'), *stale], Counters(), max_steps=50_000)
    assert isinstance(result, Violation)
    assert result.partition == 'y'
    assert result.operations == tuple(stale)


def test_counterexample_shows_how_far_an_order_gets() -> None:
    """The order, the state it ends in, what is stuck there and what would have been right."""
    operations = [
        done('a', 0, 1, ('put', 'k', 1)),
        done('b', 2, 5, ('put', 'k', 2)),
        done('c', 3, 4, ('get', 'k'), 2),
        lost('d', 5.5, ('put', 'k', 3)),
        done('a', 6, 7, ('get', 'k'), 1),
        done('a', 8, 9, ('get', 'k'), 2),
        done('a', 8, 9, ('get', 'other'), None),
    ]
    result = check(operations, KeyValue())
    assert isinstance(result, Violation)
    assert result.order == tuple(operations[:3])
    assert result.stuck == (operations[4],)
    assert str(result) == COUNTEREXAMPLE.strip('\n')


COUNTEREXAMPLE = """
Not linearizable (KeyValue, partition 'k', 6 operations).
No order explains what client a was told at 7.000000 s: get('k') -> 1

The order that gets furthest (3 operations), its end:
  before  None
     1  client a  put('k', 1) -> None  [0.000000, 1.000000]  then 1
     2  client b  put('k', 2) -> None  [2.000000, 5.000000]  then 2
     3  client c  get('k') -> 2        [3.000000, 4.000000]  then 2

In the state 2, one of these must be next:
     A  client a  get('k') -> 1  [6.000000, 7.000000]  but the model allows 2
    ?1  client d  put('k', 3) -> ?  [5.500000, ...  may happen or not: no help here

Timeline (one column an event; > has not returned):
  client a  |1--|                       |A--|
  client b          |2----------|
  client c              |3--|
  client d                          |?1--------->
"""


def test_results_of_lists_and_tuples_are_the_same() -> None:
    """JSON knows no tuples: a model may use either."""
    operations = [
        Operation('a', ['write', [1, [2]]], Returned(None), 0, 1),
        Operation('a', ['read'], Returned([1, [2]]), 2, 3),
        Operation('a', ['write', {'b': [1]}], Returned(None), 4, 5),
        Operation('a', ['read'], Returned({'b': [1]}), 6, 7),
    ]
    assert check(operations, Register()).is_linearizable
