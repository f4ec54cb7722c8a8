"""The exit status never denies what may have been done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.cli.served_cluster import cluster_served, consensual
from tests.clusters import Cluster
from tests.http.serving import served

pytestmark = pytest.mark.asyncio
Output = pytest.CaptureFixture[str]
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REFUSED, UNKNOWN = 1, 4


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[tuple[str, asyncio.Server]]:
    """Have somebody listen, and yield where."""
    server = await asyncio.start_server(handle, '127.0.0.1', 0)
    async with server:
        yield f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}', server


async def test_request_is_sent_once_although_the_node_dies_over_it(capsys: Output) -> None:
    """A second one that finds nobody would say that nothing was done."""
    asked: list[bytes] = []

    async def take_and_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b'\r\n\r\n'))
        server.close()
        writer.close()

    async with listening(take_and_die) as (url, server):
        assert await consensual('detach', '--node', url, 'http://127.0.0.1:9') == UNKNOWN
    assert len(asked) == 1
    assert 'broke the connection off' in capsys.readouterr().err


async def test_node_that_left_before_the_connection_broke_is_not_asked_again() -> None:
    """It would answer that it is in no cluster, so that nothing was done."""
    async with cluster_served(2) as nodes:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_connection('127.0.0.1', nodes[1].url.port)
            ours.write(await reader.readuntil(b'\r\n\r\n'))
            await theirs.readuntil(b'\r\n\r\n')
            ours.close()
            writer.close()

        async with listening(relay) as (url, _):
            assert await consensual('detach', '--node', url) == UNKNOWN
        assert nodes[1].status.role == 'detached'


@pytest.mark.parametrize(
    ('command', 'code', 'status'),
    [
        ('put', 500, UNKNOWN),
        ('put', 502, UNKNOWN),
        ('put', 504, UNKNOWN),
        ('put', 200, UNKNOWN),
        ('put', 404, REFUSED),
        ('put', 413, REFUSED),
    ],
)
async def test_what_something_in_between_says_is_no_word_of_the_node(
    command: str, code: int, status: int, capsys: Output
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'\r\n\r\n')
        body = b'<html>Bad Gateway</html>'
        head = (
            f'HTTP/1.1 {code} X\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n'
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with listening(answer) as (url, _):
        assert await consensual('kv', command, '--node', url, 'k', '1') == status
    assert 'something between' in capsys.readouterr().err


async def test_time_that_is_over_is_said_to_be_that(capsys: Output) -> None:
    over = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'\r\n\r\n')
        await over.wait()
        writer.close()

    async with listening(hang) as (url, _):
        asked = 'kv', 'put', '--node', url, '--timeout', '0.1', 'k', '1'
        assert await consensual(*asked) == UNKNOWN
        over.set()
    assert 'did not answer within' in capsys.readouterr().err


class Odd:
    """Does things, with results that are not a key-value store's."""

    queries: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        self.done = 0
        self.processors = {'odd': self.odd, 'put': self.put}

    def odd(self, _: Any) -> Any:
        self.done += 1
        return {object()}

    def put(self, _: Any) -> None:
        self.done += 1

    def reset(self) -> None:
        self.done = 0


@pytest.mark.parametrize(
    ('command', 'status'), [(('call', 'odd'), UNKNOWN), (('kv', 'put', 'k', '1'), 0)]
)
async def test_what_was_done_with_an_odd_result_is_not_refused(
    command: tuple[str, ...], status: int, capsys: Output
) -> None:
    machine = Odd()
    async with Cluster('a', state_machine=machine) as cluster, served(cluster['a']) as client:
        assert await consensual(*command, '--node', client.make_url('/')) == status
    assert machine.done == 1
    said = capsys.readouterr()
    assert 'it was done' in said.err if status else said.out == 'null\n'
