"""Applying committed commands: the user's functions, one after another, in log order.

Knows processors and outcomes; what is committed it is told.
"""

import logging
from asyncio import AbstractEventLoop, CancelledError, Future, Task, sleep, wait
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Optional

from msgspec import Struct

from consensual.raft.core.effects import Snapshot
from consensual.raft.core.log import Command, Entry, OpenSession, Reconfiguration
from consensual.raft.core.sessions import Session, Sessions
from consensual.raft.driver import parameters
from consensual.raft.driver.actions import takes_context
from consensual.raft.driver.cancellation import is_being_cancelled
from consensual.raft.driver.image import Capture, Image, decode, store
from consensual.raft.driver.outcome import Outcome, text_of
from consensual.raft.driver.ports import Context, Processor, Snapshotting, StateMachine
from consensual.raft.errors import (
    ConsensualError,
    InvariantViolated,
    NodeStopped,
    ProcessorFailed,
    SnapshotFailed,
    SnapshotUnsupported,
    UnknownAction,
    WaitingInsideProcessor,
)

SLICE = 0.005
"""Seconds of applying after which the loop gets its turn, for heartbeats above all."""


class Listener(Struct):
    """Who is told what was applied: a command's outcome, a session, a configuration.

    command_forgotten: whether the command was applied before, nobody remembers.
    was_reset: everything was forgotten instead.
    was_restored: what was applied was taken over from a snapshot, with these sessions.
    """

    command_applied: Callable[[Command, Outcome], None]
    command_forgotten: Callable[[Command], None]
    session_opened: Callable[[int, str], None]
    configuration_applied: Callable[[Reconfiguration], None]
    was_reset: Callable[[], None]
    was_restored: Callable[[Mapping[int, Session[Outcome]]], None]


def _ignore(*_: object) -> None:
    """Tell nobody."""


class _Applying:
    """Marks the context in which a processor runs, while it does."""

    __slots__ = ('is_active',)

    def __init__(self) -> None:
        self.is_active = False


_applying: ContextVar[Optional[_Applying]] = ContextVar('consensual_applying', default=None)


def refuse_inside_processor(call: str) -> None:
    """Raise `WaitingInsideProcessor` in a processor: the call would wait for itself."""
    marker = _applying.get()
    if marker is not None and marker.is_active:
        raise WaitingInsideProcessor(
            f'{call} inside a processor would wait for that processor to end: '
            'return first, and call it from a task of your own'
        )


