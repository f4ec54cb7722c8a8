"""ensure_linearizable and query (design §2, §4 Reads; thesis §6.4)."""

import asyncio
from random import Random
from typing import Any

import pytest

from consensual.raft.errors import (
    InvalidParameters,
    LeadershipLost,
    NoLeader,
    NotMember,
    UnknownQuery,
)
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, cut, hang, jitter

pytestmark = in_virtual_time


@pytest.mark.parametrize('name', 'abc')
async def test_after_it_local_state_reflects_all_that_was_completed(name: str) -> None:
    """Design §2: after it, local state reflects every command completed before the call."""
    async with Cluster('abc') as cluster:
        cluster.network.add(jitter(Random(7), HEARTBEAT / 2))
        for number in range(20):
            await cluster['abc'[number % 3]].execute('add', number)
            await cluster[name].ensure_linearizable()
            assert cluster.ledgers[name].entries == [*range(number + 1)]


@pytest.mark.parametrize('name', 'abc')
async def test_query_is_linearizable_unless_told_otherwise(name: str) -> None:
    """Design §2: run on this node after ReadIndex, with parameters, sync or async."""
    async with Cluster('abc') as cluster:
        await cluster['a'].execute('add', 7)
        await cluster['c'].execute('add', 7)
        assert await cluster[name].query('entries') == [7, 7]
        assert await cluster[name].query('count', 7) == 2
        assert await cluster[name].query('count', 7, consistency='linearizable') == 2


async def test_query_is_never_in_the_log() -> None:
    """Design §2: a read-only function, on this node only."""
    async with Cluster('abc') as cluster:
        await cluster.until_equal()
        last = cluster['a'].status.last_index
        for name in 'abc':
            await cluster[name].query('entries')
            await cluster[name].ensure_linearizable()
        assert {cluster[name].status.last_index for name in 'abc'} == {last}


