"""The end of serving: what was begun is answered, what comes later is sent to another node."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from consensual.http.draining import Requests
from tests.http.serving import answer_of

pytestmark = pytest.mark.asyncio


async def test_draining_waits_for_what_was_begun_and_refuses_what_comes() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.json_response({'error': None, 'result': 'done'})

    async def ready(_: web.Request) -> web.Response:
        return web.json_response({'error': None, 'result': 'ready'})

    app, requests = web.Application(), Requests()
    requests.install(app)
    app.add_routes([web.post('/work', work), web.get('/ready', ready), web.get('/status', ready)])
    async with TestClient(TestServer(app)) as client:
        first = asyncio.create_task(client.post('/work'))
        await begun.wait()
        draining = asyncio.create_task(requests.drain(30))
        while (await client.get('/ready')).status == 200:
            pass
        refused = await client.post('/work')
        assert (await answer_of(refused)).status == 503
        assert refused.headers['Connection'] == 'close'
        assert (await client.get('/status')).status == 200
        assert not draining.done()
        go_on.set()
        assert (await answer_of(await first)).result == 'done'
        await draining


async def test_draining_waits_no_longer_than_told() -> None:
    begun = asyncio.Event()

    async def work(_: web.Request) -> web.Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    app, requests = web.Application(), Requests()
    requests.install(app)
    app.add_routes([web.post('/work', work)])
    async with TestClient(TestServer(app)) as client:
        request = asyncio.create_task(client.post('/work'))
        await begun.wait()
        await requests.drain(0.01)
        assert not request.done()
        request.cancel()
