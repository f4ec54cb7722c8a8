"""enqueue and execute: what success means, and each way to fail (design §2, §4 Clients)."""

import asyncio
from typing import Any

import pytest

from consensual.raft.errors import (
    InvalidParameters,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    ProcessorFailed,
    UnknownAction,
)
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, cut, hang, url_of

pytestmark = in_virtual_time


@pytest.mark.parametrize('name', 'abc')
async def test_enqueue_returns_none_once_applied_on_this_node(name: str) -> None:
    """Design §2: `None` only when committed and applied on this node; on any member."""
    async with Cluster('abc') as cluster:
        assert await cluster[name].enqueue('add', 1) is None
        assert cluster.ledgers[name].entries == [1]


@pytest.mark.parametrize('name', 'abc')
async def test_execute_returns_the_processors_result(name: str) -> None:
    """Design §2: execute is the same, with the processor's result."""
    async with Cluster('abc') as cluster:
        assert await cluster[name].execute('add', 'x') == 1
        assert await cluster[name].execute('add', 'y') == 2


async def test_parameters_are_optional() -> None:
    """A command may do without parameters: the processor gets None."""
    async with Cluster('a') as cluster:
        assert await cluster['a'].execute('add') == 1
        assert await cluster['a'].enqueue('add') is None
        assert cluster.ledgers['a'].entries == [None, None]


async def test_unknown_action_is_refused_at_once() -> None:
    """Design §2, errors: `UnknownAction` names the action, the node and what there is."""
    async with Cluster('ab') as cluster:
        last = cluster['a'].status.last_index
        with pytest.raises(UnknownAction, match=r"'sub' is no processor of b.*'add'"):
            await cluster['b'].execute('sub', 1)
        assert "'sub'" in str(await cluster['b'].enqueue('sub', 1))
        assert cluster['a'].status.last_index == last


@pytest.mark.parametrize('timeout', [0, -1, float('nan'), float('inf')])
async def test_timeout_must_be_a_positive_number(timeout: float) -> None:
    """Design §2: timeouts are seconds."""
    async with Cluster('a') as cluster:
        with pytest.raises(InvalidParameters, match='timeout'):
            await cluster['a'].execute('add', 1, timeout=timeout)
        with pytest.raises(InvalidParameters, match='timeout'):
            await cluster['a'].ensure_linearizable(timeout=timeout)
        assert 'timeout' in str(await cluster['a'].enqueue('add', 1, timeout=timeout))
        assert 'timeout' in str(await cluster['a'].attach_nodes([url_of('z')], timeout=timeout))


@pytest.mark.parametrize('fault', [cut, hang])
async def test_no_leader_until_the_default_timeout(fault: Any) -> None:
    """Design §2: enqueue and execute take 5 s; no leader until then: `NoLeader`."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc', fault=fault)
        await cluster.until(lambda: not cluster.leaders)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(NoLeader, match='leader') as raised:
            await cluster['b'].execute('add', 1)
        assert 5 <= loop.time() - began <= 5 + HEARTBEAT
        assert "'add'" in str(raised.value) or 'b' in str(raised.value)
        cluster.network.heal()
        await cluster.until_led('abc')
        await asyncio.sleep(5)
        assert cluster.ledgers['b'].entries == [], 'NoLeader says that nothing was done'


async def test_enqueue_tells_that_there_is_no_leader() -> None:
    """Design §2: the text-returning call returns `str(error)`, within its own timeout."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: not cluster.leaders)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert 'leader' in str(await cluster['a'].enqueue('add', 1, timeout=2))
        assert 2 <= loop.time() - began <= 2 + HEARTBEAT


async def test_cut_off_leader_does_not_claim_success() -> None:
    """Design §2: in a leader's log but not committed: `OutcomeUnknown`, naming the action."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        assert await leader.execute('add', 0) == 1
        await cluster.until_equal()
        cluster.network.cut_off(cluster.name_of(leader))
        with pytest.raises(OutcomeUnknown, match='add'):
            await leader.execute('add', 1)
        assert all(ledger.entries == [0] for ledger in cluster.ledgers.values())


async def test_follower_that_got_no_answer_does_not_say_that_nothing_was_done() -> None:
    """Design §2: the command went to the leader, the news did not come back: `OutcomeUnknown`."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        assert await follower.execute('add', 0) == 1
        cluster.network.add(cut, receiver=cluster.name_of(follower))
        with pytest.raises(OutcomeUnknown, match='add'):
            await follower.execute('add', 1, timeout=T / 4)
        await asyncio.sleep(HEARTBEAT)
        assert cluster.ledgers[cluster.name_of(cluster.leader)].entries == [0, 1]


