"""Watches every turn of every node, and notes each invariant that does not hold.

It changes nothing; what must hold is said in `invariants`.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Optional

import msgspec

from consensual.raft import Context
from consensual.raft.core.effects import Effects, Snapshot
from consensual.raft.core.events import Event, Received
from consensual.raft.core.log import Command, NoOp
from consensual.raft.core.messages import Request
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State
from consensual.raft.driver.recording import Beginning
from consensual.raft.errors import ConsensualError
from consensual.testing import command_invariants, invariants
from consensual.testing.call import Call, Lost
from consensual.testing.chronicle import (
    Application,
    Applied,
    Chronicle,
    CommandKey,
    Past,
    Seen,
    Turn,
    configurations_of,
    first_change,
)
from consensual.testing.disk import Disk
from consensual.testing.fingerprint import fingerprint

MOST_VIOLATIONS = 5
"""Of one invariant that are noted: what is broken once is often broken for good."""


class Broken(msgspec.Struct, frozen=True):
    """An invariant that did not hold: which, when in seconds of true time, where, and how."""

    invariant: str
    at: float
    text: str

    def __str__(self) -> str:
        return f'[{self.at:.4f}] {self.invariant}: {self.text}'


class Observer:
    """Knows the past of all clusters of a world, and what was wrong in it.

    knows_all_submissions: no code of the user's own submits commands in a node's process.
    now: returns the true time, in seconds.
    note: called with the text of what was wrong.
    """

    def __init__(self, now: Callable[[], float], note: Callable[[str], None]) -> None:
        self.broken: list[Broken] = []
        self.knows_all_submissions = True
        self.past = Past()
        self._now = now
        self._note = note
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f'Observer({len(self.broken)} violations, {len(self.past.clusters)} clusters)'

    def violate(self, invariant: str, text: str) -> None:
        """Note that an invariant did not hold."""
        self._counts[invariant] += 1
        if self._counts[invariant] <= MOST_VIOLATIONS:
            self.broken.append(Broken(invariant, self._now(), text))
            self._note(f'BROKEN {invariant}: {text}')

    def watch_disk(self, disk: Disk) -> None:
        """Know where incarnations keep their data, and what is lost with them."""
        disk.on_replaced = self.past.lost.__setitem__

    # calls

    def submitted(self, key: CommandKey) -> None:
        """A command is handed in."""
        self.past.submitted[key] += 1

    def acknowledged(self, watcher: 'Watcher', key: CommandKey, result: Optional[object]) -> None:
        """A caller was told that its command is applied on that node (§8).

        result: with which, as a fingerprint; None where that is not known.
        """
        watcher.acknowledged[key] += 1
        if watcher.acknowledged[key] > watcher.applied[key]:
            self.violate(
                'acknowledged_is_applied',
                f'{watcher.name} says that {_text(key)} is applied; it is not',
            )
        else:
            chronicle = self.past.clusters[watcher.applied_in[key]]
            told, indices = chronicle.told[key], sorted(chronicle.key_indices[key])
            told.append(result)
            chronicle.acknowledged.add(indices[min(len(told), len(indices)) - 1])
            outcomes = [chronicle.applied[index].outcome for index in indices]
            if result is not None and told.count(result) > outcomes.count(result):
                self.violate(
                    'result_is_the_processors',
                    f'{watcher.name} says that {_text(key)} gives {result}, not {outcomes}',
                )

    def ended(self, call: Call[Any]) -> None:
        """A call of a node ended: with a result, or with an error that is documented."""
        if call.error is not None and not isinstance(call.error, (ConsensualError, Lost)):
            self.violate('calls_end_as_documented', f'{call.what}: {call.error!r}')

    def applied(self, key: CommandKey) -> None:
        """A command is applied, for the first time at its index."""
        self._check_refused(key, 'by an earlier call')

    def refused(self, key: CommandKey, error: BaseException) -> None:
        """A caller was told that nothing was done."""
        self.past.refused[key] += 1
        self._check_refused(key, f'{type(error).__name__}: {error}')

    def _check_refused(self, key: CommandKey, why: str) -> None:
        if not self.knows_all_submissions:
            return
        past, may_be = self.past, self.past.submitted[key] - self.past.refused[key]
        indices = [cluster.key_indices.get(key, ()) for cluster in past.clusters.values()]
        if max(map(len, indices), default=0) > past.submitted[key]:
            self.violate(
                'applied_as_often_as_submitted',
                f'{_text(key)} is applied at {max(indices, key=len)}, and was submitted '
                f'{past.submitted[key]} times',
            )
        elif max(map(len, indices), default=0) > may_be:
            self.violate('refused_is_never_applied', f'{_text(key)} is applied, and refused: {why}')


class Watcher:
    """Watches one life of one node: a Recorder of its core, and of what it applies.

    logger: for the node; what it logs as an error is a violation.
    applied, acknowledged: how often a command was applied, and reported as applied, here.
    applied_in: the cluster in which it was, last.
    """

    def __init__(self, observer: Observer, name: str, disk: Disk) -> None:
        self.name = name
        self.logger = _logger(self)
        self.applied: Counter[CommandKey] = Counter()
        self.applied_in: dict[CommandKey, str] = {}
        self.acknowledged: Counter[CommandKey] = Counter()
        self.is_watching = True
        self.state: Optional[State] = None
        self._observer = observer
        self._disk = disk
        self._seen = Seen()
        self._requests: dict[int, Request] = {}
        self._last: tuple[int, float] = (0, 0.0)
        self._applying: Optional[tuple[Context, CommandKey]] = None
        self._restoring: Optional[Snapshot] = None

    def __repr__(self) -> str:
        return f'Watcher({self.name}, {self.state!r})'

    def cannot_snapshot(self, error: Exception) -> None:
        """The state machine's snapshot() raised."""
        self._observer.violate('snapshot_is_a_copy_of_the_state', f'{self.name}: {error!r}')

    def fails(self, text: str) -> None:
        """The node failed, or met what it should cope with."""
        if self.is_watching and not self._disk.has_failed:
            self._observer.violate('no_node_fails', f'{self.name}: {text}')

    # the core

    def begin(self, _: Beginning, state: State) -> None:
        """See `Recorder`."""
        self.state = state
        self._seen = Seen()
        self._requests.clear()
        self._observer.past.disks[state.incarnation] = self._disk
        wrong = invariants.recovered_is_what_was_stored(state, self._disk)
        if wrong is not None and self.is_watching:
            self._observer.violate('recovered_is_what_was_stored', f'{self.name} {wrong}')

    def step(self, event: Event, _: float) -> None:
        """See `Recorder`."""
        if type(event) is Received and event.call:
            self._requests[event.call] = event.request

    def take(self, effects: Effects, _: float) -> None:
        """Check every invariant, and remember how things stand."""
        state = self.state
        if state is None or not self.is_watching:
            return
        turn = self._turn(state, effects)
        for invariant in invariants.AFTER_EVERY_TURN:
            wrong = invariant(turn)
            if wrong is not None:
                self._observer.violate(invariant.__name__, f'{self.name} {wrong}')
        for number, _reply in effects.answers:
            self._requests.pop(number, None)
        self._remember(turn)

    def _turn(self, state: State, effects: Effects) -> Turn:
        past, is_first = self._observer.past, state.incarnation != self._seen.incarnation
        if is_first:
            if self._seen.incarnation:
                self.forget()  # it was reset
            self._seen = Seen(state.incarnation)
            past.disks[state.incarnation] = self._disk
        seen, configurations = self._seen, self._seen.configurations
        changed_from = first_change(seen.base_index, seen.log, state.log)
        if effects.restore is not None:
            self._restoring = restore = effects.restore
            changed_from = state.log.first_index
            kept = [index for index in configurations if index < restore.configuration_index]
            configurations = [*kept, restore.configuration_index]
        if changed_from is not None:
            configurations = configurations_of(configurations, changed_from, state.log)
        return Turn(
            self.name,
            state,
            effects,
            seen,
            self._disk,
            past,
            self._chronicle(state),
            is_first,
            state.cluster_id != seen.cluster_id,
            type(state.role) is Leader,
            changed_from,
            configurations,
            self._requests,
        )

    def _chronicle(self, state: State) -> Chronicle:
        """Return the past of its cluster; that of one that it founded begins with its own."""
        clusters, seen = self._observer.past.clusters, self._seen
        if state.cluster_id not in clusters:
            older = seen.cluster_id
            if not older and self._disk.incarnation == state.incarnation:
                older = self._disk.cluster_id  # it was started a moment ago
            if older:
                own = max(seen.commit_index, state.snapshot_index)
                clusters[state.cluster_id].inherit(clusters[older], own)
        return clusters[state.cluster_id]

    def _remember(self, turn: Turn) -> None:
        seen, state = turn.seen, turn.state
        seen.cluster_id = state.cluster_id
        seen.term, seen.vote = state.current_term, state.voted_for
        seen.leads = turn.is_leader
        seen.commit_index = state.commit_index
        seen.durable_index = state.durability.durable_index
        if turn.effects.restore is not None:
            seen.emitted = turn.effects.restore.index
        seen.emitted += len(turn.effects.committed)
        seen.electorate = state.electorate
        self._count_snapshots(turn)
        seen.snapshot_index = state.snapshot_index
        if turn.changed_from is not None:
            seen.log[turn.changed_from - seen.base_index - 1 :] = state.log.entries(
                turn.changed_from, state.log.last_index
            )
            seen.configurations = turn.configurations
        if seen.base_index != state.log.base_index:
            log = state.log
            seen.base_index = log.base_index
            seen.log = log.entries(log.first_index, log.last_index)

    def _count_snapshots(self, turn: Turn) -> None:
        past = turn.past
        if turn.effects.restore is not None:
            past.snapshots_installed += not turn.is_first
        elif turn.state.snapshot_index > turn.seen.snapshot_index:
            past.snapshots_taken += 1

    # commands

    def begin_to_apply(self, context: Context, action: str) -> None:
        """A processor is about to run here; one runs at a time."""
        core = self.state
        self._applying = None
        if core is None or not self.is_watching or context.index > core.log.last_index:
            return
        if context.index > core.log.base_index:
            payload = core.log.entry_at(context.index).payload
        else:  # compacted away, or taken over by a snapshot, since it was handed out
            known = self._observer.past.clusters[core.cluster_id].committed.get(context.index)
            payload = known[0].payload if known is not None else NoOp()
        self._applying = context, (action, payload.parameters if type(payload) is Command else '')

    def end_to_apply(self, outcome: object, state: object) -> None:
        """It ran: check every invariant."""
        if self._applying is None or self.state is None or not self.is_watching:
            return
        context, key = self._applying
        cluster_id = self.state.cluster_id
        chronicle = self._observer.past.clusters[cluster_id]
        applied = Applied(context.term, context.time, key, outcome, state)
        application = Application(self.name, context.index, applied, chronicle, *self._last)
        self._last = context.index, context.time
        if context.index not in chronicle.applied:
            chronicle.key_indices[key].append(context.index)
            self._observer.applied(key)
        self.applied[key] += 1
        self.applied_in[key] = cluster_id
        for invariant in command_invariants.AFTER_EVERY_COMMAND:
            wrong = invariant(application)
            if wrong is not None:
                self._observer.violate(invariant.__name__, f'{self.name} {wrong}')

    def restored(self, state: object) -> None:
        """The state machine was restored: it is as it was, where the snapshot was taken (§7)."""
        snapshot, self._restoring = self._restoring, None
        if self.state is None or not self.is_watching:
            return
        if snapshot is None:
            what = f'{self.name} restored its state, and was given no snapshot'
            return self._observer.violate('restored_is_what_was_taken', what)
        taken = fingerprint(json.loads(snapshot.data)['state'])
        if state != taken:
            what = f'{self.name} is {state} after it was restored from {taken}'
            self._observer.violate('restored_is_what_was_taken', what)
        chronicle = self._observer.past.clusters[self.state.cluster_id]
        for applied in chronicle.applied_within(self._last[0], snapshot.index):
            self.applied[applied.key] += 1
            self.applied_in[applied.key] = self.state.cluster_id
        self._last = snapshot.index, snapshot.time

    @property
    def last_applied(self) -> int:
        """The index of the last command that was applied here, or taken over by a snapshot."""
        return self._last[0]

    def forget(self) -> None:
        """The state machine was emptied, or is when the command that runs has ended."""
        self._last = 0, 0.0
        self._applying = self._restoring = None


class _Handler(logging.Handler):
    """Hands on what a node logs as an error."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.ERROR)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        error = record.exc_info[1] if record.exc_info else None
        self._watcher.fails(f'{record.getMessage()} {error!r}' if error else record.getMessage())


def _logger(watcher: Watcher) -> logging.Logger:
    logger = logging.Logger(f'simulation.{watcher.name}', logging.ERROR)  # noqa: LOG001 - its own
    logger.addHandler(_Handler(watcher))
    return logger


def _text(key: CommandKey) -> str:
    return f'{key[0]}({key[1]})'
