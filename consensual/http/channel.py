"""A channel: one WebSocket from a client to a node, on which batches of calls overlap.

What becomes of calls whose channel broke is the client's business.
"""

import ssl
from asyncio import Event, Task, get_running_loop, timeout, wait
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Optional, Union

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType
from yarl import URL

from consensual.http.calls import (
    ANSWER_LIMIT,
    PATH,
    BadFrame,
    Done,
    Failed,
    Leave,
    Outbox,
    Request,
    answers_of,
    encode,
)

CONNECT_TIMEOUT = 1.5
"""Seconds after which a connection has failed on which the node has not said who leads."""

HEARTBEAT = 1.0
"""Seconds of silence after which a node is asked whether it is still there; it has half as long."""

LEAVE_TIMEOUT = 0.3
"""Seconds that a node is given to say what is not done there."""

CLOSE_TIMEOUT = 0.5
"""Seconds that a node is given to say good-bye."""


class Unreachable(Exception):
    """There is no channel to a node, for the reason that the text says."""


class Channel:
    """One connection, from its beginning to its end.

    leader: whom the node knows as such.
    cluster: the one that the node is in, empty when it is in none; never another one.
    on_answer: called with each answer.
    on_news: called when the node knows another leader, and when the channel has ended.
    """

    def __init__(
        self,
        url: URL,
        socket: ClientWebSocketResponse,
        on_answer: Callable[[Union[Done, Failed]], None],
        on_news: Callable[[], None],
    ) -> None:
        self.url = url
        self.leader: Optional[URL] = None
        self.cluster = ''
        self.is_over = False
        self._socket = socket
        self._on_answer = on_answer
        self._on_news = on_news
        self._outbox: Outbox[Request] = Outbox()
        self._has_something = Event()
        self._told_leader = ''
        self._was_told = Event()
        self._task: Task[None] = get_running_loop().create_task(self._run())

    def __repr__(self) -> str:
        return f'Channel({str(self.url)!r}, is_over={self.is_over})'

    def put(self, request: Request, size: int) -> None:
        """Have a request sent, whose texts have that many characters."""
        self._outbox.put(request, size)
        self._has_something.set()

    async def greeted(self) -> None:
        """Wait until the node has said which cluster it is in. Raises `Unreachable`."""
        await self._was_told.wait()
        if self.is_over:
            raise Unreachable(f'{self.url} hung up')

    async def leave(self) -> None:
        """End it in order: first the node says what is not done there, and does not do it."""
        if not self.is_over:
            self.put(Leave(0), 0)
            await wait([self._task], timeout=LEAVE_TIMEOUT)
        await self.close()

    async def close(self) -> None:
        """End it at once."""
        self.is_over = True
        self._task.cancel()
        await wait([self._task])

    async def _run(self) -> None:
        sending = get_running_loop().create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    break
                self._take_frame(message.data)
        except (BadFrame, ClientError, OSError):
            pass  # it has ended; why, nobody asks
        finally:
            self.is_over = True
            self._was_told.set()
            sending.cancel()
            await wait([sending])
            self._on_news()
            with suppress(TimeoutError):
                async with timeout(CLOSE_TIMEOUT):
                    await self._socket.close()

    async def _send(self) -> None:
        try:
            while True:
                await self._has_something.wait()
                self._has_something.clear()
                while self._outbox:
                    await self._socket.send_bytes(encode(self._outbox.take()))
        except (ClientError, OSError):
            return  # whoever reads notices, too

    def _take_frame(self, frame: bytes) -> None:
        told = answers_of(frame)
        self.cluster = told.cluster
        self._was_told.set()
        for answer in told.answers:
            if not self.is_over:
                self._on_answer(answer)
        if told.leader != self._told_leader:
            self._told_leader = told.leader
            self.leader = _url(told.leader)
            self._on_news()


def _url(text: str) -> Optional[URL]:
    try:
        return URL(text) if text else None
    except ValueError:
        return None


async def connect(
    session: ClientSession,
    url: URL,
    *,
    ssl: Optional[ssl.SSLContext],
    headers: Mapping[str, str],
    on_answer: Callable[[Union[Done, Failed]], None],
    on_news: Callable[[], None],
) -> Channel:
    """Return a channel to the node at that URL. Raises `Unreachable`."""
    security: Any = ssl if ssl is not None and url.scheme == 'https' else True
    channel: Optional[Channel] = None
    try:
        async with timeout(CONNECT_TIMEOUT):
            socket = await session.ws_connect(
                url / PATH,
                headers=headers,
                ssl=security,
                heartbeat=HEARTBEAT,
                max_msg_size=ANSWER_LIMIT,
            )
            channel = Channel(url, socket, on_answer, on_news)
            await channel.greeted()
    except BaseException as error:
        if channel is not None:
            await channel.close()
        if isinstance(error, TimeoutError):
            text = f'{url} does not answer within {CONNECT_TIMEOUT:g} s'
            raise Unreachable(text) from None
        if isinstance(error, (ClientError, OSError, ValueError)):
            raise Unreachable(f'{url}: {error or repr(error)}') from error
        raise
    return channel
