"""What a KeyValueStore costs the event loop, by the number of its keys.

Milliseconds of processor time, medians. Each key has a value of some 30 bytes.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from time import process_time
from typing import Any

from consensual.machines import KeyValueStore
from consensual.raft import Context

SIZES = 10_000, 100_000, 1_000_000


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks machines', description=__doc__)
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES, metavar='N')
    parser.add_argument('--repeat', type=int, default=5, help='runs, of which the median counts')
    parser.add_argument('--ttl', action='store_true', help='let every key have a ttl')
    options = parser.parse_args(arguments)
    columns = [measure(size, options.repeat, has_ttl=options.ttl) for size in options.sizes]
    print(f'| ms | {" | ".join(f"{size:,} keys" for size in options.sizes)} |')
    print(f'|---|{"---:|" * len(columns)}')
    for what in columns[0]:
        print(f'| {what} | {" | ".join(f"{column[what]:,.4g}" for column in columns)} |')


def measure(size: int, repeat: int, *, has_ttl: bool) -> dict[str, float]:
    """Return milliseconds by what takes them."""
    random = Random(size)
    keys = [f'user/{random.getrandbits(64):016x}' for _ in range(size)]
    store, other = KeyValueStore(), KeyValueStore()

    def put(machine: KeyValueStore, key: str, number: int) -> None:
        parameters: dict[str, Any] = {'key': key, 'value': {'name': 'someone', 'age': number}}
        if has_ttl:
            parameters['ttl'] = 1e6 + random.random()
        machine.processors['put'](parameters, context=Context(number, 1, number / 1e4))

    def put_all() -> None:
        for number, key in enumerate(keys, 1):
            put(store, key, number)

    filled = clocked(put_all) / size
    overwritten = clocked(put_all) / size
    snapshots = [clocked(store.snapshot) for _ in range(repeat)]
    stored = json.loads(json.dumps(store.snapshot()))
    restores, firsts, ranges = [], [], []
    for _ in range(repeat):
        restores.append(clocked(lambda: other.restore(stored)))
        firsts.append(clocked(lambda: put(other, 'new', 2 * size)))
        ranges.append(clocked(lambda: other.queries['range']({'prefix': 'user/', 'limit': 1})))
    return {
        'put of a new key': filled,
        'put over an old one': overwritten,
        'get': clocked(lambda: [store.queries['get']({'key': it}) for it in keys[:1000]]) / 1000,
        'range of 1,000': median(
            clocked(lambda: store.queries['range']({'prefix': 'user/'})) for _ in range(repeat)
        ),
        'snapshot': median(snapshots),
        'restore': median(restores),
        'first command after it': median(firsts),
        'first range after it': median(ranges),
    }


def clocked(call: Callable[[], Any]) -> float:
    """Return the milliseconds of processor time that a call takes, not to free its result."""
    begun = process_time()
    result = call()
    ended = process_time()
    del result
    return (ended - begun) * 1000
