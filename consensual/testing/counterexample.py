"""The text of a counter-example: what is known, what is stuck, and who did what meanwhile.

Only words: what is wrong was found before.
"""

from collections.abc import Hashable, Sequence
from itertools import chain
from math import inf
from string import ascii_uppercase
from typing import Any

from consensual.testing.models import Model
from consensual.testing.operation import Operation, Unknown

SHOWN = 8
"""Operations of a kind that are shown: the last of the order, the first of those stuck."""

COLUMN = 4
"""Characters of the timeline from one event to the next; more where a mark needs them."""


def explain(
    model: Model[Any],
    partition: Hashable,
    operations: Sequence[Operation],
    order: Sequence[Operation],
    stuck: Sequence[Operation],
) -> str:
    """Return the lines that show why no order of the operations explains them.

    order: the one that gets furthest. stuck: what would have to come next, the
    operation that no order gets past in front.
    """
    states = _states(model, order)
    placed = set(map(id, order))
    waiting = [
        operation
        for operation in operations
        if isinstance(operation.outcome, Unknown)
        and id(operation) not in placed
        and operation.called <= stuck[0].returned
    ]
    first = max(0, len(order) - SHOWN)
    tail = [
        (str(number), operation, f'then {model.describe_state(states[number])}')
        for number, operation in enumerate(order[first:], first + 1)
    ]
    candidates = [
        (mark, operation, _allowed(model, states[-1], operation))
        for mark, operation in zip(ascii_uppercase, stuck[:SHOWN], strict=False)
    ]
    maybe = [
        (f'?{number}', operation, 'may happen or not: no help here')
        for number, operation in enumerate(waiting[-SHOWN:], 1)
    ]
    return '\n'.join(
        chain(
            _headline(model, partition, operations, stuck[0]),
            ['', f'The order that gets furthest ({len(order)} operations), its end:'],
            [f'  before  {model.describe_state(states[first])}'],
            _lines(model, tail),
            ['', f'In the state {model.describe_state(states[-1])}, one of these must be next:'],
            _lines(model, candidates),
            _lines(model, maybe),
            ['', 'Timeline (one column an event; > has not returned):'],
            _timeline([(mark, operation) for mark, operation, _ in tail + candidates + maybe]),
        )
    )


def _headline(
    model: Model[Any], partition: Hashable, operations: Sequence[Operation], culprit: Operation
) -> list[str]:
    of = '' if partition is None else f', partition {partition!r}'
    return [
        f'Not linearizable ({type(model).__name__}{of}, {len(operations)} operations).',
        f'No order explains what client {culprit.client} was told at {culprit.returned:.6f} s: '
        f'{_told(model, culprit)}',
    ]


def _states(model: Model[Any], order: Sequence[Operation]) -> list[Any]:
    """Return the states before, between and after the operations."""
    states = [model.init()]
    for operation in order:
        states.append(model.step(states[-1], operation.request)[0])
    return states


def _allowed(model: Model[Any], state: Any, operation: Operation) -> str:
    _, expected = model.step(state, operation.request)
    return f'but the model allows {model.describe_output(expected)}'


def _told(model: Model[Any], operation: Operation) -> str:
    asked = model.describe(operation.request)
    if isinstance(operation.outcome, Unknown):
        return f'{asked} -> ?'
    return f'{asked} -> {model.describe_output(operation.output)}'


def _lines(model: Model[Any], marked: Sequence[tuple[str, Operation, str]]) -> list[str]:
    """Return a line for each operation: mark, client, what was asked and told, when, a note."""
    rows = [
        (f'{mark:>6}  client {operation.client}', _told(model, operation), _when(operation), note)
        for mark, operation, note in marked
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _when(operation: Operation) -> str:
    if operation.returned == inf:
        return f'[{operation.called:.6f}, ...'
    return f'[{operation.called:.6f}, {operation.returned:.6f}]'


def _timeline(marked: Sequence[tuple[str, Operation]]) -> list[str]:
    """Return a row of bars for each client; more where its operations overlap."""
    instants = sorted(
        {instant for _, each in marked for instant in (each.called, each.returned)} - {inf}
    )
    column = max(COLUMN, *(len(mark) + 1 for mark, _ in marked))
    columns = {instant: column * rank for rank, instant in enumerate(instants)}
    rows: dict[str, list[str]] = {}
    for mark, operation in sorted(marked, key=lambda pair: pair[1].called):
        start = columns[operation.called]
        end = columns.get(operation.returned, column * len(columns))
        bar = f'|{mark}'.ljust(end - start, '-') + ('>' if operation.returned == inf else '|')
        lanes = rows.setdefault(str(operation.client), [])
        free = next((lane for lane, text in enumerate(lanes) if len(text) <= start), len(lanes))
        lanes[free : free + 1] = [(lanes[free] if free < len(lanes) else '').ljust(start) + bar]
    width = max(map(len, rows))
    return [
        f'  client {client:{width}}  {lane}' for client in sorted(rows) for lane in rows[client]
    ]
