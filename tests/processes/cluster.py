"""Processes that serve the nodes of a cluster on loopback, and signals for them.

Every process is ended by its own id, however a test ends.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Optional, Self

from yarl import URL

from consensual.cli.asking import AskingError, Members
from consensual.testing.ports import free_url

HEARTBEAT = 0.1
PAUSE = 0.02
"""Seconds between two looks at what cannot tell by itself."""


class Process:
    """One node: its URL, its data, and the process that serves it, while one does.

    within: the command that its command is an argument of, to run it somewhere else.
    environment: variables that it is given beside those of the tests.
    flags: that it is given at every start.
    """

    def __init__(
        self,
        url: URL,
        folder: Path,
        *,
        within: Sequence[str] = (),
        environment: Optional[Mapping[str, str]] = None,
        flags: Sequence[object] = (),
    ) -> None:
        self.url = url
        self.folder = folder
        self.within = within
        self.environment = environment or {}
        self.flags = flags
        self.log: list[str] = []
        self._process: Optional[asyncio.subprocess.Process] = None
        self._reading: Optional[asyncio.Task[None]] = None

    def __repr__(self) -> str:
        return f'Process({self.url})'

    async def start(self, *flags: object) -> Self:
        """Start it, and return when it listens."""
        serving = asyncio.Event()
        arguments = [
            *(*self.within, sys.executable, '-m', 'consensual', 'serve'),
            *('--url', self.url, '--data-dir', self.folder, '--heartbeat', HEARTBEAT),
            *(*self.flags, *flags),
        ]
        self._process = await asyncio.create_subprocess_exec(
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        self._reading = asyncio.create_task(self._read(self._process, serving))
        await serving.wait()
        return self

    async def _read(self, process: asyncio.subprocess.Process, serving: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode())
            if 'serving' in self.log[-1]:
                serving.set()
        serving.set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process; return its exit status."""
        assert self._process is not None
        assert self._reading is not None
        status = await self._process.wait()
        await self._reading
        self._process = None
        return status

    async def kill(self) -> None:
        """End it as a power cut does."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def terminate(self) -> int:
        """End it in order; return its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def clear_away(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self.ended()

    def wipe(self) -> None:
        """Lose the data."""
        shutil.rmtree(self.folder)


class Cluster:
    """Members, and who asks them."""

    def __init__(self, processes: Sequence[Process], members: Members) -> None:
        self.processes = list(processes)
        self.members = members

    def __repr__(self) -> str:
        return f'Cluster({self.processes})'

    async def status(self, process: Process) -> dict[str, Any]:
        """Return what a node says of itself. Raises `AskingError`."""
        status: dict[str, Any] = await self.members.ask_one(process.url, 'GET', '/status')
        return status

    async def leader(self, among: Optional[Sequence[Process]] = None) -> Process:
        """Return the one that leads, once one does that a majority of those asked follows."""
        asked = self.processes if among is None else among
        found: list[Process] = []

        async def is_found() -> bool:
            said = await asyncio.gather(*map(self._leader_of, asked))
            names = [name for name in said if name is not None]
            found[:] = [p for p in asked if 2 * names.count(p.url) > len(asked)]
            return bool(found)

        await eventually(is_found)
        return found[0]

    async def _leader_of(self, process: Process) -> Optional[URL]:
        try:
            leader = (await self.status(process))['leader']
        except AskingError:
            return None
        return None if leader is None else URL(leader)

    async def is_ready(self, process: Process) -> bool:
        """Tell whether a node would have itself be given requests."""
        try:
            await self.members.ask_one(process.url, 'GET', '/ready')
        except AskingError:
            return False
        return True

    async def is_whole(self) -> bool:
        """Tell whether all vote, in a stable configuration, and have applied the same."""
        try:
            said = [await self.status(process) for process in self.processes]
        except AskingError:
            return False
        urls = {process.url for process in self.processes}
        return all(
            status['stable']
            and {*map(URL, status['voters'])} == urls
            and not status['learners']
            and status['leader'] is not None
            and status['applied_index'] == said[0]['last_index']
            for status in said
        )


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what only asking tells; the test's own limit ends the waiting."""
    while not await condition():  # noqa: ASYNC110 - the event is in another process
        await asyncio.sleep(PAUSE)


def urls(size: int) -> list[URL]:
    """Return addresses on loopback at which nobody listens."""
    return [free_url() for _ in range(size)]


def cluster_of(size: int, folder: Path) -> AbstractAsyncContextManager[Cluster]:
    """Yield a cluster on loopback."""
    return founded(
        [Process(url, folder / f'{number}') for number, url in enumerate(urls(size), start=1)]
    )


@asynccontextmanager
async def founded(processes: Sequence[Process]) -> AsyncIterator[Cluster]:
    """Yield a cluster of these; the first one founded it, the others joined."""
    first, *others = processes
    async with Members([process.url for process in processes]) as members:
        cluster = Cluster(processes, members)
        try:
            await asyncio.gather(
                first.start('--solo'), *(other.start('--join', first.url) for other in others)
            )
            await eventually(cluster.is_whole)
            yield cluster
        except BaseException:
            for process in processes:
                print(process, *process.log[-30:], sep='\n  ')  # noqa: T201 - shown when it fails
            raise
        finally:
            await asyncio.gather(*(process.clear_away() for process in processes))
