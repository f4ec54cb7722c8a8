"""GET /events: status changes as they happen, and streams that end."""

import asyncio
import json
import socket
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestServer

from consensual.http import events
from consensual.http.events import Streams
from consensual.http.rest import Rest
from tests.clusters import Cluster
from tests.http.serving import Open, ask, served

pytestmark = pytest.mark.asyncio


async def next_event(response: ClientResponse) -> Any:
    """Return the next status that comes; comments are passed by."""
    while True:
        lines = (await response.content.readuntil(b'\n\n')).decode().splitlines()
        if lines[0].startswith(':'):
            continue
        assert lines[0] == 'event: status'
        return json.loads(lines[1].removeprefix('data: '))


def small_socket(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Return a socket whose buffers hold next to nothing."""
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.bind((host, port))
    return made


async def test_status_comes_at_once_and_after_each_change() -> None:
    """As server-sent events, which no proxy is to keep."""
    async with (
        Cluster('ab', idle='c') as cluster,
        served(cluster['b']) as client,
        client.get('/events') as response,
    ):
        assert response.content_type == 'text/event-stream'
        assert response.headers['Cache-Control'] == 'no-store'
        assert (await next_event(response))['leader'] == 'memory://a/'
        await cluster['a'].attach_nodes([cluster['c'].url])
        while 'memory://c/' not in (await next_event(response))['voters']:
            pass
        await cluster['a'].transfer_leadership(cluster['b'].url)
        while (await next_event(response))['role'] != 'leader':
            pass


async def test_silence_is_broken_by_comments() -> None:
    """So that nobody takes the stream for dead."""
    async with Cluster('a') as cluster:
        streams = Streams(cluster['a'], heartbeat=0.02)
        async with (
            served(cluster['a'], streams=streams) as client,
            client.get('/events') as response,
        ):
            await next_event(response)
            for _ in range(3):
                assert await response.content.readuntil(b'\n\n') == b': nothing new\n\n'


async def test_streams_end_when_the_node_stops() -> None:
    """There is nothing more to tell."""
    async with (
        Cluster('a') as cluster,
        served(cluster['a']) as client,
        client.get('/events') as response,
    ):
        await next_event(response)
        await cluster['a'].stop()
        await response.content.read()
        assert response.content.at_eof()


async def test_streams_end_when_the_server_is_shut_down() -> None:
    """And do not hold it up."""
    async with Cluster('a') as cluster:
        before = asyncio.all_tasks()
        app = web.Application()
        Rest(cluster['a'], Open()).install(app)
        server = TestServer(app)
        await server.start_server()
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b'GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
        await reader.readuntil(b'event: status')
        async with asyncio.timeout(5):
            await server.close()
            assert (await reader.read()).endswith(b'0\r\n\r\n')
        writer.close()
        await writer.wait_closed()
        assert asyncio.all_tasks() == before


async def test_listener_that_goes_away_leaves_nothing_behind() -> None:
    """It is noticed by the next comment at the latest."""
    async with Cluster('a') as cluster:
        streams = Streams(cluster['a'], heartbeat=0.02)
        async with served(cluster['a'], streams=streams) as client:
            async with client.get('/events') as response:
                await next_event(response)
                assert repr(streams) == 'Streams(1 open)'
            await cluster.until(lambda: repr(streams) == 'Streams(0 open)')


async def test_listener_that_reads_nothing_is_cut_off() -> None:
    """What is kept for it is bounded, in bytes and in time."""
    async with Cluster('a') as cluster:
        streams = Streams(cluster['a'], heartbeat=0, patience=0.1)
        app = web.Application()
        Rest(cluster['a'], Open(), streams=streams).install(app)
        async with TestServer(app, socket_factory=small_socket) as server:
            with small_socket('127.0.0.1', 0, socket.AF_INET) as listener:
                listener.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(listener, (server.host, server.port))
                await loop.sock_sendall(listener, b'GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
                await cluster.until(lambda: repr(streams) == 'Streams(1 open)')
                await cluster.until(lambda: repr(streams) == 'Streams(0 open)')


async def test_streams_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused until another one is closed."""
    monkeypatch.setattr(events, 'STREAM_LIMIT', 1)
    async with (
        Cluster('a') as cluster,
        served(cluster['a']) as client,
        client.get('/events') as response,
    ):
        await next_event(response)
        refused = await ask(client, 'GET', '/events')
        assert refused.status == 503
        assert 'streams of events are open' in str(refused.error)
