"""The recorder: what clients asked of a system, when, and what they were told.

Judges nothing: that is `linearizability`.
"""

import json
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator, Mapping
from math import inf, nextafter
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any, Optional, TypeVar, Union

from consensual.raft.errors import ConsensualError, OutcomeUnknown, ProcessorFailed
from consensual.testing.operation import (
    NotDone,
    Operation,
    Outcome,
    Raised,
    Returned,
    Unknown,
    frozen,
)

Result = TypeVar('Result')

NOT_ENDED = Unknown('it had not returned when the history was read')


def outcome_of(error: BaseException) -> Outcome:
    """Tell by its type what an error says of the operation that raised it.

    A processor's own exception is a result. Any other error of this library
    promises that nothing was done, but for `OutcomeUnknown`. Of what else may be
    raised (a timeout, a cancellation, an error of a client library) nobody knows.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, ProcessorFailed):
        return Raised(text)
    if isinstance(error, ConsensualError) and not isinstance(error, OutcomeUnknown):
        return NotDone(text)
    return Unknown(text)


class History:
    """Operations in the order of their calls; iterate over it to get them.

    clock: returns the present instant in seconds; under virtual time give the
        loop's own (`loop.time`). Should it stand still or go back, instants are
        moved on by the least step there is, so that the order in which `begin`
        and `end` were called is never lost.
    outcome_of: what an exception says of the operation that raised it; give
        another one for clients that raise other errors.

    For one thread. Share it among all clients: their instants are compared.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        *,
        outcome_of: Callable[[BaseException], Outcome] = outcome_of,
    ) -> None:
        self._clock = clock
        self._outcome_of = outcome_of
        self._latest = -inf
        self._operations: list[Operation] = []
        self._open: dict[int, Operation] = {}

    def __repr__(self) -> str:
        return f'History({len(self)} operations, {len(self._open)} not ended)'

    def __len__(self) -> int:
        return len(self._operations)

    def __iter__(self) -> Iterator[Operation]:
        """Give all operations; those that have not ended are of unknown outcome."""
        return iter(tuple(self._operations))

    def begin(self, client: Union[int, str], request: Any) -> int:
        """Note that a client asks now; return the number to `end` it with.

        client: who asks. One client may have several operations under way.
        request: what is asked for, as the model takes it; a copy is kept, in which
            lists are tuples.
        """
        number = len(self._operations)
        operation = Operation(client, request, NOT_ENDED, self._now())
        self._operations.append(operation)
        self._open[number] = operation
        return number

    def end(self, number: int, outcome: Outcome) -> None:
        """Note that a client is told now what became of its operation.

        number: what `begin` returned.
        outcome: `Returned`, `Raised`, `NotDone` or `Unknown`.

        Raises `ValueError` when the operation was ended before.
        """
        begun = self._open.pop(number, None)
        if begun is None:
            raise ValueError(f'operation {number} was ended before, or never begun')
        self._operations[number] = Operation(
            begun.client, begun.request, outcome, begun.called, self._now()
        )

    async def record(
        self,
        client: Union[int, str],
        request: Any,
        call: Awaitable[Result],
        *,
        output: Optional[Callable[[Result], Any]] = None,
    ) -> Result:
        """Await the call and note when it began, when it ended, and how.

        call: a coroutine that has not begun, such as `node.execute(...)` or
            `node.query(...)`. Not `enqueue`: the text that it returns does not
            tell what was not done from what may have been.
        output: what of the result the model knows; the result itself by default.

        Returns and raises what the call does. Raises `TypeError` for a task or
        another future, which may have begun before.
        """
        if isinstance(call, Future):
            raise TypeError(
                'a task may have begun before it is recorded: give the coroutine itself, '
                'and make a task of record() if you need one'
            )
        number = self.begin(client, request)
        try:
            result = await call
        except BaseException as error:
            self.end(number, self._outcome_of(error))
            raise
        self.end(number, Returned(output(result) if output else result))
        return result

    def save(self, path: Union[str, 'PathLike[str]']) -> None:
        """Write the operations as JSON lines, one a line, in the order of their calls.

        Raises `ValueError` when a request or an output is not of JSON types.
        """
        lines = [json.dumps(_to_json(operation), allow_nan=False) for operation in self]
        Path(path).write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')

    @classmethod
    def load(cls, path: Union[str, 'PathLike[str]']) -> 'History':
        """Read what `save` wrote.

        Raises `ValueError` with the number of the line that is not an operation.
        """
        history = cls()
        for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), 1):
            try:
                operation = _from_json(json.loads(line))
            except (ValueError, LookupError, TypeError) as error:
                raise ValueError(f'{path}, line {number} is no operation: {error!r}') from error
            history._operations.append(operation)
            ended = operation.returned if operation.returned < inf else operation.called
            history._latest = max(history._latest, ended)
        return history

    def _now(self) -> float:
        self._latest = max(self._clock(), nextafter(self._latest, inf))
        return self._latest


def _to_json(operation: Operation) -> dict[str, Any]:
    record: dict[str, Any] = {
        'client': operation.client,
        'request': operation.request,
        'called': operation.called,
    }
    if operation.returned < inf:
        record['returned'] = operation.returned
    match operation.outcome:
        case Returned(value):
            record |= {'outcome': 'returned', 'value': value}
        case Raised(text):
            record |= {'outcome': 'raised', 'text': text}
        case NotDone(reason):
            record |= {'outcome': 'not done', 'reason': reason}
        case Unknown(reason):
            record |= {'outcome': 'unknown', 'reason': reason}
    _refuse_what_json_changes(record)
    return record


def _refuse_what_json_changes(record: dict[str, Any]) -> None:
    try:
        is_kept = frozen(json.loads(json.dumps(record, allow_nan=False))) == frozen(record)
    except (TypeError, ValueError):
        is_kept = False
    if not is_kept:
        raise ValueError(f'{record} cannot be kept as JSON: use JSON types in requests and outputs')


def _from_json(record: Mapping[str, Any]) -> Operation:
    outcome: Outcome
    match record['outcome']:
        case 'returned':
            outcome = Returned(record['value'])
        case 'raised':
            outcome = Raised(record['text'])
        case 'not done':
            outcome = NotDone(record['reason'])
        case 'unknown':
            outcome = Unknown(record['reason'])
        case other:
            raise ValueError(f'there is no outcome {other!r}')
    returned = record.get('returned', inf)
    return Operation(record['client'], record['request'], outcome, record['called'], returned)
