"""Members that come back without their data (design §4, Identity; the issue, Core)."""

import asyncio
import logging

import pytest

from consensual.raft import NodeStatus
from consensual.raft.errors import ConsensualError, NotMember
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, T, names_of, urls_of

pytestmark = in_virtual_time


def lose_memory(cluster: Cluster, name: str) -> None:
    """Crash a node and put an empty one in its place, under the same URL."""
    cluster.crash(name)
    cluster.make(name)


def membership_of(status: NodeStatus) -> tuple[str, str, bool]:
    return names_of(status.voters), names_of(status.learners), status.stable


async def test_member_without_its_memory_is_taken_in_again_by_itself() -> None:
    """Design §4: a learner of the new incarnation first, then a voter; by joint consensus."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        leader = cluster.name_of(cluster.leader)
        lost = next(name for name in 'abc' if name != leader)
        seen: list[tuple[str, str, bool]] = []

        async def watch() -> None:
            seen.append(membership_of(cluster[leader].status))
            async for status in cluster[leader].watch():
                if membership_of(status) != seen[-1]:
                    seen.append(membership_of(status))

        watching = asyncio.create_task(watch())
        lose_memory(cluster, lost)
        await cluster[lost].start()
        await cluster.until(lambda: ('abc', '', True) in seen[2:] and seen[-1] == seen[0])
        watching.cancel()
        rest = ''.join(name for name in 'abc' if name != lost)
        assert seen == [
            ('abc', '', True),
            ('abc', lost, False),  # C_old,new: the lost incarnation is in the old majority
            (rest, lost, False),
            ('abc', '', False),
            ('abc', '', True),
        ]
        assert await cluster[lost].execute('add', 2) == 2
        await cluster.until_equal()
        assert cluster.ledgers[lost].entries == [1, 2]


async def test_member_without_its_memory_is_no_member_until_then() -> None:
    """Design §4: it never votes or counts in the old one's name."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        lose_memory(cluster, 'c')
        cluster.network.cut_off('c')
        await cluster['c'].start()
        await asyncio.sleep(10 * T)
        status = cluster['c'].status
        assert (status.role, status.term, status.last_index) == ('detached', 0, 0)
        with pytest.raises(NotMember, match='c is in no cluster'):
            await cluster['c'].execute('add', 2)
        assert await cluster['b'].execute('add', 3) == 2
        assert names_of(cluster['a'].status.voters) == 'abc'


async def test_it_counts_in_no_majority() -> None:
    """Design §4: the lost incarnation stays, silent, in the old majority's denominator."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        assert cluster.leader is cluster['a']
        lose_memory(cluster, 'c')
        cluster.network.cut_off('b')
        with pytest.raises(ConsensualError):
            await cluster['a'].execute('add', 'lost?', timeout=10 * T)
        await asyncio.sleep(10 * T)
        assert not cluster.leaders
        assert cluster['c'].status.role == 'detached'
        cluster.network.heal()
        await cluster.until_led('ab')


async def test_majority_that_lost_its_memory_elects_nobody() -> None:
    """Design §4: two empty nodes out of three must not outvote the one that remembers."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        await cluster.until_equal()
        lose_memory(cluster, 'a')
        lose_memory(cluster, 'b')
        await asyncio.sleep(20 * T)
        assert not cluster.leaders
        assert cluster.ledgers['c'].entries == [1]
        assert await cluster['c'].solo() is None
        assert await cluster['c'].attach_nodes(urls_of('ab')) is None
        await cluster.until_equal()
        assert cluster.ledgers['a'].entries == cluster.ledgers['b'].entries == [1]


async def test_it_is_named_in_the_leaders_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is named in the leader's log, with what that means; not every heartbeat."""
    logger = logging.getLogger('tests.leader')
    async with Cluster('') as cluster:
        cluster.make('a', logger=logger)
        for name in 'bc':
            cluster.make(name)
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes(urls_of('bc')) is None
        lose_memory(cluster, 'c')
        cluster.network.cut_off('b')  # the others are no majority, so nothing can be done
        await asyncio.sleep(20 * T)
        cluster.network.heal()
        await cluster.until(lambda: names_of(cluster['c'].status.voters) == 'abc')
        warnings = [
            record.getMessage()
            for record in caplog.records
            if record.name == 'tests.leader' and record.levelno >= logging.WARNING
        ]
        told = [text for text in warnings if text.startswith('c ')]
        assert 'lost its data, so it counts for nothing until it is back' in told[0]
        assert len(warnings) <= 6, warnings


@pytest.mark.parametrize('by', 'ab')
async def test_it_is_detached_and_attached_again_by_hand(by: str) -> None:
    """Who does not wait detaches and attaches it again by hand: it is a full member."""
    async with Cluster('abc') as cluster:
        for number in range(10):
            assert await cluster['a'].execute('add', number) == number + 1
        lose_memory(cluster, 'c')
        text = await cluster[by].attach_nodes(urls_of('c'))
        assert 'c is a member' in str(text)
        assert await cluster[by].detach_nodes(urls_of('c')) is None
        assert await cluster[by].attach_nodes(urls_of('c')) is None
        await cluster.until_equal()
        assert cluster.ledgers['c'].entries == [*range(10)]
        assert names_of(cluster['c'].status.voters) == 'abc'
        cluster.network.cut_off('b')
        assert await cluster['c'].execute('add', 10) == 11, 'it counts again'


async def test_leader_that_lost_its_memory_is_replaced() -> None:
    """Design §4: its followers elect one of themselves; the newcomer is another node."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        await cluster.until_equal()
        old = cluster.name_of(cluster.leader)
        lose_memory(cluster, old)
        rest = [name for name in 'abc' if name != old]
        await cluster.until_led(rest)
        assert await cluster[rest[0]].execute('add', 2) == 2
        await cluster.until(lambda: names_of(cluster[old].status.voters) == 'abc')
        await cluster.until_equal()
        assert cluster.ledgers[old].entries == [1, 2]


async def test_node_that_lost_its_memory_may_go_its_own_way() -> None:
    """Design §4: old and new cluster never mix: the old leader cannot make it its follower."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 1) == 1
        lose_memory(cluster, 'c')
        assert await cluster['c'].solo() is None
        assert await cluster['c'].execute('add', 'own') == 1
        await asyncio.sleep(10 * T)
        assert cluster['c'].status.role == 'leader'
        assert cluster.ledgers['c'].entries == ['own']
        assert cluster['c'].status.cluster_id != cluster['a'].status.cluster_id
        assert await cluster['b'].execute('add', 2) == 2


async def test_sessions_of_the_lost_incarnation_and_the_new_one_do_not_mix() -> None:
    """Design §4, Clients: a session is opened anew at every start of a node."""
    async with Cluster('abc') as cluster:
        for number in range(5):
            await cluster['c'].execute('add', ['old', number])
        lose_memory(cluster, 'c')
        assert await cluster['a'].detach_nodes(urls_of('c')) is None
        assert await cluster['a'].attach_nodes(urls_of('c')) is None
        for number in range(5):
            assert await cluster['c'].execute('add', ['new', number]) == 6 + number
        await cluster.until_equal()
        entries = cluster.ledgers['a'].entries
        assert entries == [[life, number] for life in ('old', 'new') for number in range(5)]
