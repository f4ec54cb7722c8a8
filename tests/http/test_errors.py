"""Each error has its status, and bad input changes nothing."""

import asyncio
import gzip
import inspect
import io
import json
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, web
from aiohttp.test_utils import make_mocked_request

from consensual.http import bodies
from consensual.http.answers import STATUSES, json_errors, status_of
from consensual.machines import KeyValueStore
from consensual.raft import errors
from consensual.raft.errors import ConsensualError
from tests.clusters import Cluster, hang, swallow_reply
from tests.http.serving import Client, answer_of, ask, served

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
LIMIT = bodies.BODY_LIMIT


@pytest.mark.parametrize('kind', KINDS)
def test_each_error_has_a_status_of_its_own_or_of_its_class(kind: type[ConsensualError]) -> None:
    """Blame decides: of the caller below 500, of the others 500 and above; with exceptions."""
    status = status_of(kind('why'))
    nearest = next(base for base in kind.__mro__ if base in STATUSES)
    assert status == STATUSES[nearest]
    if issubclass(kind, errors.StorageError | errors.InvariantViolated):
        assert status in (500, 507)


def test_statuses_are_those_that_are_documented() -> None:
    """As docs/rest.md lists them."""
    assert status_of(errors.InvalidParameters('')) == 400
    assert status_of(errors.UnknownAction('')) == 404
    assert status_of(errors.MembershipChangeInProgress('')) == 409
    assert status_of(errors.TooLarge('')) == 413
    assert status_of(errors.NotMember('')) == 421
    assert status_of(errors.NoLeader('')) == 503
    assert status_of(errors.OutcomeUnknown('')) == 504


@pytest.mark.asyncio
async def test_who_is_gone_is_no_error_of_the_server() -> None:
    """A connection that breaks before its answer leaves no traceback in the program's log."""

    async def break_off(_: web.Request) -> web.Response:
        raise ClientConnectionResetError('Cannot write to closing transport')

    answer = await json_errors(make_mocked_request('GET', '/raft'), break_off)
    assert isinstance(answer, web.Response)
    assert answer.status == 499


async def _say(client: Client, text: bytes, *, is_all: bool = False) -> bytes:
    """Send bytes over a socket of their own; return all that comes back until it is closed."""
    url = client.make_url('/')
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(text)
    if is_all:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


MALFORMED: list[tuple[str, str, bytes]] = [
    ('POST', '/add', b'{'),
    ('POST', '/add', b'{"a": NaN}'),
    ('POST', '/add', b'Infinity'),
    ('POST', '/add', b'1e999'),
    ('POST', '/add', b'"\xff"'),
    ('POST', '/add', b'"\\ud800"'),
    ('POST', '/add', b'1 2'),
    ('POST', '/add', b'[' * 100_000),
    ('POST', '/add', b'[' * 100_000 + b']' * 100_000),
    ('POST', '/add', b'{"a":' * 50_000 + b'1' + b'}' * 50_000),
    ('POST', '/add', b'[' * 150 + b']' * 150),
    ('POST', '/entries', b'{'),
    ('POST', '/entries?consistency=eventual', b'1'),
    ('POST', '/add?timeout=soon', b'1'),
    ('POST', '/add?timeout=0', b'1'),
    ('POST', '/add?timeout=-1', b'1'),
    ('POST', '/add?timeout=nan', b'1'),
    ('POST', '/add?timeout=inf', b'1'),
    ('POST', '/add?timeout=61', b'1'),
    ('POST', '/', b'null'),
    ('POST', '/', b'{}'),
    ('POST', '/', b'[]'),
    ('POST', '/', b'[1]'),
    ('POST', '/', b'"memory://b"'),
    ('POST', '/', b'["http://[::1"]'),
    ('POST', '/', b'["/path"]'),
    ('POST', '/', json.dumps([f'memory://n{n}' for n in range(65)]).encode()),
    ('DELETE', '/', b'null'),
    ('DELETE', '/', b'[]'),
    ('DELETE', '/?reset=yes', b''),
    ('DELETE', '/?reset=true', b'["memory://b"]'),
    ('POST', '/leadership', b'[]'),
    ('POST', '/leadership', b'"/path"'),
    ('POST', '/snapshot?timeout=x', b''),
]