class Applier:
    """Applies entries, tells the listener, and remembers outcomes by session.

    applied_index: the last entry that was applied here.
    can_snapshot: the state machine can be taken a snapshot of, and be restored from one.
    spoiled_by: why the state is not that of any entry, so that nothing can be
        applied to it any more; None as long as all is well.
    """

    def __init__(
        self,
        processors: Mapping[str, Processor],
        state_machine: Optional[StateMachine],
        logger: logging.Logger,
        on_failure: Callable[[ConsensualError], None],
    ) -> None:
        self.applied_index = 0
        self.spoiled_by: Optional[ConsensualError] = None
        self.listener = Listener(*[_ignore] * 6)
        self._processors = dict(processors)
        self._with_context = {
            name for name, processor in processors.items() if takes_context(processor)
        }
        self._state_machine = state_machine
        self.can_snapshot = isinstance(state_machine, Snapshotting)
        self._logger = logger
        self._on_failure = on_failure
        self._sessions: Sessions[Outcome] = Sessions()
        self._backlog: deque[tuple[int, Entry]] = deque()
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._between: list[tuple[Callable[[], None], Callable[[ConsensualError], None]]] = []
        self._loop: Optional[AbstractEventLoop] = None
        self._drain_task: Optional[Task[None]] = None
        self._is_awaiting = False
        self._is_scheduled = False
        self._is_reset_due = False
        self._restoring: Optional[tuple[Snapshot, Optional[Future[Image]]]] = None
        self._marker = _Applying()

    def __repr__(self) -> str:
        return f'Applier(applied={self.applied_index}, backlog={len(self._backlog)})'

    def start(self, loop: AbstractEventLoop) -> None:
        """Apply on that loop from now on. Raises `spoiled_by`."""
        if self.spoiled_by is not None:
            raise self.spoiled_by.with_traceback(None)
        self._loop = loop

    async def stop(self) -> None:
        """Let the processor that runs end; the rest is applied after the next start."""
        self._loop = None
        self._backlog.clear()
        self._waiting.clear()
        self._give_up_restoring()
        if self._drain_task is not None:
            await wait([self._drain_task])
        between, self._between = self._between, []
        for _, give_up in between:
            give_up(NodeStopped('the node was stopped'))

    def abandon(self) -> None:
        """The loop was closed: what went on there never goes on."""
        if self._is_awaiting:
            self.spoil('the loop was closed within a command')
        self._loop = self._drain_task = None
        self._is_awaiting = self._is_scheduled = False
        self._restoring = None
        self._backlog.clear()
        self._waiting.clear()
        self._between.clear()

    def feed(self, first: int, entries: Sequence[Entry]) -> None:
        """Take committed entries, from that index on; `run` applies them."""
        skipped = max(0, self.applied_index + 1 - first)
        self._backlog.extend(enumerate(entries[skipped:], first + skipped))

    def reset(self) -> None:
        """Forget everything that was applied, once the processor that runs has ended."""
        self._backlog.clear()
        self._give_up_restoring()
        waiting, self._waiting = self._waiting, []
        self.applied_index = 0
        self.listener.was_reset()
        if self._is_awaiting:
            self._is_reset_due = True
        else:
            self._empty()
            self._tell_between()
        for _, callback in waiting:
            callback()

    def _empty(self) -> None:
        self._is_reset_due = False
        self._sessions = Sessions()
        if self._state_machine is not None:
            try:
                self._state_machine.reset()
            except Exception as error:  # noqa: BLE001 - the user's: there is no going on
                self._fail(f'reset() of the state machine raised {text_of(error)}')

    def capture(self) -> Capture:
        """Take a snapshot of everything; to be called between commands.

        Raises `SnapshotUnsupported`, and `SnapshotFailed` when `snapshot()` raised.
        """
        machine = self._snapshotting()
        try:
            state = machine.snapshot()
        except Exception as error:
            raise SnapshotFailed(
                f'snapshot() of the state machine raised {text_of(error)}'
            ) from error
        return Capture(self.applied_index, state, store(self._sessions.by_id))

    def _snapshotting(self) -> Snapshotting:
        if not isinstance(self._state_machine, Snapshotting):
            raise SnapshotUnsupported(
                'snapshots take a state machine with snapshot() and restore(value): '
                'give one to Node.from_url(state_machine=…)'
            )
        return self._state_machine

    def restore(self, snapshot: Snapshot) -> None:
        """Take over what a snapshot holds, once the processor that runs has ended.

        Its data are decoded in another thread; what is fed meanwhile is applied afterwards.
        """
        if snapshot.index <= self.applied_index:
            return
        self._give_up_restoring()
        self._backlog.clear()
        self._restoring = snapshot, None
        if not self._is_awaiting:
            self._begin_to_restore()

    def announce(self, snapshot: Snapshot) -> None:
        """Let nobody see a state that `restore` is about to replace."""
        if snapshot.index > self.applied_index:
            self._restoring = snapshot, None

    def _begin_to_restore(self) -> None:
        if self._restoring is None or self._loop is None:
            return
        snapshot, _ = self._restoring
        decoding = self._loop.run_in_executor(None, decode, snapshot.data)
        self._restoring = snapshot, decoding
        decoding.add_done_callback(self._end_restoring)

    def _end_restoring(self, decoding: 'Future[Image]') -> None:
        if self._restoring is None or self._restoring[1] is not decoding:
            return
        (snapshot, _), self._restoring = self._restoring, None
        try:
            image = decoding.result()
            self._snapshotting().restore(image.state)
        except Exception as error:  # whatever it is: the state is nobody's
            self._logger.exception('the snapshot up to %d could not be restored', snapshot.index)
            return self._fail(
                f'the snapshot of the entries up to {snapshot.index} could not be restored: '
                f'{text_of(error)}'
            )
        self._sessions = image.sessions
        self.applied_index = snapshot.index
        self.listener.was_restored(self._sessions.by_id)
        self.listener.configuration_applied(snapshot.configuration)
        self._tell_between()
        self._tell_waiting()
        return self.run()

    def _give_up_restoring(self) -> None:
        """It is overtaken, or the node stops: what is decoded is not waited for."""
        if self._restoring is not None and self._restoring[1] is not None:
            self._restoring[1].cancel()
        self._restoring = None

    def when_applied(self, index: int, callback: Callable[[], None]) -> None:
        """Call back once the entry at that index was applied here, at once if it was.

        It is called, too, when the node is reset: look at `applied_index`.
        """
        if self.applied_index >= index:
            callback()
        else:
            self._waiting.append((index, callback))

    @property
    def is_restoring(self) -> bool:
        """A snapshot is about to replace the state, which is out of date."""
        return self._restoring is not None

    def between_commands(
        self, callback: Callable[[], None], give_up: Callable[[ConsensualError], None]
    ) -> None:
        """Call back when no command is half applied, nor a snapshot; at once if none is.

        Where the node stops before, the other function is called with the error.
        """
        if self._is_awaiting or self.is_restoring:
            self._between.append((callback, give_up))
        else:
            callback()

    def run(self) -> None:
        """Apply what was fed, for a slice of time; go on in later turns of the loop.

        While a snapshot is restored, nothing is: that goes on by itself afterwards.
        """
        if self._drain_task is not None or self._loop is None or not self._backlog:
            return
        if self.is_restoring:
            return
        token = _applying.set(self._marker)
        try:
            awaited = self._apply_slice(self._loop)
        finally:
            _applying.reset(token)
        if awaited is not None:
            task = self._loop.create_task(self._drain(self._loop, *awaited))
            self._drain_task = None if task.done() else task
        elif self._backlog and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_scheduled = False
        self.run()

    def _apply_slice(self, loop: AbstractEventLoop) -> Optional[tuple[int, Entry, Awaitable[Any]]]:
        """Apply until a processor has to be awaited, or the slice is over."""
        end = loop.time() + SLICE
        while self._backlog and not self.is_restoring:
            index, entry = self._backlog.popleft()
            try:
                awaitable = self._apply(index, entry)
            except UnknownAction as error:
                self._backlog.clear()
                self._on_failure(error)
                return None
            except Exception as error:  # whatever it is: skipping the entry would be worse
                self._logger.exception('entry %d could not be applied', index)
                self._fail(f'entry {index} could not be applied: {text_of(error)}')
                return None
            if awaitable is not None:
                self._is_awaiting = True  # from now on: the task that awaits it begins later
                return index, entry, awaitable
            if loop.time() > end:
                break
        self._tell_waiting()
        return None

    async def _drain(
        self, loop: AbstractEventLoop, index: int, entry: Entry, awaitable: Awaitable[Any]
    ) -> None:
        """Await asynchronous processors in turn until nothing is left to apply."""
        end = loop.time() + SLICE
        try:
            while True:
                outcome = await self._await(index, entry, awaitable)
                if self._is_reset_due:
                    self._empty()
                elif not self.is_restoring:
                    self._record(index, entry, outcome)
                if self.is_restoring:
                    return self._begin_to_restore()
                self._tell_between()
                self._tell_waiting()
                if loop.time() > end:
                    await sleep(0)
                    end = loop.time() + SLICE
                while (awaited := self._apply_slice(loop)) is None:
                    if not self._backlog or self.is_restoring:
                        return
                    await sleep(0)
                index, entry, awaitable = awaited
        finally:
            self._drain_task = None

    async def _await(self, index: int, entry: Entry, awaitable: Awaitable[Any]) -> Outcome:
        """Return the outcome of a command; nothing else is applied meanwhile."""
        marker = _Applying()
        _applying.set(marker)
        marker.is_active = self._is_awaiting = True
        try:
            return Outcome(await awaitable)
        except CancelledError as error:
            if is_being_cancelled():
                self._fail(f'applying was cancelled within the command at entry {index}')
                raise
            return self._failure(index, entry, error)
        except Exception as error:  # noqa: BLE001 - the user's: it is the command's outcome
            return self._failure(index, entry, error)
        finally:
            marker.is_active = self._is_awaiting = False

    def _fail(self, text: str) -> None:
        """The state is no entry's any more: stop the node, for good."""
        self._backlog.clear()
        self._on_failure(self.spoil(text))

    def spoil(self, text: str) -> ConsensualError:
        """Never apply anything again: the state is ahead of what is stored, or half changed."""
        self.spoiled_by = InvariantViolated(f'{text}; make a new Node, with empty state')
        return self.spoiled_by

    def _apply(self, index: int, entry: Entry) -> Optional[Awaitable[Any]]:
        """Apply one entry; return what is to be awaited for its outcome, if anything."""
        payload = entry.payload
        if type(payload) is Command:
            session = self._sessions.find(payload)
            if session is None:
                self.listener.command_forgotten(payload)
            elif (known := session.outcomes.get(payload.sequence)) is not None:
                self.listener.command_applied(payload, known)
            else:
                outcome = self._run_processor(index, entry, payload)
                if not isinstance(outcome, Outcome):
                    return outcome
                session.outcomes[payload.sequence] = outcome
                self.listener.command_applied(payload, outcome)
        elif type(payload) is OpenSession:
            self._sessions.open(index)
            self.listener.session_opened(index, payload.opener)
        elif type(payload) is Reconfiguration:
            self.listener.configuration_applied(payload)
        self.applied_index = index
        return None

    def _run_processor(
        self, index: int, entry: Entry, command: Command
    ) -> Outcome | Awaitable[Any]:
        processor = self._processors.get(command.action)
        if processor is None:
            raise UnknownAction(
                f'entry {index} is the command {command.action!r}, for which this node has no '
                'processor: skipping it would make the replicas differ, so the node stops. '
                'Start it again with the processors of the whole cluster'
            )
        self._marker.is_active = True
        try:
            decoded = parameters.decode(command.parameters)
            if command.action in self._with_context:
                value = processor(decoded, context=Context(index, entry.term, entry.time))
            else:
                value = processor(decoded)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - the command's outcome
            return self._failure(index, entry, error)
        finally:
            self._marker.is_active = False
        if hasattr(value, '__await__'):
            awaitable: Awaitable[Any] = value
            return awaitable
        return Outcome(value)

    def _failure(self, index: int, entry: Entry, error: BaseException) -> Outcome:
        action = entry.payload.action if type(entry.payload) is Command else ''
        self._logger.warning('processor %r failed at entry %d', action, index, exc_info=error)
        failure = ProcessorFailed(f'processor {action!r} raised {text_of(error)}')
        failure.__cause__ = error
        return Outcome(None, failure)

    def _record(self, index: int, entry: Entry, outcome: Outcome) -> None:
        command = entry.payload
        if type(command) is Command:
            self._sessions.by_id[command.session].outcomes[command.sequence] = outcome
            self.listener.command_applied(command, outcome)
        self.applied_index = index

    def _tell_between(self) -> None:
        between, self._between = self._between, []
        for callback, _ in between:
            callback()

    def _tell_waiting(self) -> None:
        if self._waiting:
            ready = [item for item in self._waiting if item[0] <= self.applied_index]
            self._waiting = [item for item in self._waiting if item[0] > self.applied_index]
            for _, callback in ready:
                callback()
