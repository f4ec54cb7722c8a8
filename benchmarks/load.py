"""The work that is measured, the same for every library: see `run`.

Imports nothing of any library, so that each interpreter can use it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

clock = time.perf_counter

VALUE = 'v' * 100
KEYS = 1_000
"""What is put in where a store is measured, and under how many keys."""


def key(index: int) -> str:
    """Return the key of an operation."""
    return f'key{index % KEYS}'


def pair(index: int) -> dict[str, str]:
    """Return the parameters of a put."""
    return {'key': key(index), 'value': VALUE}


async def run(mode: str, number: int, submit: Callable[[int], Awaitable[None]]) -> dict:
    """Submit `number` commands; each counts until it is applied where it was submitted.

    sequential: one caller, one command after another.
    closed64: 64 such callers at once.
    burst: all commands at once.
    """
    latencies: list[float] = []

    async def one(index: int) -> None:
        begin = clock()
        await submit(index)
        latencies.append(clock() - begin)

    async def caller(first: int, step: int) -> None:
        for index in range(first, number, step):
            await one(index)

    begin = clock()
    if mode == 'burst':
        await asyncio.gather(*map(one, range(number)))
    else:
        callers = 1 if mode == 'sequential' else 64
        await asyncio.gather(*(caller(first, callers) for first in range(callers)))
    elapsed = clock() - begin
    latencies.sort()
    return {
        'mode': mode,
        'number': number,
        'per_second': number / elapsed,
        'p50_us': 1e6 * latencies[number // 2],
        'p99_us': 1e6 * latencies[number * 99 // 100],
        'max_us': 1e6 * latencies[-1],
    }


def report(figures: dict) -> None:
    """Print the figures for the process that started this one."""
    print(json.dumps(figures), flush=True)


async def callers(number: int, seconds: float, submit: Callable[[int], Awaitable[None]]) -> dict:
    """Have so many callers submit for so long, each its next when the last is answered.

    submit: is given the number of the operation.
    """
    latencies: list[float] = []
    end = clock() + seconds

    async def caller(first: int) -> None:
        index = first
        while (begin := clock()) < end:
            await submit(index)
            latencies.append(clock() - begin)
            index += number

    begin = clock()
    await asyncio.gather(*map(caller, range(number)))
    return summary(latencies, clock() - begin)


def summary(latencies: list[float], elapsed: float) -> dict:
    """Return what is reported of operations that took so long each, in seconds."""
    latencies.sort()
    return {
        'per_second': len(latencies) / elapsed,
        'p50_ms': 1e3 * latencies[len(latencies) // 2],
        'p99_ms': 1e3 * latencies[len(latencies) * 99 // 100],
    }
