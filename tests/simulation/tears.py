"""What a crash may leave of bytes that were being written: cut, torn, garbled, or as before.

Bytes only. A drive writes a sector as a whole or not at all, in any order.
"""

from bisect import bisect_left
from collections.abc import Callable
from random import Random

SECTOR = 512
HEADER = 32
"""Bytes that begin a write-ahead log of SQLite; they are synced before any others."""


def torn_log(synced: bytes, written: bytes, random: Random) -> bytes:
    """Return what is left of a write-ahead log: what was synced, and the rest is torn.

    It is `written` only where that is what was synced.
    """
    if written[:HEADER] == synced[:HEADER]:
        return torn(synced, written, random)
    begun = written[:HEADER] + synced[HEADER:]  # it was begun anew
    if random.random() < 0.3:
        return random.choice((synced, begun))
    return torn(begun, written, random)


def torn(before: bytes, after: bytes, random: Random) -> bytes:
    """Return something between the two; `after` only where they are the same."""
    if before == after:
        return after
    first, end = _same(before, after), len(after)
    if len(before) == len(after):
        end -= _same(before[::-1], after[::-1])
    at = random.randrange(first, end)
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: before,
        lambda: after[:at] + before[at:],  # grown, or overwritten, up to there
        lambda: after[:at] + random.randbytes(end - at) + after[end:],
        lambda: mixed(before, after, random),
    )
    left = random.choice(kinds)()
    return left if left != after else before


def mixed(before: bytes, after: bytes, random: Random) -> bytes:
    """Return sectors of the one and of the other."""
    share, size = random.random(), max(len(before), len(after))
    sectors = []
    for at in range(0, size, SECTOR):
        sector = (after if random.random() < share else before)[at : at + SECTOR]
        sectors.append(sector.ljust(SECTOR, b'\0'))
    return b''.join(sectors)[:size]


def _same(one: bytes, other: bytes) -> int:
    """Return how many bytes are the same at the beginning."""
    sizes = range(min(len(one), len(other)))
    return bisect_left(sizes, True, key=lambda size: one[: size + 1] != other[: size + 1])
