"""The peers' WebSockets: who gets in, what bad peers can do, and what a lost connection means."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web
from yarl import URL

from consensual.http import InsecureAddress, Receiver, Sender
from consensual.http.frames import FAILURE, FRAME_LIMIT, REPLY
from consensual.raft import MessageKind, Node, ReceiverUnavailable
from consensual.raft.errors import InvalidParameters
from consensual.testing.conformance.links import StandIn, echo
from consensual.testing.ports import free_url

pytestmark = pytest.mark.asyncio
KIND = MessageKind.APPEND_ENTRIES
WORD = 'sesame'
HELLO = {'Consensual-Node': 'http://localhost:1'}


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[StandIn]:
    """Serve a stand-in for a node."""
    stand_in = StandIn(free_url(options.pop('scheme', 'http')), echo)
    async with Receiver(stand_in, **options):
        yield stand_in


async def sent(url: URL, **options: Any) -> Any:
    """Send one message; return the reply."""
    sender = Sender(free_url(), **options)
    sender.urls = [url]
    try:
        return await sender.send(kind=KIND, message={'a': 1}, url=url)
    finally:
        await sender.close()


# who gets in


async def test_peer_with_the_token_gets_in() -> None:
    async with listening(peer_token=WORD) as stand_in:
        assert await sent(stand_in.url, token=WORD) == {'a': 1}


@pytest.mark.parametrize(('token', 'status'), [(None, '401'), ('open', '403'), ('Sesame', '403')])
async def test_peer_without_the_token_sends_nothing(token: str, status: str) -> None:
    """It is refused before any message of it is read."""
    async with listening(peer_token=WORD) as stand_in:
        with pytest.raises(ReceiverUnavailable, match=status) as error:
            await sent(stand_in.url, token=token)
        assert stand_in.arrived == []
        assert WORD not in str(error.value)


async def test_client_token_is_no_peer_token() -> None:
    async with listening(peer_token=WORD, client_token='other') as stand_in:  # noqa: S106
        with pytest.raises(ReceiverUnavailable, match='403'):
            await sent(stand_in.url, token='other')  # noqa: S106


async def test_page_in_a_browser_is_no_peer() -> None:
    async with listening() as stand_in, ClientSession() as session:
        with pytest.raises(WSServerHandshakeError, match='400'):
            await session.ws_connect(
                stand_in.url / 'raft', headers={**HELLO, 'Origin': 'http://evil'}
            )


def contexts(
    authority: trustme.CA, other: trustme.CA, **options: Any
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server and of a client, whose certificate is of the other authority."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    for context in (server, client):
        authority.configure_trust(context)
    authority.issue_cert('127.0.0.1').configure_cert(server)
    other.issue_cert('127.0.0.1', **options).configure_cert(client)
    server.verify_mode = ssl.CERT_REQUIRED
    return server, client


async def test_certificate_of_another_authority_is_refused() -> None:
    server, client = contexts(trustme.CA(), trustme.CA())
    async with listening(scheme='https', ssl=server) as stand_in:
        with pytest.raises(ReceiverUnavailable):
            await sent(stand_in.url, ssl=client)
        assert stand_in.arrived == []


async def test_expired_certificate_is_refused() -> None:
    authority = trustme.CA()
    then = datetime(2020, 1, 1, tzinfo=UTC)
    server, client = contexts(authority, authority, not_before=then, not_after=then)
    async with listening(scheme='https', ssl=server) as stand_in:
        with pytest.raises(ReceiverUnavailable):
            await sent(stand_in.url, ssl=client)
        assert stand_in.arrived == []


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.0.2.1', 'node.example'])  # noqa: S104
async def test_network_is_not_served_without_asking_who_is_there(host: str) -> None:
    stand_in = StandIn(URL('http://node.example:80'), echo)
    for tokens in ({}, {'peer_token': WORD}, {'client_token': WORD}):
        with pytest.raises(InsecureAddress, match='insecure=True'):
            Receiver(stand_in, host=host, **tokens)
    Receiver(stand_in, host=host, peer_token=WORD, client_token=WORD)
    Receiver(stand_in, host=host, insecure=True)


@pytest.mark.parametrize('token', ['', ' ', ' x', 'x\n', 'ключ', 5])
async def test_token_that_no_header_carries_is_refused(token: Any) -> None:
    with pytest.raises(InvalidParameters, match='token'):
        Sender(URL('http://localhost:1'), token=token)


async def test_scheme_and_security_belong_together() -> None:
    with pytest.raises(InvalidParameters, match='https'):
        Receiver(StandIn(URL('https://localhost:1'), echo))
    with pytest.raises(InvalidParameters, match='https'):
        Receiver(StandIn(URL('http://localhost:1'), echo), ssl=ssl.create_default_context())


async def test_node_that_speaks_tls_sends_nothing_in_the_clear() -> None:
    """Nor does it show its token there."""
    async with listening() as stand_in:
        with pytest.raises(ReceiverUnavailable, match='not https'):
            await sent(stand_in.url, ssl=ssl.create_default_context(), token=WORD)
        assert stand_in.arrived == []


async def test_secrets_are_not_shown() -> None:
    stand_in = StandIn(URL('http://localhost:1'), echo)
    for shown in (
        Receiver(stand_in, peer_token=WORD, client_token=WORD),
        Sender(stand_in.url, token=WORD),
    ):
        assert WORD not in repr(shown)


# what bad peers can do


def frame_of(*parts: tuple[int, int, int, bytes]) -> bytes:
    return msgspec.msgpack.encode(parts)


GOOD = frame_of((7, int(KIND), 0, msgspec.msgpack.encode({'a': 1})))


@pytest.mark.parametrize(
    'frame',
    [b'', b'\xc1', b'\xdd\xff\xff\xff\xff', frame_of((1, 1, 1 << 40, b'x')), 'text'],
    ids=['empty', 'garbage', 'a huge array', 'a huge message', 'text'],
)
async def test_what_is_no_frame_ends_the_connection(frame: bytes | str) -> None:
    """Nothing of it reaches the node, and others go on."""
    async with listening() as stand_in, ClientSession() as session:
        async with session.ws_connect(stand_in.url / 'raft', headers=HELLO) as socket:
            await (socket.send_str if isinstance(frame, str) else socket.send_bytes)(frame)
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert stand_in.arrived == []
        assert await sent(stand_in.url) == {'a': 1}


async def test_frame_that_is_too_large_ends_the_connection() -> None:
    async with listening() as stand_in, ClientSession() as session:
        async with session.ws_connect(stand_in.url / 'raft', headers=HELLO) as socket:
            await socket.send_bytes(b'x' * (FRAME_LIMIT + 1))
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert await sent(stand_in.url) == {'a': 1}


@pytest.mark.parametrize(
    ('kind', 'data'),
    [(99, b'\x80'), (0, b'\x80'), (-1, b''), (1, b''), (1, b'\xc1'), (1, b'\x91' * 100_000)],
)
async def test_message_that_is_none_is_answered_as_failed(kind: int, data: bytes) -> None:
    """A nest too deep, an unknown kind: the call fails, the connection goes on."""
    async with (
        listening() as stand_in,
        ClientSession() as session,
        session.ws_connect(stand_in.url / 'raft', headers=HELLO) as socket,
    ):
        await socket.send_bytes(frame_of((3, kind, 0, data)))
        ((number, answered, _, _),) = msgspec.msgpack.decode(await socket.receive_bytes())
        assert (number, answered) == (3, FAILURE)
        await socket.send_bytes(GOOD)
        ((number, answered, _, _),) = msgspec.msgpack.decode(await socket.receive_bytes())
        assert (number, answered) == (7, REPLY)


async def test_repeated_frame_is_another_message() -> None:
    """The node copes with what comes twice."""
    async with listening() as stand_in, ClientSession() as session:
        async with session.ws_connect(stand_in.url / 'raft', headers=HELLO) as socket:
            for _ in range(3):
                await socket.send_bytes(GOOD)
                ((number, answered, _, _),) = msgspec.msgpack.decode(await socket.receive_bytes())
                assert (number, answered) == (7, REPLY)
        assert len(stand_in.arrived) == 3


async def test_plain_request_is_told_what_is_there() -> None:
    async with listening() as stand_in, ClientSession() as session:
        async with session.get(stand_in.url / 'raft', headers=HELLO) as response:
            assert response.status == 426
        async with session.get(stand_in.url / 'raft') as response:
            assert response.status == 400


async def test_peer_that_answers_nonsense_is_unavailable() -> None:
    """Whatever listens there, the call fails with the one error that the port knows."""

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_bytes(b'\xc1')
        return socket

    app, url = web.Application(), free_url()
    app.router.add_get('/raft', serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', url.port).start()
    with pytest.raises(ReceiverUnavailable):
        await sent(url)
    await runner.cleanup()


# what a lost connection means


class Follower(Node):
    """A node that keeps which connections it was told to be lost."""

    lost: list[URL]
    was_told: asyncio.Event

    def connection_lost(self, url: URL) -> None:
        self.lost.append(url)
        self.was_told.set()


def follower() -> Follower:
    node = Follower.from_url(free_url(), sender=Sender(free_url()))
    assert isinstance(node, Follower)
    node.lost, node.was_told = [], asyncio.Event()
    return node


async def connected(node: Node, url: URL) -> Sender:
    """Return a sender of that URL, with a connection to the node."""
    sender = Sender(url)
    sender.urls = [node.url]
    with pytest.raises(ReceiverUnavailable, match='InvalidMessage'):
        await sender.send(kind=KIND, message=5, url=node.url)
    return sender


async def test_node_is_told_of_a_connection_that_broke() -> None:
    node, url = follower(), free_url()
    async with Receiver(node), node:
        sender = await connected(node, url)
        assert node.lost == []
        await sender.close()
        await node.was_told.wait()
        assert node.lost == [url]


async def test_node_is_not_told_while_another_connection_of_that_peer_is_up() -> None:
    node, url = follower(), free_url()
    async with Receiver(node), node:
        first, second = await connected(node, url), await connected(node, url)
        await first.close()
        other = await connected(node, free_url())
        await other.close()
        await node.was_told.wait()
        assert url not in node.lost
        await second.close()


async def test_node_is_not_told_of_a_connection_that_is_needed_no_more() -> None:
    """Who is removed, or follows another one, elects nobody because of that."""
    node, url = follower(), free_url()
    async with Receiver(node), node:
        sender = await connected(node, url)
        sender.urls = []
        other = await connected(node, free_url())
        await other.close()
        await node.was_told.wait()
        assert url not in node.lost
        await sender.close()


async def test_lost_connection_fails_its_calls_at_once() -> None:
    never, all_here = asyncio.Event(), asyncio.Barrier(10)

    async def answer(_: Any) -> Any:
        await all_here.wait()
        await never.wait()

    stand_in = StandIn(free_url(), answer)
    receiver = Receiver(stand_in)
    await receiver.start()
    sender = Sender(free_url())
    sender.urls = [stand_in.url]
    calls = [
        asyncio.create_task(sender.send(kind=KIND, message={}, url=stand_in.url)) for _ in range(9)
    ]
    await all_here.wait()
    await receiver.stop()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, ReceiverUnavailable)
    never.set()
    await sender.close()
