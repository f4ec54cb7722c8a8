"""How a WebSocket ends: in order, or at once where the other end takes nothing any more.

A close of aiohttp's waits until all that was sent before is taken, for ever if need be.
"""

from asyncio import timeout as time_limit
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Union

from aiohttp import ClientWebSocketResponse, WSCloseCode, web

PATIENCE = 2.0
"""Seconds that the other end is given, to take what was sent and to close, too."""


async def part(
    socket: Union[ClientWebSocketResponse, web.WebSocketResponse], code: int = WSCloseCode.OK
) -> None:
    """Close a connection; break it when that takes too long."""
    is_closed = False
    try:
        with suppress(TimeoutError):
            async with time_limit(PATIENCE):
                await socket.close(code=code)
                is_closed = True
    finally:
        line = None if is_closed else socket.get_extra_info('socket')
        if line is not None:
            with suppress(OSError):
                line.shutdown(SHUT_RDWR)