async def test_command_is_carried_over_a_change_of_leaders() -> None:
    """Design §4, Clients: retried by the node itself across leader changes until its timeout."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        follower = cluster.followers[0]
        cluster.network.cut_off(cluster.name_of(old))
        assert await follower.execute('add', 1) == 1
        cluster.network.heal()
        await cluster.until_equal()
        assert all(ledger.entries == [1] for ledger in cluster.ledgers.values())


async def test_command_at_a_cut_off_leader_succeeds_once_healed() -> None:
    """Design §4, Clients: also what the old leader had in its own, then truncated, log."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        name = cluster.name_of(old)
        cluster.network.cut_off(name)
        call = asyncio.create_task(old.execute('add', 'old', timeout=30))
        rest = [other for other in 'abc' if other != name]
        new = await cluster.until_led(rest)
        assert await new.execute('add', 'new') == 1
        cluster.network.heal()
        assert await call == 2
        await cluster.until_equal()
        assert all(ledger.entries == ['new', 'old'] for ledger in cluster.ledgers.values())


async def test_processors_exception_is_the_commands_outcome() -> None:
    """Design §2: `ProcessorFailed` to the caller, with its cause; applying goes on."""
    async with Cluster('abc') as cluster:
        for name in 'abc':
            with pytest.raises(ProcessorFailed, match=r"'fail'.*no 7") as raised:
                await cluster[name].execute('fail', 7)
            assert isinstance(raised.value.__cause__, ValueError)
        assert 'no 7' in str(await cluster['b'].enqueue('fail', 7))
        assert await cluster['c'].execute('add', 1) == 1


async def test_processors_exception_is_logged_on_every_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Design §2: an exception is logged everywhere."""
    async with Cluster('abc') as cluster:
        await cluster['b'].enqueue('fail', 'xyz')
        await cluster.until_equal()
        records = [record for record in caplog.records if 'no xyz' in caplog.handler.format(record)]
        assert len(records) == 3


async def test_cancelled_caller_harms_nobody() -> None:
    """A caller who gives up leaves the node going; his command may or may not be applied, once."""
    async with Cluster('abc') as cluster:
        for name in 'abc':
            call = asyncio.create_task(cluster[name].execute('add', name))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        for name in 'abc':
            await cluster[name].execute('add', f'{name} stayed')
        await cluster.until_equal()
        entries = cluster.ledgers['a'].entries
        assert len(entries) == len(set(entries))
        assert {'a stayed', 'b stayed', 'c stayed'} <= set(entries)
        assert entries == cluster.ledgers['b'].entries == cluster.ledgers['c'].entries


async def test_timeout_around_the_first_call_does_not_break_the_node() -> None:
    """A first call that is cancelled while it starts the node takes nobody along."""
    async with Cluster('', idle='a') as cluster:
        calls = [asyncio.create_task(cluster['a'].solo()) for _ in range(2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[1] is None
        assert await cluster['a'].execute('add', 1) == 1


async def test_node_whose_session_was_evicted_opens_another() -> None:
    """Design §4, Clients: the table is bounded; eviction costs one OutcomeUnknown at most."""
    async with Cluster('ab') as cluster:
        assert await cluster['a'].execute('add', 0) == 1
        for number in range(1100):
            await cluster['b'].stop()
            await cluster['b'].start()
            await cluster['b'].execute('add', number)
        text = await cluster['a'].enqueue('add', 'after')
        assert text is None or 'read the state' in text or 'not known' in text
        assert await cluster['a'].enqueue('add', 'again') is None
        await cluster.until_equal()
        entries = cluster.ledgers['a'].entries
        assert entries == cluster.ledgers['b'].entries
        assert entries.count('after') == (1 if text is None else 0)


async def test_commands_of_one_caller_keep_their_order() -> None:
    """One after another, each seen applied before the next."""
    async with Cluster('abc') as cluster:
        for number in range(50):
            assert await cluster['b'].execute('add', number) == number + 1
        assert cluster.ledgers['b'].entries == [*range(50)]


async def test_removed_node_refuses_commands() -> None:
    """Design §2: on a detached node `NotMember` at once."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].detach_nodes([url_of('c')]) is None
        await cluster.until(lambda: cluster['c'].status.role == 'detached')
        with pytest.raises(NotMember, match='c is in no cluster'):
            await cluster['c'].execute('add', 1)


async def test_command_of_a_node_that_is_removed_meanwhile_ends() -> None:
    """Design §2: nobody waits for ever, nor until the timeout, when the node is put out."""
    async with Cluster('abc') as cluster:
        name = cluster.name_of(cluster.followers[0])
        other = cluster.name_of(cluster.followers[1])
        cluster.network.split(name, cluster.name_of(cluster.leader))
        cluster.network.split(name, other)
        call = asyncio.create_task(cluster[name].execute('add', 1, timeout=60))
        await asyncio.sleep(HEARTBEAT)
        assert await cluster[other].detach_nodes([url_of(name)]) is None
        cluster.network.heal()
        await cluster.until(lambda: cluster[name].status.role == 'detached')
        async with asyncio.timeout(T):
            with pytest.raises((NotMember, OutcomeUnknown, NoLeader)):
                await call
