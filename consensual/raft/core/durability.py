"""Nothing is revealed before it is durable: what waits for which write (Figure 2).

Numbers the writes and withholds messages; knows no rule of what they say.
"""

from typing import Optional

from consensual.raft.core.effects import Effects, HardState, Snapshot, Write
from consensual.raft.core.events import CallId
from consensual.raft.core.log import Log
from consensual.raft.core.messages import Reply, Request
from consensual.raft.errors import InvariantViolated


class Durability:
    """One write at a time; what changes meanwhile goes into the next one.

    durable_index: the last entry of the log that is known to be durable here.
    """

    __slots__ = (
        '_answers',
        '_dirty_from',
        '_hard_state_changed',
        '_hard_state_number',
        '_issued',
        '_requests',
        '_snapshot_changed',
        '_writing_to',
        'durable_index',
        'durable_number',
    )

    def __init__(self, durable_index: int) -> None:
        self.durable_index = durable_index
        self.durable_number = 0
        self._issued = 0
        self._writing_to: Optional[int] = None
        self._hard_state_changed = False
        self._hard_state_number = 0
        self._dirty_from: Optional[int] = None
        self._snapshot_changed = False
        self._requests: list[tuple[int, Request]] = []
        self._answers: list[tuple[int, CallId, Reply]] = []

    @property
    def is_hard_state_durable(self) -> bool:
        """Term and vote are as durable as they are known."""
        return self._hard_state_barrier <= self.durable_number

    @property
    def is_settled(self) -> bool:
        """Nothing is left to be written."""
        return self._barrier <= self.durable_number

    def hard_state_changed(self) -> None:
        """The hard state must be written before it is revealed."""
        self._hard_state_changed = True

    def log_changed(self, first_index: int) -> None:
        """The log changed from that index on; what was durable there no longer counts."""
        if self._dirty_from is None or first_index < self._dirty_from:
            self._dirty_from = first_index
        self.durable_index = min(self.durable_index, first_index - 1)
        if self._writing_to is not None:
            self._writing_to = min(self._writing_to, first_index - 1)

    def snapshot_taken(self) -> None:
        """A snapshot is to be written, and what was compacted away to be dropped (§7)."""
        self._snapshot_changed = True

    def snapshot_installed(self, index: int, committed: int) -> None:
        """A snapshot up to that index is to be written in place of the whole log (§7).

        committed: what was before; as far as that is durable it is in either of them.
        """
        durable_index = min(self.durable_index, committed)
        self._snapshot_changed = True
        self.log_changed(1)
        self._dirty_from, self.durable_index = index + 1, durable_index

    def log_erased(self) -> None:
        """Nothing is left of the log, nor a snapshot."""
        self._snapshot_changed = False
        self.log_changed(1)

    def withhold_request(self, request: Request) -> None:
        """Send when everything that stands now is durable (votes are asked for so)."""
        self._requests.append((self._barrier, request))

    def send_in_parallel(self, request: Request) -> None:
        """Send when term and vote are durable, beside the log's own write (thesis §10.2.1)."""
        self._requests.append((self._hard_state_barrier, request))

    def withhold_answer(self, call: CallId, reply: Reply) -> None:
        """Answer when everything that stands now is durable (votes, acknowledgements)."""
        self._answers.append((self._barrier, call, reply))

    def answer(self, call: CallId, reply: Reply) -> None:
        """Answer at once: the reply reveals nothing that could be lost."""
        self._answers.append((0, call, reply))

    def take_write(
        self, log: Log, hard_state: HardState, snapshot: Optional[Snapshot]
    ) -> Optional[Write]:
        """Return the next write, unless one is under way or nothing changed."""
        if self._writing_to is not None or not self._has_changed:
            return None
        self._issued += 1
        self._writing_to = log.last_index
        first, self._dirty_from = self._dirty_from, None
        entries = log.entries(first, log.last_index) if first is not None else ()
        new_snapshot = log_start = new_hard_state = None
        if self._snapshot_changed:
            self._snapshot_changed = False
            new_snapshot, log_start = snapshot, log.first_index
        if self._hard_state_changed:
            self._hard_state_changed, self._hard_state_number = False, self._issued
            new_hard_state = hard_state
        return Write(self._issued, new_hard_state, first, entries, new_snapshot, log_start)

    def persisted(self, number: int) -> None:
        """The write of that number is durable."""
        if number != self._issued or self._writing_to is None:
            raise InvariantViolated(f'write {number} was reported durable, not {self._issued}')
        self.durable_number = number
        self.durable_index = max(self.durable_index, self._writing_to)
        self._writing_to = None

    def release(self, effects: Effects) -> None:
        """Let go what need not wait any longer."""
        if self._requests:
            effects.requests = [item for at, item in self._requests if at <= self.durable_number]
            self._requests = [pair for pair in self._requests if pair[0] > self.durable_number]
        if self._answers:
            effects.answers = [
                (call, reply) for at, call, reply in self._answers if at <= self.durable_number
            ]
            self._answers = [triple for triple in self._answers if triple[0] > self.durable_number]

    @property
    def _has_changed(self) -> bool:
        return self._hard_state_changed or self._dirty_from is not None or self._snapshot_changed

    @property
    def _barrier(self) -> int:
        return self._issued + 1 if self._has_changed else self._issued

    @property
    def _hard_state_barrier(self) -> int:
        return self._issued + 1 if self._hard_state_changed else self._hard_state_number
