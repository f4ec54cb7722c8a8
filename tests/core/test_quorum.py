"""Quorums against a brute-force oracle, joint ones included."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from consensual.raft.core.quorum import agreed_value, has_quorum
from tests.cores import REPRODUCIBLE, member

groups = st.lists(st.sampled_from('abcdefg'), unique=True, max_size=5).map(
    lambda ids: tuple(map(member, ids))
)
electorates = st.one_of(st.tuples(groups), st.tuples(groups, groups))
values = st.fixed_dictionaries({id_: st.integers(0, 6) for id_ in 'abcdefg'})


def is_majority(group, agreeing) -> bool:
    """Tell by looking at every subset of more than half of the group."""
    least = len(group) // 2 + 1
    return any(set(subset) <= set(agreeing) for subset in combinations(group, least))


@REPRODUCIBLE
@given(electorates, st.frozensets(st.sampled_from('abcdefg')))
def test_quorum_is_a_majority_of_every_group(electorate, ids):
    """More than half of each group must agree (§5.2, §6)."""
    agreeing = {member(id_) for id_ in ids}
    expected = all(is_majority(group, agreeing) for group in electorate)
    assert has_quorum(electorate, agreeing) is expected


@REPRODUCIBLE
@given(electorates, values)
def test_agreed_value_is_the_largest_that_a_quorum_reached(electorate, reached):
    """The largest value such that its reachers are a quorum (§5.3, §6)."""
    expected = max(
        (
            value
            for value in range(7)
            if has_quorum(electorate, {member(id_) for id_ in reached if reached[id_] >= value})
        ),
        default=0,
    )
    assert agreed_value(electorate, lambda voter: reached[voter.id]) == expected


@REPRODUCIBLE
@given(groups, groups, st.frozensets(st.sampled_from('abcdefg')), st.data())
def test_two_quorums_of_a_joint_configuration_share_a_voter(old, new, ids, data):
    """No two decisions are made without a common voter (§6)."""
    electorate = (old, new)
    others = data.draw(st.frozensets(st.sampled_from('abcdefg')))
    first, second = ({member(id_) for id_ in chosen} for chosen in (ids, others))
    if has_quorum(electorate, first) and has_quorum(electorate, second):
        assert first & second & set(old)
        assert first & second & set(new)


def test_nobody_agrees_to_nothing():
    """An empty group decides nothing: a node without a configuration elects no leader."""
    assert not has_quorum(((),), set())
    assert agreed_value(((),), lambda _: 9) == 0


def test_another_incarnation_does_not_count():
    """A member that lost its memory is not the voter that the configuration names."""
    electorate = ((member('a'), member('b'), member('c')),)
    assert not has_quorum(electorate, {member('a'), member('b', 2), member('c', 2)})
