"""The REST routes, over loopback sockets, on in-memory clusters."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from consensual.http.rest import Rest
from consensual.machines import KeyValueStore
from consensual.raft import MessageKind
from consensual.storage import MemoryStorage
from tests.clusters import HEARTBEAT, Cluster, T, lose_reply
from tests.http.serving import Guarded, Open, answer_of, ask, served

pytestmark = pytest.mark.asyncio


async def test_cluster_is_founded_grown_and_shrunk() -> None:
    """POST / without a body founds, with URLs attaches; DELETE / detaches them."""
    async with Cluster('', idle='abc') as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'POST', '/'))[:3] == (200, None, None)
        urls = ['memory://b/', 'memory://c/']
        assert (await ask(client, 'POST', '/', urls))[:3] == (200, None, None)
        assert sorted((await ask(client, 'GET', '/status')).result['voters'])[1:] == urls
        assert (await ask(client, 'DELETE', '/', urls[1:]))[:3] == (200, None, None)
        await cluster.until(lambda: cluster['c'].status.role == 'detached')


async def test_node_leaves_and_is_reset_only_when_that_is_asked_for() -> None:
    """A request that is repeated erases nothing."""
    async with Cluster('ab') as cluster, served(cluster['b']) as client:
        await cluster['a'].execute('add', 1)
        await cluster.until_equal()
        refused = await ask(client, 'DELETE', '/?reset=true')
        assert refused.status == 409
        assert 'b is a member of a cluster' in str(refused.error)
        assert (await ask(client, 'DELETE', '/')).status == 200
        again = await ask(client, 'DELETE', '/')
        assert (again.status, cluster.ledgers['b'].entries) == (421, [1])
        assert (await ask(client, 'DELETE', '/?reset=true')).status == 200
        assert cluster.ledgers['b'].entries == []


async def test_actions_and_queries_are_called_by_name() -> None:
    """With JSON parameters; none are null."""
    async with Cluster('ab') as cluster, served(cluster['b']) as client:
        assert (await ask(client, 'POST', '/add', {'x': [1, None]})).result == 1
        assert (await ask(client, 'POST', '/add')).result == 2
        assert (await ask(client, 'POST', '/entries')).result == [{'x': [1, None]}, None]
        local = await ask(client, 'POST', '/count?consistency=local', {'x': [1, None]})
        assert local.result == 1


async def test_names_may_need_to_be_quoted() -> None:
    """A slash and a blank are written as in any URL."""
    processors = {'my/great action': lambda value: value * 2}
    async with (
        Cluster('a', state_machine=None, processors=processors) as cluster,
        served(cluster['a']) as client,
        client.session.post(f'{client.make_url("/")}my%2Fgreat%20action', json=4) as response,
    ):
        assert (await answer_of(response)).result == 8


async def test_fixed_routes_come_before_actions() -> None:
    """An action named like one that is asked by GET can be called all the same."""
    processors = {'leadership': lambda _: 'action', 'status': lambda _: 'action'}
    async with (
        Cluster('a', state_machine=None, processors=processors) as cluster,
        served(cluster['a']) as client,
    ):
        assert (await ask(client, 'POST', '/leadership')).result != 'action'
        assert (await ask(client, 'POST', '/status')).result == 'action'


async def test_leadership_is_transferred() -> None:
    """To the voter that is named."""
    async with Cluster('abc') as cluster, served(cluster['b']) as client:
        done = await ask(client, 'POST', '/leadership', 'memory://c')
        assert done[:3] == (200, None, {'leader': 'memory://c/'})
        assert cluster['c'].status.role == 'leader'


async def test_snapshot_is_taken() -> None:
    """Up to what was applied; where the state machine has none, it is 501."""
    machine = KeyValueStore()
    async with Cluster('a', state_machine=machine) as cluster, served(cluster['a']) as client:
        await ask(client, 'POST', '/put', {'key': 'k', 'value': 1})
        applied = cluster['a'].status.applied_index
        assert (await ask(client, 'POST', '/snapshot')).result == {'snapshot_index': applied}
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'POST', '/snapshot')).status == 501


async def test_status_is_that_of_the_node() -> None:
    """All its fields, URLs as text."""
    async with Cluster('ab') as cluster, served(cluster['b']) as client:
        result = (await ask(client, 'GET', '/status')).result
        assert result['url'] == 'memory://b'
        assert result['leader'] == 'memory://a/'
        assert result['role'] == 'follower'
        assert sorted(result['voters']) == ['memory://a/', 'memory://b/']
        assert set(result) == set(cluster['b'].status.__struct_fields__)


async def test_node_is_ready_once_it_has_a_leader_and_votes() -> None:
    """And not before."""
    async with Cluster('', idle='ab') as cluster, served(cluster['b']) as client:
        refused = await ask(client, 'GET', '/ready')
        assert refused[:2] == (503, 'the node is in no cluster')
        assert refused.headers['Retry-After'] == '1'
        await cluster['a'].solo()
        await cluster['a'].attach_nodes([cluster['b'].url])
        assert (await ask(client, 'GET', '/ready')).result == 'ready'


async def test_node_that_does_not_hear_its_leader_is_not_ready() -> None:
    """Its state may be old."""
    async with Cluster('abc') as cluster, served(cluster['b']) as client:
        cluster.network.cut_off('b')
        await asyncio.sleep(2 * T)
        refused = await ask(client, 'GET', '/ready')
        assert refused.status == 503
        assert 'leader' in str(refused.error)
        assert (await ask(client, 'GET', '/health')).result == 'up'


async def test_node_that_does_not_know_what_is_committed_reckons_with_all_that_it_has() -> None:
    """Until its leader has committed in its own term (thesis §6.4): after a start, that is much."""
    async with Cluster('abc') as cluster:
        others = cluster['b'], cluster['c']
        for node in others:
            await node.execute('add', 'so that it has a session')
        cluster.network.cut_off('a')
        cluster.network.add(lose_reply, kinds=[MessageKind.APPEND_ENTRIES])
        await cluster.until(lambda: any(node.status.role == 'leader' for node in others))
        (leader,) = [node for node in others if node.status.role == 'leader']
        async with served(leader) as client:
            assert (await ask(client, 'GET', '/ready')).result == 'ready'
            calls = [asyncio.create_task(leader.execute('add', n)) for n in range(1100)]
            await cluster.until(lambda: leader.status.last_index > 1100)
            assert leader.status.commit_index < 100
            refused = await ask(client, 'GET', '/ready')
            assert refused.status == 503
            assert 'entries to apply' in str(refused.error)
            cluster.network.heal()
            await asyncio.gather(*calls)
            assert (await ask(client, 'GET', '/ready')).result == 'ready'


async def test_node_that_has_not_applied_what_is_committed_is_not_ready() -> None:
    """What it answers locally would be far behind."""
    gate = asyncio.Event()

    async def wait(_: Any) -> None:
        await gate.wait()

    processors = {'wait': wait, 'add': lambda _: None}
    async with (
        Cluster('a', state_machine=None, processors=processors) as cluster,
        served(cluster['a']) as client,
    ):
        calls = [asyncio.create_task(cluster['a'].execute('wait'))]
        calls += [asyncio.create_task(cluster['a'].execute('add')) for _ in range(1100)]
        await cluster.until(lambda: cluster['a'].status.commit_index > 1100)
        refused = await ask(client, 'GET', '/ready')
        assert refused.status == 503
        assert 'committed entries to apply' in str(refused.error)
        gate.set()
        await asyncio.gather(*calls)
        assert (await ask(client, 'GET', '/ready')).status == 200


async def test_failed_node_is_neither_healthy_nor_ready_and_says_why() -> None:
    """The status tells the reason, to whoever may see it; everything else is 503."""
    async with Cluster('a', state_machine=None, processors={'add': lambda _: None}) as cluster:
        await cluster['a'].execute('add', 1)
        cluster.make('b', processors={})
        attaching = asyncio.create_task(cluster['a'].attach_nodes([cluster['b'].url]))
        async with served(cluster['b']) as client:
            await cluster.until(lambda: cluster['b'].status.failure is not None)
            assert (await ask(client, 'GET', '/health')).status == 503
            assert (await ask(client, 'GET', '/ready')).status == 503
            status = await ask(client, 'GET', '/status')
            assert 'no processor' in status.result['failure']
            assert (await ask(client, 'POST', '/')).status == 503
        attaching.cancel()


async def test_outcome_of_a_command_is_unknown_where_the_leader_fails_over_it() -> None:
    """It was sent to the others beside the write that failed; 503 would say: nothing is done."""
    is_full = False

    async def disk() -> None:
        if is_full:
            raise OSError(28, 'No space left on device')

    async with Cluster('') as cluster:
        cluster.make('a', storage=MemoryStorage(later=disk))
        cluster.make('b')
        cluster.make('c')
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes([cluster['b'].url, cluster['c'].url]) is None
        assert await cluster['a'].execute('add', 1) == 1
        async with served(cluster['a']) as client:
            is_full = True
            lost = await ask(client, 'POST', '/add', 2)
            assert (lost.status, 'may be applied or not' in str(lost.error)) == (504, True)
            assert (await ask(client, 'POST', '/add', 3)).status == 503, 'nothing is done any more'
        await cluster.until(lambda: cluster.ledgers['b'].entries == [1, 2])


async def test_routes_and_methods_that_are_not_there_are_refused_in_json() -> None:
    """With what HTTP says about them."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        assert (await ask(client, 'GET', '/a/b')).status == 404
        refused = await ask(client, 'PUT', '/')
        assert refused.status == 405
        assert 'POST' in refused.headers['Allow']


