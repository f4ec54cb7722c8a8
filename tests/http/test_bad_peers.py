"""Peers that are slow, silent, too fast or of another cluster: others go on, nothing changes."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.http.frames import MESSAGE_LIMIT, WAITING_LIMIT, Outbox
from consensual.http.peers import CALL_LIMIT
from consensual.http.pump import Pump
from consensual.raft import MessageKind, Node, ReceiverUnavailable
from consensual.testing.conformance.links import StandIn, echo
from consensual.testing.ports import free_url
from tests.http.fuzz import KEPT, fuzz, unchanging

pytestmark = pytest.mark.asyncio
KIND = MessageKind.APPEND_ENTRIES
MIB = 1 << 20
BEGINNINGS = (
    b'',
    b'\x16\x03\x01',
    b'GET /raft HT',
    b'GET /raft HTTP/1.1\r\nHost: x\r\nAuthorization: Bear',
    b'\x00' * 1000,
)


@asynccontextmanager
async def linked(answer: Any = echo) -> AsyncIterator[tuple[Sender, StandIn]]:
    """Serve a stand-in for a node, and give a sender to it."""
    stand_in = StandIn(free_url(), answer)
    sender = Sender(free_url())
    sender.urls = [stand_in.url]
    async with Receiver(stand_in):
        try:
            yield sender, stand_in
        finally:
            await sender.close()


async def send(sender: Sender, stand_in: StandIn, message: Any) -> Any:
    return await sender.send(kind=KIND, message=message, url=stand_in.url)


async def test_half_open_connections_hold_nobody_up() -> None:
    """Those that begin to say something and stop; the receiver can be stopped, too."""
    async with linked() as (sender, stand_in):
        assert stand_in.url.port is not None
        writers = []
        for beginning in BEGINNINGS * 10:
            _, writer = await asyncio.open_connection('127.0.0.1', stand_in.url.port)
            writer.write(beginning)
            writers.append(writer)
        assert await send(sender, stand_in, {'a': 1}) == {'a': 1}
        assert len(stand_in.arrived) == 1
    for writer in writers:
        writer.close()


async def test_random_bytes_leave_a_node_as_it_is() -> None:
    """The decoders' fuzzer, in small; `python -m tests.http.fuzz` takes millions."""
    tracemalloc.start()
    try:
        target = await fuzz(2000, seed=3)
        assert tracemalloc.get_traced_memory()[1] < KEPT
    finally:
        tracemalloc.stop()
    assert target.taken
    assert target.refused


async def test_many_large_messages_at_once_come_through() -> None:
    """More than may be unfinished: they come one after another."""
    async with linked() as (sender, stand_in):
        messages = [{'number': number, 'text': 'x' * MIB} for number in range(15)]
        replies = await asyncio.gather(*(send(sender, stand_in, one) for one in messages))
        assert replies == messages


async def test_small_message_does_not_wait_for_large_ones() -> None:
    """A heartbeat overtakes pieces of a snapshot that were sent before it."""
    async with linked() as (sender, stand_in):
        await send(sender, stand_in, {})
        large = [asyncio.create_task(send(sender, stand_in, {'text': 'x' * MIB})) for _ in range(5)]
        await asyncio.sleep(0)
        await send(sender, stand_in, {'small': True})
        assert {'small': True} in [message for _, message in stand_in.arrived[:4]]
        await asyncio.gather(*large)


