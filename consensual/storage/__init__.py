"""Where a node keeps what it must not forget."""

from consensual.storage.memory import MemoryStorage

__all__ = ['MemoryStorage']
