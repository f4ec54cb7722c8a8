"""The client, over loopback sockets: what it is told, whom it follows; retries count once."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from consensual.http.client import Client, ClientClosed
from consensual.raft.errors import (
    ConsensualError,
    InvalidAddress,
    InvalidParameters,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    ProcessorFailed,
    TooLarge,
    UnknownAction,
    UnknownQuery,
)
from tests.clusters import hang, swallow_reply
from tests.http.client_clusters import HEARTBEAT, ServedCluster
from tests.http.serving import Guarded

pytestmark = pytest.mark.asyncio

T = 5 * HEARTBEAT


async def test_commands_queries_and_status() -> None:
    """Each call gives what the node's own gives."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        assert await client.execute('add', {'x': [1, None, 'ü']}) == 1
        assert await client.execute('add') == 2
        assert await client.query('entries') == [{'x': [1, None, 'ü']}, None]
        assert await client.query('count', None) == 1
        await cluster.until_equal()
        assert await client.query('count', None, consistency='local') == 1
        status = await client.status()
        assert status == next(
            one.node.status for one in cluster.served if one.node.url == status.url
        )


@pytest.mark.parametrize('which', range(3))
async def test_one_seed_is_enough(which: int) -> None:
    """From it the client learns who leads, and talks to that one."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds[which : which + 1]) as client:
        assert await client.execute('add', 1) == 1
        await cluster.until(lambda: client.url == cluster.leader.url)
        assert (await client.status()).role == 'leader'


async def test_errors_are_those_of_the_node() -> None:
    """By class and text."""
    async with ServedCluster(1) as cluster, Client(cluster.seeds) as client:
        with pytest.raises(UnknownAction, match=r"'sub' is no processor of .*'add'"):
            await client.execute('sub', 1)
        with pytest.raises(UnknownQuery, match=r"'sum' is no query of .*'count'"):
            await client.query('sum')
        with pytest.raises(UnknownQuery):
            await client.query('sum', consistency='local')
        with pytest.raises(ProcessorFailed, match=r'ValueError.*no 7'):
            await client.execute('fail', 7)
        for consistency in ('linearizable', 'local'):
            with pytest.raises(ProcessorFailed, match=r"query 'broken' raised ValueError.*no 7"):
                await client.query('broken', 7, consistency=consistency)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameters, match='a set'):
            await client.execute('add', {1, 2})
        with pytest.raises(InvalidParameters, match='timeout'):
            await client.execute('add', 1, timeout=-1)
        with pytest.raises(InvalidParameters, match='consistency'):
            await client.query('entries', consistency='strong')  # type: ignore[arg-type]
        with pytest.raises(TooLarge):
            await client.execute('add', 'x' * 2**20)
        assert cluster.served[0].ledger.entries == []


async def test_large_values_go_both_ways() -> None:
    """A command of almost 1 MiB, and a result of many."""
    async with ServedCluster(1) as cluster, Client(cluster.seeds) as client:
        large = 'ü' * (2**19 - 100)
        assert await client.execute('add', large) == 1
        assert await asyncio.gather(*(client.execute('add', large) for _ in range(3))) == [2, 3, 4]
        assert await client.query('entries') == [large] * 4


async def test_result_that_json_cannot_carry_is_an_error_of_its_own() -> None:
    """The command was applied, and the text says so."""
    processors = {'odd': lambda _: {1, object()}}
    async with (
        ServedCluster(1, processors=processors, state_machine=None) as cluster,
        Client(cluster.seeds) as client,
    ):
        with pytest.raises(ConsensualError, match='it was done, with a result that JSON cannot'):
            await client.execute('odd')


@pytest.mark.parametrize('seeds', [[], 'http://127.0.0.1:1'])
async def test_seeds_are_a_list(seeds: Any) -> None:
    with pytest.raises(InvalidParameters, match='seeds'):
        Client(seeds)


@pytest.mark.parametrize('seed', ['memory://a', 'http://', 5, 'a:1'])
async def test_seeds_are_urls_of_http(seed: Any) -> None:
    with pytest.raises(InvalidAddress):
        Client([seed])


async def test_client_is_used_within_its_block() -> None:
    client = Client(['http://127.0.0.1:1'])
    with pytest.raises(ClientClosed, match='async with'):
        await client.execute('add', 1)
    async with client:
        waiting = asyncio.create_task(client.query('entries'))
        await asyncio.sleep(0)
    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed):
        await client.__aenter__()


async def test_no_leader_when_surely_nothing_was_done() -> None:
    """Nobody listens: the text says what was tried."""
    async with ServedCluster(1) as cluster:
        await cluster.served[0].close()
        async with Client(cluster.seeds) as client:
            for call in (client.execute, client.query):
                with pytest.raises(NoLeader, match=rf'within 0.2 s: {cluster.seeds[0]}'):
                    await call('add', 1, timeout=0.2)
        assert cluster.served[0].ledger.entries == []


async def test_no_leader_among_those_who_answer() -> None:
    """A node that surely did not propose it says so in time."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        await client.execute('add', 1)
        for one in cluster.served:
            cluster.network.cut_off(one.url.authority, fault=hang)
        await cluster.until(lambda: all(one.node.status.leader is None for one in cluster.served))
        with pytest.raises(NoLeader):
            await client.execute('add', 2, timeout=3 * T)
        cluster.network.heal()
        assert await client.execute('add', 3) == 2


