"""An open connection between two nodes, seen from either end: what is said goes out in frames.

Who opened it, and what the messages mean, is not known here.
"""

from asyncio import FIRST_COMPLETED, Future, get_running_loop, wait
from collections.abc import Callable
from typing import Optional, Union

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from consensual.http.frames import Arrived, Incoming, InvalidFrame, Outgoing

Socket = Union[ClientWebSocketResponse, web.WebSocketResponse]
OnMessage = Callable[[Arrived], None]

PATH = 'raft'
"""Of the WebSocket, below the URL of the node."""

NODE_HEADER = 'Consensual-Node'
"""Carries the URL of the node that connects."""

PING = 2.0
"""Seconds of silence after which the other end is asked whether it lives; it has half as long to
answer."""

PARTING = 0.5
"""Seconds that the other end has to answer when a connection is closed."""

ANSWER, REFUSAL = 0, 1
"""Kinds of replies: a message, or the text of an error."""


class ConnectionBroken(Exception):
    """The connection ended, and nobody had closed it."""


class Outbox:
    """What waits to be sent; the messages of one turn of the loop leave together."""

    def __init__(self) -> None:
        self._messages = Outgoing()
        self._waiter: Optional[Future[None]] = None

    def __repr__(self) -> str:
        return f'Outbox({self._messages!r})'

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._messages.size

    def put(self, number: int, kind: int, body: bytes, *, is_bulk: bool = False) -> None:
        """Have a message sent."""
        self._messages.put(number, kind, body, is_bulk=is_bulk)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def drop(self, number: int) -> None:
        """Send no such message any more, unless it was begun."""
        self._messages.drop(number)

    def clear(self) -> None:
        """Forget all."""
        self._messages.clear()

    async def send_all(self, socket: Socket) -> None:
        """Send what is put in, as fast as it is taken, until cancelled. Raises `OSError`."""
        loop = get_running_loop()
        while True:
            if not self._messages:
                self._waiter = loop.create_future()
                await self._waiter
            if self._messages:
                await socket.send_bytes(self._messages.next_frame())


async def carry(
    socket: Socket, outbox: Outbox, incoming: Incoming, on_message: OnMessage, idle: float
) -> bool:
    """Send what is in the outbox and tell what arrives, until the connection is closed.

    idle: seconds without a message from the other end, after which this ends, too.

    Returns whether it is open still. Raises `ConnectionBroken` when it ended otherwise, and
    `InvalidFrame` for what breaks the rules.
    """
    loop = get_running_loop()
    sending = loop.create_task(outbox.send_all(socket))
    reading = loop.create_task(_read(socket, incoming, on_message, idle))
    try:
        await wait((reading, sending), return_when=FIRST_COMPLETED)
        if reading.done():
            return reading.result()
        raise ConnectionBroken(f'the connection broke: {sending.exception()!r}')
    finally:
        for task in (reading, sending):
            task.cancel()
        await wait((reading, sending))


async def _read(socket: Socket, incoming: Incoming, on_message: OnMessage, idle: float) -> bool:
    while True:
        try:
            message = await socket.receive(idle)
        except TimeoutError:
            return True
        match message.type:
            case WSMsgType.BINARY:
                for arrived in incoming.take(message.data):
                    on_message(arrived)
            case WSMsgType.CLOSE | WSMsgType.CLOSING:
                return False
            case WSMsgType.TEXT:
                raise InvalidFrame('text came, where frames are binary')
            case _:
                raise ConnectionBroken(f'the connection broke: {message.data or "end of stream"}')
