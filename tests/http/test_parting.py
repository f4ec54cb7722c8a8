"""Whoever takes nothing, or says nothing, keeps nobody from ending."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web

from consensual.http import Receiver, Sender, parting, receiver
from consensual.http.frames import Outbox
from consensual.http.sender import NODE_HEADER, PATH
from consensual.raft import MessageKind, ReceiverUnavailable
from consensual.testing.conformance.links import StandIn
from consensual.testing.ports import free_url

pytestmark = pytest.mark.asyncio
KIND = MessageKind.APPEND_ENTRIES
LARGE = {'text': 'x' * 1_000_000}
COUNT = 60


def request(number: int) -> bytes:
    outbox = Outbox()
    outbox.put(number, KIND, msgspec.msgpack.encode({}))
    return outbox.frame()


async def many_turns() -> None:
    """Let so much be sent that the other end's buffers are full."""
    for _ in range(3000):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, 'PATIENCE', 0.05)


async def test_receiver_stops_although_a_peer_reads_nothing() -> None:
    """Replies of megabytes wait to be sent to it; it is cut off."""
    asked = asyncio.Event()

    async def answer(_: Any) -> Any:
        if len(stand_in.arrived) == COUNT:
            asked.set()
        await asked.wait()  # with replies under way, the rest might not be read any more
        return LARGE

    stand_in = StandIn(free_url(), answer)
    serving = Receiver(stand_in)
    await serving.start()
    headers = {NODE_HEADER: str(free_url())}
    async with asyncio.timeout(10), ClientSession() as session:
        socket = await session.ws_connect(stand_in.url / PATH, headers=headers)
        for number in range(COUNT):
            await socket.send_bytes(request(number))
        await asked.wait()
        await many_turns()
        await serving.stop()
        await socket.close()
    assert not serving.is_running


async def test_sender_closes_although_a_node_reads_nothing() -> None:
    opened, silence = asyncio.Event(), asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        opened.set()
        await silence.wait()
        return socket

    app, url = web.Application(), free_url()
    app.router.add_get(f'/{PATH}', serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', url.port).start()
    sender = Sender(free_url())
    sender.urls = [url]
    async with asyncio.timeout(10):
        calls = [
            asyncio.create_task(sender.send(kind=KIND, message=LARGE, url=url)) for _ in range(20)
        ]
        await opened.wait()
        await many_turns()
        await sender.close()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {ReceiverUnavailable}
        silence.set()
        await runner.cleanup()


async def test_calls_of_a_link_that_is_closed_before_it_began_fail() -> None:
    url, sender = free_url(), Sender(free_url())
    sender.urls = [url]
    async with asyncio.timeout(10):
        call = asyncio.create_task(sender.send(kind=KIND, message={}, url=url))
        await asyncio.sleep(0)
        await sender.close()
        with pytest.raises(ReceiverUnavailable):
            await call


@pytest.mark.parametrize('beginning', [b'', b'GET /raft HT', b'GET /raft HTTP/1.1\r\nHost: x\r\n'])
async def test_connection_that_never_makes_a_request_is_closed(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, 'REQUEST_TIMEOUT', 0.05)
    url = free_url()
    async with asyncio.timeout(10), Receiver(StandIn(url, None)):  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection('127.0.0.1', url.port)
        writer.write(beginning)
        await reader.read()
        writer.close()
