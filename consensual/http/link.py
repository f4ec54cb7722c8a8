"""A node's way to one other node: a connection that is opened when it is needed, and again.

The other side is `peers`; which links there are is for the `sender`.
"""

import logging
from asyncio import Event, Future, Task, get_running_loop, sleep
from asyncio import timeout as time_limit
from collections.abc import Mapping
from itertools import count
from random import Random
from ssl import SSLContext
from typing import Any, NamedTuple, Optional

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    WSServerHandshakeError,
)
from yarl import URL

from consensual.http.frames import (
    FRAME_LIMIT,
    PROTOCOL,
    QUEUE_LIMIT,
    Arrived,
    Incoming,
    InvalidFrame,
    decode_message,
    decode_text,
    encode_message,
)
from consensual.http.wire import (
    ANSWER,
    PARTING,
    PATH,
    PING,
    ConnectionBroken,
    Outbox,
    carry,
)
from consensual.raft import MessageKind, ReceiverUnavailable

CALL_LIMIT = 512
"""Messages to one node that may be without a reply; further ones fail at once."""

CONNECT_TIMEOUT = 3.0
"""Seconds for which a connection is tried."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between a failure and the next attempt, at first and in the end; less by chance."""

IDLE = 60.0
"""Seconds without a message after which a connection is given up."""

_logger = logging.getLogger(__name__)


class Target(NamedTuple):
    """Where a link leads, and what is shown there.

    headers: shown when connecting, secrets among them.
    """

    url: URL
    headers: Mapping[str, str]
    ssl: Optional[SSLContext]


class Link:
    """Carries messages to one node, until it has nothing to do for long, or is closed.

    random: for the pauses.
    """

    def __init__(self, target: Target, random: Random) -> None:
        self._target = target
        self._random = random
        self._numbers = count(1)
        self._calls: dict[int, Future[Arrived]] = {}
        self._called = Event()
        self._outbox = Outbox()
        self._failures = 0
        self._reason = ''
        self.is_over = False
        self._task: Task[None] = get_running_loop().create_task(self._run())

    def __repr__(self) -> str:
        return f'Link({self._target.url}, {len(self._calls)} calls)'

    async def call(self, kind: MessageKind, message: Any) -> Any:
        """Send a message and return the reply.

        While the connection is being opened it waits; one that cannot be opened, or breaks,
        fails it. Raises `ReceiverUnavailable`, and `InvalidMessage` for what cannot be sent.
        """
        if len(self._calls) >= CALL_LIMIT or self._outbox.size > QUEUE_LIMIT:
            raise ReceiverUnavailable(f'{self._target.url} does not take what it is sent')
        body = encode_message(message)
        number = next(self._numbers)
        future: Future[Arrived] = get_running_loop().create_future()
        self._calls[number] = future
        is_bulk = kind is MessageKind.INSTALL_SNAPSHOT
        self._outbox.put(number, kind, body, is_bulk=is_bulk)
        self._called.set()
        try:
            arrived = await future
        finally:
            if self._calls.pop(number, None) is not None:
                self._outbox.drop(number)
        if arrived.kind == ANSWER:
            return decode_message(arrived.body)
        raise ReceiverUnavailable(
            f'{self._target.url} gives no answer: {decode_text(arrived.body)}'
        )

    def close(self) -> 'Task[None]':
        """Fail the calls and end the connection; return what is done when that is."""
        self.is_over = True
        self._task.cancel()
        return self._task

    @property
    def is_alive(self) -> bool:
        """It takes calls."""
        return not self.is_over and not self._task.done()

    async def _run(self) -> None:
        connector = TCPConnector(
            ssl=self._target.ssl or True, use_dns_cache=False, force_close=True, limit=0
        )
        timeout = ClientTimeout(total=None)
        try:
            async with ClientSession(connector=connector, timeout=timeout) as session:
                while await self._is_wanted():
                    await self._pause()
                    await self._connect(session)
        finally:
            self.is_over = True
            self._fail('the link is closed')

    async def _is_wanted(self) -> bool:
        """Wait for a call; return False when none came for long."""
        self._called.clear()
        try:
            async with time_limit(IDLE):
                while not self._calls:
                    await self._called.wait()
                    self._called.clear()
        except TimeoutError:
            self.is_over = not self._calls
        return not self.is_over

    async def _pause(self) -> None:
        if self._failures:
            longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** (self._failures - 1))
            await sleep(self._random.uniform(longest / 2, longest))

    async def _connect(self, session: ClientSession) -> None:
        self._failures = min(self._failures + 1, 10)
        url = self._target.url
        try:
            async with time_limit(CONNECT_TIMEOUT):
                socket = await session.ws_connect(
                    url / PATH,
                    headers=self._target.headers,
                    protocols=(PROTOCOL,),
                    heartbeat=PING,
                    max_msg_size=FRAME_LIMIT,
                    timeout=ClientWSTimeout(ws_close=PARTING),
                )
        except WSServerHandshakeError as error:
            self._fail(f'{url} refuses this node with status {error.status}', logging.WARNING)
        except TimeoutError:
            self._fail(f'{url} does not answer')
        except (ClientError, OSError, ValueError) as error:
            self._fail(f'{url} cannot be reached: {error}')
        else:
            await self._use(socket)

    async def _use(self, socket: ClientWebSocketResponse) -> None:
        """Carry messages until the connection ends, whatever ends it."""
        url = self._target.url
        _logger.info('connected to %s', url)
        reason = f'{url} closed the connection'
        incoming = Incoming(CALL_LIMIT)
        try:
            if socket.protocol != PROTOCOL:
                reason = f'{url} is no node that speaks {PROTOCOL}'
                return
            while await carry(socket, self._outbox, incoming, self._take, IDLE):
                if not self._calls:
                    return
        except ConnectionBroken as error:
            reason = f'{url}: {error}'
        except InvalidFrame as error:
            reason = f'{url} breaks the protocol: {error}'
        finally:
            self._fail(reason)
            await socket.close()

    def _take(self, arrived: Arrived) -> None:
        self._failures = 0
        self._reason = ''
        future = self._calls.get(arrived.number)
        if future is not None and not future.done():
            future.set_result(arrived)

    def _fail(self, reason: str, level: int = logging.INFO) -> None:
        """Fail all calls; say why, once."""
        if reason != self._reason:
            self._reason = reason
            _logger.log(level, '%s', reason)
        calls, self._calls = self._calls, {}
        self._outbox.clear()
        for future in calls.values():
            if not future.done():
                future.set_exception(ReceiverUnavailable(reason))
