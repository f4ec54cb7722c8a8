"""Replaying a trace: the recorded inputs go into new cores, whose outputs must be the same.

Steps and compares; what a core does with its inputs is the core's own business.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import NamedTuple, Optional

from consensual.raft.core.effects import Effects
from consensual.raft.core.raft import Raft
from consensual.raft.core.state import State
from consensual.raft.errors import ConsensualError, InvariantViolated
from consensual.testing.trace_codec import (
    FIRST_LINE,
    Begin,
    InvalidTrace,
    Note,
    Record,
    Step,
    Take,
    digest_of,
)


class Divergence(Exception):
    """A replayed core did something else than the recorded one: its code is another.

    line: of the record in the trace.
    node, life: whose core it is.
    expected, found: the digests of the effects; '' where there are none.
    effects: what the replayed core gave out, None when it could not.
    """

    def __init__(
        self,
        line: int,
        record: Record,
        problem: str,
        *,
        found: str = '',
        effects: Optional[Effects] = None,
    ) -> None:
        self.line = line
        self.node, self.life = ('', 0) if isinstance(record, Note) else (record.node, record.life)
        self.expected = record.digest if isinstance(record, Take) else ''
        self.found, self.effects = found, effects
        super().__init__(
            f'line {line}: {self.node} (life {self.life}) {problem}; this code is not the one '
            'that recorded the trace, or the trace was changed'
        )


class Moment(NamedTuple):
    """One record, replayed.

    line: of the record in its file.
    state: the node's, afterwards, to be read only; it goes on changing with the replay.
        None for a note.
    error: what the core raised at the event; the recorded one did the same.
    effects: what was taken.
    """

    line: int
    record: Record
    state: Optional[State] = None
    error: Optional[Exception] = None
    effects: Optional[Effects] = None


class Replay:
    """Goes through a trace step by step: iterate over it, once, to get each `Moment`.

    records: all of a trace, a `Trace` or a `LoadedTrace`.

    cores: of all lives so far, by the node's name and the life's number.
    inputs: how many events were stepped so far.

    Iterating raises `Divergence` when a core does something else than the recorded
    one, and `InvalidTrace` for a record of a life that never began. What a core raises
    at an event is part of the run: see `Moment.error`.

    A recorder is not told when a core raises as its outputs are taken. So at the end,
    where events of a life were stepped but nothing was taken after them, it is tried
    on a copy; if that raises, another moment shows it, with a `Take` that has no digest.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.cores: dict[tuple[str, int], Raft] = {}
        self.inputs = 0
        self._moments = self._go_through(records)
        self._untaken: dict[tuple[str, int], tuple[int, Step]] = {}

    def __repr__(self) -> str:
        return f'Replay({self.inputs} inputs, {len(self.cores)} lives)'

    def __iter__(self) -> Iterator[Moment]:
        return self._moments

    def _go_through(self, records: Iterable[Record]) -> Iterator[Moment]:
        for line, record in enumerate(records, FIRST_LINE):
            match record:
                case Note():
                    yield Moment(line, record)
                case Begin():
                    yield self._begin(line, record)
                case Step():
                    yield self._step(line, record)
                case Take():
                    yield self._take(line, record)
        yield from self._try_untaken()

    def _begin(self, line: int, record: Begin) -> Moment:
        try:
            core = record.beginning.make()
        except Exception as error:
            raise Divergence(line, record, f'cannot begin: {error!r}') from error
        self.cores[record.node, record.life] = core
        return Moment(line, record, core.state)

    def _step(self, line: int, record: Step) -> Moment:
        core = self._core(line, record)
        self.inputs += 1
        self._untaken[record.node, record.life] = line, record
        try:
            core.step(record.event, record.now)
        except Exception as error:  # noqa: BLE001 - a bug of the core is what is looked for
            if isinstance(error, InvariantViolated) or not isinstance(error, ConsensualError):
                del self._untaken[record.node, record.life]  # the node stopped here
            return Moment(line, record, core.state, error)
        return Moment(line, record, core.state)

    def _take(self, line: int, record: Take) -> Moment:
        core = self._core(line, record)
        self._untaken.pop((record.node, record.life), None)
        try:
            effects = core.take_effects(record.now)
        except Exception as error:
            raise Divergence(line, record, f'gives out nothing but {error!r}') from error
        found = digest_of(effects)
        if found != record.digest:
            problem = f'gives out something else: digest {found}, recorded {record.digest}'
            raise Divergence(line, record, problem, found=found, effects=effects)
        return Moment(line, record, core.state, effects=effects)

    def _try_untaken(self) -> Iterator[Moment]:
        for line, step in self._untaken.values():
            core = deepcopy(self.cores[step.node, step.life])
            try:
                core.take_effects(step.now)
            except Exception as error:  # noqa: BLE001 - as above
                yield Moment(line, Take(step.node, step.life, step.now, ''), core.state, error)

    def _core(self, line: int, record: Step | Take) -> Raft:
        try:
            return self.cores[record.node, record.life]
        except KeyError:
            raise InvalidTrace(
                '', line, f'life {record.life} of {record.node} never began: replay a whole trace'
            ) from None


def replay(records: Iterable[Record]) -> Replay:
    """Begin to go through a trace; iterate over what is returned, see `Replay`.

    records: all of a trace, a `Trace` or a `LoadedTrace`.
    """
    return Replay(records)
