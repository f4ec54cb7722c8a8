"""The search for an order of one partition's operations that explains what was returned.

Nothing is known here of partitions, results or texts.

The algorithm is that of Wing & Gong ("Testing and verifying concurrent objects",
1993): from the operations that no other one precedes, take one whose output the
model allows; where there is none, go back. Lowe ("Testing for linearizability",
2017) gave it the doubly linked list of calls and returns, from which operations
are lifted and put back, and the memory of configurations that led nowhere: which
operations are done, and the state. Written from those descriptions.

What is ours: an operation that only reads is taken as soon as it fits, with no
other order tried (see `Model.is_reading`). And there are operations of unknown
outcome, which have no return: they may come anywhere after their call, or
nowhere. Three rules keep many of them from costing exponential time in most
histories:

- They are not in the list. They are only tried where the others are stuck, as a
  *detour* of few before the next operation that returned: fewest first. What
  nobody saw the effect of is never taken.
- Of those with equal requests the one called first is taken first: they are
  interchangeable, for none of them is bound to end before anything.
- A configuration is also dropped when the same one was seen with fewer of them
  spent: what it can do, that one could.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

from consensual.testing.models import Model
from consensual.testing.operation import Operation, Unknown

Configuration = tuple[int, int, Hashable]
"""Which operations are done, as the lowest that is not and the bits from there up; the state."""


class Move(NamedTuple):
    """An operation that may come next, after a detour.

    entry: the operation's call, in the list.
    detour: numbers of the operations of unknown outcome that come before it.
    spent: the bits of all of those that came so far.
    state: the state after it.
    """

    entry: int
    detour: tuple[int, ...]
    spent: int
    state: Any


class Frame(NamedTuple):
    """A configuration on the way, and the moves that were not tried from it yet."""

    moves: Iterator[Optional[Move]]
    lowest: int
    window: int
    spent: int


class Search:
    """Finds an order, or that there is none; can be interrupted and resumed.

    steps: how many times the model was asked.
    """

    def __init__(self, operations: Sequence[Operation], model: Model[Any]) -> None:
        in_order = sorted(operations, key=lambda operation: operation.called)
        self._certain = [each for each in in_order if not isinstance(each.outcome, Unknown)]
        self._unknown = [each for each in in_order if isinstance(each.outcome, Unknown)]
        self.steps = 0
        self._model = model
        self._step, self._allows = model.step, model.allows
        self._link()
        self._bits = [1 << number for number in range(len(self._unknown))]
        self._twins = _find_twins(self._unknown)
        self._path: list[Move] = []
        self._furthest: tuple[int, int, list[Move]] = (-1, -1, [])
        state = model.init()
        self._seen: dict[Configuration, tuple[int, ...]] = {(0, 0, state): (0,)}
        self._stack = [Frame(self._moves(state, 0), 0, 0, 0)]

    def _link(self) -> None:
        """Make the list: entries 1, 2, … in time; calls before returns of the same instant.

        Entry 0 is both ends of it. `_return_of` is 0 for what is no call.
        """
        events = sorted(
            event
            for number, operation in enumerate(self._certain)
            for event in ((operation.called, 0, number), (operation.returned, 1, number))
        )
        size = len(events) + 1
        self._next: list[int] = [*range(1, size), 0]
        self._previous = [size - 1, *range(size - 1)]
        self._number_of = [-1] + [number for _, _, number in events]
        self._return_of = [0] * size
        call_of: dict[int, int] = {}
        for entry, (_, is_return, number) in enumerate(events, 1):
            if is_return:
                self._return_of[call_of[number]] = entry
            else:
                call_of[number] = entry
        self._requests = [operation.request for operation in self._certain]
        self._outputs = [operation.output for operation in self._certain]
        self._is_reading = list(map(self._model.is_reading, self._requests, self._outputs))
        self._called_after: list[int] = [
            bisect_left(events, (operation.called, 1, -1)) for operation in self._unknown
        ]

    def run(self, steps: int) -> Optional[bool]:
        """Search on; return whether there is an order, or None after about so many steps."""
        limit = self.steps + steps
        while len(self._path) < len(self._certain):
            if self.steps >= limit:
                return None
            try:
                move = next(self._stack[-1].moves)
            except StopIteration:
                if not self._go_back():
                    return False
            else:
                if move is not None:
                    self._follow(move)
        return True

    def furthest(self) -> list[Operation]:
        """Return the order that gets furthest, once there is known to be none.

        No order whatever gets past the first return that this one lacks; of those
        that get there this is a longest.
        """
        operations: list[Operation] = []
        for move in self._furthest[2]:
            operations.extend(self._unknown[number] for number in move.detour)
            operations.append(self._certain[self._number_of[move.entry]])
        return operations

    def _moves(self, state: Any, spent: int) -> Iterator[Optional[Move]]:
        direct, is_forced = self._direct_moves(state, spent, ())
        yield from direct
        if self._unknown and not is_forced:
            yield from self._detours(state, spent)

    def _direct_moves(
        self, state: Any, spent: int, detour: tuple[int, ...]
    ) -> tuple[list[Move], bool]:
        """Return what may come next, first what returned first, and whether it must.

        Candidates are the operations that were called before any that is left
        returned. One that fits and never changes anything may as well come at once:
        it can be moved here from any later place, and no other order is to be tried.
        """
        moves = []
        entry = self._next[0]
        while self._return_of[entry]:
            number = self._number_of[entry]
            self.steps += 1
            after, expected = self._step(state, self._requests[number])
            if self._allows(self._requests[number], expected, self._outputs[number]):
                moves.append(Move(entry, detour, spent, after))
                if self._is_reading[number]:
                    self._trust_reading(number, state, after)
                    return moves[-1:], True
            entry = self._next[entry]
        if len(moves) > 1:
            moves.sort(key=lambda move: self._return_of[move.entry])
        return moves, False

    def _detours(self, state: Any, spent: int) -> Iterator[Optional[Move]]:
        """Give the moves that operations of unknown outcome make possible, fewest first.

        Also gives None now and then, for the search may have to be interrupted.
        """
        eligible: int = bisect_left(self._called_after, self._first_return())
        reached: dict[Any, tuple[int, ...]] = {state: (spent,)}
        frontier: deque[tuple[Any, int, tuple[int, ...]]] = deque([(state, spent, ())])
        while frontier:
            state, spent, detour = frontier.popleft()
            for number in range(eligible):
                bit, twin = self._bits[number], self._twins[number]
                if spent & (bit | twin) != twin:
                    continue
                yield None
                self.steps += 1
                after, _ = self._step(state, self._unknown[number].request)
                if _is_new(reached, after, spent | bit):
                    longer = (*detour, number)
                    moves, is_forced = self._direct_moves(after, spent | bit, longer)
                    yield from moves
                    if not is_forced:
                        frontier.append((after, spent | bit, longer))

    def _trust_reading(self, number: int, state: Any, after: Any) -> None:
        if after != state:
            raise ValueError(
                f'is_reading() says that {self._certain[number].request!r} changes nothing, but '
                f'step() made {after!r} of {state!r}: one of the two is wrong'
            )

    def _first_return(self) -> int:
        entry = self._next[0]
        while self._return_of[entry]:
            entry = self._next[entry]
        return entry

    def _follow(self, move: Move) -> None:
        """Take the operation, unless that leads where the search was before."""
        _, lowest, window, _ = self._stack[-1]
        window |= 1 << (self._number_of[move.entry] - lowest)
        if window & 1:
            ones = (~window & (window + 1)).bit_length() - 1
            window >>= ones
            lowest += ones
        if _is_new(self._seen, (lowest, window, move.state), move.spent):
            self._lift(move.entry)
            self._path.append(move)
            moves = self._moves(move.state, move.spent)
            self._stack.append(Frame(moves, lowest, window, move.spent))

    def _go_back(self) -> bool:
        """Put the last operation back; return False when there is none left."""
        reach = self._first_return(), len(self._path)
        if reach > self._furthest[:2]:
            self._furthest = *reach, self._path.copy()
        self._stack.pop()
        if self._path:
            self._put_back(self._path.pop().entry)
        return bool(self._stack)

    def _lift(self, call: int) -> None:
        """Take the operation's entries out of the list; they remember where they were."""
        for entry in (call, self._return_of[call]):
            before, after = self._previous[entry], self._next[entry]
            self._next[before], self._previous[after] = after, before

    def _put_back(self, call: int) -> None:
        """Undo the last lift."""
        for entry in (self._return_of[call], call):
            self._next[self._previous[entry]] = entry
            self._previous[self._next[entry]] = entry


def _is_new(seen: dict[Any, tuple[int, ...]], key: Any, spent: int) -> bool:
    """Remember the key; return False if it was seen with no more spent than now."""
    known = seen.get(key, ())
    for other in known:
        if other & ~spent == 0:
            return False
    seen[key] = (*known, spent)
    return True


def _find_twins(operations: Sequence[Operation]) -> list[int]:
    """Return the bit of the operation before with the same request, for each, or 0."""
    last: dict[str, int] = {}
    twins = []
    for number, operation in enumerate(operations):
        text = repr(operation.request)
        twin = last.get(text)
        is_twin = twin is not None and operations[twin].request == operation.request
        twins.append(1 << twin if twin is not None and is_twin else 0)
        last[text] = number
    return twins
