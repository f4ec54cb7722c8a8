"""start, stop and `async with` (design §2, first row of the table)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from consensual.raft import MessageKind, Node
from consensual.raft.errors import (
    ConsensualError,
    NodeStopped,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    StorageLocked,
)
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, cut, hang, names_of, url_of

pytestmark = in_virtual_time

RAISING: dict[str, Callable[[Node], Awaitable[Any]]] = {
    'execute': lambda node: node.execute('add', 1),
    'ensure_linearizable': lambda node: node.ensure_linearizable(),
    'query': lambda node: node.query('entries'),
    'local query': lambda node: node.query('entries', consistency='local'),
    'receive': lambda node: node.receive(kind=MessageKind.INQUIRE, message={}),
    'watch': lambda node: anext(node.watch()),
}
TELLING: dict[str, Callable[[Node], Awaitable[Any]]] = {
    'enqueue': lambda node: node.enqueue('add', 1),
    'solo': lambda node: node.solo(),
    'attach_nodes': lambda node: node.attach_nodes([url_of('z')]),
    'detach_nodes': lambda node: node.detach_nodes([url_of('b')]),
    'detach': lambda node: node.detach(),
    'transfer_leadership': lambda node: node.transfer_leadership(),
}


@pytest.mark.parametrize('name', RAISING)
async def test_stopped_node_refuses_every_raising_call(name: str) -> None:
    """Design §2: a stopped node refuses until `start()`, and says so."""
    async with Cluster('a') as cluster:
        await cluster['a'].stop()
        with pytest.raises(NodeStopped, match=r'a was stopped.*start\(\)'):
            await RAISING[name](cluster['a'])


@pytest.mark.parametrize('name', TELLING)
async def test_stopped_node_refuses_every_telling_call(name: str) -> None:
    """Design §2: the text-returning calls return `str(error)`."""
    async with Cluster('ab') as cluster:
        await cluster['b'].stop()
        text = await TELLING[name](cluster['b'])
        assert text is not None
        assert 'b was stopped' in text
        assert 'start()' in text


@pytest.mark.parametrize('name', [*RAISING, *TELLING])
async def test_first_call_starts_a_node_that_was_never_started(name: str) -> None:
    """Design §2: the first call or `receive` starts a node that was never started."""
    async with Cluster('', idle='a') as cluster:
        assert cluster['a'].loop is None
        try:
            await (RAISING | TELLING)[name](cluster['a'])
        except ConsensualError as error:
            assert not isinstance(error, NodeStopped)  # noqa: PT017 - some succeed
        assert cluster['a'].loop is asyncio.get_running_loop()


async def test_node_stopped_before_it_was_ever_started_refuses() -> None:
    """Design §2: a stopped one refuses until `start()`, whether or not it ever ran."""
    async with Cluster('', idle='a') as cluster:
        await cluster['a'].stop()
        with pytest.raises(NodeStopped, match='start'):
            await cluster['a'].execute('add', 1)
        await cluster['a'].start()
        assert await cluster['a'].solo() is None


async def test_start_and_stop_may_be_repeated() -> None:
    """Design §2: running already, start does nothing; stopped already, stop does nothing."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        await node.start()
        before = node.status
        await asyncio.gather(node.start(), node.start())
        assert node.status == before
        await asyncio.gather(node.stop(), node.stop())
        await node.stop()
        await asyncio.gather(node.start(), node.start())
        assert await node.execute('add', 1) == 1


async def test_start_during_stop_waits_for_it() -> None:
    """A node that is asked to stop and at once to start ends up running."""
    async with Cluster('a') as cluster:
        stopping = asyncio.create_task(cluster['a'].stop())
        await asyncio.sleep(0)
        await cluster['a'].start()
        await stopping
        assert await cluster['a'].execute('add', 1) == 1


async def test_async_with_starts_and_stops() -> None:
    """Design §2: `async with node`."""
    async with Cluster('', idle='a') as cluster:
        async with cluster['a'] as node:
            assert node is cluster['a']
            assert await node.solo() is None
        with pytest.raises(NodeStopped):
            await node.execute('add', 1)


async def test_detached_node_owns_no_task() -> None:
    """Design §2: a detached node owns no task and no timer."""
    async with Cluster('', idle='a') as cluster:
        before = asyncio.all_tasks()
        await cluster['a'].start()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


async def test_node_that_became_detached_owns_no_task() -> None:
    """Design §2: also one that was a leader, and one that was a removed follower."""
    async with Cluster('', idle='ab') as cluster:
        before = asyncio.all_tasks()
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes([url_of('b')]) is None
        assert await cluster['b'].execute('add', 1) == 1
        assert await cluster['a'].detach_nodes([url_of('b')]) is None
        await cluster.until(lambda: cluster['b'].status.role == 'detached')
        assert await cluster['a'].detach() is None
        await asyncio.sleep(10 * T)
        assert asyncio.all_tasks() == before