async def test_clients_are_checked_before_anything_is_read() -> None:
    """Everywhere but at /health."""
    async with Cluster('a') as cluster, served(cluster['a'], access=Guarded()) as client:
        assert (await ask(client, 'GET', '/health')).status == 200
        for method, path in (
            ('GET', '/status'),
            ('GET', '/ready'),
            ('GET', '/metrics'),
            ('GET', '/events'),
            ('POST', '/'),
            ('DELETE', '/'),
            ('POST', '/leadership'),
            ('POST', '/snapshot'),
            ('POST', '/add'),
            ('POST', '/unheard-of'),
        ):
            unknown = await ask(client, method, path)
            assert unknown.status == 401
            assert unknown.headers['WWW-Authenticate'] == 'Bearer'
            wrong = await ask(client, method, path, headers={'Authorization': 'Bearer x'})
            assert wrong[:2] == (403, 'the wrong word')
        assert cluster.ledgers['a'].entries == []
        right = await ask(client, 'POST', '/add', 7, headers={'Authorization': 'Bearer sesame'})
        assert right.result == 1


async def test_pages_of_other_sites_are_refused() -> None:
    """A browser has the reach of its user, who did not ask for that."""
    async with Cluster('a') as cluster, served(cluster['a']) as client:
        evil = await ask(client, 'POST', '/add', 1, headers={'Origin': 'https://evil.example'})
        assert evil.status == 403
        own = str(client.make_url('/').origin())
        assert (await ask(client, 'POST', '/add', 1, headers={'Origin': own})).status == 200
        assert cluster.ledgers['a'].entries == [1]


