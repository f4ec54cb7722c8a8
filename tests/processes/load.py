"""Clients that read and write keys while things happen, and the history of what they saw."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from typing import Any, Optional

from yarl import URL

from consensual.cli.asking import UNKNOWN, AskingError, Members
from consensual.testing import History
from consensual.testing.linearizability import check
from consensual.testing.models import KeyValue
from consensual.testing.operation import NotDone, Outcome, Unknown

CLIENTS, KEYS = 4, 6
TIMEOUT = 1.0
PAUSE = 0.02
"""Seconds that a client waits after an operation, longer after one that failed."""


class Load:
    """Clients, each asking one member after another, first its own.

    failed: the operations of which nothing was done; unknown: those that may be done.
    """

    def __init__(self, members: Members, *, seed: int) -> None:
        self.history = History(asyncio.get_running_loop().time, outcome_of=outcome_of)
        self.done = 0
        self.failed: list[str] = []
        self.unknown: list[str] = []
        self._members = members
        self._seed = seed
        self._values = count(1)
        self._changed = asyncio.Condition()
        self._is_over = False

    def __repr__(self) -> str:
        return f'Load({self.done} done, {len(self.failed)} failed, {len(self.unknown)} unknown)'

    async def more(self, operations: int) -> None:
        """Wait until so many more have succeeded."""
        wanted = self.done + operations
        async with self._changed:
            await self._changed.wait_for(lambda: self.done >= wanted)

    def check(self) -> None:
        """See that what the clients saw is what one store, not replicated, could have shown."""
        result = check(self.history, KeyValue())
        assert result.is_linearizable, result

    def end(self) -> None:
        """Have each client end after the operation that it is at."""
        self._is_over = True

    async def run(self, number: int) -> None:
        """Be a client."""
        random = Random(f'{self._seed} {number}')
        urls = list(self._members.urls)
        urls = urls[number % len(urls) :] + urls[: number % len(urls)]
        while not self._is_over:
            request = self._request(random)
            try:
                await self.history.record(number, request, self._ask(urls, request))
            except AskingError as error:
                (self.unknown if error.status == UNKNOWN else self.failed).append(str(error))
                await asyncio.sleep(PAUSE)
            else:
                self.done += 1
                async with self._changed:
                    self._changed.notify_all()
            await asyncio.sleep(PAUSE)

    def _request(self, random: Random) -> tuple[Any, ...]:
        key = f'key {random.randrange(KEYS)}'
        match random.choice(('get', 'get', 'put', 'put', 'cas', 'delete')):
            case 'get':
                return 'get', key
            case 'put':
                return 'put', key, next(self._values)
            case 'cas':
                return 'cas', key, random.randrange(1, 1 + next(self._values)), next(self._values)
            case _:
                return 'delete', key

    async def _ask(self, urls: Sequence[URL], request: tuple[Any, ...]) -> Any:
        """Ask the first member that does not say that nothing was done. Raises `AskingError`."""
        error: Optional[AskingError] = None
        for url in urls:
            try:
                return await self._ask_one(url, request)
            except AskingError as refusal:
                error = refusal
                if error.status == UNKNOWN:
                    break
        assert error is not None
        raise error

    async def _ask_one(self, url: URL, request: tuple[Any, ...]) -> Any:
        async def ask(name: str, **parameters: Any) -> Any:
            return await self._members.ask_one(url, 'POST', f'/{name}', parameters, timeout=TIMEOUT)

        match request:
            case ('get', key):
                found = await ask('get', key=key)
                return None if found is None else found['value']
            case ('put', key, value):
                await ask('put', key=key, value=value)
                return None
            case ('cas', key, expected, value):
                return (await ask('cas', key=key, expected=expected, value=value))['succeeded']
            case (_, key):
                return (await ask('delete', key=key))['deleted']


def outcome_of(error: BaseException) -> Outcome:
    """Tell what the last refusal says of an operation."""
    if isinstance(error, AskingError) and error.status != UNKNOWN:
        return NotDone(str(error))
    return Unknown(str(error) or type(error).__name__)


@asynccontextmanager
async def load_on(
    members: Members, *, clients: int = CLIENTS, seed: int = 1
) -> AsyncIterator[Load]:
    """Yield a load that goes on until the end of the block; its history is checked there."""
    load = Load(members, seed=seed)
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(load.run(number))
        try:
            yield load
        finally:
            load.end()
    load.check()
