"""The sender: a long-lived WebSocket to each node that it sends to, on which calls overlap."""

import ssl
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Future,
    Task,
    gather,
    get_running_loop,
    sleep,
    timeout,
    wait,
)
from collections.abc import Collection, Mapping
from random import Random
from typing import Any, Optional, Self

import msgspec
from aiohttp import (
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    WSMsgType,
)
from yarl import URL

from consensual.http.frames import (
    FAILURE,
    FRAME_LIMIT,
    MESSAGE_LIMIT,
    BadFrame,
    Inbox,
    Message,
)
from consensual.http.parting import part
from consensual.http.pump import Pump
from consensual.http.security import Access
from consensual.raft import MessageKind, ReceiverUnavailable
from consensual.raft import Sender as _Sender

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

PATH = 'raft'
"""Where nodes take messages, below their URLs."""

NODE_HEADER = 'Consensual-Node'
"""The URL of who connects."""

FORGOTTEN = 4000
"""The code with which a node closes a connection that it needs no more, as it leads no more or
the other one is no member."""

CONNECT_TIMEOUT, CLOSE_TIMEOUT = 5.0, 1.0
"""Seconds after which a connection that is not up has failed; that the other end has to close."""

HEARTBEAT = 5.0
"""Seconds of silence after which a connection is asked whether it is still there."""

BACK_OFF, LONGEST_BACK_OFF = 0.02, 0.2
"""Seconds, about, after which a node is connected to again, at first and at last; calls wait.
So one that is back hears its leader before it looks for another one: in 0.5 s or more."""


class Sender(_Sender):
    """Sends a node's messages over WebSockets, one to each other node.

    url: of the node whose sender this is; others are told it.
    ssl: for URLs with https: whom to trust, and the own certificate (mutual TLS). With it,
        nothing, the token included, is sent to other URLs.
    token: the peers' token.
    random: for reproducible back-off.

    Close it with the node's `Receiver`, which does so, or by `close`.
    """

    def __init__(
        self,
        url: URL,
        *,
        ssl: Optional[ssl.SSLContext] = None,
        token: Optional[str] = None,
        random: Optional[Random] = None,
    ) -> None:
        Access(peer_token=token)
        self._url = url
        self._ssl = ssl
        self._token = token
        self._random = Random() if random is None else random  # noqa: S311 - no secret
        self._urls: frozenset[URL] = frozenset()
        self._links: dict[URL, _Link] = {}
        self._leaving: set[Task[None]] = set()
        self._session: Optional[ClientSession] = None
        self._loop: Optional[AbstractEventLoop] = None

    def __repr__(self) -> str:
        return f'Sender({str(self._url)!r}, connected to {sorted(map(str, self._links))})'

    @property
    def urls(self) -> Collection[URL]:
        """Whom it may send to; the connections to others are closed."""
        return self._urls

    @urls.setter
    def urls(self, urls: Collection[URL]) -> None:
        self._urls = frozenset(urls)
        for url in self._links.keys() - self._urls:
            link = self._links.pop(url)
            if not link.is_of_the_past:
                leaving = get_running_loop().create_task(link.forget())
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Have the node at that URL receive the message, of that kind; return its reply.

        Raises `ReceiverUnavailable` when it is not connected, the connection is lost,
        or the node gives no answer.
        """
        if url not in self._urls:
            raise ReceiverUnavailable(f'{url} is none of the nodes that this one knows')
        if self._ssl is not None and url.scheme != 'https':
            raise ReceiverUnavailable(f'{url} is not https, and this node speaks TLS only')
        link = self._links.get(url)
        if link is None or link.is_of_the_past:
            link = self._links[url] = _Link(url, self)
        return await link.call(kind, message)

    async def close(self) -> None:
        """Close all connections; the next `send` opens them again."""
        links, self._links = self._links, {}
        await gather(
            *(link.close() for link in links.values() if not link.is_of_the_past), *self._leaving
        )
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # what its links need

    def session(self) -> ClientSession:
        """Return the session of the running loop; names are resolved anew by each connection."""
        loop = get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            self._loop = loop
            self._session = ClientSession(connector=TCPConnector(use_dns_cache=False, limit=0))
        return self._session

    @property
    def security(self) -> Any:
        """Return what `ssl` is for aiohttp."""
        return True if self._ssl is None else self._ssl

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what every connection begins with."""
        headers = {NODE_HEADER: str(self._url)}
        if self._token is not None:
            headers['Authorization'] = f'Bearer {self._token}'
        return headers

    def jitter(self) -> float:
        """Return a factor that keeps nodes from coming all at once."""
        return self._random.uniform(0.5, 1.5)


