"""Status changes as server-sent events: one stream for each that listens, and few of them.

What the changes are, `Node.watch` tells.
"""

from asyncio import FIRST_COMPLETED, Future, ensure_future, gather, get_running_loop, wait
from asyncio import timeout as time_limit
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Optional

import msgspec
from aiohttp import web

from consensual.raft import Node, NodeStatus
from consensual.raft.errors import NodeStopped, Overloaded

HEARTBEAT = 15.0
"""Seconds after which a stream without news gets a comment, so that nobody takes it for dead."""

PATIENCE = 30.0
"""Seconds for which a listener may leave unread what it was sent."""

STREAM_LIMIT = 64
"""Streams that are open at a time."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Streams:
    """The open streams of one application.

    heartbeat, patience: seconds; see above.
    """

    def __init__(
        self, node: Node, *, heartbeat: float = HEARTBEAT, patience: float = PATIENCE
    ) -> None:
        self._node = node
        self._heartbeat = heartbeat
        self._patience = patience
        self._endings: set[Future[None]] = set()

    def __repr__(self) -> str:
        return f'Streams({len(self._endings)} open)'

    def close(self) -> None:
        """End all streams: the server is about to be shut down."""
        for ending in self._endings:
            if not ending.done():
                ending.set_result(None)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the status, and again after each change, until one of the ends goes away.

        A listener that is far behind misses the oldest changes; one that reads nothing at all
        is cut off. Raises `Overloaded` above `STREAM_LIMIT`, and `NodeStopped`.
        """
        if len(self._endings) >= STREAM_LIMIT:
            raise Overloaded(f'{STREAM_LIMIT} streams of events are open: close one, or try later')
        ending: Future[None] = get_running_loop().create_future()
        self._endings.add(ending)
        try:
            async with aclosing(self._node.watch()) as statuses:
                return await self._send_all(request, statuses, ending)
        finally:
            self._endings.discard(ending)

    async def _send_all(
        self,
        request: web.Request,
        statuses: AsyncIterator[NodeStatus],
        ending: 'Future[None]',
    ) -> web.StreamResponse:
        status = await anext(statuses, None)
        if status is None:
            raise NodeStopped('the node was stopped: start() it first')
        response = web.StreamResponse(
            headers={'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store'}
        )
        await response.prepare(request)
        coming = ensure_future(_next(statuses))
        try:
            text = _event(status)
            while await self._is_sent(request, response, text):
                await wait((coming, ending), timeout=self._heartbeat, return_when=FIRST_COMPLETED)
                if ending.done():
                    break
                if not coming.done():
                    text = b': nothing new\n\n'
                elif (status := coming.result()) is not None:
                    text = _event(status)
                    coming = ensure_future(_next(statuses))
                else:
                    break
        finally:
            coming.cancel()
            await gather(coming, return_exceptions=True)
        return response

    async def _is_sent(
        self, request: web.Request, response: web.StreamResponse, text: bytes
    ) -> bool:
        """Send; return False where nobody is there any more, or reads."""
        try:
            async with time_limit(self._patience):
                await response.write(text)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return False
        except OSError:
            return False
        return True


def _event(status: NodeStatus) -> bytes:
    return b'event: status\ndata: %b\n\n' % _encode(status)


async def _next(statuses: AsyncIterator[NodeStatus]) -> Optional[NodeStatus]:
    """Return the next status, None when the node was stopped."""
    return await anext(statuses, None)
