"""What a majority is, of one group of voters and of two while joint (§6).

Arithmetic on configurations only.
"""

from collections.abc import Callable, Collection

from consensual.raft.core.configuration import Electorate, Member


def has_quorum(electorate: Electorate, agreeing: Collection[Member]) -> bool:
    """Agreement takes a majority of every group (§6: both, while joint).

    A group of nobody agrees to nothing.
    """
    return all(2 * sum(voter in agreeing for voter in group) > len(group) for group in electorate)


def agreed_value(electorate: Electorate, value_of: Callable[[Member], int]) -> int:
    """Return the largest value that a majority of every group has reached (§5.3, §6).

    `value_of` gives what a voter is known to have reached: a match index, a
    round of reads. 0 where a group is empty.
    """
    return min(_majority_value([value_of(voter) for voter in group]) for group in electorate)


def _majority_value(values: list[int]) -> int:
    if not values:
        return 0
    values.sort()
    return values[(len(values) - 1) // 2]
