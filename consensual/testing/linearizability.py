"""The checker: finds one order of operations that explains what all clients were told, or none.

A history is linearizable if each operation can be placed at one instant between
its call and its return so that, in that order, the model gives the very outputs
(Herlihy & Wing, "Linearizability: a correctness condition for concurrent
objects", 1990). No search and no text here: see `search` and `counterexample`.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Optional, Union

from consensual.testing.counterexample import explain
from consensual.testing.models import Model
from consensual.testing.operation import NotDone, Operation, Unknown
from consensual.testing.search import Search

MAX_STEPS = 2_000_000
"""Steps of the model that a check takes unless told otherwise: some seconds, up to 500 MB."""

SLICE = 10_000
"""Steps that a partition is searched before the next one has its turn."""


@dataclass(frozen=True, slots=True)
class Linearizable:
    """There is such an order. steps: how many times the model was asked."""

    steps: int

    is_linearizable: ClassVar[bool] = True

    def __str__(self) -> str:
        return f'linearizable ({self.steps} steps)'


@dataclass(frozen=True, slots=True)
class Violation:
    """There is no such order: the system broke its promise. `str()` is the counter-example.

    model: what the system was compared with.
    partition: the part of it that has no order; others were perhaps not looked at.
    operations: those of the partition that may have happened, in the order of their calls.
    order: the one that gets furthest, a part of `operations`: no order gets past the
        return of `stuck[0]`, and none that gets there is longer.
    stuck: the operations one of which would have to come next, the one that
        returned first in front.
    steps: how many times the model was asked.
    """

    model: Model[Any]
    partition: Hashable
    operations: tuple[Operation, ...]
    order: tuple[Operation, ...]
    stuck: tuple[Operation, ...]
    steps: int

    is_linearizable: ClassVar[bool] = False

    def __str__(self) -> str:
        return explain(self.model, self.partition, self.operations, self.order, self.stuck)


@dataclass(frozen=True, slots=True)
class Undecided:
    """The bound was reached first: nothing is known of the `partitions` left.

    The others are linearizable. Raise the bound, or record shorter histories,
    fewer clients at a time, or more partitions.
    """

    partitions: tuple[Hashable, ...]
    steps: int

    is_linearizable: ClassVar[bool] = False

    def __str__(self) -> str:
        return (
            f'undecided after {self.steps} steps: {len(self.partitions)} partitions are left, '
            f'such as {self.partitions[0]!r}; allow more steps or record shorter histories'
        )


Result = Union[Linearizable, Violation, Undecided]


def check(
    history: Iterable[Operation],
    model: Model[Any],
    *,
    max_steps: Optional[int] = MAX_STEPS,
    timeout: Optional[float] = None,
) -> Result:
    """Tell whether the history is linearizable with respect to the model.

    history: a `History`, or operations in any order.
    model: what the system shall be like.
    max_steps: how many times the model may be asked, about; None for no bound.
    timeout: how long the check may take, in seconds; None for no bound. Results
        that shall be the same on every machine are bounded by steps only.

    Returns `Linearizable`, `Violation` or `Undecided`, so that
    `assert result.is_linearizable, result` shows the counter-example. Partitions
    take turns: one that is hard does not hide a violation in another.

    Raises `ValueError` for a request that the model does not know, `TypeError`
    when its states are not hashable.
    """
    partitions = _divide(history, model)
    turns = deque((key, Search(part, model)) for key, part in partitions.items())
    deadline = None if timeout is None else monotonic() + timeout
    steps = 0
    while turns:
        left = SLICE if max_steps is None else min(SLICE, max_steps - steps)
        if left <= 0 or (deadline is not None and monotonic() >= deadline):
            return Undecided(tuple(key for key, _ in turns), steps)
        key, search = turns.popleft()
        before = search.steps
        is_found = search.run(left)
        steps += search.steps - before
        if is_found is None:
            turns.append((key, search))
        elif not is_found:
            return _violation(model, key, partitions[key], search.furthest(), steps)
    return Linearizable(steps)


def _divide(history: Iterable[Operation], model: Model[Any]) -> dict[Hashable, list[Operation]]:
    """Group what may have happened by the parts of the model."""
    partitions: dict[Hashable, list[Operation]] = {}
    for operation in sorted(history, key=lambda operation: operation.called):
        if not isinstance(operation.outcome, NotDone):
            key = model.partition(operation.request)
            partitions.setdefault(key, []).append(operation)
    return partitions


def _violation(
    model: Model[Any],
    partition: Hashable,
    operations: list[Operation],
    order: list[Operation],
    steps: int,
) -> Violation:
    """The operations that are stuck were called before any that is left returned."""
    placed = set(map(id, order))
    left = [
        operation
        for operation in operations
        if id(operation) not in placed and not isinstance(operation.outcome, Unknown)
    ]
    left.sort(key=lambda operation: operation.returned)
    stuck = tuple(operation for operation in left if operation.called <= left[0].returned)
    return Violation(model, partition, tuple(operations), tuple(order), stuck, steps)
