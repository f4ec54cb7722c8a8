"""Load on the nodes from another process, by `Client` and by REST: URL …, the leader's first."""

import asyncio
import sys

import aiohttp
import load
import told

from consensual.http import Client

PATIENCE = 30.0


class Outsider:
    def __init__(self, client: Client, session: aiohttp.ClientSession, url: str) -> None:
        self.client, self.session, self.url = client, session, url

    async def write(self, callers: int, seconds: float) -> dict:
        async def put(index: int) -> None:
            await self.client.execute('put', load.pair(index), timeout=PATIENCE)

        return await load.callers(callers, seconds, put)

    async def read(self, callers: int, seconds: float) -> dict:
        async def get(index: int) -> None:
            await self.client.query('get', {'key': load.key(index)}, timeout=PATIENCE)

        return await load.callers(callers, seconds, get)

    async def rest(self, callers: int, seconds: float) -> dict:
        async def put(index: int) -> None:
            async with self.session.post(f'{self.url}/put', json=load.pair(index)) as answer:
                await answer.read()
                answer.raise_for_status()

        return await load.callers(callers, seconds, put)


async def main(urls: list[str]) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with Client(urls) as client, aiohttp.ClientSession(connector=connector) as session:
        await told.obey(Outsider(client, session, urls[0].rstrip('/')))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1:]))
