"""Nodes that reach each other in memory, and are asked over loopback at their own URLs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web
from yarl import URL

from consensual.cli import main
from consensual.http.clients import Clients
from consensual.http.rest import Rest
from consensual.machines import KeyValueStore
from consensual.raft import Node, communication
from consensual.testing.ports import free_url
from tests.http.serving import Open


@asynccontextmanager
async def nodes_served(size: int, *, access: Any = None) -> AsyncIterator[list[Node]]:
    """Yield detached nodes."""
    cluster: dict[str, Node] = {}
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(size):
            listening = socket.create_server(('127.0.0.1', 0))
            url = URL.build(scheme='http', host='127.0.0.1', port=listening.getsockname()[1])
            sender = communication.Sender([url], cluster)
            node = Node.from_url(url, sender=sender, state_machine=KeyValueStore())
            communication.Receiver(node, cluster).start()
            app = web.Application()
            Clients(node, access or Open()).install(app)
            Rest(node, access or Open()).install(app)
            runner = web.AppRunner(app, handler_cancellation=True)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            stack.push_async_callback(node.stop)
            stack.push_async_callback(runner.cleanup)
            nodes.append(node)
        yield nodes


@asynccontextmanager
async def cluster_served(size: int, *, access: Any = None) -> AsyncIterator[list[Node]]:
    """Yield the nodes of a cluster; the first one leads."""
    async with nodes_served(size, access=access) as nodes:
        assert await nodes[0].solo() is None
        if size > 1:
            assert await nodes[0].attach_nodes([node.url for node in nodes[1:]]) is None
        yield nodes


async def consensual(*arguments: object) -> int:
    """Run a command as the console script does; return its exit status."""
    return await asyncio.to_thread(_status, [str(argument) for argument in arguments])


def _status(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as error:
        return int(error.code or 0)  # argparse gives a number


def unused_url() -> URL:
    """Return a URL at which nobody listens."""
    return free_url()
