"""The state machine of these tests: which commands were applied, how often, in what order.

Commands are numbers that no two share. Its state stays small, however many they were.
"""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any

KEYS = 8


class Ledger:
    """What one node applied.

    runs: the numbers, as the first and the last of each unbroken run, in order.
    twice: those that were applied again.
    count: how many commands were applied, in all.
    order: a checksum of them in their order.
    latest: the last number of each key.
    restored: how many snapshots it took over; no part of its state.
    """

    def __init__(self) -> None:
        self.processors: Mapping[str, Callable[[int], Any]] = {'put': self._put}
        self.queries: Mapping[str, Callable[[Any], Any]] = {'count': lambda _: self.count}
        self.restored = 0
        self.reset()

    def reset(self) -> None:
        self.runs: list[list[int]] = []
        self.twice: list[int] = []
        self.count = self.order = 0
        self.latest: dict[str, int] = {}

    def snapshot(self) -> Any:
        return {
            'runs': [[*run] for run in self.runs],
            'twice': [*self.twice],
            'count': self.count,
            'order': self.order,
            'latest': {**self.latest},
        }

    def restore(self, value: Any) -> None:
        self.restored += 1
        self.runs = [[*run] for run in value['runs']]
        self.twice = [*value['twice']]
        self.count, self.order = value['count'], value['order']
        self.latest = {**value['latest']}

    def _put(self, number: int) -> int:
        self.count += 1
        self.order = zlib.crc32(b'%d' % number, self.order)
        self.latest[f'{number % KEYS}'] = number
        if not add(self.runs, number):
            self.twice.append(number)
        return self.count


def add(runs: list[list[int]], number: int) -> bool:
    """Add a number to runs; return False where it is in one already."""
    at = bisect_left(runs, number, key=lambda run: run[1])
    if at < len(runs) and runs[at][0] <= number:
        return False
    joins_before = at > 0 and runs[at - 1][1] == number - 1
    joins_after = at < len(runs) and runs[at][0] == number + 1
    first = runs[at - 1][0] if joins_before else number
    last = runs[at][1] if joins_after else number
    runs[at - joins_before : at + joins_after] = [[first, last]]
    return True


def numbers_of(runs: Iterable[Iterable[int]]) -> set[int]:
    """Return the numbers in runs."""
    return {number for first, last in runs for number in range(first, last + 1)}
