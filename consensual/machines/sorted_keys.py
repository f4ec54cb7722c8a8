"""Keys in order: a list in pieces, so that adding one key moves few others.

Knows strings only.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

SPLIT = 1024
"""Keys at which a piece is cut into two."""


class SortedKeys:
    """Distinct strings, in the order of their code points.

    Adding or removing one takes some microseconds, also among a million. Piece i holds
    the keys from `_lows[i]` on and below `_lows[i + 1]`; there is always a first one.
    """

    __slots__ = '_lows', '_pieces'

    def __init__(self, keys: Iterable[str] = ()) -> None:
        ordered = sorted(keys)
        half = SPLIT // 2
        self._pieces = [ordered[i : i + half] for i in range(0, len(ordered), half)] or [[]]
        self._lows = ['', *(piece[0] for piece in self._pieces[1:])]

    def __repr__(self) -> str:
        return f'SortedKeys({sum(map(len, self._pieces))} in {len(self._pieces)} pieces)'

    def add(self, key: str) -> None:
        """Put in a key that is not there."""
        at = bisect_right(self._lows, key) - 1
        piece = self._pieces[at]
        insort(piece, key)
        if len(piece) >= SPLIT:
            upper = piece[SPLIT // 2 :]
            del piece[SPLIT // 2 :]
            self._pieces.insert(at + 1, upper)
            self._lows.insert(at + 1, upper[0])

    def remove(self, key: str) -> None:
        """Take out a key that is there."""
        at = bisect_right(self._lows, key) - 1
        piece = self._pieces[at]
        del piece[bisect_left(piece, key)]
        if not piece and at:
            del self._pieces[at], self._lows[at]

    def starting_at(self, low: str) -> Iterator[str]:
        """Yield the keys from `low` on. Add and remove none meanwhile."""
        at = bisect_right(self._lows, low) - 1
        piece = self._pieces[at]
        yield from piece[bisect_left(piece, low) :]
        for piece in self._pieces[at + 1 :]:
            yield from piece
