"""A durable node over HTTP, and load in its process: URL FILE."""

import asyncio
import sys
import time

import load
import told
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.machines import KeyValueStore
from consensual.raft import ConsensualError, Node
from consensual.storage import SQLiteStorage

PATIENCE = 30.0


class Member:
    def __init__(self, node: Node) -> None:
        self.node = node

    async def found(self, urls: list[str]) -> list[str | None]:
        others = [URL(url) for url in urls]
        return [await self.node.solo(), await self.node.attach_nodes(others)]

    async def leads(self) -> bool:
        return self.node.status.role == 'leader'

    async def write(self, callers: int, seconds: float) -> dict:
        async def put(index: int) -> None:
            await self.node.execute('put', load.pair(index), timeout=PATIENCE)

        return await load.callers(callers, seconds, put)

    async def read(self, callers: int, seconds: float) -> dict:
        async def get(index: int) -> None:
            await self.node.query('get', {'key': load.key(index)}, timeout=PATIENCE)

        return await load.callers(callers, seconds, get)

    async def probe(self) -> float:
        """Return when a write is acknowledged, by the clock that all processes share."""
        while True:
            try:
                await self.node.execute('put', load.pair(0), timeout=PATIENCE)
            except ConsensualError:
                await asyncio.sleep(0.005)
            else:
                return time.monotonic()


async def main(url: URL, path: str) -> None:
    node = Node.from_url(
        url, sender=Sender(url), storage=SQLiteStorage(path), state_machine=KeyValueStore()
    )
    async with Receiver(node), node:
        await told.obey(Member(node))


if __name__ == '__main__':
    asyncio.run(main(URL(sys.argv[1]), sys.argv[2]))
