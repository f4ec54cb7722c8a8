"""Defects of calls that a review found: each stays found (design §2; §4 Clients, Reads)."""

import asyncio
import gc
import traceback
import weakref
from random import Random
from typing import Any

import pytest

from consensual.raft import MessageKind, Node, ReceiverUnavailable
from consensual.raft.errors import NodeStopped, NoLeader, Overloaded
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, Deliver, T, hang, url_of, urls_of

pytestmark = in_virtual_time


async def test_restart_with_the_same_seed_is_another_session() -> None:
    """Design §4, Clients: a session is opened anew at every start; its answers are its own."""
    storage = MemoryStorage()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=storage, random=Random(7))
        assert await node.solo() is None
        assert await node.execute('add', 'one') == 1
        await node.stop()
        node = cluster.make('a', storage=storage, random=Random(7))
        await node.start()
        await asyncio.sleep(4 * T)
        assert await node.execute('add', 'two') == 2
        assert cluster.ledgers['a'].entries == ['one', 'two']


async def test_solo_and_detach_at_once_both_end() -> None:
    """Design §2: either is done or says why not; neither waits for what cannot come."""
    async with Cluster('', idle='a') as cluster:
        async with asyncio.timeout(T):
            solo, detach = await asyncio.gather(cluster['a'].solo(), cluster['a'].detach())
        assert solo is None
        assert detach is None
        assert cluster['a'].status.role == 'detached'


async def test_solo_that_a_detach_overtakes_says_so() -> None:
    """Design §2: solo returns None or error text: what left its cluster does not lead one."""
    gate = asyncio.Event()

    async def wait(_: Any) -> None:
        await gate.wait()

    async with Cluster('', state_machine=None) as cluster:
        node = cluster.make('a', processors={'wait': wait})
        cluster.before_stop = gate.set
        assert await node.solo() is None
        call = asyncio.create_task(node.enqueue('wait', timeout=60))
        await asyncio.sleep(HEARTBEAT)
        solo = asyncio.create_task(node.solo())
        await asyncio.sleep(HEARTBEAT)
        assert await node.detach() is None
        async with asyncio.timeout(T):
            assert 'left its cluster' in str(await solo)
        gate.set()
        await call


async def test_change_whose_reply_was_lost_is_not_said_not_to_have_begun() -> None:
    """Design §2, errors: what a leader may have heard may take effect: `OutcomeUnknown`."""
    async with Cluster('abc', idle='d') as cluster:

        async def deliver_and_cut(deliver: Deliver) -> Any:
            await deliver()
            cluster.network.cut_off('b')
            raise ReceiverUnavailable('the reply is lost')

        assert cluster.leader is cluster['a']
        cluster.network.add(deliver_and_cut, sender='b', kinds=[MessageKind.CHANGE_MEMBERSHIP])
        text = await cluster['b'].attach_nodes(urls_of('d'), timeout=5)
        assert 'not begun' not in str(text)
        assert 'may still complete' in str(text)
        assert url_of('d') in cluster['a'].status.voters


@pytest.mark.parametrize('call', ['execute', 'ensure_linearizable'])
async def test_calls_that_timed_out_without_a_leader_leave_nothing_behind(call: str) -> None:
    """The issue, back-pressure: what nobody waits for any more takes no room."""
    errors: list[weakref.ref[BaseException]] = []

    async def give_up(node: Node) -> None:
        try:
            if call == 'execute':
                await node.execute('add', 'x', timeout=T)
            else:
                await node.ensure_linearizable(timeout=T)
        except NoLeader as error:
            errors.append(weakref.ref(error))

    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: not cluster.leaders)
        for _ in range(5):
            await asyncio.gather(*(give_up(cluster['a']) for _ in range(20)))
        await asyncio.sleep(2 * T)
        gc.collect()
        assert len(errors) == 100
        assert sum(error() is not None for error in errors) <= 1


async def test_traceback_of_a_refusal_does_not_grow() -> None:
    """Many calls are refused by one reason; none of them keeps the frames of the others."""

    async def refusal() -> NodeStopped:
        with pytest.raises(NodeStopped) as raised:
            await cluster['a'].execute('add', 1)
        return raised.value

    async with Cluster('a') as cluster:
        await cluster['a'].stop()
        first = len(traceback.extract_tb((await refusal()).__traceback__))
        for _ in range(100):
            last = await refusal()
        assert len(traceback.extract_tb(last.__traceback__)) == first


@pytest.mark.parametrize('timeout', [2.0, 5.0])
@pytest.mark.parametrize('call', ['attach_nodes', 'detach_nodes'])
async def test_membership_change_keeps_its_timeout(call: str, timeout: float) -> None:
    """Design §2: timeout is in seconds, all told."""
    async with Cluster('abc', idle='d') as cluster:
        cluster.network.cut_off('b', fault=hang)
        node = cluster['b']
        loop = asyncio.get_running_loop()
        began = loop.time()
        if call == 'attach_nodes':
            text = await node.attach_nodes(urls_of('d'), timeout=timeout)
        else:
            text = await node.detach_nodes(urls_of('c'), timeout=timeout)
        assert f'within {timeout:g} s' in str(text)
        assert loop.time() - began == pytest.approx(timeout, abs=0.001)


async def test_confirmed_read_that_waits_for_a_processor_says_that_the_node_lags() -> None:
    """Design §2, errors: the leader was heard; what is missing is this node's applying."""
    gate = asyncio.Event()

    async def wait(_: Any) -> None:
        await gate.wait()

    async with Cluster('', state_machine=None) as cluster:
        node = cluster.make('a', processors={'wait': wait})
        cluster.before_stop = gate.set
        assert await node.solo() is None
        calls = [asyncio.create_task(node.enqueue('wait', timeout=60)) for _ in range(2)]
        await asyncio.sleep(HEARTBEAT)
        index = node.status.commit_index
        with pytest.raises(Overloaded, match=f'lags behind.* not applied entry {index} within 1 s'):
            await node.ensure_linearizable(timeout=1)
        gate.set()
        await asyncio.gather(*calls)
        await node.ensure_linearizable(timeout=1)