async def test_what_waits_for_a_slow_peer_is_bounded() -> None:
    """The rest is refused at once, and what is given up is taken back."""
    silence = asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await silence.wait()
        return socket

    app, url = web.Application(), free_url()
    app.router.add_get('/raft', serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', url.port).start()
    sender, refused = Sender(free_url()), 0
    sender.urls = [url]
    calls = [
        asyncio.create_task(sender.send(kind=KIND, message={'text': 'x' * MIB}, url=url))
        for _ in range(2 * WAITING_LIMIT // MIB)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for call in calls:
        if call.done():
            with pytest.raises(ReceiverUnavailable, match='does not keep up'):
                call.result()
            refused += 1
    assert WAITING_LIMIT // MIB - 2 < refused < WAITING_LIMIT // MIB + 2
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    late = asyncio.create_task(sender.send(kind=KIND, message={}, url=url))
    await asyncio.sleep(0)
    assert not late.done()
    silence.set()
    with pytest.raises(ReceiverUnavailable):
        await late
    await sender.close()
    await runner.cleanup()


async def test_too_large_a_message_is_unavailable_and_costs_no_connection() -> None:
    async with linked() as (sender, stand_in):
        with pytest.raises(ReceiverUnavailable, match='bytes'):
            await send(sender, stand_in, {'text': 'x' * MESSAGE_LIMIT})
        stand_in.answer = lambda _: echo({'text': 'x' * MESSAGE_LIMIT})
        with pytest.raises(ReceiverUnavailable, match='too large'):
            await send(sender, stand_in, {})
        stand_in.answer = echo
        assert await send(sender, stand_in, {'a': 1}) == {'a': 1}


async def test_calls_under_way_are_bounded() -> None:
    """Those beyond are refused; when others end there is room again."""
    gate = asyncio.Event()

    async def answer(message: Any) -> Any:
        await gate.wait()
        return message

    async with linked(answer) as (sender, stand_in):
        calls = [
            asyncio.create_task(send(sender, stand_in, {'number': number}))
            for number in range(CALL_LIMIT + 5)
        ]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert done
        refused = [result for result in results if isinstance(result, ReceiverUnavailable)]
        assert len(refused) == 5
        assert await send(sender, stand_in, {'a': 1}) == {'a': 1}


async def test_pump_has_no_room_while_nobody_reads() -> None:
    """So a receiver stops reading from whoever does not read its replies."""
    pump, gate = Pump(), asyncio.Event()

    async def send(_: bytes) -> None:
        await gate.wait()

    running = asyncio.create_task(pump.run(send))
    for number in range(1 + WAITING_LIMIT // MIB):
        pump.put(number, 0, b'x' * MIB)
    room = asyncio.create_task(pump.room())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not room.done()
    gate.set()
    await room
    running.cancel()
    await asyncio.wait([running])


async def test_what_is_on_its_way_is_not_taken_back() -> None:
    """Half a message would be the end of the connection."""
    outbox = Outbox()
    for number in (1, 2):
        outbox.put(number, 1, b'x' * MIB)
    outbox.put(3, 1, b'x')
    outbox.frame()
    for number in (1, 2, 3):
        outbox.drop(number)
    assert len(outbox) == 1
    while outbox:
        outbox.frame()
    assert outbox.size == 0


async def test_node_of_another_cluster_changes_nothing() -> None:
    """Two nodes of one cluster are told to take a third, which leads another, for a peer."""
    nodes = [node_at(free_url()) for _ in range(2)]
    async with Receiver(nodes[0]), Receiver(nodes[1]), nodes[0], nodes[1]:
        for node in nodes:
            assert await node.solo() is None
        before = [unchanging(node) for node in nodes]
        text = await nodes[0].attach_nodes([nodes[1].url])
        assert text is not None
        assert nodes[1].status.role == 'leader'
        assert [unchanging(node)[:3] for node in nodes] == [one[:3] for one in before]
        assert unchanging(nodes[1]) == before[1]


def node_at(url: URL) -> Node:
    return Node.from_url(url, sender=Sender(url), processors={'keep': lambda value: value})


async def test_name_is_resolved_anew_by_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may come back at another address."""
    loop, asked = asyncio.get_running_loop(), []
    resolve = loop.getaddrinfo

    async def resolve_name(host: Any, port: Any, **options: Any) -> Any:
        asked.append(host)
        return await resolve('127.0.0.1', port, **options)

    monkeypatch.setattr(loop, 'getaddrinfo', resolve_name)
    stand_in = StandIn(free_url().with_host('node.example'), echo)
    sender = Sender(free_url())
    sender.urls = [stand_in.url]
    for _ in range(2):
        async with Receiver(stand_in, host='127.0.0.1'):
            assert await send(sender, stand_in, {'a': 1}) == {'a': 1}
            assert await send(sender, stand_in, {'a': 2}) == {'a': 2}
    assert asked.count('node.example') == 2
    await sender.close()


async def test_receiver_can_be_part_of_an_application() -> None:
    """Below a path of its own, which the node's URL has, too; it ends with the application."""
    url = free_url() / 'service' / 'node'
    node = node_at(url)
    receiver = Receiver(node)
    part, app = web.Application(), web.Application()
    receiver.install(part)
    app.add_subapp('/service/node', part)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', url.port).start()
    other = node_at(free_url())
    async with Receiver(other), node, other:
        assert await other.solo() is None
        assert await other.attach_nodes([url]) is None
        assert await node.execute('keep', 5) == 5
    await runner.cleanup()
