"""The end of serving: what was begun is answered, what comes later is sent to another node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, WSCloseCode, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from consensual.http import Client, Receiver, Sender
from consensual.http.calls import Done, Execute, OpenSession, Query, Status
from consensual.http.draining import Requests
from consensual.raft import Node
from consensual.testing.ports import free_url
from tests.http.serving import answer_of
from tests.http.wires import session_of, wire_to

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


class Slow:
    """A state machine whose one command takes until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.processors = {'work': self.work}
        self.queries = {'look': lambda _: 'seen'}

    async def work(self, _: Any) -> str:
        self.begun.set()
        await self.go_on.wait()
        return 'done'

    def reset(self) -> None:
        """There is no state."""


@asynccontextmanager
async def cluster_of_one(machine: Slow) -> AsyncIterator[tuple[Receiver, Node]]:
    """Yield a node that leads, and its receiver."""
    url = free_url()
    node = Node.from_url(url, sender=Sender(url), state_machine=machine)
    async with asyncio.timeout(20), Receiver(node) as receiver, node:
        assert await node.solo() is None
        try:
            yield receiver, node
        finally:
            machine.go_on.set()  # a node that stops waits for its processors


async def test_draining_waits_for_the_calls_of_clients_and_then_sends_them_away() -> None:
    """What they ask meanwhile is done elsewhere; who asks nothing is sent away at once."""
    machine = Slow()
    async with (
        cluster_of_one(machine) as (receiver, node),
        wire_to(node) as wire,
        wire_to(node) as idle,
    ):
        session = await session_of(wire)
        await wire.send(Execute(2, session, 0, 0, 'work', 'null', 20.0))
        await machine.begun.wait()
        draining = asyncio.create_task(receiver.drain(20))
        assert await idle.farewell() == WSCloseCode.GOING_AWAY
        refused = await wire.ask(
            Execute(3, session, 1, 0, 'work', 'null', 20.0),
            Query(4, 'look', 'null', True, 20.0),
            OpenSession(5, 20.0),
        )
        assert [answer.kind for answer in refused] == ['NodeStopped'] * 3
        (looked,) = await wire.ask(Status(6))
        assert isinstance(looked, Done)
        async with ClientSession() as session_of_another:
            with pytest.raises(WSServerHandshakeError) as caught:
                await session_of_another.ws_connect(node.url / 'client')
        assert caught.value.status == 503
        assert not draining.done()
        machine.go_on.set()
        assert await wire.answers(1) == [Done(2, '"done"')]
        assert await wire.farewell() == WSCloseCode.GOING_AWAY
        await draining


async def test_draining_waits_for_clients_no_longer_than_told() -> None:
    machine = Slow()
    async with cluster_of_one(machine) as (receiver, node), wire_to(node) as wire:
        session = await session_of(wire)
        await wire.send(Execute(2, session, 0, 0, 'work', 'null', 20.0))
        await machine.begun.wait()
        await receiver.drain(0.01)
        assert not wire.socket.closed


async def test_receiver_that_was_drained_serves_again_after_its_next_start() -> None:
    machine = Slow()
    machine.go_on.set()
    async with cluster_of_one(machine) as (receiver, node):
        await receiver.drain(20)
        await receiver.stop()
        await receiver.start()
        async with Client([node.url]) as client, ClientSession() as operator:
            assert await client.execute('work') == 'done'
            assert (await operator.post(node.url / 'work', json=None)).status == 200
