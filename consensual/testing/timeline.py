"""Virtual time: what happens next in a simulated world, and nothing else ever does.

Knows callbacks and instants; what they are for it does not.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Stuck(AssertionError):
    """Nothing will ever happen again, yet something is waited for."""


class Runnable(Protocol):
    """Something with callbacks that are due."""

    def run(self) -> None:
        """Call those that are due now."""


class Timeline:
    """One true time, in seconds, and one order of events for a whole simulated world.

    Where nothing is due, time jumps to the next instant at which something is:
    minutes pass in milliseconds, and the same beginning has the same end.

    steps: how many callbacks, or batches of one process's callbacks, were run.
    is_inside: code of a process runs at this moment.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.is_inside = False
        self._order = 0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ready: deque[Runnable] = deque()

    def __repr__(self) -> str:
        return f'Timeline(now={self.now:.4f}, {len(self._due)} instants to come)'

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back at that instant, after everything else that was planned for it."""
        self._order += 1
        heapq.heappush(self._due, (max(when, self.now), self._order, callback, arguments))

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back so many seconds from now."""
        self.call_at(self.now + seconds, callback, *arguments)

    def make_ready(self, runnable: Runnable) -> None:
        """Let it run at this instant, after whoever is ready already."""
        self._ready.append(runnable)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._step(end):
            pass
        self.now = max(self.now, end)

    def run_until(self, is_true: Callable[[], bool], limit: float) -> bool:
        """Let time pass until that is true, at most `limit` seconds; tell whether it is.

        Raises `Stuck` where nothing is planned any more.
        """
        end = self.now + limit
        while not is_true():
            if not self._step(end):
                if not self._due:
                    raise Stuck('nothing is planned any more, yet something is waited for')
                self.now = max(self.now, end)
                return is_true()
        return True

    def _step(self, end: float) -> bool:
        """Run what is due next, unless that is after the end."""
        if self.is_inside:
            raise RuntimeError(
                'inside the simulation time passes by awaiting: `await` the call, or '
                'asyncio.sleep(), in place of result() and run()'
            )
        if self._ready:
            self.steps += 1
            self._ready.popleft().run()
            return True
        if not self._due or self._due[0][0] > end:
            return False
        self.steps += 1
        self.now, _, callback, arguments = heapq.heappop(self._due)
        callback(*arguments)
        return True
