"""Load on etcd by gRPC and by its JSON gateway: PORT …, the leader's first.

Its requests have fields of less than 128 bytes, which are encoded here.
"""

import asyncio
import base64
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
import load
import told

CHANNELS = 8
OPTIONS = [('grpc.use_local_subchannel_pool', 1), ('grpc.enable_http_proxy', 0)]
Call = Callable[..., Awaitable[bytes]]


def field(number: int, text: str) -> bytes:
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def put_request(index: int) -> bytes:
    return field(1, load.key(index)) + field(2, load.VALUE)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def calls(port: str, method: str, number: int) -> list[Call]:
    channels = (grpc.aio.insecure_channel(f'127.0.0.1:{port}', OPTIONS) for _ in range(number))
    return [channel.unary_unary(f'/etcdserverpb.KV/{method}') for channel in channels]


class Outsider:
    def __init__(self, ports: list[str], session: aiohttp.ClientSession) -> None:
        self.puts = calls(ports[0], 'Put', CHANNELS)
        self.ranges = calls(ports[0], 'Range', CHANNELS)
        self.others = [calls(port, 'Put', 1)[0] for port in ports[1:]]
        self.url = f'http://127.0.0.1:{ports[0]}/v3/kv/put'
        self.session = session

    async def write(self, callers: int, seconds: float) -> dict:
        async def put(index: int) -> None:
            await self.puts[index % callers % CHANNELS](put_request(index))

        return await load.callers(callers, seconds, put)

    async def read(self, callers: int, seconds: float) -> dict:
        async def get(index: int) -> None:
            await self.ranges[index % callers % CHANNELS](field(1, load.key(index)))

        return await load.callers(callers, seconds, get)

    async def rest(self, callers: int, seconds: float) -> dict:
        value = base64_of(load.VALUE)

        async def put(index: int) -> None:
            body = {'key': base64_of(load.key(index)), 'value': value}
            async with self.session.post(self.url, json=body) as answer:
                await answer.read()
                answer.raise_for_status()

        return await load.callers(callers, seconds, put)

    async def probe(self) -> float:
        """Try at the others, again and again; return when a write is acknowledged."""
        acknowledged: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def put(call: Call) -> None:
            try:
                await call(put_request(0), timeout=30)
            except grpc.RpcError:
                return
            if not acknowledged.done():
                acknowledged.set_result(time.monotonic())

        trying: set[asyncio.Task[None]] = set()
        while not acknowledged.done():
            trying |= {asyncio.create_task(put(call)) for call in self.others}
            await asyncio.wait([acknowledged], timeout=0.005)
        for task in trying:
            task.cancel()
        await asyncio.wait(trying)
        return acknowledged.result()


async def main(ports: list[str]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await told.obey(Outsider(ports, session))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1:]))
