"""Nodes of in-memory clusters, served over loopback sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Optional

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from consensual.http.events import Streams
from consensual.http.rest import Rest
from consensual.raft import Node

Client = TestClient[web.Request, web.Application]


class Open:
    """Lets everybody in."""

    def check_client(self, request: web.Request) -> None:
        """Refuse nobody."""


class Guarded:
    """Lets in who knows the word."""

    def check_client(self, request: web.Request) -> None:
        """Refuse whoever says nothing, or something else."""
        word = request.headers.get('Authorization')
        if word is None:
            raise web.HTTPUnauthorized(
                reason='say the word', headers={'WWW-Authenticate': 'Bearer'}
            )
        if word != 'Bearer sesame':
            raise web.HTTPForbidden(
                text=json.dumps({'error': 'the wrong word', 'result': None}),
                content_type='application/json',
            )


class Answer(NamedTuple):
    """What came back."""

    status: int
    error: Optional[str]
    result: Any
    headers: Any


async def answer_of(response: ClientResponse) -> Answer:
    """Return what a response says; it must be of the one form."""
    assert response.content_type == 'application/json', await response.text()
    body = await response.json()
    assert set(body) == {'error', 'result'}
    assert (body['error'] is None) is (response.status == 200)
    return Answer(response.status, body['error'], body['result'], response.headers)


async def ask(client: Client, method: str, path: str, body: Any = None, **options: Any) -> Answer:
    """Ask, with a body of JSON unless None."""
    if body is not None:
        options['json'] = body
    async with client.request(method, path, **options) as response:
        return await answer_of(response)


@asynccontextmanager
async def served(
    node: Node, *, access: Any = None, streams: Optional[Streams] = None
) -> AsyncIterator[Client]:
    """Serve a node; yield who asks it."""
    app = web.Application()
    Rest(node, access or Open(), streams=streams).install(app)
    async with TestClient(TestServer(app), timeout=None) as client:
        yield client
