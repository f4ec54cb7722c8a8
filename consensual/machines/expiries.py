"""When what expires: instants by key, and the earliest of them.

Knows keys and instants only; no clock.
"""

from heapq import heapify, heappop, heappush
from math import inf
from typing import Optional

OUTDATED_AT_LEAST = 1024
"""Outdated instants in the heap, below which it is not made anew."""


class Expiries:
    """Which key expires at which instant.

    instants: by key, to be read only.

    The heap is made when it is first needed. An instant that was changed stays in it until
    its turn comes, or until most of the heap is like that.
    """

    __slots__ = '_heap', '_outdated', 'instants'

    def __init__(self, instants: Optional[dict[str, float]] = None) -> None:
        self.instants = {} if instants is None else instants
        self._heap: Optional[list[tuple[float, str]]] = None
        self._outdated = 0

    def __repr__(self) -> str:
        return f'Expiries({len(self.instants)} keys, {len(self._heap or ())} instants in the heap)'

    def put(self, key: str, instant: float) -> None:
        """Let a key expire then, and not when it did before."""
        before = self.instants.get(key)
        self.instants[key] = instant
        if self._heap is not None:
            heappush(self._heap, (instant, key))
        if before is not None:
            self._leave_outdated()

    def discard(self, key: str) -> None:
        """Let a key never expire."""
        if self.instants.pop(key, None) is not None:
            self._leave_outdated()

    def is_over(self, key: str, now: float) -> bool:
        """Tell whether a key has expired. It is, at the very instant."""
        return self.instants.get(key, inf) <= now

    def all_over(self, now: float) -> list[str]:
        """Return all keys that have expired."""
        if self._heap is not None and (not self._heap or self._heap[0][0] > now):
            return []
        return [key for key, instant in self.instants.items() if instant <= now]

    def take(self, now: float, most: int) -> list[str]:
        """Take out keys that have expired, the earliest first; return them.

        most: how many instants are looked at, outdated ones too.
        """
        heap = self._made_heap() if self._heap is None else self._heap
        taken = []
        while most and heap and heap[0][0] <= now:
            instant, key = heappop(heap)
            most -= 1
            if self.instants.get(key) == instant:
                del self.instants[key]
                taken.append(key)
            else:
                self._outdated -= 1
        return taken

    def _leave_outdated(self) -> None:
        if self._heap is not None:
            self._outdated += 1
            if self._outdated > max(OUTDATED_AT_LEAST, len(self._heap) // 2):
                self._made_heap()

    def _made_heap(self) -> list[tuple[float, str]]:
        self._heap = [(instant, key) for key, instant in self.instants.items()]
        heapify(self._heap)
        self._outdated = 0
        return self._heap
