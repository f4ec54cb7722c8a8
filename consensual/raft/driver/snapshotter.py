"""The snapshotter: has the state machine's state put down, so that the log can be cut (§7).

When that is due, and what becomes of the log, the core says.
"""

import logging
from asyncio import Future, shield
from typing import Optional

from consensual.raft.core import snapshots
from consensual.raft.core.configuration import Incarnation
from consensual.raft.core.events import SnapshotTaken
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.engine import Engine
from consensual.raft.driver.image import Capture
from consensual.raft.errors import ConsensualError, SnapshotFailed


class Snapshotter:
    """The snapshots of one run of a node: one at a time."""

    def __init__(self, engine: Engine, applier: Applier, logger: logging.Logger) -> None:
        self._engine = engine
        self._applier = applier
        self._logger = logger
        self._taking: Optional[Future[None]] = None
        self._encoding: Optional[Future[tuple[bytes, int]]] = None
        self._began_at = 0.0
        self._not_before = 0
        self._was_named = False

    def __repr__(self) -> str:
        return f'Snapshotter(is_taking={self._taking is not None})'

    def contribute(self) -> None:
        """Take a snapshot when the log has grown enough."""
        applied_index, state = self._applier.applied_index, self._engine.state
        if (
            self._taking is None
            and applied_index >= self._not_before
            and snapshots.is_due(state, applied_index)
        ):
            if self._applier.can_snapshot:
                self._take()
            elif not self._was_named:
                self._was_named = True
                self._logger.warning(
                    '%s keeps its whole log: its state machine has no snapshot() and restore()',
                    state.id,
                )

    async def take(self) -> None:
        """Take a snapshot now; return when it is durable.

        Raises `SnapshotUnsupported`, `SnapshotFailed`, and why the node stopped.
        """
        self._engine.refuse_stopped()
        if self._taking is not None:  # it may have begun before what the caller saw applied
            await shield(self._taking)
        await shield(self._taking or self._take())
        await self._engine.until_durable()

    def _take(self) -> 'Future[None]':
        taking: Future[None] = self._engine.loop.create_future()
        taking.add_done_callback(self._see)
        self._taking = taking
        self._began_at = self._engine.loop.time()
        self._applier.between_commands(self._capture, self._fail)
        return taking

    def _capture(self) -> None:
        if self._taking is None:
            return
        try:
            capture = self._applier.capture()
        except ConsensualError as error:
            return self._fail(error)
        state = self._engine.state
        if not state.snapshot_index < capture.index <= state.commit_index:
            return self._end()  # nothing new, or the core was reset a moment ago
        incarnation = state.incarnation
        self._encoding = self._engine.loop.run_in_executor(None, capture.encode)
        self._encoding.add_done_callback(
            lambda encoding: self._encoded(capture, incarnation, encoding)
        )
        return None

    def _encoded(
        self, capture: Capture, incarnation: Incarnation, encoding: 'Future[tuple[bytes, int]]'
    ) -> None:
        if self._taking is None or encoding.cancelled():
            return
        try:
            data, checksum = encoding.result()
        except ConsensualError as error:
            return self._fail(error)
        except Exception as error:  # noqa: BLE001 - of the user's values
            return self._fail(SnapshotFailed(f'the snapshot could not be encoded: {error!r}'))
        event = SnapshotTaken(incarnation, capture.index, data, checksum)
        return self._engine.stage(data, lambda: self._hand_over(event))

    def _hand_over(self, event: SnapshotTaken) -> None:
        if self._taking is not None:
            seconds = self._engine.loop.time() - self._began_at
            self._engine.meter.took_snapshot(len(event.data), seconds)
            self._engine.post(event)
            self._engine.loop.call_soon(self._end)  # after the turn that takes it

    def _end(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None and not taking.done():
            taking.set_result(None)

    def _fail(self, error: ConsensualError) -> None:
        """Keep the log; try again when it has grown as much once more."""
        settings = self._engine.settings
        self._not_before = self._applier.applied_index + settings.snapshot_every
        taking, self._taking = self._taking, None
        if taking is not None and not taking.done():
            taking.set_exception(error)

    def _see(self, taking: 'Future[None]') -> None:
        if not taking.cancelled() and (error := taking.exception()) is not None:
            self._logger.error('no snapshot was taken, and the log is kept: %s', error)

    def end(self, error: ConsensualError) -> None:
        """The node stops."""
        if self._encoding is not None:
            self._encoding.cancel()
        taking, self._taking = self._taking, None
        if taking is not None and not taking.done():
            taking.remove_done_callback(self._see)
            taking.set_exception(error)
            taking.exception()
