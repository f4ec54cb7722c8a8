"""What an error of SQLite, or of the operating system under it, means for a storage.

Translates and explains; opens, reads and writes nothing of a storage.
"""

import errno
import sqlite3
import sys
import tempfile
from pathlib import Path

from consensual.raft.errors import (
    StorageCorrupted,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageLocked,
)

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, 'EDQUOT', errno.ENOSPC)}

_PROBE = bytes(1 << 16)

REMEDY = (
    'the node must not start with it: remove the file, and the others take the node in again, '
    'empty; when the whole cluster is lost, give the node a backup by '
    '`python -m consensual storage readdress`'
)


def corrupted(path: Path, record: str, problem: str) -> StorageCorrupted:
    """Return the error that names a damaged record."""
    return StorageCorrupted(f'{path}: {record} {problem}; {REMEDY}')


def locked(path: Path) -> StorageLocked:
    """Return the error that says that somebody else has the file."""
    return StorageLocked(
        f'{path} is in use by a node, or by a program that reads it: give each node its own storage'
    )


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the error comes from what is in the file."""
    code = _primary(error)  # without one, a text is no UTF-8; with ERROR, a table is missing
    return code in (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def explain(error: Exception, path: Path, doing: str) -> StorageError:
    """Return the error of consensual's that this one means."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return _full(path, doing, error)
    if not isinstance(error, sqlite3.Error):
        return StorageFailed(f'{doing} {path} failed: {error!r}')
    match _primary(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return locked(path)
        case sqlite3.SQLITE_FULL:
            return _full(path, doing, error)
        case sqlite3.SQLITE_NOTADB:
            return StorageCorrupted(
                f'{path} is no file of SQLite, or its beginning is damaged; if it is a '
                f'storage, {REMEDY}'
            )
        case sqlite3.SQLITE_CORRUPT:
            return corrupted(path, 'the file', f'is malformed ({error})')
        case sqlite3.SQLITE_CANTOPEN:
            return StorageFailed(f'{path} cannot be opened: {_why_not_opened(path)}')
        case sqlite3.SQLITE_IOERR if not _has_room(path):
            return _full(path, doing, error)
    name = getattr(error, 'sqlite_errorname', type(error).__name__)
    return StorageFailed(f'{doing} {path} failed: {error} ({name})')


def _full(path: Path, doing: str, error: Exception) -> StorageFull:
    return StorageFull(
        f'{doing} {path} failed, there is no room ({error}); what was acknowledged before is kept: '
        'make room, then start the node again'
    )


def _primary(error: sqlite3.Error) -> int:
    """Return the primary code, without the details of an extended one."""
    return int(getattr(error, 'sqlite_errorcode', 0)) & 0xFF


def _why_not_opened(path: Path) -> str:
    if path.is_dir():
        return 'it is a directory; name a file in it'
    if not path.parent.is_dir():
        return f'there is no directory {path.parent}; make it first'
    return 'is this process allowed to read and write the file and its directory?'


def _has_room(path: Path) -> bool:
    """Find out what SQLite does not tell: whether quota or a limit of size made it fail."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(_PROBE)
            probe.flush()
    except OSError as error:
        return error.errno not in _NO_ROOM
    limit = _size_limit()
    sizes = (_size(path.with_name(path.name + suffix)) for suffix in ('', '-wal'))
    return limit < 0 or all(size + len(_PROBE) <= limit for size in sizes)


def _size_limit() -> int:
    """Return how many bytes this process may write to a file; -1 for any number."""
    if sys.platform == 'win32':
        return -1
    import resource  # noqa: PLC0415 - not on every platform

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return -1 if limit == resource.RLIM_INFINITY else limit


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
