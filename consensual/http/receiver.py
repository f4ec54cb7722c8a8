"""The server of a node: peers, clients and operators on one port, or in an application of yours.

What is served is in `peers` and `rest`; who may ask is in `security`.
"""

from asyncio import sleep
from ssl import SSLContext
from typing import Optional, Self

from aiohttp import web

from consensual.http.draining import Requests
from consensual.http.peers import Peers
from consensual.http.rest import Rest
from consensual.http.security import Access, check_bind
from consensual.raft import Endpoint, Node
from consensual.raft import Receiver as _Receiver

PATIENCE = 2.0
"""Seconds for which `stop` waits for requests that are being answered."""

LINGER = 0.25
"""Seconds for which whoever is connected is told that the node stops: else a request that is on its
way when its connection is closed would have an unknown outcome."""

REQUEST_TIMEOUT = 20.0
"""Seconds within which a connection has to make a request, before it and after each."""


class Receiver(_Receiver):
    """Takes messages for a node, and serves its REST, until it is stopped.

    host, port: where to listen; those of the node's URL unless given, as behind a proxy or in a
        container. A host of '' is every address.
    ssl: with it, the server speaks TLS only; with `verify_mode=CERT_REQUIRED`, to those only who
        show a certificate.
    peer_token: what other nodes have to show: see `Sender`.
    client_token: what clients and operators have to show.
    insecure: listen for other hosts although everybody is let in.

    Raises `InvalidParameters` for tokens that no header can carry.
    """

    def __init__(
        self,
        node: Endpoint,
        *,
        host: Optional[str] = None,
        port: Optional[int] = None,
        ssl: Optional[SSLContext] = None,
        peer_token: Optional[str] = None,
        client_token: Optional[str] = None,
        insecure: bool = False,
    ) -> None:
        self._node = node
        self._host = node.url.host or '' if host is None else host
        self._port = node.url.port if port is None else port
        self._ssl = ssl
        self._access = Access(peer_token=peer_token, client_token=client_token)
        self._insecure = insecure
        self._runner: Optional[web.AppRunner] = None
        self._mounted = 0
        self._requests = Requests()

    def __repr__(self) -> str:
        return f'Receiver({self._node!r}, {self._host}:{self._port}, running={self.is_running})'

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`, and while an application serves it."""
        return self._runner is not None or self._mounted > 0

    @property
    def port(self) -> Optional[int]:
        """Where it listens; with a port of 0, known when it is running."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    async def start(self) -> None:
        """Begin to listen.

        Raises `RuntimeError` when running already, `OSError` when the address is taken, and
        `InsecureBind` when other hosts would be let in without a token or a certificate.
        """
        if self.is_running:
            raise RuntimeError(f'the receiver of {self._node.url} is already running')
        app = web.Application()
        self._install(app)
        self._runner = runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=PATIENCE,
            keepalive_timeout=REQUEST_TIMEOUT,
        )
        try:
            if not self._insecure:
                await check_bind(self._host, self._access, self._ssl)
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl).start()
        except BaseException:
            self._runner = None
            await runner.cleanup()
            raise

    async def drain(self, timeout: float) -> None:
        """Refuse new requests, answer those under way, then take no new connections.

        The orderly way to an end: have a leader hand over, then this, stop the node, stop the
        receiver. The node's messages are taken meanwhile.
        timeout: seconds that the answers are waited for.
        """
        await self._requests.drain(timeout)
        if self._runner is not None:
            for site in tuple(self._runner.sites):
                await site.stop()
            await sleep(LINGER)

    async def stop(self) -> None:
        """Take no more messages, end the connections; stopped already, do nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def mount(self, app: web.Application) -> None:
        """Have an application of yours serve the node; instead of `start` and `stop`.

        app: not running yet; `add_subapp` it at the path of the node's URL. It is to be run with
            `handler_cancellation=True`. Where it listens, with or without TLS, is yours to decide.
        """
        self._install(app)
        app.on_startup.append(self._app_started)
        app.on_cleanup.append(self._app_ended)

    async def _app_started(self, _: web.Application) -> None:
        self._mounted += 1

    async def _app_ended(self, _: web.Application) -> None:
        self._mounted -= 1

    def _install(self, app: web.Application) -> None:
        self._requests.install(app)
        Peers(self._node, self._access).install(app)
        if isinstance(self._node, Node):
            Rest(self._node, self._access).install(app)