async def test_node_is_mounted_in_an_application() -> None:
    """Under a path of its own; the routes of others stay as they are."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text='hello')

    async with Cluster('a') as cluster:
        app, raft = web.Application(), web.Application()
        app.add_routes([web.get('/hello', hello)])
        Rest(cluster['a'], Open()).install(raft)
        app.add_subapp('/raft', raft)
        async with TestClient(TestServer(app)) as client:
            assert (await ask(client, 'POST', '/raft/add', 5)).result == 1
            assert (await ask(client, 'GET', '/raft/status')).result['role'] == 'leader'
            assert (await ask(client, 'GET', '/raft/none')).status == 405
            assert (await ask(client, 'POST', '/raft/')).status == 200
            async with client.get('/hello') as response:
                assert await response.text() == 'hello'
            async with client.get('/none') as response:
                assert (response.status, response.content_type) == (404, 'text/plain')


async def test_call_whose_client_goes_away_leaves_no_task() -> None:
    """Where the server ends its handlers then, the command is waited for no more."""
    async with Cluster('ab') as cluster:
        cluster.network.cut_off('b')
        app = web.Application()
        Rest(cluster['b'], Open()).install(app)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, '127.0.0.1', 0).start()
        before = asyncio.all_tasks()
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b'POST /add?timeout=60 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1')
        await cluster.until(lambda: asyncio.all_tasks() - before)
        writer.transport.abort()
        await cluster.until(lambda: not asyncio.all_tasks() - before, seconds=HEARTBEAT * 50)
        await runner.cleanup()
