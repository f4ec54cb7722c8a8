"""Deadlines of many callers at the price of one timer.

Most calls share a timeout and end long before it: kept in the order in which
they came, those that ended fall off the front, and no timer is set for each.
"""

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Any, Generic, Optional, Protocol, TypeVar

GRAIN = 0.05
"""Timeouts (seconds) that differ by less share a queue, and may be late by as much."""


class Waiter(Protocol):
    """A call with a deadline, over when its future is done."""

    future: 'Future[Any]'
    deadline: float


AnyWaiter = TypeVar('AnyWaiter', bound=Waiter)


class Deadlines(Generic[AnyWaiter]):
    """Calls `on_expiry` with each waiter that is not done at its deadline."""

    def __init__(self, loop: AbstractEventLoop, on_expiry: Callable[[AnyWaiter], None]) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._queues: dict[int, deque[AnyWaiter]] = {}
        self._timer: Optional[TimerHandle] = None

    def add(self, waiter: AnyWaiter, timeout: float) -> None:
        """Watch over the waiter until its deadline, which is `timeout` from now."""
        queue = self._queues.setdefault(ceil(timeout / GRAIN), deque())
        while queue and queue[0].future.done():
            queue.popleft()
        queue.append(waiter)
        if self._timer is None or self._timer.when() > waiter.deadline:
            self._set_timer(waiter.deadline)

    def clear(self) -> None:
        """Watch over nobody any more."""
        self._queues.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for grain, queue in list(self._queues.items()):
            while queue and (queue[0].future.done() or queue[0].deadline <= now):
                waiter = queue.popleft()
                if not waiter.future.done():
                    self._on_expiry(waiter)
            if not queue:
                del self._queues[grain]
        if self._queues:
            self._set_timer(min(queue[0].deadline for queue in self._queues.values()))
