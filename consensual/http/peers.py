"""The server's side of what nodes say to each other: a WebSocket for each node that connects.

The other side is `link`; what the messages mean is for the node.
"""

import json
import logging
from asyncio import CancelledError, Task, gather, get_running_loop
from typing import Any

from aiohttp import WSCloseCode, web
from yarl import URL

from consensual.http.frames import (
    FRAME_LIMIT,
    PROTOCOL,
    QUEUE_LIMIT,
    Arrived,
    Incoming,
    InvalidFrame,
    decode_message,
    encode_message,
)
from consensual.http.security import Access
from consensual.http.wire import (
    ANSWER,
    NODE_HEADER,
    PARTING,
    PATH,
    PING,
    REFUSAL,
    ConnectionBroken,
    Outbox,
    carry,
)
from consensual.raft import ConsensualError, Endpoint, MessageKind

CONNECTION_LIMIT = 64
"""Nodes that may be connected at a time."""

CALL_LIMIT = 1024
"""Messages of one node that may be without a reply; further ones are refused."""

IDLE = 300.0
"""Seconds without a message after which a connection is closed; who opened it does so sooner."""

_logger = logging.getLogger(__name__)


class Peers:
    """The connections that other nodes have opened to this one.

    access: asked before a node is let in, and before anything that it says is read.
    """

    def __init__(self, node: Endpoint, access: Access) -> None:
        self._node = node
        self._access = access
        self._open: dict[web.WebSocketResponse, URL] = {}
        self._is_closing = False

    def __repr__(self) -> str:
        return f'Peers({len(self._open)} connected to {self._node!r})'

    def install(self, app: web.Application) -> None:
        """Add the route to an application that is not running yet; its end is theirs."""
        app.add_routes([web.get(f'/{PATH}', self.serve, allow_head=False)])
        app.on_startup.append(self._start_up)
        app.on_shutdown.append(self._shut_down)

    async def _start_up(self, _: web.Application) -> None:
        self._is_closing = False

    async def _shut_down(self, _: web.Application) -> None:
        self._is_closing = True
        await gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._open))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take the messages of a node, and answer them, until it goes away."""
        self._access.check_peer(request)
        url = _node_in(request)
        if self._is_closing or len(self._open) >= CONNECTION_LIMIT:
            raise _refusal(web.HTTPServiceUnavailable, 'no more nodes are served')
        socket = web.WebSocketResponse(
            timeout=PARTING,
            heartbeat=PING,
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=FRAME_LIMIT,
        )
        self._open[socket] = url
        try:
            await socket.prepare(request)
            await self._take_all(socket)
        except InvalidFrame as error:
            _logger.warning('%s is cut off: %s', url, error)
            await socket.close(code=WSCloseCode.PROTOCOL_ERROR)
        except (ConnectionBroken, ConnectionError):
            self._lost(socket)
        except CancelledError:  # so does aiohttp when the connection breaks
            self._lost(socket)
            raise
        finally:
            del self._open[socket]
        return socket

    async def _take_all(self, socket: web.WebSocketResponse) -> None:
        conversation = _Conversation(self._node)

        def take(arrived: Arrived) -> None:
            if not self._is_closing:
                conversation.take(arrived)

        try:
            await carry(socket, conversation.outbox, Incoming(CALL_LIMIT), take, IDLE)
        finally:
            conversation.end()
        await socket.close()

    def _lost(self, socket: web.WebSocketResponse) -> None:
        """Tell the node, unless this end closes, or the same node has connected anew."""
        url = self._open[socket]
        latest = next(other for other in reversed(self._open) if self._open[other] == url)
        if self._is_closing or latest is not socket:
            return
        _logger.info('the connection of %s broke', url)
        tell = getattr(self._node, 'connection_lost', None)
        if tell is not None:
            tell(url)


class _Conversation:
    """What one node asks, and what it is answered."""

    def __init__(self, node: Endpoint) -> None:
        self._node = node
        self._tasks: set[Task[None]] = set()
        self.outbox = Outbox()

    def take(self, arrived: Arrived) -> None:
        """Have a message answered. Raises `InvalidFrame` when the answers are not read."""
        number = arrived.number
        if self.outbox.size > QUEUE_LIMIT:
            raise InvalidFrame(f'{self.outbox.size} bytes of answers are not read')
        if len(self._tasks) >= CALL_LIMIT:
            self._refuse(number, f'{CALL_LIMIT} messages are unanswered already')
            return
        try:
            kind = MessageKind(arrived.kind)
            message = decode_message(arrived.body)
        except (ValueError, ConsensualError) as error:
            self._refuse(number, f'invalid message: {error}')
            return
        task = get_running_loop().create_task(self._answer(number, kind, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Nobody waits for answers any more."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, number: int, kind: MessageKind, message: Any) -> None:
        try:
            body = encode_message(await self._node.receive(kind=kind, message=message))
        except ConsensualError as error:
            self._refuse(number, str(error) or type(error).__name__)
        except Exception as error:
            _logger.exception('the node could not take a message of kind %r', kind)
            self._refuse(number, f'the node failed to answer: {error!r}')
        else:
            self.outbox.put(number, ANSWER, body)

    def _refuse(self, number: int, text: str) -> None:
        self.outbox.put(number, REFUSAL, encode_message(text[:1000]))


def _node_in(request: web.Request) -> URL:
    """Return the URL of the node that connects."""
    if request.headers.get('Sec-WebSocket-Protocol') != PROTOCOL:
        raise _refusal(web.HTTPBadRequest, f'nodes speak {PROTOCOL} by WebSocket here')
    try:
        url = URL(request.headers.get(NODE_HEADER, ''))
    except ValueError:
        url = URL()
    if not url.host or url.user is not None or url.password is not None:
        raise _refusal(web.HTTPBadRequest, f'{NODE_HEADER} is to be the URL of the node')
    return url


def _refusal(kind: type[web.HTTPException], text: str) -> web.HTTPException:
    body = json.dumps({'error': text, 'result': None})
    return kind(text=body, content_type='application/json')
