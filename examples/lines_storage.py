"""A storage of one's own: each write is a line of JSON, with a checksum, at the end of a file.

lines_node.py uses it, and docs/how-to/storage.md runs the suite for storages on it. The file only
grows, and a folder that is new has to be synced as well: `SQLiteStorage` is what to use.
"""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Optional
from zlib import crc32

import msgspec

from consensual.raft import Stored, Write
from consensual.raft.errors import StorageCorrupted, StorageLocked
from consensual.storage import MemoryStorage


class LinesStorage:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Optional[BinaryIO] = None

    def load(self) -> Optional[Stored]:
        """Take the file, and do all writes again, in memory."""
        file = self._path.open('a+b')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StorageLocked(f'{self._path} is in use by another node') from None
        self._file, memory, end = file, MemoryStorage(), file.seek(0)
        for line in file:
            checksum, _, text = line.partition(b' ')
            if not line.endswith(b'\n') or checksum != b'%08x' % crc32(text):
                if file.read(1):
                    raise StorageCorrupted(f'{self._path} is damaged at byte {end}')
                break  # torn by a crash, so acknowledged to nobody: not written at all
            memory.write(msgspec.json.decode(text, type=Write))
            end += len(line)
        file.truncate(end)
        return memory.load()

    async def write(self, write: Write) -> None:
        """Return when it is on the disk, or raise: the node stops then."""
        text = msgspec.json.encode(write) + b'\n'
        await asyncio.to_thread(self._append, b'%08x ' % crc32(text) + text)

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