async def test_outcome_is_unknown_when_the_leader_may_have_passed_it_on() -> None:
    """It was proposed, and no majority answers."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        await client.execute('add', 1)
        await cluster.until(lambda: client.url == cluster.leader.url)
        leader = cluster.leader
        cluster.network.cut_off(*(one.url.authority for one in cluster.served), fault=hang)
        with pytest.raises(OutcomeUnknown, match=r"'add'.*read the state"):
            await client.execute('add', 2, timeout=T)
        cluster.network.heal()
        assert leader in cluster.served
        assert await client.execute('add', 3) in (2, 3)


async def test_nodes_of_no_cluster_are_left_for_others() -> None:
    """They say that they are in none; the client goes on, and tells when all do."""
    async with ServedCluster(2) as cluster:
        leader = cluster.leader
        other = next(one for one in cluster.served if one is not leader)
        assert await leader.node.detach_nodes([other.url]) is None
        await cluster.until(lambda: other.node.status.role == 'detached')
        async with Client([other.url]) as client:
            with pytest.raises((NotMember, NoLeader)):
                await client.execute('add', 1, timeout=0.5)
        async with Client([other.url, leader.url]) as client:
            assert await client.execute('add', 1) == 1


async def test_token_is_asked_for() -> None:
    """Without it there is no way in, and what is raised says why, but not the token."""
    async with ServedCluster(1, access=Guarded()) as cluster:
        async with Client(cluster.seeds, token='sesame') as client:  # noqa: S106
            assert await client.execute('add', 1) == 1
            assert 'sesame' not in repr(client)
        for token, status in ((None, '401'), ('parsley', '403')):
            async with Client(cluster.seeds, token=token) as client:
                with pytest.raises(NoLeader, match=status) as raised:
                    await client.execute('add', 2, timeout=0.3)
                assert 'parsley' not in str(raised.value)
        assert cluster.served[0].ledger.entries == [1]
    with pytest.raises(InvalidParameters, match='token') as refused:
        Client(['http://127.0.0.1:1'], token='two\nlines')  # noqa: S106
    assert 'lines' not in str(refused.value)


async def test_caller_that_is_cancelled_leaves_the_session_usable() -> None:
    """Its sequence counts as finished."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        await client.execute('add', 0)
        for n in range(20):
            task = asyncio.create_task(client.execute('add', n))
            await asyncio.sleep(0.001 * (n % 3))
            task.cancel()
            await asyncio.wait([task])
        before = len(await client.query('entries'))
        assert await client.execute('add', 'last') >= before


async def test_evicted_session_is_replaced_without_a_word() -> None:
    """Nothing that was handed in once, and never before, is in doubt."""
    async with ServedCluster(1) as cluster, Client(cluster.seeds) as client:
        assert await client.execute('add', 1) == 1
        gateway = cluster.served[0].node.gateway
        await asyncio.gather(*(gateway.open_session(30.0).future for _ in range(1024)))
        results = await asyncio.gather(*(client.execute('add', n) for n in range(10)))
        assert sorted(results) == list(range(2, 12))