@pytest.mark.asyncio
async def test_what_is_malformed_is_400_and_changes_nothing() -> None:
    """The text says what is wrong."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        before = cluster['a'].status
        for method, path, body in MALFORMED:
            async with client.request(method, path, data=body) as response:
                answer = await answer_of(response)
            assert answer.status == 400, (method, path, body[:40], answer)
            assert answer.error
        assert cluster['a'].status == before


@pytest.mark.asyncio
async def test_bytes_that_are_no_http_are_refused() -> None:
    """And a body that ends too early is none; the next request is served as ever."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        before = cluster['a'].status
        for text in (
            bytes(range(256)) * 8,
            b'POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
            b'POST /add HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n1\r\n',
            b'POST /add HTTP/1.1\r\nHost: x\r\nX: ' + b'x' * 100_000 + b'\r\n\r\n',
        ):
            first, _, _ = (await _say(client, text)).partition(b'\r\n')
            assert b' 400 ' in first, (text[:40], first)
        cut = b'POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1'
        await _say(client, cut, is_all=True)
        assert cluster['a'].status == before
        assert (await ask(client, 'POST', '/add', 1)).status == 200


@pytest.mark.asyncio
async def test_body_that_is_too_large_is_413_whatever_its_length_claims() -> None:
    """No more than the limit is kept."""

    async def endless() -> Any:
        for _ in range(2 * LIMIT // 1000):
            yield b'x' * 1000

    async with Cluster('a') as cluster, served(cluster['a']) as client:
        for data in (io.BytesIO(b'"' + b'x' * LIMIT + b'"'), endless()):
            async with client.post('/add', data=data) as response:
                assert (await answer_of(response)).status == 413
        async with client.post('/add', data=b'"' + b'x' * (LIMIT - 2) + b'"') as response:
            assert (await answer_of(response)).status == 413  # with its name it is above 1 MiB
        async with client.post('/add', data=b'"' + b'x' * (LIMIT - 100) + b'"') as response:
            assert (await answer_of(response)).status == 200
        assert len(cluster.ledgers['a'].entries) == 1


@pytest.mark.asyncio
async def test_compressed_body_is_refused() -> None:
    """A little of it could be a lot."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        bomb = gzip.compress(b' ' * 10_000_000 + b'1')
        headers = {'Content-Encoding': 'gzip'}
        async with client.post('/add', data=bomb, headers=headers) as response:
            assert (await answer_of(response)).status == 415
        assert cluster.ledgers['a'].entries == []


@pytest.mark.asyncio
async def test_body_that_does_not_arrive_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends slowly holds nothing for ever."""
    monkeypatch.setattr(bodies, 'BODY_TIMEOUT', 0.05)
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        url = client.make_url('/')
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b'POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1')
        assert (await reader.readline()).startswith(b'HTTP/1.1 408 ')
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_names_that_nobody_has_are_404() -> None:
    """The text says which there are."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        answer = await ask(client, 'POST', '/sub', 1)
        assert answer.status == 404
        assert "'sub' is no action and no query" in str(answer.error)
        assert "'add'" in str(answer.error)
        assert "'count'" in str(answer.error)


@pytest.mark.asyncio
async def test_refusals_of_functions_are_422_or_their_own() -> None:
    """An action that raised was applied; a query that was asked wrongly is 400."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        action = await ask(client, 'POST', '/fail', 7)
        assert action[:3] == (422, "processor 'fail' raised ValueError('no 7')", None)
        query = await ask(client, 'POST', '/broken', 7)
        assert query[:3] == (422, "query 'broken' raised ValueError('no 7')", None)
    machine = KeyValueStore()
    async with Cluster('a', state_machine=machine) as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'POST', '/get', {'kex': 1})).status == 400
        assert (await ask(client, 'POST', '/put', {'kex': 1})).status == 422


@pytest.mark.asyncio
async def test_result_that_json_cannot_carry_is_an_error_of_what_was_done() -> None:
    """It says that it was done."""
    processors = {'odd': lambda _: object(), 'complex': lambda _: 1j}
    async with (
        Cluster('a', state_machine=None, processors=processors) as cluster,
        served(cluster['a']) as client,
    ):
        for name in processors:
            answer = await ask(client, 'POST', f'/{name}')
            assert answer.status == 500
            assert 'it was done, with a result that JSON cannot carry' in str(answer.error)


