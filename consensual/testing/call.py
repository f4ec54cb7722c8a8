"""A call that goes on inside a simulation, and what became of it.

Knows the timeline that makes it go on; what was called it does not.
"""

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, Optional, TypeVar

from consensual.testing.process import Process
from consensual.testing.timeline import Timeline

Result = TypeVar('Result')

LONGEST = 120.0
"""Seconds of virtual time for which a result is waited for."""


class Lost(Exception):
    """The process in which the call was made crashed before it returned."""


class Call(Generic[Result]):
    """Goes on whenever the simulation does.

    Ask for its `result()`, which lets time pass until it is there, or `await` it.
    Inside the simulation awaiting takes virtual time; in a test of another event
    loop (one of pytest-asyncio) it takes no time at all.

    what: for messages.
    """

    def __init__(
        self,
        what: str,
        coroutine: Coroutine[Any, Any, Result],
        process: Process,
        timeline: Timeline,
    ) -> None:
        self.what = what
        self.error: Optional[BaseException] = None
        self._value: Any = None
        self._process = process
        self._timeline = timeline
        self._on_end: list[Callable[[Call[Any]], None]] = []
        self._coroutine = coroutine
        self._task: Task[None] = process.create_task(self._follow())
        self._waiting: list[tuple[Process, asyncio.Future[None]]] = []
        self._is_done = False

    def __repr__(self) -> str:
        return f'Call({self.what}: {self._outcome()})'

    def _outcome(self) -> str:
        if not self._is_done:
            return 'goes on'
        return repr(self._value) if self.error is None else repr(self.error)

    @property
    def is_done(self) -> bool:
        """It returned, raised, or its process crashed."""
        return self._is_done

    def result(self, limit: float = LONGEST) -> Result:
        """Let time pass until it is done; return what it returned.

        limit: seconds of virtual time; `TimeoutError` after them.

        Raises what it raised; `Lost` where its process crashed.
        """
        if not self._timeline.run_until(lambda: self._is_done, limit):
            raise TimeoutError(f'{self.what} goes on after {limit:g} s')
        if self.error is not None:
            raise self.error
        value: Result = self._value
        return value

    def __await__(self) -> Generator[Any, None, Result]:
        loop = asyncio.get_running_loop()
        if isinstance(loop, Process) and not self._is_done:
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, future))
            yield from future
        return self.result()

    def on_end(self, callback: Callable[['Call[Any]'], None]) -> None:
        """Call back when it is done, at once if it is."""
        if self._is_done:
            callback(self)
        else:
            self._on_end.append(callback)

    async def _follow(self) -> None:
        try:
            value = await self._coroutine
        except CancelledError as error:
            if self._process.is_alive:
                self._end(None, error)
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result is given it
            self._end(None, error)
        else:
            self._end(value, None)

    def lose(self) -> None:
        """Its process crashed."""
        with suppress(Exception):  # what it does in `finally` is nobody's any more
            self._coroutine.close()
        if not self._is_done:
            self._end(None, Lost(f'{self.what}: its process crashed before it returned'))

    def _end(self, value: Any, error: Optional[BaseException]) -> None:
        self._is_done, self._value, self.error = True, value, error
        for loop, future in self._waiting:
            loop.call_soon(_wake, future)
        for on_end in self._on_end:
            on_end(self)


def _wake(future: 'asyncio.Future[None]') -> None:
    if not future.done():
        future.set_result(None)
