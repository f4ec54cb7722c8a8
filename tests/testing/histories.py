"""Histories: written down, drawn by seed from an implementation that is right, and an oracle.

No expectations live here.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import combinations, permutations
from math import inf
from random import Random
from typing import Any

from consensual.testing import (
    Counter,
    KeyValue,
    Lock,
    Model,
    NotDone,
    Operation,
    Outcome,
    Queue,
    Register,
    Returned,
    Unknown,
)

LOST = Unknown('no answer')

MODELS: list[Model[Any]] = [Register(), KeyValue(), Counter(), Queue(), Lock()]


def done(
    client: str, called: float, returned: float, request: tuple[Any, ...], output: Any = None
) -> Operation:
    """An operation that returned its output."""
    return Operation(client, request, Returned(output), called, returned)


def lost(client: str, called: float, request: tuple[Any, ...]) -> Operation:
    """An operation whose client was never answered."""
    return Operation(client, request, LOST, called)


def draw_request(model: Model[Any], random: Random, client: int, keys: int) -> tuple[Any, ...]:
    """Draw what a client might ask of such an object."""
    value, key = random.randrange(4), f'key{random.randrange(keys)}'
    match model:
        case Register():
            return random.choice([('read',), ('write', value)])
        case KeyValue():
            cas, put = ('cas', key, random.randrange(4), value), ('put', key, value)
            return random.choice([('get', key), ('get', key), put, cas, ('delete', key)])
        case Counter():
            return random.choice([('get',), ('add', value)])
        case Queue():
            return random.choice([('enqueue', value), ('dequeue',)])
        case _:
            return random.choice(['acquire', 'release']), key, client


def simulate(
    model: Model[Any],
    random: Random,
    *,
    count: int,
    clients: int = 4,
    keys: int = 1,
    loss: float = 0.0,
) -> list[Operation]:
    """Draw a history whose operations take effect, each at once, between call and return.

    loss: the share whose client is never answered; half of them have no effect.
    A tenth of so many are refused besides, and have none.
    """
    states: dict[Any, Any] = {}
    operations: list[Operation] = []
    events: list[tuple[float, int, str, Any]] = []
    for client in range(clients):
        heappush(events, (random.random(), client, 'call', None))
    begun = 0
    while events:
        now, client, kind, it = heappop(events)
        if kind == 'call':
            if begun < count:
                begun += 1
                request = draw_request(model, random, client, keys)
                heappush(events, (now + random.random(), client, 'effect', (now, request)))
        elif kind == 'effect':
            called, request = it
            outcome = take_effect(model, states, random, request, loss)
            ending = called, request, outcome
            heappush(events, (now + random.random(), client, 'return', ending))
        else:
            called, request, outcome = it
            operations.append(Operation(client, request, outcome, called, now))
            heappush(events, (now + random.random() / 4, client, 'call', None))
    return operations


def take_effect(
    model: Model[Any],
    states: dict[Any, Any],
    random: Random,
    request: tuple[Any, ...],
    loss: float,
) -> Outcome:
    """Change the state unless the request is lost on its way; return what the client sees."""
    if random.random() < loss / 10:
        return NotDone('refused')
    is_lost = random.random() < loss
    if is_lost and random.random() < 0.5:
        return LOST
    key = model.partition(request)
    states[key], output = model.step(states.get(key, model.init()), request)
    return LOST if is_lost else Returned(output)


def is_linearizable_by_force(operations: Sequence[Operation], model: Model[Any]) -> bool:
    """Try every order of the operations, with and without those of unknown outcome."""
    operations = [each for each in operations if not isinstance(each.outcome, NotDone)]
    certain = [each for each in operations if each.returned < inf]
    unknown = [each for each in operations if each.returned == inf]
    return any(
        explains(order, model)
        for size in range(len(unknown) + 1)
        for chosen in combinations(unknown, size)
        for order in permutations([*certain, *chosen])
    )


def explains(order: Sequence[Operation], model: Model[Any]) -> bool:
    """Tell whether the order keeps to real time and gives the outputs; no partitions here."""
    states: dict[Any, Any] = {}
    latest_call = -inf
    for operation in order:
        latest_call = max(latest_call, operation.called)
        if operation.returned < latest_call:
            return False
        key = model.partition(operation.request)
        states[key], expected = model.step(states.get(key, model.init()), operation.request)
        is_told = operation.returned < inf
        if is_told and not model.allows(operation.request, expected, operation.output):
            return False
    return True
