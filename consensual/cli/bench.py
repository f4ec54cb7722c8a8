"""`bench`: how much a cluster does, as a client of it sees that: writes, then linearizable reads.

It writes keys of its own to a `KeyValueStore`, and deletes them in the end.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from consensual.cli.asking import (
    DONE,
    FAILED,
    UNKNOWN,
    AskingError,
    Members,
    add_options,
    plain,
    seconds_argument,
)
from consensual.raft import ConsensualError
from consensual.raft.errors import OutcomeUnknown

if TYPE_CHECKING:
    from consensual.http import Client

CALLERS, SECONDS, SIZE = 64, 5.0, 100
CALLERS_LIMIT, SECONDS_LIMIT, SIZE_LIMIT = 4096, 3600, 512 << 10
TIMEOUT = 5.0

clock = time.perf_counter


class Done(NamedTuple):
    """What callers did in so many seconds: how long each operation took, what failed how often."""

    taken: list[float]
    failures: Counter[str]
    seconds: float


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        'bench', help='measure writes and linearizable reads of a KeyValueStore'
    )
    parser.add_argument(
        '--callers',
        type=_up_to(CALLERS_LIMIT),
        default=CALLERS,
        metavar='N',
        help=f'that ask at a time, each again when it is answered (default: {CALLERS})',
    )
    parser.add_argument(
        '--seconds',
        type=seconds_argument(SECONDS_LIMIT),
        default=SECONDS,
        metavar='S',
        help='of writes, and of reads (5)',
    )
    parser.add_argument(
        '--size',
        type=_up_to(SIZE_LIMIT),
        default=SIZE,
        metavar='BYTES',
        help=f'of a value (default: {SIZE})',
    )
    add_options(parser, bench)


def _up_to(limit: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 0 < int(text) <= limit:
            raise argparse.ArgumentTypeError(f'{text!r} is no number from 1 to {limit}')
        return int(text)

    return number


async def bench(members: Members, options: argparse.Namespace) -> int:
    """Measure, and print a table; fail when nothing was done."""
    from consensual.http import Client  # noqa: PLC0415 - an extra

    await members.ask('GET', '/status')  # whether anybody is there, and lets this one in
    timeout = TIMEOUT if options.timeout is None else options.timeout
    keys = [f'consensual bench {uuid4()} {number}' for number in range(options.callers)]
    value = 'v' * options.size
    rows: list[tuple[str, Done]] = []
    async with Client(
        members.urls, token=members.token, ssl=members.context, timeout=timeout
    ) as client:

        async def put(key: str) -> None:
            await client.execute('put', {'key': key, 'value': value})

        async def get(key: str) -> None:
            await client.query('get', {'key': key})

        try:
            for what, operation in (('writes', put), ('reads', get)):
                rows.append((what, await _run(what, operation, keys, options.seconds)))
                if not rows[-1][1].taken:
                    break
        finally:
            left = await _delete(client, keys)
    _print(rows, options)
    is_unknown = any(text.startswith(OutcomeUnknown.__name__) for text in rows[0][1].failures)
    if left and (rows[0][1].taken or is_unknown):
        print(f'consensual: {left} keys could not be deleted: {keys[0]!r} …', file=sys.stderr)
    failed = next((done.failures for _, done in rows if not done.taken), None)
    if failed is not None:
        raise AskingError(next(iter(failed)), UNKNOWN if is_unknown else FAILED)
    return DONE


async def _run(
    what: str, operation: Callable[[str], Awaitable[None]], keys: list[str], seconds: float
) -> Done:
    """Have a caller for each key, for so long."""
    taken: list[float] = []
    failures: Counter[str] = Counter()
    begin = clock()
    end = begin + seconds

    async def call(key: str) -> None:
        while (begun := clock()) < end:
            try:
                await operation(key)
            except ConsensualError as error:
                failures[f'{type(error).__name__}: {error}'] += 1
                await asyncio.sleep(0.01)
            else:
                taken.append(clock() - begun)

    async def show() -> None:
        while True:
            await asyncio.sleep(0.5)
            text = f'\r{what}: {len(taken):,} after {clock() - begin:.1f} s'
            print(text, end='', file=sys.stderr, flush=True)

    showing = asyncio.create_task(show()) if sys.stderr.isatty() else None
    try:
        await asyncio.gather(*map(call, keys))
    finally:
        if showing is not None:
            showing.cancel()
            print('\r\033[K', end='', file=sys.stderr, flush=True)
    taken.sort()
    return Done(taken, failures, clock() - begin)


async def _delete(client: 'Client', keys: list[str]) -> int:
    """Delete the keys; return how many could not be."""
    calls = (client.execute('delete', {'key': key}) for key in keys)
    done = await asyncio.gather(*calls, return_exceptions=True)
    return sum(isinstance(result, Exception) for result in done)


def _print(rows: list[tuple[str, Done]], options: argparse.Namespace) -> None:
    print(f'{options.callers} callers, values of {options.size} bytes')
    head = ('', 'per second', 'p50 ms', 'p99 ms', 'slowest ms', 'failed')
    print(' '.join(f'{name:>10}' for name in head))
    for what, done in rows:
        count = len(done.taken)
        times = (
            [done.taken[count // 2], done.taken[count * 99 // 100], done.taken[-1]] if count else []
        )
        cells = [what, f'{count / done.seconds:,.0f}', *(f'{1e3 * each:.2f}' for each in times)]
        cells += ['-'] * (5 - len(cells)) + [f'{done.failures.total():,}']
        print(' '.join(f'{cell:>10}' for cell in cells))
        for text, number in done.failures.most_common(3):
            print(plain(f'  {number} times {text}'))
