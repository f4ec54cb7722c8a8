"""A node's life: it starts once at a time, stops once at a time, and fails loudly.

Every start is a new run; what goes on in a run is the business of its parts.
"""

import logging
from asyncio import AbstractEventLoop, Task, get_running_loop, shield, wait
from collections.abc import Callable, Coroutine
from typing import Any, Optional

from consensual.raft.core.state import State
from consensual.raft.driver.changes import Changes
from consensual.raft.driver.clerk import Clerk
from consensual.raft.driver.engine import Engine
from consensual.raft.driver.reader import Reader
from consensual.raft.driver.snapshotter import Snapshotter
from consensual.raft.errors import ConsensualError, NodeStopped, WrongLoop


class Run:
    """The parts of a node that live from a start to the next stop."""

    def __init__(
        self,
        engine: Engine,
        clerk: Clerk,
        reader: Reader,
        changes: Changes,
        snapshotter: Snapshotter,
    ) -> None:
        self.engine = engine
        self.clerk = clerk
        self.reader = reader
        self.changes = changes
        self.snapshotter = snapshotter


class Life:
    """Knows the run that goes on, if one does.

    make_run: makes the parts of a run on a loop.
    loop: the one to live on; else the one of the first use.
    on_end: called when a run is over.
    """

    def __init__(
        self,
        name: str,
        make_run: Callable[[AbstractEventLoop], Run],
        *,
        loop: Optional[AbstractEventLoop],
        logger: logging.Logger,
        on_end: Callable[[], None],
    ) -> None:
        self.loop = loop
        self._name = name
        self._make_run = make_run
        self._given_loop = loop
        self._logger = logger
        self._on_end = on_end
        self._run: Optional[Run] = None
        self._starting: Optional[Task[None]] = None
        self._stopping: Optional[Task[None]] = None
        self._stopped_by: Optional[ConsensualError] = None

    def __repr__(self) -> str:
        return f'Life({self._name}, {self._run and self._run.engine!r})'

    @property
    def run(self) -> Optional[Run]:
        """The run that goes on, None before it has recovered and after it ended."""
        return self._run

    @property
    def failure(self) -> Optional[ConsensualError]:
        """Why the last run ended by itself, None if it did not."""
        return None if isinstance(self._stopped_by, NodeStopped) else self._stopped_by

    @property
    def state(self) -> Optional[State]:
        """What the core of the run knows."""
        return self._run.engine.state if self._run is not None else None

    async def running(self) -> Run:
        """Return the run that goes on; begin one on a node that was never stopped."""
        while True:
            if self._stopped_by is not None:
                raise self._stopped_by.with_traceback(None)
            loop = get_running_loop()
            if self.loop is not None and self.loop is not loop:
                raise self._wrong_loop()
            if self._run is not None:
                return self._run
            if self._starting is None:
                self.loop = loop
                starting = loop.create_task(self._begin(loop))
                starting.add_done_callback(_see_exception)
                self._starting = None if starting.done() else starting
                await shield(starting)
            else:
                await shield(self._starting)

    async def start(self) -> None:
        """Begin a run, after the end of the one before; running already, do nothing."""
        if self._stopping is not None:
            await wait([self._stopping])
        self._stopped_by = None
        await self.running()

    async def stop(self) -> None:
        """End the run, in order; stopped already, do nothing."""
        if self.loop is not None and self.loop is not get_running_loop():
            if not self.loop.is_closed():
                raise self._wrong_loop()
            await self._abandon()
        if self._stopping is None and (self._run is not None or self._starting is not None):
            self._stop_by(self._end())
        if self._stopping is not None:
            stopping = self._stopping
            await wait([stopping])
            if not stopping.cancelled():
                stopping.result()
        if self._stopped_by is None:
            self._stopped_by = self._stopped()

    def fail(self, error: ConsensualError) -> None:
        """End the run by an error, which every later call raises."""
        run = self._run
        if run is not None and self._stopped_by is None:
            self._stopped_by = error
            run.engine.fail(error)
            if self._stopping is None:
                self._stop_by(self._clear_away(run))

    def _stop_by(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let one ending at a time end the run; who stops meanwhile waits for it."""
        stopping = get_running_loop().create_task(ending)
        if stopping.done():  # started eagerly, it may have had nothing to wait for
            return
        self._stopping = stopping

        def forget(_: object) -> None:
            _see_exception(stopping)
            if self._stopping is stopping:
                self._stopping = None

        stopping.add_done_callback(forget)

    async def _begin(self, loop: AbstractEventLoop) -> None:
        run = self._make_run(loop)
        try:
            await run.engine.start()
        except BaseException:
            self.loop = self._given_loop
            raise
        else:
            self._run = run
        finally:
            self._starting = None

    async def _end(self) -> None:
        if self._starting is not None:
            await wait([self._starting])
        run = self._run
        if run is None:
            return
        try:
            await self._hand_over(run)
        finally:
            self._stopped_by = self._stopped_by or self._stopped()
            await self._clear_away(run)

    async def _hand_over(self, run: Run) -> None:
        """A leader lets another one lead before it stops."""
        state = run.engine.state
        if state.leader == state.id and len(state.configuration.voters) > 1:
            try:
                await run.changes.transfer('', 2 * run.engine.settings.election_timeout)
            except ConsensualError as error:
                self._logger.info('%s stops without a successor: %s', self._name, error)

    async def _clear_away(self, run: Run) -> None:
        try:
            await run.engine.stop(self._stopped())
        finally:
            self._forget_run()

    async def _abandon(self) -> None:
        """The loop was closed under the run: only the storage can still be let go."""
        run = self._run
        self._forget_run()
        if run is not None:
            await run.engine.abandon()

    def _forget_run(self) -> None:
        self._run = self._starting = self._stopping = None
        self.loop = self._given_loop
        self._on_end()

    def _stopped(self) -> NodeStopped:
        return NodeStopped(f'{self._name} was stopped: start() it first')

    def _wrong_loop(self) -> WrongLoop:
        return WrongLoop(
            f'{self._name} lives on another event loop: make it inside the loop that '
            'uses it, or stop() it there before using it here'
        )


def _see_exception(task: 'Task[None]') -> None:
    """Whoever waited was told; nobody may have."""
    if not task.cancelled():
        task.exception()