class _Link:
    """The connection to one node: made when it is needed, and again when it is after it broke."""

    def __init__(self, url: URL, sender: Sender) -> None:
        self._url = url
        self._sender = sender
        self._loop = get_running_loop()
        self._calls: dict[int, Future[Any]] = {}
        self._last_number = 0
        self._pump = Pump()
        self._task: Optional[Task[None]] = None
        self._socket: Optional[ClientWebSocketResponse] = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_of_the_past(self) -> bool:
        """Its loop is no longer the one that runs, if any does."""
        return not self._loop.is_running() or self._loop is not get_running_loop()

    async def call(self, kind: MessageKind, message: Any) -> Any:
        if self._pump.is_full:
            raise ReceiverUnavailable(f'{self._url} does not keep up with what is sent')
        data = _encode(message)
        if len(data) > MESSAGE_LIMIT:
            raise ReceiverUnavailable(
                f'a message has {len(data)} bytes; {self._url} takes {MESSAGE_LIMIT}'
            )
        if self._task is None:
            self._task = self._loop.create_task(self._run())
        self._last_number = number = self._last_number + 1
        future: Future[Any] = self._loop.create_future()
        self._calls[number] = future
        self._pump.put(number, kind, data)
        try:
            return await future
        except CancelledError:
            self._pump.drop(number)
            raise
        finally:
            del self._calls[number]

    async def forget(self) -> None:
        """Nobody is sent to there any more: say so, and close."""
        if self._socket is not None:
            await part(self._socket, FORGOTTEN)
        await self.close()

    async def close(self) -> None:
        task = self._task
        if task is not None:
            task.cancel()
            await wait([task])
            self._task = None  # one that never ran has done nothing of this
            self._end('the connection was closed')

    async def _run(self) -> None:
        """Connect, a while after the last time, and carry messages until the connection is lost."""
        reason = 'the connection was closed'
        try:
            await sleep(self._not_before - self._loop.time())
            async with timeout(CONNECT_TIMEOUT) as connecting:
                async with self._sender.session().ws_connect(
                    self._url / PATH,
                    headers=self._sender.headers,
                    ssl=self._sender.security,
                    heartbeat=HEARTBEAT,
                    max_msg_size=FRAME_LIMIT,
                    timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                ) as socket:
                    connecting.reschedule(None)
                    self._socket = socket
                    await self._carry(socket)
        except (ClientError, OSError, ValueError, BadFrame) as error:
            reason = str(error) or type(error).__name__
        finally:
            self._socket = self._task = None
            self._end(reason)

    async def _carry(self, socket: ClientWebSocketResponse) -> None:
        sending = self._loop.create_task(self._pump.run(socket.send_bytes))
        inbox = Inbox()
        try:
            async for message in socket:
                frame = message.data if message.type is WSMsgType.BINARY else b''
                for reply in inbox.take(frame):
                    self._take(reply)
        finally:
            sending.cancel()
            await wait([sending])
            if not sending.cancelled():
                sending.exception()
            await part(socket)

    def _take(self, reply: Message) -> None:
        self._failures = 0
        future = self._calls.get(reply.number)
        if future is None or future.done():
            return
        if reply.kind == FAILURE:
            text = reply.data.decode('utf-8', 'replace')
            future.set_exception(ReceiverUnavailable(f'{self._url} gives no answer: {text}'))
            return
        try:
            future.set_result(_decode(reply.data))
        except (ValueError, RecursionError) as error:
            future.set_exception(ReceiverUnavailable(f'{self._url} answers nonsense: {error}'))

    def _end(self, reason: str) -> None:
        """Fail every call at once; come back after a while, later each time."""
        back_off = min(BACK_OFF * 2**self._failures, LONGEST_BACK_OFF) * self._sender.jitter()
        self._failures = min(self._failures + 1, 10)
        self._not_before = self._loop.time() + back_off
        self._pump.clear()
        for future in self._calls.values():
            if not future.done():
                future.set_exception(ReceiverUnavailable(f'{self._url} is not connected: {reason}'))