async def test_session_of_another_cluster_is_not_used() -> None:
    """Where all nodes were erased, another client's session has the same number."""
    async with ServedCluster(1) as cluster, Client(cluster.seeds) as client:
        assert await client.execute('add', 1) == 1
        node = cluster.served[0].node
        assert [await node.detach(), await node.detach(), await node.solo()] == [None] * 3
        async with Client(cluster.seeds) as other:
            for n in range(3):
                assert await other.execute('add', [n]) == n + 1
            assert await client.execute('add', 2) == 4
        assert cluster.served[0].ledger.entries == [[0], [1], [2], 2]


async def test_command_that_was_handed_to_another_cluster_is_in_doubt() -> None:
    """It may have been applied there; it is not handed in here."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        await client.execute('add', 1)
        await cluster.until(lambda: client.url == cluster.leader.url)
        leader, (split, other) = cluster.leader, cluster.followers
        cluster.network.cut_off(leader.url.authority, fault=hang)
        doubtful = asyncio.create_task(client.execute('add', 2, timeout=10.0))
        await cluster.until(lambda: leader.node.status.last_index > split.node.status.last_index)
        assert await split.node.solo() is None
        await leader.close()
        await other.close()
        with pytest.raises(OutcomeUnknown, match='another cluster'):
            await doubtful
        assert await client.execute('add', 3) == 2
        assert split.ledger.entries == [1, 3]


async def test_node_that_has_failed_is_left_for_others() -> None:
    """Its storage is full; that is no outcome of what it had not handed in."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        load = Load(client, 20)
        await cluster.until(lambda: len(load.done) > 100)
        leader = cluster.leader
        leader.storage.is_full = True
        count = len(load.done)
        await cluster.until(lambda: len(load.done) > count + 100)
        await load.end()
        load.check(cluster.leader.ledger.entries)


@pytest.mark.parametrize('name', ['\ud800', 'ü' * 2049])
async def test_names_that_cannot_be_sent_are_refused(name: str) -> None:
    """And the connection goes on."""
    async with ServedCluster(1) as cluster, Client(cluster.seeds) as client:
        for call in (client.execute, client.query):
            with pytest.raises(InvalidParameters, match='name'):
                await call(name)
        assert await client.execute('add', 1) == 1


async def test_many_callers_share_frames_and_order_is_theirs() -> None:
    """More calls than fit under way at a time all come through."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds, timeout=30.0) as client:
        results = await asyncio.gather(*(client.execute('add', n) for n in range(5000)))
        assert sorted(results) == list(range(1, 5001))
        counts = await asyncio.gather(*(client.query('count', n) for n in range(100)))
        assert counts == [1] * 100


async def test_linearizable_reads_see_what_others_wrote() -> None:
    """Through whichever member, from the moment at which the write was answered."""
    async with ServedCluster(3) as cluster:
        clients = [Client([one.url]) for one in cluster.served]
        for client in clients:
            await client.__aenter__()
        for n in range(30):
            await clients[n % 3].execute('add', n)
            assert len(await clients[(n + 1) % 3].query('entries')) == n + 1
        for client in clients:
            await client.__aexit__()


class Load:
    """Callers that each add their own values, one after the other, until they are told to end."""

    def __init__(self, client: Client, callers: int) -> None:
        self.client = client
        self.done: list[tuple[int, int]] = []
        self.unknown: list[tuple[int, int]] = []
        self.is_over = False
        self._tasks = [asyncio.create_task(self._call(n)) for n in range(callers)]

    async def _call(self, caller: int) -> None:
        turn = 0
        while not self.is_over:
            try:
                await self.client.execute('add', [caller, turn], timeout=15.0)
                self.done.append((caller, turn))
            except OutcomeUnknown:
                self.unknown.append((caller, turn))
            turn += 1

    async def end(self) -> None:
        """Let each caller end its turn."""
        self.is_over = True
        await asyncio.gather(*self._tasks)

    def check(self, entries: list[Any]) -> None:
        """All that was acknowledged is there, and nothing twice."""
        counts = Counter(map(tuple, entries))
        assert max(counts.values()) == 1
        assert set(self.done) <= set(counts)
        assert self.unknown == []


async def test_leader_changes_under_load_and_each_command_is_applied_once() -> None:
    """Transfers, one after the other: no call fails, none counts twice."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        load = Load(client, 20)
        for _ in range(8):
            count = len(load.done)
            await cluster.until(lambda count=count: len(load.done) > count + 100)
            await cluster.leader.node.transfer_leadership()
        await load.end()
        await cluster.until_equal()
        for one in cluster.served:
            load.check(one.ledger.entries)


