"""What a client does with a node that answers nonsense: it asks another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from consensual.http import Client
from consensual.http.calls import Answers, Done, encode
from consensual.testing.ports import free_url
from tests.http.client_clusters import ServedCluster
from tests.http.fuzz import fuzz_calls

FRAMES: list[Any] = [
    b'',
    b'\xc1',
    b'\x91' * 100_000,
    b'\xdd\xff\xff\xff\xff',
    b'\x93\xa1\xff\xa1x\x90',  # no UTF-8
    msgspec.msgpack.encode({'leader': ''}),
    msgspec.msgpack.encode(['', 'x', [[7, 1, 'null']]]),
    msgspec.msgpack.encode(['', 'x', [[0, 'one', 'null']]]),
    'text',
]


@asynccontextmanager
async def impostor(frame: Any) -> AsyncIterator[tuple[URL, list[bytes]]]:
    """Have somebody who greets as a node and answers each frame by this one; yield what came."""
    url, came = free_url(), []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(encode(Answers(str(url), 'cluster', [])))
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                came.append(message.data)
                await (socket.send_str if isinstance(frame, str) else socket.send_bytes)(frame)
        return socket

    app = web.Application()
    app.router.add_get('/client', serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', url.port).start()
    try:
        yield url, came
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize('number', range(len(FRAMES)))
async def test_node_that_answers_nonsense_is_left_for_another(number: int) -> None:
    async with impostor(FRAMES[number]) as (url, came), ServedCluster(1) as cluster:
        (sound,) = cluster.served
        await sound.close()
        async with asyncio.timeout(20), Client([url, sound.url], timeout=15.0) as client:
            asking = asyncio.create_task(client.query('entries'))
            await cluster.until(lambda: came)
            await sound.open()
            assert await asking == []


@pytest.mark.asyncio
async def test_answers_to_what_was_not_asked_are_dropped() -> None:
    frame = encode(Answers('', 'cluster', [Done(n, '"forged"') for n in range(100, 200)]))
    async with impostor(frame) as (url, came), Client([url], timeout=0.5) as client:
        with pytest.raises(Exception, match=r'0\.5 s'):
            await client.query('entries')
    assert came


def test_random_frames_of_clients_and_nodes_are_taken_or_refused() -> None:
    """The fuzzer in small; `python -m tests.http.fuzz --calls` takes millions."""
    target = fuzz_calls(20_000, seed=3)
    assert target.taken
    assert target.refused
