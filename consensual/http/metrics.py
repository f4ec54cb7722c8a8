"""What a node did, counted since its application was made; kept for whoever asks.

How it is written down for Prometheus is `exposition`.
"""

from bisect import bisect_left
from itertools import accumulate

BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds, the upper bounds of a histogram's buckets; one more is for what is above."""


class Histogram:
    """Seconds by how many they are.

    total: all of them together.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def __repr__(self) -> str:
        return f'Histogram({sum(self._counts)} of {self.total:g} s)'

    def add(self, seconds: float, count: int = 1) -> None:
        """Take that many of the same length."""
        self._counts[bisect_left(BOUNDS, seconds)] += count
        self.total += seconds * count

    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound with how many are not above it; the last one is '+Inf'."""
        bounds = [*map(str, BOUNDS), '+Inf']
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))


class Figures:
    """An observer of a node, that counts."""

    def __init__(self) -> None:
        self.elections = 0
        self.commands = 0
        self.snapshots = 0
        self.snapshot_seconds = 0.0
        self.commits = Histogram()
        self.applies = Histogram()
        self.writes = Histogram()

    def __repr__(self) -> str:
        return f'Figures({self.commands} commands)'

    def election_begun(self) -> None:
        """See `Observer`."""
        self.elections += 1

    def entries_committed(self, count: int, seconds: float) -> None:
        """See `Observer`."""
        self.commits.add(seconds, count)

    def commands_applied(self, count: int, seconds: float) -> None:
        """See `Observer`."""
        self.commands += count
        self.applies.add(seconds, count)

    def written(self, seconds: float) -> None:
        """See `Observer`."""
        self.writes.add(seconds)

    def snapshot_taken(self, size: int, seconds: float) -> None:  # noqa: ARG002 - the node tells it
        """See `Observer`."""
        self.snapshots += 1
        self.snapshot_seconds = seconds
