"""The receiver: one port where a node takes messages of its peers, and is asked by REST."""

import ssl
from asyncio import gather, sleep
from collections.abc import Awaitable, Callable
from typing import Any, Optional, Self

from aiohttp import web
from yarl import URL

from consensual.http.clients import Clients
from consensual.http.draining import Requests
from consensual.http.peers import Peers
from consensual.http.rest import Rest
from consensual.http.security import Access, check_address
from consensual.http.sender import Sender
from consensual.raft import Node
from consensual.raft import Receiver as _Receiver
from consensual.raft.driver.ports import Endpoint
from consensual.raft.errors import InvalidParameters

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that requests under way are given when the receiver stops."""

REQUEST_TIMEOUT = 30.0
"""Seconds within which a connection makes a request, the first one included, or is closed."""

LINGER = 0.25
"""Seconds for which whoever is connected is told that the node stops: else a request that is on its
way when its connection is closed would have an unknown outcome."""


class Receiver(_Receiver):
    """Serves a node on one port: to its peers by WebSocket, to clients and operators by REST.

    node: who is served.
    host, port: where it listens; those of the node's URL unless given.
    ssl: makes it https, which the node's URL must say, too; with `verify_mode` of
        `CERT_REQUIRED` only who has a certificate gets in (mutual TLS).
    peer_token, client_token: what peers, and clients and operators, must know.
    insecure: serve a network although nobody is asked who they are.

    Use it as `async with Receiver(node), node:`; it closes the node's sender when it stops.
    Raises `InsecureAddress` and `InvalidParameters`.
    """

    def __init__(
        self,
        node: Endpoint,
        *,
        host: Optional[str] = None,
        port: Optional[int] = None,
        ssl: Optional[ssl.SSLContext] = None,
        peer_token: Optional[str] = None,
        client_token: Optional[str] = None,
        insecure: bool = False,
    ) -> None:
        url = node.url
        if (url.scheme == 'https') != (ssl is not None):
            raise InvalidParameters(
                f'{url} is served with TLS exactly if it is an https URL: give both or none'
            )
        self._node = node
        self._host = host if host is not None else (url.host or '')
        self._port = port if port is not None else (url.port or 0)
        self._ssl = ssl
        self._access = Access(peer_token=peer_token, client_token=client_token)
        check_address(self._host, self._access, ssl, insecure=insecure)
        self._runner: Optional[web.AppRunner] = None
        self._drains: list[Callable[[float], Awaitable[None]]] = []

    def __repr__(self) -> str:
        return f'Receiver({self._node!r}, running={self.is_running})'

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._runner is not None

    def install(self, app: web.Application) -> None:
        """Add the routes to an application of one's own, which runs and stops by itself then.

        Where it listens, and with what security, is its own business; tokens are asked for.
        """
        requests = Requests()
        requests.install(app)
        self._drains.append(requests.drain)
        Peers(self._node, self._access, self._tell_lost).install(app)
        if isinstance(self._node, Node):
            clients = Clients(self._node, self._access)
            clients.install(app)
            self._drains.append(clients.drain)
            Rest(self._node, self._access).install(app)
        app.on_cleanup.append(self._close_sender)

    def _tell_lost(self, url: URL) -> None:
        if isinstance(self._node, Node):
            self._node.connection_lost(url)

    async def _close_sender(self, _: Any) -> None:
        if isinstance(self._node, Node) and isinstance(self._node.sender, Sender):
            await self._node.sender.close()

    async def start(self) -> None:
        """Listen from now on.

        Raises `RuntimeError` when running already, `OSError` when the address is taken.
        """
        if self.is_running:
            raise RuntimeError(f'the receiver of {self._node.url} is already running')
        app = web.Application()
        self.install(app)
        self._runner = runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=SHUTDOWN_TIMEOUT,
            keepalive_timeout=REQUEST_TIMEOUT,
        )
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl).start()
        except BaseException:
            self._runner = None
            self._drains.clear()
            await runner.cleanup()
            raise

    async def drain(self, timeout: float) -> None:
        """Refuse new requests and calls, answer those under way, then take no new connections.

        Clients are sent away, to other nodes, as soon as none of their calls is under way.
        The orderly way to an end: have a leader hand over, then this, stop the node, stop the
        receiver. The node's messages are taken meanwhile.
        timeout: seconds that the answers are waited for.
        """
        await gather(*(drain(timeout) for drain in self._drains))
        if self._runner is not None:
            for site in tuple(self._runner.sites):
                await site.stop()
            await sleep(LINGER)

    async def stop(self) -> None:
        """Close the port and all connections; stopped already, do nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._drains.clear()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