@pytest.mark.asyncio
async def test_conflicts_are_409() -> None:
    """One change at a time; who is a member cannot be attached, nor one with a history."""
    async with Cluster('ab', idle='c') as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'POST', '/', ['memory://b'])).status == 409
        lost = cluster.network.add(hang, receiver='c')
        first = asyncio.create_task(ask(client, 'POST', '/', ['memory://c']))
        await cluster.until(lambda: any(key[1] == 'c' for key in cluster.network.sent))
        second = await ask(client, 'DELETE', '/', ['memory://b'])
        assert second.status == 409
        assert 'the membership is being changed already' in str(second.error)
        assert (await first).status == 502
        cluster.network.remove(lost)
        await cluster['c'].solo()
        assert (await ask(client, 'POST', '/', ['memory://c'])).status == 409


@pytest.mark.asyncio
async def test_request_for_another_cluster_is_421() -> None:
    """Also one to a node that is in none."""
    async with Cluster('a', idle='b') as cluster, served(cluster['a']) as client:
        own = cluster['a'].status.cluster_id
        for path, headers in (
            ('/add?cluster=other', {}),
            ('/add', {'Consensual-Cluster': 'other'}),
        ):
            answer = await ask(client, 'POST', path, 1, headers=headers)
            assert answer.status == 421
            assert f"the cluster 'other', and this node is in {own}" in str(answer.error)
        assert (await ask(client, 'POST', f'/add?cluster={own}', 1)).status == 200
        async with served(cluster['b']) as other:
            assert (await ask(other, 'POST', '/add', 1)).status == 421
            assert (await ask(other, 'POST', '/entries')).status == 421
        assert cluster.ledgers['a'].entries == [1]


@pytest.mark.asyncio
async def test_without_a_leader_it_is_503_with_the_time_to_wait() -> None:
    """Nothing was done, so it may be asked again."""
    async with Cluster('abc') as cluster, served(cluster['b']) as client:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: cluster['b'].status.leader is None)
        for method, path, body in (
            ('POST', '/add?timeout=0.1', 1),
            ('POST', '/entries?timeout=0.1', None),
            ('POST', '/?timeout=0.1', ['memory://d']),
            ('DELETE', '/?timeout=0.1', ['memory://c']),
            ('POST', '/leadership?timeout=5', None),
        ):
            answer = await ask(client, method, path, body)
            assert answer.status == 503, (path, answer)
            assert answer.headers['Retry-After'] == '1'
        named = await ask(client, 'POST', '/add', 1, headers={'Request-Timeout': '0.1'})
        assert named.status == 503
        assert '0.1 s' in str(named.error)


@pytest.mark.asyncio
async def test_outcome_that_nobody_knows_is_504() -> None:
    """It may be done, or not: look before it is asked again."""
    async with Cluster('ab') as cluster, served(cluster['b']) as client:
        await cluster['b'].execute('add', 0)
        cluster.network.add(swallow_reply, sender='b', receiver='a')
        cluster.network.add(hang, sender='a', receiver='b')
        answer = await ask(client, 'POST', '/add?timeout=0.1', 1)
        assert answer.status == 504
        assert 'may be applied later or never' in str(answer.error)


@pytest.mark.asyncio
async def test_query_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is told, and its task is no more."""
    monkeypatch.setattr('consensual.http.rest.GRACE', 0.05)
    ended = asyncio.Event()

    class Slow(KeyValueStore):
        def __init__(self) -> None:
            super().__init__()
            self.queries = {'wait': self.wait}

        async def wait(self, _: Any) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

    async with Cluster('a', state_machine=Slow()) as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'POST', '/wait?timeout=0.05')).status == 504
        assert ended.is_set()


@pytest.mark.asyncio
async def test_stopped_node_is_503() -> None:
    """Its owner may start it again; it is healthy all the same."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        await cluster['a'].stop()
        for method, path in (
            ('POST', '/add'),
            ('POST', '/'),
            ('GET', '/events'),
            ('GET', '/ready'),
        ):
            assert (await ask(client, method, path)).status == 503
        assert (await ask(client, 'GET', '/status')).result['role'] == 'detached'
        assert (await ask(client, 'GET', '/health')).status == 200