async def test_local_query_answers_at_once_from_old_state() -> None:
    """Design §2: 'local' at once: also cut off, also detached."""
    async with Cluster('abc', idle='d') as cluster:
        await cluster['a'].execute('add', 1)
        await cluster.until_equal('abc')
        name = cluster.name_of(cluster.followers[0])
        cluster.network.cut_off(name)
        await cluster.leader.execute('add', 2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await cluster[name].query('entries', consistency='local') == [1]
        assert await cluster['d'].query('entries', consistency='local') == []
        assert loop.time() == began


async def test_unknown_query_is_refused_at_once() -> None:
    """Design §2: `UnknownQuery` names it, the node and what there is."""
    async with Cluster('abc') as cluster:
        with pytest.raises(UnknownQuery, match=r"'add' is no query of b.*'count'"):
            await cluster['b'].query('add', 1)
        with pytest.raises(UnknownQuery, match="'nothing'"):
            await cluster['b'].query('nothing', consistency='local')


async def test_node_without_state_machine_has_no_queries() -> None:
    """Design §2: queries are a state machine's; without one the error says that there are none."""
    async with Cluster('', state_machine=None) as cluster:
        node = cluster.make('a', processors={'add': str})
        assert await node.solo() is None
        with pytest.raises(UnknownQuery, match=r"'entries' is no query of a; there are \[\]"):
            await node.query('entries')


async def test_state_machine_without_queries_will_do() -> None:
    """Design §2: `queries` is optional."""

    class Silent:
        processors = {'add': str}  # noqa: RUF012 - as short as users write it

        def reset(self) -> None:
            pass

    async with Cluster('', state_machine=None) as cluster:
        node = cluster.make('a', state_machine=Silent())
        assert await node.solo() is None
        assert await node.execute('add', 1) == '1'
        with pytest.raises(UnknownQuery, match='entries'):
            await node.query('entries')


async def test_unknown_consistency_is_refused() -> None:
    """Design §2: 'linearizable' or 'local'."""
    async with Cluster('a') as cluster:
        with pytest.raises(InvalidParameters, match="not 'eventual'"):
            await cluster['a'].query('entries', consistency='eventual')  # type: ignore[arg-type]


async def test_what_a_query_raises_passes_through() -> None:
    """A query's exception is the caller's; the node goes on."""
    async with Cluster('abc') as cluster:
        with pytest.raises(ValueError, match='no 7'):
            await cluster['b'].query('broken', 7)
        assert await cluster['b'].execute('add', 1) == 1


@pytest.mark.parametrize('fault', [cut, hang])
async def test_cut_off_leader_serves_no_stale_read(fault: Any) -> None:
    """Design §4, Reads: a quorum confirms this round; else `LeadershipLost` or `NoLeader`."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        name = cluster.name_of(old)
        rest = [other for other in 'abc' if other != name]
        cluster.network.cut_off(name, fault=fault)
        call = asyncio.create_task(old.query('entries'))
        new = await cluster.until_led(rest)
        await new.execute('add', 'new')
        with pytest.raises((LeadershipLost, NoLeader)):
            await call


async def test_leader_that_cannot_confirm_in_time_says_so() -> None:
    """Design §2, errors: `LeadershipLost`: a leader is known but did not confirm."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        cluster.network.cut_off(cluster.name_of(leader), fault=hang)
        with pytest.raises(LeadershipLost, match=r'a .*0\.2|confirm'):
            await leader.ensure_linearizable(timeout=0.2)


async def test_read_waits_for_a_leader_and_goes_on() -> None:
    """Design §2: the node asks again until its timeout; a change of leaders hardly shows."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        follower = cluster.followers[0]
        await old.execute('add', 1)
        cluster.crash(cluster.name_of(old))
        assert await follower.query('entries') == [1]


async def test_default_timeout_of_reads_is_5_seconds() -> None:
    """Design §2: query and ensure_linearizable take 5 s; nobody leads: `NoLeader`."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc', fault=hang)
        await cluster.until(lambda: not cluster.leaders)
        loop = asyncio.get_running_loop()
        for call in (cluster['a'].ensure_linearizable(), cluster['b'].query('entries')):
            began = loop.time()
            with pytest.raises(NoLeader, match='leader'):
                await call
            assert 5 <= loop.time() - began <= 5 + HEARTBEAT


async def test_many_reads_share_a_round() -> None:
    """Design §4: many reads share a round: a thousand cost few messages."""
    async with Cluster('abc') as cluster:
        await cluster['b'].execute('add', 1)
        before = cluster.network.sent.total()
        await asyncio.gather(*(cluster['b'].ensure_linearizable() for _ in range(1000)))
        await asyncio.gather(*(cluster['a'].ensure_linearizable() for _ in range(1000)))
        assert cluster.network.sent.total() - before < 100


async def test_lone_member_reads_only_what_it_committed() -> None:
    """Design §4: ReadIndex waits for a commit in the own term, also on a cluster of one."""
    async with Cluster('a') as cluster:
        await cluster['a'].execute('add', 1)
        await cluster['a'].stop()
        await cluster['a'].start()
        assert await cluster['a'].query('entries') == [1]


async def test_read_on_a_removed_node_is_refused() -> None:
    """Design §2: on a detached node: `NotMember` at once."""
    async with Cluster('abc') as cluster:
        name = cluster.name_of(cluster.followers[0])
        assert await cluster[name].detach() is None
        with pytest.raises(NotMember, match=f'{name} is in no cluster'):
            await cluster[name].ensure_linearizable()


async def test_read_does_not_wait_for_later_commands() -> None:
    """Design §2: completed before the call; what comes later need not be waited for."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        await cluster.leader.execute('add', 0)
        writing = True

        async def write() -> None:
            while writing:
                await cluster.leader.execute('add', 1)

        writer = asyncio.create_task(write())
        async with asyncio.timeout(T):
            await follower.ensure_linearizable()
        writing = False
        await writer