async def test_leader_that_is_cut_off_from_the_others_is_left() -> None:
    """It knows soon that it leads no more; the client goes to who does, and nothing is lost."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        load = Load(client, 10)
        for fault in (hang, swallow_reply):
            count = len(load.done)
            await cluster.until(lambda count=count: len(load.done) > count + 100)
            old = cluster.leader
            cluster.network.cut_off(old.url.authority, fault=fault)
            count = len(load.done)
            await cluster.until(lambda count=count: len(load.done) > count + 100)
            assert client.url != old.url
            cluster.network.heal()
        await load.end()
        await cluster.until_equal()
        load.check(cluster.leader.ledger.entries)


@pytest.mark.parametrize('seed', range(3))
async def test_connections_cut_at_any_point(seed: int) -> None:
    """Ports close and open under load, connections break: each command counts once."""
    random = Random(seed)
    async with ServedCluster(3) as cluster, Client(cluster.seeds, random=random) as client:
        load = Load(client, 20)
        for _ in range(12):
            count = len(load.done)
            await cluster.until(lambda count=count: len(load.done) > count + random.randrange(60))
            one = cluster.leader if random.random() < 0.7 else random.choice(cluster.served)
            await one.close()
            await asyncio.sleep(random.uniform(0, HEARTBEAT))
            await one.open()
        await load.end()
        await cluster.until_equal()
        load.check(cluster.leader.ledger.entries)


async def test_leader_that_stops_in_order_costs_no_failed_command() -> None:
    """It hands over, and its clients are sent on."""
    async with ServedCluster(3) as cluster, Client(cluster.seeds) as client:
        load = Load(client, 20)
        await cluster.until(lambda: len(load.done) > 100)
        old = cluster.leader
        await old.node.stop()
        count = len(load.done)
        await cluster.until(lambda: len(load.done) > count + 100)
        await load.end()
        assert client.url in {one.url for one in cluster.served} - {old.url}
        await old.node.start()
        await cluster.until_equal()
        load.check(old.ledger.entries)


async def test_seed_by_another_name() -> None:
    """The leader's own URL is another one: the client ends up there."""
    async with ServedCluster(1) as cluster:
        seed = f'http://localhost:{cluster.served[0].url.port}'
        async with Client([seed]) as client:
            assert await client.execute('add', 1) == 1
            await cluster.until(lambda: client.url == cluster.served[0].url)
        assert cluster.served[0].ledger.entries == [1]


class Nasty(Exception):
    """Its text is none that could be sent."""

    def __repr__(self) -> str:
        return 'Nasty(\ud800)'


class Mute(Exception):
    """It has no text at all."""

    def __repr__(self) -> str:
        raise self

    __str__ = __repr__


class Raising:
    """Raises what is not easily told."""

    def __init__(self) -> None:
        self.processors = {'nasty': self.nasty, 'mute': self.mute, 'add': lambda _: 1}
        self.queries = {'nasty': self.nasty, 'mute': self.mute, 'count': lambda _: 1}

    def nasty(self, _: Any) -> None:
        raise Nasty

    def mute(self, _: Any) -> None:
        raise Mute

    def reset(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize('name', ['nasty', 'mute'])
async def test_errors_that_cannot_be_told_are_told_and_the_connection_goes_on(name: str) -> None:
    async with (
        ServedCluster(1, state_machine=Raising()) as cluster,
        Client(cluster.seeds, timeout=20.0) as client,
    ):
        with pytest.raises(ProcessorFailed, match=name):
            await client.execute(name)
        assert await client.execute('add') == 1
        with pytest.raises(ConsensualError, match='(?i)' + name):
            await client.query(name)
        assert await client.query('count') == 1
