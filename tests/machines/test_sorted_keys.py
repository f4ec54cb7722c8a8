"""SortedKeys: what a sorted list of distinct strings does, piece by piece."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensual.machines.sorted_keys import SPLIT, SortedKeys

KEYS = st.text(alphabet='ab\0é', max_size=3)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.sets(KEYS), st.lists(KEYS), KEYS)
def test_is_what_a_sorted_set_is(begun: set[str], changes: list[str], low: str) -> None:
    """A key that is there is removed, another one added."""
    keys = SortedKeys(begun)
    model = set(begun)
    for key in changes:
        if key in model:
            keys.remove(key)
        else:
            keys.add(key)
        model ^= {key}
        assert [*keys.starting_at('')] == sorted(model)
    assert [*keys.starting_at(low)] == sorted(key for key in model if key >= low)


@pytest.mark.parametrize('seed', range(4))
def test_many_pieces_come_and_go(seed: int) -> None:
    """Pieces are split while keys come, and dropped when their last one goes."""
    random = Random(seed)
    numbers = [f'{number:05}' for number in range(5 * SPLIT)]
    begun = numbers[:: random.choice([1, 2, 7])] if seed % 2 else []
    keys, model = SortedKeys(begun), set(begun)
    for order in range(4):
        changed = sorted(numbers, reverse=order == 1)
        if order > 1:
            random.shuffle(changed)
        for key in changed:
            if (key in model) is (order % 2 == 1):
                (keys.remove if order % 2 else keys.add)(key)
                model ^= {key}
        low = random.choice(numbers)
        assert [*keys.starting_at('')] == sorted(model)
        assert [*keys.starting_at(low)] == [key for key in sorted(model) if key >= low]
    assert not model
    assert repr(keys) == 'SortedKeys(0 in 1 pieces)'


def test_is_in_pieces() -> None:
    """None grows beyond the limit, wherever the keys are added."""
    keys = SortedKeys()
    for number in range(10 * SPLIT):
        keys.add(f'{number * 7919 % (10 * SPLIT):06}')
    total, pieces = map(int, repr(keys).removesuffix(' pieces)').split('(')[1].split(' in '))
    assert total == 10 * SPLIT
    assert pieces > 10