async def test_stopped_cluster_leaves_no_task() -> None:
    """Design §2: stop cleanly: every task has an owner that awaits it."""
    before = asyncio.all_tasks()
    async with Cluster('abc') as cluster:
        cluster.network.add(hang, sender='a')
        await asyncio.sleep(HEARTBEAT)
        nodes = list(cluster.nodes.values())
        await asyncio.gather(*(node.stop() for node in nodes))
        assert asyncio.all_tasks() == before


async def test_leader_that_stops_hands_over_first() -> None:
    """Design §2: a leader hands over first; membership is unchanged (thesis §3.10)."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        term = leader.status.term
        loop = asyncio.get_running_loop()
        began = loop.time()
        await leader.stop()
        rest = [name for name in 'abc' if cluster[name] is not leader]
        assert len(cluster.leaders) == 1
        assert loop.time() - began < T, 'nobody had to time out'
        assert cluster.leader.status.term == term + 1
        assert names_of(cluster.leader.status.voters) == 'abc'
        assert await cluster[rest[0]].execute('add', 1) == 1


async def test_hand_over_of_a_stopping_leader_ends_after_two_timeouts() -> None:
    """Design §2: stop's hand-over takes 2 T at most, whatever the others do."""
    async with Cluster('abc') as cluster:
        cluster.network.add(hang)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await cluster.leader.stop()
        assert loop.time() - began <= 2 * T + HEARTBEAT


async def test_follower_that_stops_is_still_a_member() -> None:
    """Design §2: membership unchanged; it catches up when it is started again."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        name = cluster.name_of(follower)
        await follower.stop()
        for number in range(5):
            assert await cluster.leader.execute('add', number) == number + 1
        assert names_of(cluster.leader.status.voters) == 'abc'
        await follower.start()
        await cluster.until_equal()
        assert cluster.ledgers[name].entries == [*range(5)]


async def test_cluster_of_one_can_stop_and_start() -> None:
    """Design §2: recover from storage; the lone member leads again, in a higher term."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        assert await node.execute('add', 1) == 1
        term, cluster_id = node.status.term, node.status.cluster_id
        await node.stop()
        await node.start()
        assert await node.execute('add', 2) == 2
        assert node.status.cluster_id == cluster_id
        assert node.status.term > term
        assert cluster.ledgers['a'].entries == [1, 2]


async def test_restart_of_a_whole_cluster_applies_nothing_twice() -> None:
    """Design §2 and §4: MemoryStorage keeps the data; the same Node goes on where it was."""
    async with Cluster('abc') as cluster:
        for number in range(20):
            await cluster['b'].execute('add', number)
        await cluster.until_equal()
        await asyncio.gather(*(node.stop() for node in cluster.nodes.values()))
        await asyncio.gather(*(node.start() for node in cluster.nodes.values()))
        await cluster.until_led('abc')
        assert await cluster['c'].execute('add', 20) == 21
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == [*range(21)]


async def test_detached_node_keeps_its_data_over_a_stop() -> None:
    """Design §2, detach: history kept, also over stop and start."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        await node.execute('add', 1)
        assert await node.detach() is None
        last = node.status.last_index
        await node.stop()
        await node.start()
        assert (node.status.role, node.status.last_index) == ('detached', last)
        assert await node.solo() is None
        assert await node.execute('add', 2) == 2
        assert cluster.ledgers['a'].entries == [1, 2]


async def test_what_waits_fails_when_the_node_stops() -> None:
    """Design §2: stop is orderly; no caller is left waiting for ever."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        cluster.network.cut_off(cluster.name_of(follower), fault=hang)
        calls = [
            asyncio.create_task(follower.execute('add', 1, timeout=100)),
            asyncio.create_task(follower.ensure_linearizable(timeout=100)),
            asyncio.create_task(follower.attach_nodes([url_of('z')])),
            asyncio.create_task(follower.transfer_leadership()),
        ]
        await asyncio.sleep(HEARTBEAT)
        await follower.stop()
        async with asyncio.timeout(HEARTBEAT):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[0], (NodeStopped, OutcomeUnknown, NoLeader))
        assert isinstance(results[1], (NodeStopped, NoLeader))
        assert isinstance(results[2], str)
        assert isinstance(results[3], str)


async def test_solo_that_waits_for_its_processor_ends_when_the_node_stops() -> None:
    """Design §2, solo waits until it has applied its no-op; a stop meanwhile leaves nobody."""
    gate = asyncio.Event()

    async def wait(_: Any) -> None:
        await gate.wait()

    async with Cluster('', state_machine=None) as cluster:
        node = cluster.make('a', processors={'wait': wait})
        cluster.before_stop = gate.set
        assert await node.solo() is None
        command = asyncio.create_task(node.enqueue('wait', timeout=60))
        await asyncio.sleep(HEARTBEAT)
        solo = asyncio.create_task(node.solo())
        await asyncio.sleep(HEARTBEAT)
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(HEARTBEAT)
        gate.set()
        async with asyncio.timeout(T):
            await stopping
            await solo
            await command


