"""A slow line to a node: a relay that holds back each piece of what it carries for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

from yarl import URL


class Relay:
    """Takes connections at a URL and carries them on to a port, each way late by some seconds."""

    def __init__(self, url: URL, port: int, delays: tuple[float, float], random: Random) -> None:
        self.url = url
        self.port = port
        self.delays = delays
        self.random = random
        self.carrying: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f'Relay({self.url} to {self.port})'

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            others = await asyncio.open_connection('127.0.0.1', self.port)
            for source, sink in ((reader, others[1]), (others[0], writer)):
                task = asyncio.create_task(self.carry(source, sink))
                self.carrying.add(task)
                task.add_done_callback(self.carrying.discard)
            return
        writer.close()

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry one way, in order, until it ends."""
        loop = asyncio.get_running_loop()
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> None:
            with suppress(OSError):
                while data := await source.read(1 << 16):
                    line.put_nowait((loop.time() + self.random.uniform(*self.delays), data))
            line.put_nowait((loop.time(), b''))

        taking = asyncio.create_task(take())
        try:
            with suppress(OSError):
                while True:
                    due, data = await line.get()
                    await asyncio.sleep(due - loop.time())
                    if not data:
                        break
                    sink.write(data)
                    await sink.drain()
        finally:
            taking.cancel()
            sink.close()


@asynccontextmanager
async def relayed(relays: list[Relay]) -> AsyncIterator[None]:
    """Have them carry what comes."""
    servers = [
        await asyncio.start_server(relay.serve, '127.0.0.1', relay.url.port) for relay in relays
    ]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for relay in relays:
            for task in relay.carrying:
                task.cancel()
            await asyncio.gather(*relay.carrying, return_exceptions=True)
