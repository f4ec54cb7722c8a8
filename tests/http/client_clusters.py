"""Clusters in memory whose nodes clients reach over loopback sockets, each by its own port.

A port can be closed and opened again, and its connections cut, apart from the node.
"""

import asyncio
from typing import Any, Optional, Self

from aiohttp import web
from yarl import URL

from consensual.http.clients import Clients
from consensual.raft import Node, Write, communication
from consensual.raft.errors import StorageFull
from consensual.storage import MemoryStorage
from consensual.testing.ports import free_url
from tests.clusters import Ledger, Network
from tests.http.serving import Open

HEARTBEAT = 0.05


class FillingStorage(MemoryStorage):
    """Keeps what is written until there is no room."""

    is_full = False

    def write(self, write: Write) -> None:
        if self.is_full:
            raise StorageFull('no room')
        super().write(write)


class Served:
    """A node, and the port where clients find it."""

    def __init__(self, network: Network, access: Any, **options: Any) -> None:
        self.url = free_url()
        self.ledger = Ledger()
        self.access = access
        self.storage = FillingStorage()
        self.node = Node.from_url(
            self.url,
            sender=network.sender(self.url.authority),
            storage=self.storage,
            **{'heartbeat': HEARTBEAT, 'state_machine': self.ledger, **options},
        )
        self.receiver = communication.Receiver(self.node, network.nodes)
        self.receiver.start()
        self.runner: Optional[web.AppRunner] = None

    async def open(self) -> None:
        """Let clients in."""
        app = web.Application()
        Clients(self.node, self.access).install(app)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, '127.0.0.1', self.url.port, reuse_address=True).start()

    async def close(self) -> None:
        """Cut all clients off, and let none in."""
        runner, self.runner = self.runner, None
        if runner is not None:
            await runner.cleanup()


class ServedCluster:
    """Some nodes, one cluster; on leaving, nothing may be left of it."""

    def __init__(self, size: int = 3, *, access: Any = None, **options: Any) -> None:
        self.network = Network()
        self.served = [Served(self.network, access or Open(), **options) for _ in range(size)]

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.all_tasks()
        first, *others = self.served
        assert await first.node.solo() is None
        if others:
            assert await first.node.attach_nodes([one.url for one in others]) is None
        for one in self.served:
            await one.open()
        return self

    async def __aexit__(self, _: object, error: Optional[BaseException], __: object) -> None:
        self.network.heal()
        for one in self.served:
            await one.close()
        await asyncio.gather(*(one.node.stop() for one in self.served))
        if error is None:
            assert not asyncio.all_tasks() - self._tasks, 'a task is left'

    @property
    def seeds(self) -> list[URL]:
        return [one.url for one in self.served]

    @property
    def leader(self) -> Served:
        """The leader of the highest term."""
        leaders = [one for one in self.served if one.node.status.role == 'leader']
        return max(leaders, key=lambda one: one.node.status.term)

    @property
    def followers(self) -> list[Served]:
        return [one for one in self.served if one.node.status.role == 'follower']

    async def until(self, condition: Any, seconds: float = 20.0) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - a test looks at nodes from outside
                await asyncio.sleep(HEARTBEAT / 5)

    async def until_equal(self) -> None:
        """Wait until all nodes have applied the same log."""

        def places() -> set[tuple[int, int]]:
            statuses = [one.node.status for one in self.served]
            return {(status.last_index, status.applied_index) for status in statuses}

        await self.until(lambda: len({n for place in places() for n in place}) == 1)
