"""Expiries: which keys are over at an instant, in what order they are taken, and at what cost."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensual.machines.expiries import OUTDATED_AT_LEAST, Expiries

KEYS = st.sampled_from('abcdef')
INSTANTS = st.sampled_from([0.0, 1.0, 2.5, 2.5, 7.0])
CHANGES = st.lists(
    st.tuples(st.just('put'), KEYS, INSTANTS)
    | st.tuples(st.just('discard'), KEYS, st.just(0.0))
    | st.tuples(st.just('take'), st.just(''), INSTANTS)
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.dictionaries(KEYS, INSTANTS), CHANGES, st.integers(1, 3), INSTANTS)
def test_is_what_a_dict_of_instants_is(
    begun: dict[str, float], changes: list[tuple[str, str, float]], most: int, end: float
) -> None:
    """Whatever is changed, and in whatever portions it is taken."""
    expiries, model = Expiries(dict(begun)), dict(begun)
    for what, key, instant in changes:
        match what:
            case 'put':
                expiries.put(key, instant)
                model[key] = instant
            case 'discard':
                expiries.discard(key)
                model.pop(key, None)
            case _:
                for taken in expiries.take(instant, most):
                    assert model.pop(taken) <= instant
        assert expiries.instants == model
        assert sorted(expiries.all_over(instant)) == sorted(
            key for key, at in model.items() if at <= instant
        )
        assert {key for key in 'abcdef' if expiries.is_over(key, instant)} == {
            *expiries.all_over(instant)
        }
    order = [model[key] for key in expiries.take(end, 1000)]
    assert all(earlier <= later for earlier, later in pairwise(order))
    assert len(order) == sum(at <= end for at in model.values())


def test_takes_no_more_than_it_is_told() -> None:
    """Outdated instants count, too: that is what bounds the work of a command."""
    expiries = Expiries({f'{number}': float(number) for number in range(10)})
    assert expiries.take(4.0, 3) == ['0', '1', '2']
    expiries.discard('3')
    assert expiries.take(4.0, 1) == []
    assert expiries.take(4.0, 1) == ['4']
    assert expiries.take(4.0, 1) == []


@pytest.mark.parametrize('renewals', [1, 20_000])
def test_heap_stays_in_proportion(renewals: int) -> None:
    """However often an instant is changed."""
    expiries = Expiries()
    expiries.take(0.0, 1)
    for number in range(renewals):
        expiries.put('a', float(number))
        expiries.put('b', 1e9)
        expiries.discard('b')
    held = int(repr(expiries).split(' keys, ')[1].split(' ')[0])
    assert 1 <= held <= 2 * OUTDATED_AT_LEAST + 3
    assert expiries.take(renewals, held) == ['a']
