"""A user's state machine under observation: what it applies is shown to a watcher.

Changes nothing of what it does; judges nothing.
"""

import inspect
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Union

from consensual.raft import Context, Processor, Snapshotting, StateMachine
from consensual.raft.driver.actions import takes_context
from consensual.raft.driver.cancellation import is_being_cancelled
from consensual.testing.fingerprint import fingerprint
from consensual.testing.observer import Watcher

Machine = Union[StateMachine, Mapping[str, Processor]]
"""A state machine, or nothing but its processors by name."""


def watch(machine: Machine, watcher: Watcher) -> 'Watched':
    """Return the machine under observation, with snapshots if it has them."""
    if isinstance(machine, Snapshotting):
        return WatchedSnapshotting(machine, watcher, machine)
    return Watched(machine, watcher)


class Watched:
    """A StateMachine around the user's.

    Its results, and its state after each command where it has a `snapshot`, are
    compared with those of the other nodes.
    """

    def __init__(self, machine: Machine, watcher: Watcher) -> None:
        self.machine = machine
        self._watcher = watcher
        self._under_way: tuple[Awaitable[Any], ...] = ()
        processors = machine if isinstance(machine, Mapping) else machine.processors
        self.processors = {
            action: self._watched(action, processor) for action, processor in processors.items()
        }
        self.queries: Mapping[str, Processor] = getattr(machine, 'queries', {})
        self._take_snapshot: Callable[[], Any] = getattr(machine, 'snapshot', lambda: None)

    def __repr__(self) -> str:
        return f'Watched({self.machine!r})'

    def reset(self) -> None:
        """Empty it; processors alone keep what they have, as those of a node do."""
        if not isinstance(self.machine, Mapping):
            self.machine.reset()

    def abandon(self) -> None:
        """The process was killed: what may not have begun never does."""
        for awaitable in self._under_way:
            if inspect.iscoroutine(awaitable):
                awaitable.close()

    def _watched(self, action: str, processor: Processor) -> Processor:
        if not self._watcher.is_watching:
            return processor
        is_given_context = takes_context(processor)

        def call(parameters: Any, *, context: Context) -> Any:
            self._watcher.begin_to_apply(context, action)
            try:
                given = {'context': context} if is_given_context else {}
                result = processor(parameters, **given)
            except (Exception, CancelledError) as error:
                self._show(fingerprint(error))
                raise
            if inspect.isawaitable(result):
                awaiting = self._await(result)
                self._under_way = result, awaiting
                return awaiting
            self._show(fingerprint(result))
            return result

        return call

    async def _await(self, result: Awaitable[Any]) -> Any:
        try:
            value = await result
        except (Exception, CancelledError) as error:
            if not (isinstance(error, CancelledError) and is_being_cancelled()):
                self._show(fingerprint(error))
            raise
        self._show(fingerprint(value))
        return value

    def _show(self, outcome: object) -> None:
        self._look(lambda state: self._watcher.end_to_apply(outcome, state))

    def _look(self, tell: Callable[[object], None]) -> None:
        """Tell the state as it is now, as a fingerprint."""
        try:
            state = self._take_snapshot()
        except Exception as error:  # noqa: BLE001 - the user's; no business of the node's
            self._watcher.cannot_snapshot(error)
        else:
            tell(fingerprint(state))


class WatchedSnapshotting(Watched):
    """One that can be taken a snapshot of, and be restored from one."""

    def __init__(self, machine: Machine, watcher: Watcher, snapshotting: Snapshotting) -> None:
        super().__init__(machine, watcher)
        self._snapshotting = snapshotting

    def snapshot(self) -> Any:
        """Take a snapshot of it."""
        return self._snapshotting.snapshot()

    def restore(self, value: Any) -> None:
        """Restore it; what it is afterwards is looked at."""
        self._snapshotting.restore(value)
        if self._watcher.is_watching:
            self._look(self._watcher.restored)
