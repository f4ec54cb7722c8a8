"""Where a node keeps what it must not forget.

Names only; SQLite is imported when its storage is asked for.
"""

from typing import TYPE_CHECKING, Any

from consensual.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from consensual.storage.sqlite import SQLiteStorage

__all__ = ['MemoryStorage', 'SQLiteStorage']


def __getattr__(name: str) -> Any:
    if name == 'SQLiteStorage':
        from consensual.storage.sqlite import SQLiteStorage  # noqa: PLC0415 - see above

        return SQLiteStorage
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
