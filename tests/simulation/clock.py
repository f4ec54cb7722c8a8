"""An event loop whose time is virtual: where nothing is ready, it jumps to the next timer.

No real sleeps, no input or output: the same program makes the same run.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, Optional


class Stuck(AssertionError):
    """Nothing will ever happen again, yet something is waited for."""


class _Selector(selectors.DefaultSelector):
    """Watches nothing; lets the time pass for which the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.steps = 0
        self.on_step: Callable[[], None] = lambda: None

    def select(self, timeout: Optional[float] = None) -> list[Any]:
        if timeout is None:
            raise Stuck('no callback is ready and no timer is set')
        self.steps += 1
        self.now += max(timeout, 0)
        self.on_step()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time; `on_step` is called before each of its steps."""

    def __init__(self, on_step: Callable[[], None] = lambda: None) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self._clock.on_step = on_step

    @property
    def steps(self) -> int:
        """How many times the loop went round."""
        return self._clock.steps

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._clock.now

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing is done: the process was stopped, the loop blocked."""
        self._clock.now += seconds

    def run_for(self, seconds: float) -> None:
        """Run until so much virtual time has passed."""
        self.run_until_complete(asyncio.sleep(seconds))
