"""A simulated process: an event loop of its own, whose clock and whose life a test controls.

Knows nothing of nodes; whatever runs in it sees an ordinary asyncio loop.
"""

import asyncio
import sys
import warnings
from asyncio import AbstractEventLoop, Future, Handle, Task, TimerHandle
from asyncio.events import _get_running_loop, _set_running_loop  # made for loops, as this is one
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from random import Random
from typing import Any, Optional, TypeVar, TypeVarTuple, Union

from consensual.testing.timeline import Timeline

Result = TypeVar('Result')
Arguments = TypeVarTuple('Arguments')

_RESOLUTION = 1e-7
"""Seconds by which a clock may be wrong for having been computed."""

_MOST_ROUNDS = 10_000
"""Rounds that the tasks of a killed process may take to end."""

THREAD_TIME = 0.3
"""Seconds that a call in another thread takes at most; one in two takes less than 0.02 s."""


class Process(AbstractEventLoop):
    """Runs callbacks, timers and tasks on a timeline, as one process of one machine would.

    Its clock begins anywhere and may be fast or slow; it may be paused, as by
    SIGSTOP, and go on; slowed down; and killed, after which nothing of it ever
    runs again. There are no sockets, no signals, and no threads: an executor's
    call is made in a later turn, between two callbacks, and its result comes after it.

    name: for messages.
    origin: what its clock shows now, in seconds.
    random: what the times of an executor's calls are drawn from; its own unless given.
    on_error: called with the context of every exception that nobody handled.
    """

    def __init__(
        self,
        timeline: Timeline,
        name: str = 'process',
        *,
        origin: float = 0.0,
        random: Optional[Random] = None,
        on_error: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.is_alive = True
        self._timeline = timeline
        self._random = random or Random(name)  # noqa: S311 - to be repeated
        self._on_error = on_error
        self._ready: deque[Handle] = deque()
        self._is_queued = False
        self._is_paused = False
        self._lag = 0.0
        self._runs_from = 0.0
        self._rate = 1.0
        self._shown, self._shown_at = origin, timeline.now
        self._timers: dict[int, TimerHandle] = {}

    def __repr__(self) -> str:
        state = 'alive' if self.is_alive else 'killed'
        return f'Process({self.name!r}, {state}, {len(self._ready)} callbacks ready)'

    # what a test does to it

    def pause(self) -> None:
        """Run nothing until `resume`, while the clock goes on: a stopped process."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on, with everything that came due meanwhile."""
        self._is_paused = False
        self._queue()

    def slow_down(self, lag: float) -> None:
        """Take so many seconds for each turn from now on; 0 for none."""
        self._lag = lag

    def set_clock_rate(self, rate: float) -> None:
        """Let the clock go so many times as fast as true time from now on.

        Raises `ValueError` for what is no positive number.
        """
        if not 0 < rate < float('inf'):
            raise ValueError(f'the rate of a clock is a positive number, not {rate}')
        self._shown, self._shown_at = self.time(), self._timeline.now
        self._rate = rate
        for timer in sorted(self._timers.values(), key=TimerHandle.when):
            self._plan(timer)

    def kill(self, then: Callable[[], None] = lambda: None) -> None:
        """End it here and now, or right after its own code that runs; nothing else of it is done.

        Its tasks are unwound, their `finally` blocks included, with nobody listening: cut
        it off from the world first. `then` is called afterwards.
        """
        self.is_alive = False
        if _get_running_loop() is self:  # its own code did it, and is not to be torn in two
            self._is_paused = True
            return self._timeline.call_later(0.0, self.kill, then)
        self._is_paused, self._lag = False, 0.0
        self._timers.clear()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # what was about to begin never does
            for handle in self._ready:
                if not _is_step(handle):
                    handle.cancel()
            for task in sorted(asyncio.all_tasks(self), key=_age):
                task.cancel()
            for _ in range(_MOST_ROUNDS):
                if not self._ready:
                    break
                self._run_batch()
        then()

    # time

    def time(self) -> float:
        """Return what its clock shows, in seconds."""
        return self._shown + (self._timeline.now - self._shown_at) * self._rate

    def _plan(self, timer: TimerHandle) -> None:
        self._timers[id(timer)] = timer
        delay = (timer.when() - self.time()) / self._rate
        self._timeline.call_later(delay, self._ring, timer)

    def _ring(self, timer: TimerHandle) -> None:
        if id(timer) not in self._timers or self.time() < timer.when() - _RESOLUTION:
            return  # cancelled, or planned again when the clock's rate changed
        del self._timers[id(timer)]
        if self.time() < timer.when():
            self._shown, self._shown_at = timer.when(), self._timeline.now
        self._ready.append(timer)
        self._queue()

    # turns

    def _queue(self) -> None:
        if self._is_queued or self._is_paused or not self._ready:
            return
        self._is_queued = True
        if self._runs_from > self._timeline.now:
            self._timeline.call_at(self._runs_from, self._timeline.make_ready, self)
        else:
            self._timeline.make_ready(self)

    def run(self) -> None:
        """Have one turn: call back what is ready."""
        self._is_queued = False
        if self._is_paused or not self.is_alive:
            return
        if self._lag:
            self._runs_from = self._timeline.now + self._lag
        self._run_batch()
        self._queue()

    def _run_batch(self) -> None:
        outer, hooks, was_inside = (
            _get_running_loop(),
            sys.get_asyncgen_hooks(),
            self._timeline.is_inside,
        )
        _set_running_loop(self)
        sys.set_asyncgen_hooks(None, self._finalize)
        self._timeline.is_inside = True
        try:
            for _ in range(len(self._ready)):
                if self._is_paused:
                    break
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 - a loop runs its handles so
        finally:
            self._timeline.is_inside = was_inside
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(outer)

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """An asynchronous generator was left before its end."""
        if self.is_alive:
            self.call_soon(self.create_task, generator.aclose())

    # what asyncio asks of a loop

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Optional[Context] = None,
    ) -> Handle:
        """Call back in the next turn."""
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._is_queued and self.is_alive:
            self._queue()
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Optional[Context] = None,
    ) -> Handle:
        """Call back in the next turn: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Optional[Context] = None,
    ) -> TimerHandle:
        """Call back when its clock shows so many seconds more."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Optional[Context] = None,
    ) -> TimerHandle:
        """Call back when its clock shows that."""
        timer = TimerHandle(when, callback, args, self, context)
        if self.is_alive:
            self._plan(timer)
        return timer

    def create_future(self) -> 'Future[Any]':
        """Make a future of this loop."""
        return Future(loop=self)

    def create_task(
        self,
        coro: Union[Generator[Any, None, Result], Coroutine[Any, Any, Result]],
        *,
        name: Optional[str] = None,
        context: Optional[Context] = None,
    ) -> Task[Result]:
        """Run a coroutine."""
        return Task(coro, loop=self, name=name, context=context)

    def run_in_executor(
        self, _: Any, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> 'Future[Result]':
        """Call in a while, as a thread would: other callbacks are run meanwhile."""
        future: Future[Result] = self.create_future()
        seconds = THREAD_TIME * self._random.random() ** 4
        self._timeline.call_later(seconds, self._call_for, future, partial(func, *args))
        return future

    def _call_for(self, future: 'Future[Result]', call: Callable[[], Result]) -> None:
        self.call_soon(_call_for, future, call)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what nobody handled; what a killed process leaves is nobody's."""
        if self.is_alive:
            self._on_error(context)

    def is_running(self) -> bool:
        """It runs as long as it lives."""
        return self.is_alive

    def is_closed(self) -> bool:
        """It is closed when it was killed."""
        return not self.is_alive

    def get_debug(self) -> bool:
        """There is no debug mode."""
        return False

    def _timer_handle_cancelled(self, timer: TimerHandle) -> None:
        """A timer was cancelled: `TimerHandle.cancel` calls this."""
        self._timers.pop(id(timer), None)


def _age(task: 'Task[Any]') -> tuple[int, str]:
    """Sort tasks by their names, Task-1 and so on: as they were made."""
    return len(task.get_name()), task.get_name()


def _is_step(handle: Handle) -> bool:
    """Tell whether a task goes on by it; asyncio shows tasks in its own messages so."""
    callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001
    return isinstance(getattr(callback, '__self__', None), Task)


def _call_for(future: 'Future[Result]', call: Callable[[], Result]) -> None:
    """Make the call, although nobody may wait for it any more: a thread cannot be cancelled."""
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - whoever waits is given it
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)