async def test_command_that_may_be_applied_fails_as_unknown_when_the_node_stops() -> None:
    """Design §2, errors: nothing was done, says NodeStopped; what is in the log may be applied."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        name = cluster.name_of(leader)
        assert await leader.execute('add', 0) == 1
        cluster.network.cut_off(*(other for other in 'abc' if other != name))
        call = asyncio.create_task(leader.execute('add', 1, timeout=100))
        await asyncio.sleep(HEARTBEAT)
        await leader.stop()
        with pytest.raises(OutcomeUnknown, match='add'):
            await call


async def test_watch_ends_when_the_node_stops() -> None:
    """Design §2: an iteration over a stopped node's changes has an end."""
    async with Cluster('a') as cluster:

        async def roles() -> list[str]:
            return [status.role async for status in cluster['a'].watch()]

        watcher = asyncio.create_task(roles())
        await asyncio.sleep(HEARTBEAT)
        await cluster['a'].stop()
        async with asyncio.timeout(HEARTBEAT):
            assert (await watcher)[0] == 'leader'


async def test_storage_in_use_is_locked_for_another_node() -> None:
    """Design §2, errors: `StorageLocked` says what to do; after the other's stop it is free."""
    storage = MemoryStorage()
    async with Cluster('', idle='ab', storage=storage) as cluster:
        assert await cluster['a'].solo() is None
        with pytest.raises(StorageLocked, match='in use by a node: give each node its own'):
            await cluster['b'].start()
        assert 'in use' in str(await cluster['b'].solo())
        await cluster['a'].stop()
        await cluster.make('a', storage=storage).start()


async def test_stop_during_start_ends_stopped() -> None:
    """Whoever says stop last wins: no node comes up after it was told to stop."""

    class Slow(MemoryStorage):
        async def load(self) -> Any:  # type: ignore[override]
            await asyncio.sleep(T)
            return super().load()

    async with Cluster('') as cluster:
        before = asyncio.all_tasks()
        node = cluster.make('a', storage=Slow())
        starting = asyncio.create_task(node.start())
        await asyncio.sleep(HEARTBEAT)
        await node.stop()
        await asyncio.wait([starting])
        await asyncio.sleep(4 * T)
        assert asyncio.all_tasks() == before
        with pytest.raises(NodeStopped, match='start'):
            await node.execute('add', 1)
        await node.start()
        assert await node.solo() is None
        assert await node.execute('add', 1) == 1


async def test_async_with_stops_also_when_its_body_raises() -> None:
    """Design §2: `async with node`."""
    async with Cluster('', idle='a') as cluster:

        async def fail() -> None:
            async with cluster['a'] as node:
                await node.solo()
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        with pytest.raises(NodeStopped):
            await cluster['a'].execute('add', 1)


async def test_node_that_cannot_start_is_unreachable_for_others() -> None:
    """Design §4: an error at another node is no reason to fail here."""
    storage = MemoryStorage()
    async with Cluster('ab', idle='x') as cluster:
        cluster.make('x', storage=storage)
        await cluster['x'].start()
        cluster.make('y', storage=storage)
        text = await cluster['a'].attach_nodes([url_of('y')])
        assert 'y' in str(text).split()
        assert await cluster['b'].execute('add', 1) == 1


async def test_cancelled_start_can_be_repeated() -> None:
    """A caller who gives up does not take the node along."""
    async with Cluster('', idle='a') as cluster:
        call = asyncio.create_task(cluster['a'].start())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await cluster['a'].start()
        assert await cluster['a'].solo() is None


async def test_cancelled_stop_stops_nevertheless() -> None:
    """A stop that lost its caller half-way can be awaited again; no half-stopped node stays."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        cluster.network.add(hang, sender=cluster.name_of(leader))
        call = asyncio.create_task(leader.stop())
        await asyncio.sleep(HEARTBEAT)
        call.cancel()
        await asyncio.wait([call])
        await leader.stop()
        with pytest.raises(NodeStopped):
            await leader.execute('add', 1)
        cluster.network.heal()
        await leader.start()
        await cluster.until_led('abc')
        assert await leader.execute('add', 1) == 1


async def test_detached_node_says_so_at_once() -> None:
    """Design §2: on a detached node, `NotMember` at once, saying what to do."""
    async with Cluster('', idle='a') as cluster:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(NotMember, match=r'a is in no cluster.*solo\(\)'):
            await cluster['a'].execute('add', 1)
        with pytest.raises(NotMember, match='a is in no cluster'):
            await cluster['a'].ensure_linearizable()
        with pytest.raises(NotMember):
            await cluster['a'].query('entries')
        for call in ('enqueue', 'attach_nodes', 'detach_nodes', 'transfer_leadership'):
            assert 'a is in no cluster' in str(await TELLING[call](cluster['a']))
        assert loop.time() == began


async def test_follower_stopped_while_partitioned_rejoins_without_a_new_term() -> None:
    """Design §4, pre-vote: an isolated node that rejoins raises no term."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        term = cluster.leader.status.term
        cluster.network.cut_off(cluster.name_of(follower), fault=cut)
        await asyncio.sleep(20 * T)
        cluster.network.heal()
        await asyncio.sleep(4 * T)
        assert {node.status.term for node in cluster.nodes.values()} == {term}
