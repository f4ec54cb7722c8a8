"""Damage in a write-ahead log of SQLite that SQLite would take for the end of it.

Reads the bytes of that file (https://sqlite.org/fileformat2.html#walformat); changes nothing.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

_HEADER = struct.Struct('>8I')
_FRAME = struct.Struct('>6I')
_MAGIC = 0x377F0682
"""Begins a file with little-endian checksums; one more, one with big-endian ones."""

_WORD = 0xFFFFFFFF

Sums = tuple[int, int]


class _Frame(NamedTuple):
    """A changed page; `is_commit` at the end of a transaction.

    is_current: of the present generation, not left over from before a checkpoint.
    """

    number: int
    is_current: bool
    is_commit: bool
    content: bytes
    sums: Sums


def damaged_frame(path: Path) -> Optional[int]:
    """Return the number of the first frame that is damaged though it was durable once.

    SQLite ends its recovery at the first frame whose checksum fails. That is right for what
    a power cut tore: nobody was told that it is durable. But frames that follow the end
    of that transaction were written because it *was* durable: then the frame
    was damaged later, and recovery would lose it and all after it without a word.

    0 stands for the header; None is returned for no such damage, or no such file.
    Raises `OSError` when the file cannot be read.
    """
    try:
        with path.open('rb') as file:
            return _find_damage(file)
    except FileNotFoundError:
        return None


def _find_damage(file: BinaryIO) -> Optional[int]:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, _, page_size, _, *salts, sum_0, sum_1 = _HEADER.unpack(header)
    words = '>' if magic & 1 else '<'
    sums = _add((0, 0), header[:24], words)
    if magic & ~1 != _MAGIC or sums != (sum_0, sum_1):
        return 0 if any(file.read(_FRAME.size)) else None  # it is synced before any frame
    frames = _frames(file, page_size, salts)
    for frame in frames:
        sums = _add(sums, frame.content, words)
        if not frame.is_current or frame.sums != sums:
            return frame.number if _is_followed(frame, frames) else None
    return None


def _frames(file: BinaryIO, page_size: int, current: list[int]) -> Iterator[_Frame]:
    number = 0
    while True:
        head, page = file.read(_FRAME.size), file.read(page_size)
        if len(page) < page_size:
            return
        number += 1
        _, size, *salts, sum_0, sum_1 = _FRAME.unpack(head)
        yield _Frame(number, salts == current, size != 0, head[:8] + page, (sum_0, sum_1))


def _is_followed(frame: _Frame, later: Iterator[_Frame]) -> bool:
    """Tell whether a later transaction was begun; what is left over does not count."""
    has_ended = frame.is_current and frame.is_commit
    for other in later:
        if other.is_current and has_ended:
            return True
        has_ended = has_ended or (other.is_current and other.is_commit)
    return False


def _add(sums: Sums, content: bytes, words: str) -> Sums:
    """Add to the running checksum, two words of 32 bits at a time."""
    sum_0, sum_1 = sums
    for first, second in struct.iter_unpack(f'{words}2I', content):
        sum_0 = sum_0 + first + sum_1 & _WORD
        sum_1 = sum_1 + second + sum_0 & _WORD
    return sum_0, sum_1
