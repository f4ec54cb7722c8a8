"""The server side of the peers' WebSockets: what other nodes send to this one."""

from asyncio import Task, gather, get_running_loop, wait
from collections import Counter
from collections.abc import Callable
from functools import partial
from logging import getLogger
from typing import Any, Optional

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from consensual.http.answers import refuse
from consensual.http.frames import (
    FAILURE,
    FRAME_LIMIT,
    MESSAGE_LIMIT,
    REPLY,
    BadFrame,
    Inbox,
    Message,
)
from consensual.http.parting import part
from consensual.http.pump import Pump
from consensual.http.security import Access
from consensual.http.sender import FORGOTTEN, HEARTBEAT, NODE_HEADER, PATH
from consensual.raft import MessageKind
from consensual.raft.driver.addresses import address_of
from consensual.raft.driver.ports import Endpoint
from consensual.raft.errors import ConsensualError

CALL_LIMIT, CALL_BYTES = 1024, 8 * MESSAGE_LIMIT
"""Calls of one connection that may be under way, a node has 256 to each other one; their bytes."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

logger = getLogger('consensual.http')


class Peers:
    """The connections that other nodes have to this one.

    on_lost: called with the URL of a node when the last connection from it breaks, that was
        up; not where it was closed in order, for this node is no member any more.
    """

    def __init__(self, node: Endpoint, access: Access, on_lost: Callable[[URL], None]) -> None:
        self._node = node
        self._access = access
        self._on_lost = on_lost
        self._sockets: set[web.WebSocketResponse] = set()
        self._connected: Counter[URL] = Counter()
        self._is_closing = False

    def __repr__(self) -> str:
        return f'Peers(of {self._node.url}: {sorted(map(str, self._connected))})'

    def install(self, app: web.Application) -> None:
        """Add the route to an application that is not running yet."""
        app.router.add_get(f'/{PATH}', self.serve, allow_head=False)
        app.on_shutdown.append(self._shut_down)

    async def _shut_down(self, _: web.Application) -> None:
        self._is_closing = True
        await gather(*(part(socket, WSCloseCode.GOING_AWAY) for socket in self._sockets))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take the messages of one connection until it ends."""
        self._access.check_peer(request)
        peer: Optional[URL]
        try:
            peer = URL(request.headers.get(NODE_HEADER, ''))
            address_of(peer)
        except ValueError:
            peer = None
        if 'Origin' in request.headers or peer is None:
            return refuse(400, f'only nodes connect here, and name themselves in {NODE_HEADER}')
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=FRAME_LIMIT, compress=False, timeout=1.0
        )
        if not socket.can_prepare(request):
            return refuse(426, 'nodes connect here by WebSocket', headers={'Upgrade': 'websocket'})
        await socket.prepare(request)
        self._sockets.add(socket)
        self._connected[peer] += 1
        try:
            await _Connection(self._node, socket).run()
        finally:  # a connection that breaks cancels its handler
            self._sockets.discard(socket)
            self._end(peer, is_orderly=self._is_closing or socket.close_code == FORGOTTEN)
        return socket

    def _end(self, peer: URL, *, is_orderly: bool) -> None:
        self._connected[peer] -= 1
        if self._connected[peer] == 0:
            del self._connected[peer]
            if not is_orderly:
                self._on_lost(peer)


class _Connection:
    """Hands what comes on one WebSocket to the node, and sends its replies back."""

    def __init__(self, node: Endpoint, socket: web.WebSocketResponse) -> None:
        self._node = node
        self._socket = socket
        self._pump = Pump()
        self._calls: set[Task[None]] = set()
        self._bytes = 0

    async def run(self) -> None:
        """Go on until the connection ends, however it does."""
        loop = get_running_loop()
        inbox = Inbox()
        sending = loop.create_task(self._pump.run(self._socket.send_bytes))
        try:
            async for message in self._socket:
                frame = message.data if message.type is WSMsgType.BINARY else b''
                for request in inbox.take(frame):
                    self._begin(request)
                await self._pump.room()  # who does not read its replies is not read either
        except BadFrame as error:
            logger.warning('a connection to %s is closed: %s', self._node.url, error)
            await part(self._socket, WSCloseCode.POLICY_VIOLATION)
        finally:
            for task in (sending, *self._calls):  # nobody is there to be told
                task.cancel()
            await wait([sending, *self._calls])
            if not sending.cancelled():
                sending.exception()

    def _begin(self, request: Message) -> None:
        if len(self._calls) >= CALL_LIMIT or self._bytes > CALL_BYTES:
            return self._pump.put(request.number, FAILURE, b'too many calls are under way')
        self._bytes += len(request.data)
        task = get_running_loop().create_task(self._answer(request))
        self._calls.add(task)
        task.add_done_callback(partial(self._end, len(request.data)))
        return None

    def _end(self, size: int, task: Task[None]) -> None:
        self._calls.discard(task)
        self._bytes -= size

    async def _answer(self, request: Message) -> None:
        try:
            kind = MessageKind(request.kind)
            message = _decode(request.data)
            reply: Any = await self._node.receive(kind=kind, message=message)
            kind_of_answer, data = REPLY, _encode(reply)
            if len(data) > MESSAGE_LIMIT:
                kind_of_answer, data = FAILURE, b'the reply is too large'
        except (ConsensualError, ValueError, TypeError, RecursionError) as error:
            kind_of_answer, data = FAILURE, f'{type(error).__name__}: {error}'.encode()
        except Exception:  # a bug of the node's: this call has no answer
            logger.exception('%s failed to receive a message', self._node.url)
            kind_of_answer, data = FAILURE, b'it failed; its log tells why'
        self._pump.put(request.number, kind_of_answer, data)
