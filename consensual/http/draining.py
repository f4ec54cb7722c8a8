"""The end of serving: what was begun is answered, what comes later is sent to another node.

What the requests ask for is not known here.
"""

from asyncio import Event
from asyncio import timeout as time_limit
from contextlib import suppress

from aiohttp import web

from consensual.http.answers import Handler, refuse


class Requests:
    """Counts the requests of an application that may change something, while they are under way."""

    def __init__(self) -> None:
        self._under_way = 0
        self._is_draining = False
        self._none_left = Event()

    def __repr__(self) -> str:
        return f'Requests({self._under_way} under way)'

    def install(self, app: web.Application) -> None:
        """Watch an application that is not running yet."""
        app.middlewares.append(self._count)

    async def drain(self, timeout: float) -> None:
        """Refuse new ones, and wait until none is under way, for that many seconds at most.

        Of what is refused nothing is done, so that it may be asked of another node.
        """
        self._is_draining = True
        with suppress(TimeoutError):
            async with time_limit(timeout):
                while self._under_way:
                    self._none_left.clear()
                    await self._none_left.wait()

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_reading = request.method in ('GET', 'HEAD')  # peers, too: they are served to the end
        if self._is_draining and (not is_reading or request.path.endswith('/ready')):
            response = refuse(503, 'the node is being stopped: ask another one')
            response.force_close()
            return response
        if is_reading:
            return await handler(request)
        self._under_way += 1
        try:
            return await handler(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none_left.set()
