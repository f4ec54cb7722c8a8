"""The server of the demo: one page, orders from it, and a stream of what it draws.

Serves this machine's own browser only: see `own_pages_only`.
"""

import asyncio
import signal
from asyncio import timeout as time_limit
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any, Optional

import msgspec
from aiohttp import web
from yarl import URL

from consensual.cli.demo.web.cluster import Cluster, OrderRefused
from consensual.cli.demo.web.orders import decode
from consensual.http.answers import answer, json_errors, refuse
from consensual.http.security import is_loopback
from consensual.raft import ConsensualError

HOST = '127.0.0.1'
INTERVAL = 0.05
"""Seconds from one frame of the stream to the next."""

QUIET = 5.0
"""Seconds after which a stream without news gets a comment, so that nobody takes it for dead."""

PATIENCE = 10.0
"""Seconds for which a page may leave unread what it was sent."""

STREAM_LIMIT = 16
TRAVEL_LIMIT = 48
"""Messages of one frame."""

BODY_LIMIT = 4096
TYPES = {'html': 'text/html', 'css': 'text/css', 'js': 'text/javascript', 'svg': 'image/svg+xml'}
HEADERS = {
    'Content-Security-Policy': "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_encode = msgspec.json.Encoder().encode


async def serve(size: int, port: int) -> None:
    """Serve until SIGINT or SIGTERM.

    size: members at the start. port: 0 for a free one.

    Raises `OSError` when the port is taken.
    """
    ending = asyncio.Event()
    _on_signals(ending)
    cluster = Cluster(size)
    runner = web.AppRunner(application(cluster, ending), shutdown_timeout=1.0, access_log=None)
    try:
        await runner.setup()
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        await cluster.found()
        address = URL.build(scheme='http', host=HOST, port=runner.addresses[0][1], path='/')
        print(f'demo: {size} nodes; open {address} in a browser; Ctrl+C ends it', flush=True)
        await ending.wait()
    finally:
        ending.set()
        await runner.cleanup()
        await cluster.close()


def application(cluster: Cluster, ending: asyncio.Event) -> web.Application:
    """Return the application; streams end when `ending` is set."""
    app = web.Application(middlewares=[json_errors, own_pages_only], client_max_size=BODY_LIMIT)
    streams = Streams(cluster, ending)

    async def take_order(request: web.Request) -> web.StreamResponse:
        return await _take_order(cluster, request)

    app.router.add_get('/stream', streams.serve, allow_head=False)
    app.router.add_post('/orders', take_order)
    for path, content, content_type in _page():
        app.router.add_get(path, _served(content, content_type))
    return app


@web.middleware
async def own_pages_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what the pages of other sites have a browser send.

    The name in `Host` must be one of this machine: a foreign name that was pointed at this
    address (DNS rebinding) is none. Where a browser says whose page asks, it must be our own.
    """
    if not _is_own_host(request.host):
        return refuse(403, f'{request.host} is no name of this machine: use http://{HOST}')
    origin = request.headers.get('Origin')
    if origin is not None and origin != f'http://{request.host}':
        return refuse(403, 'pages of other sites may not ask this demo')
    site = request.headers.get('Sec-Fetch-Site', 'none')
    if site not in ('same-origin', 'none') and request.path != '/':
        return refuse(403, 'pages of other sites may not ask this demo')
    response = await handler(request)
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def _is_own_host(host: str) -> bool:
    try:
        return is_loopback(URL(f'http://{host}').host or '')
    except ValueError:
        return False


async def _take_order(cluster: Cluster, request: web.Request) -> web.Response:
    if request.content_type != 'application/json':
        return refuse(415, 'an order is application/json')
    try:
        order = decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refuse(400, f'no order: {error}')
    try:
        await cluster.carry_out(order)
    except (OrderRefused, ConsensualError) as error:
        return refuse(200, str(error))  # understood: no browser has to complain
    return answer(None)


class Streams:
    """Sends pages, as server-sent events, what changed since they were sent something."""

    def __init__(self, cluster: Cluster, ending: asyncio.Event) -> None:
        self._cluster = cluster
        self._ending = ending
        self._count = 0

    def __repr__(self) -> str:
        return f'Streams({self._count} open)'

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send frames until one of the ends goes away."""
        if self._count >= STREAM_LIMIT:
            return refuse(503, f'{STREAM_LIMIT} pages are open: close one')
        self._count += 1
        try:
            return await self._send_all(request)
        finally:
            self._count -= 1

    async def _send_all(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, 'Content-Type': 'text/event-stream'})
        await response.prepare(request)
        frames = Frames(self._cluster)
        silent_since = asyncio.get_running_loop().time()
        with suppress(TimeoutError, OSError):
            while not self._ending.is_set():
                now = asyncio.get_running_loop().time()
                frame = frames.next()
                if frame is not None or now - silent_since > QUIET:
                    silent_since = now
                    text = b': nothing new\n\n' if frame is None else b'data: %b\n\n' % frame
                    async with time_limit(PATIENCE):
                        await response.write(text)
                with suppress(TimeoutError):
                    async with time_limit(INTERVAL):
                        await self._ending.wait()
            return response
        if request.transport is not None:
            request.transport.abort()
        return response


class Frames:
    """What one page does not know yet.

    Nothing waits here for a page that is slow: what it misses of the messages it never sees.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._picture = b''
        self._events = 0
        self._travels = cluster.network.travel_count

    def next(self) -> Optional[bytes]:
        """Return the news as JSON, None when there are none."""
        cluster, frame = self._cluster, dict[str, Any]()
        picture = _encode(cluster.picture())
        if picture != self._picture:
            self._picture = picture
            frame['picture'] = msgspec.Raw(picture)
        if cluster.event_count > self._events:
            frame['events'] = [event for event in cluster.events if event.number > self._events]
            self._events = cluster.event_count
        if cluster.network.travel_count > self._travels:
            frame['travels'] = cluster.network.travels_since(self._travels, TRAVEL_LIMIT)
            self._travels = cluster.network.travel_count
        return _encode(frame) if frame else None


def _page() -> list[tuple[str, bytes, str]]:
    """Return the files of the page: path, content, type."""
    folder = files(__package__) / 'page'
    return [
        (
            '/' if path.name == 'index.html' else f'/{path.name}',
            path.read_bytes(),
            TYPES[path.name.rpartition('.')[2]],
        )
        for path in folder.iterdir()
    ]


def _served(content: bytes, content_type: str) -> Handler:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=content_type, charset='utf-8')

    return give


def _on_signals(ending: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has none: there, the process just ends
            loop.add_signal_handler(name, ending.set)
