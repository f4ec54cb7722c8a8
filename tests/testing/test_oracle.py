"""The checker against brute force, and against implementations known to be right."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensual.testing import KeyValue, Operation, Returned, check
from tests.cores import REPRODUCIBLE
from tests.testing.histories import (
    LOST,
    MODELS,
    draw_request,
    is_linearizable_by_force,
    simulate,
)

OUTPUTS = [None, True, False, 0, 1, 2, 3]

models = pytest.mark.parametrize('model', MODELS, ids=lambda model: type(model).__name__)


@st.composite
def histories(draw, model):
    """Few operations of few clients, at instants that often coincide, with any outputs."""
    random = Random(draw(st.integers(0, 2**32)))
    operations = []
    for client in range(draw(st.integers(1, 5))):
        request = draw_request(model, random, client % 2, keys=2)
        called = draw(st.integers(0, 6))
        returned = called + draw(st.integers(0, 4))
        outcome = draw(st.one_of(st.just(LOST), st.sampled_from(OUTPUTS).map(Returned)))
        operations.append(Operation(client, request, outcome, called, returned))
    return operations


@models
@REPRODUCIBLE
@given(data=st.data())
def test_verdict_is_that_of_brute_force(model, data):
    """Whatever was returned: an order is found exactly if one of all orders explains it."""
    operations = data.draw(histories(model))
    assert check(operations, model).is_linearizable is is_linearizable_by_force(operations, model)


def draw_outputs_again(operations, random, share):
    """Let some clients have been told something else."""
    return [
        replace(operation, outcome=Returned(random.choice(OUTPUTS)))
        if isinstance(operation.outcome, Returned) and random.random() < share
        else operation
        for operation in operations
    ]


@models
@pytest.mark.parametrize('share', [0.0, 0.2, 0.5])
def test_verdict_on_likely_histories_is_that_of_brute_force(model, share):
    """The same for histories that are right, or nearly so: there the search goes deep."""
    verdicts = set()
    for seed in range(120):
        random = Random(seed)
        right = simulate(model, random, count=6, clients=3, keys=2, loss=0.3)
        operations = draw_outputs_again(right, random, share)
        verdict = check(operations, model).is_linearizable
        assert verdict is is_linearizable_by_force(operations, model), operations
        verdicts.add(verdict)
    assert verdicts == ({True} if share == 0 else {True, False})


@models
@pytest.mark.parametrize('loss', [0.0, 0.1])
def test_what_took_effect_at_instants_is_accepted(model, loss):
    """An implementation that is right by construction is found right, with losses or without."""
    for seed in range(20):
        operations = simulate(model, Random(seed), count=60, keys=3, loss=loss)
        result = check(operations, model)
        assert result.is_linearizable, result


@models
def test_order_of_the_operations_given_does_not_matter(model):
    """Operations can be given in any order, such as from several files."""
    for seed in range(20):
        random = Random(seed)
        operations = draw_outputs_again(simulate(model, random, count=8), random, 0.1)
        shuffled = random.sample(operations, len(operations))
        assert check(operations, model) == check(operations, model)
        assert check(shuffled, model).is_linearizable is check(operations, model).is_linearizable


@models
def test_impossible_output_is_always_rejected(model):
    """One output that no state gives, in a history that is right otherwise."""
    for seed in range(10):
        random = Random(seed)
        operations = simulate(model, random, count=40, keys=2)
        place = random.randrange(len(operations))
        operations[place] = replace(operations[place], outcome=Returned('nonsense'))
        result = check(operations, model)
        assert not result.is_linearizable
        assert operations[place] not in result.order
        assert 'nonsense' in str(result)


@pytest.mark.parametrize('keys', [10, 100])
@pytest.mark.parametrize('loss', [0.0, 0.02])
def test_10000_operations_are_checked(keys, loss):
    """Ten clients and many keys: a few steps an operation, for keys are searched apart."""
    operations = simulate(KeyValue(), Random(1), count=10_000, clients=10, keys=keys, loss=loss)
    result = check(operations, KeyValue())
    assert result.is_linearizable, result
    assert result.steps < 20 * len(operations)


def test_violation_among_10000_operations_is_found():
    """One stale value near the end; its key is named."""
    operations = simulate(KeyValue(), Random(2), count=10_000, clients=10, keys=50)
    place = next(
        place
        for place, operation in reversed(list(enumerate(operations)))
        if operation.request[0] == 'get'
    )
    operations[place] = replace(operations[place], outcome=Returned(99))
    result = check(operations, KeyValue())
    assert not result.is_linearizable
    assert result.partition == operations[place].request[1]
    assert operations[place] in result.stuck
