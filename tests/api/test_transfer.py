"""transfer_leadership (design §2; thesis §3.10)."""

import asyncio
from typing import Any

import pytest

from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, cut, hang, names_of, url_of

pytestmark = in_virtual_time


@pytest.mark.parametrize('by', 'abc')
@pytest.mark.parametrize('to', 'bc')
async def test_leadership_goes_to_the_one_named(by: str, to: str) -> None:
    """Design §2: None once this node knows the new leader; on any member."""
    async with Cluster('abc') as cluster:
        assert cluster.leader is cluster['a']
        term = cluster['a'].status.term
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await cluster[by].transfer_leadership(url_of(to)) is None
        assert cluster[by].status.leader == url_of(to)
        assert loop.time() - began < T
        await cluster.until_led('abc')
        assert cluster.leader is cluster[to]
        assert cluster[to].status.term == term + 1
        assert await cluster[by].execute('add', 1) == 1


@pytest.mark.parametrize('by', 'abc')
async def test_leadership_goes_to_somebody_when_nobody_is_named(by: str) -> None:
    """Design §2: the best one; the leader itself is none."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        assert await cluster[by].transfer_leadership() is None
        await cluster.until_led('abc')
        assert cluster.leader is not old
        assert names_of(cluster.leader.status.voters) == 'abc'


async def test_best_successor_is_one_that_answers() -> None:
    """Thesis §3.10: not a follower that is far behind or cut off."""
    async with Cluster('abcde') as cluster:
        leader = cluster.leader
        silent = [cluster.name_of(node) for node in cluster.followers[:2]]
        cluster.network.cut_off(*silent, fault=hang)
        for number in range(20):
            await leader.execute('add', number)
        assert await leader.transfer_leadership() is None
        assert names_of([str_url for str_url in [leader.status.leader] if str_url]) not in silent


@pytest.mark.parametrize('by', 'ab')
async def test_transfer_to_no_voter_is_an_error_that_names_it(by: str) -> None:
    """Design §2: a non-member cannot lead; the leader stays."""
    async with Cluster('abc', idle='d') as cluster:
        text = await cluster[by].transfer_leadership(url_of('d'))
        assert 'd' in str(text).split()
        assert 'voter' in str(text) or 'member' in str(text)
        assert cluster.leader is cluster['a']


@pytest.mark.parametrize('by', 'ab')
async def test_transfer_to_the_leader_itself_changes_nothing(by: str) -> None:
    """Thesis §3.10: there is nothing to hand over: done, or told so, in the same term."""
    async with Cluster('abc') as cluster:
        term = cluster['a'].status.term
        text = await cluster[by].transfer_leadership(url_of('a'))
        assert text is None or 'a' in text.split()
        assert (cluster.leader, cluster['a'].status.term) == (cluster['a'], term)
        assert await cluster['a'].execute('add', 1) == 1


async def test_transfer_is_not_judged_by_what_was_heard_before_it() -> None:
    """Thesis §3.10: whom a cut-off member still takes for the leader may have a successor."""
    async with Cluster('abc') as cluster:
        assert cluster['c'].status.leader == url_of('a')
        cluster.network.cut_off('c')
        assert await cluster['c'].transfer_leadership(url_of('a')) is not None
        cluster.network.heal()
        assert await cluster['c'].transfer_leadership(url_of('a')) is None


async def test_transfer_in_a_cluster_of_one_tells_that_there_is_nobody() -> None:
    """Design §2: error text; the lone member goes on leading."""
    async with Cluster('a') as cluster:
        text = await cluster['a'].transfer_leadership()
        assert text is not None
        assert 'a' in text.split()
        assert await cluster['a'].execute('add', 1) == 1


@pytest.mark.parametrize('fault', [cut, hang])
async def test_transfer_to_a_dead_voter_fails_after_two_timeouts(fault: Any) -> None:
    """Design §2: transfer takes 2 T; afterwards the old leader takes commands again."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off('c', fault=fault)
        loop = asyncio.get_running_loop()
        for by in 'ab':
            began = loop.time()
            text = await cluster[by].transfer_leadership(url_of('c'))
            assert 'c' in str(text).split()
            assert loop.time() - began <= 2 * T + HEARTBEAT
        assert await cluster['b'].execute('add', 1) == 1
        assert cluster.leader is cluster['a']


async def test_transfer_without_a_leader_says_so() -> None:
    """Design §2: nobody leads: error text within 2 T."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: cluster['b'].status.leader is None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert 'leader' in str(await cluster['b'].transfer_leadership(url_of('c')))
        assert loop.time() - began <= 2 * T + HEARTBEAT


async def test_commands_meanwhile_are_neither_lost_nor_doubled() -> None:
    """Thesis §3.10: the leader takes no new ones during it; the node tries them again itself."""
    async with Cluster('abc') as cluster:
        calls = [
            asyncio.create_task(cluster['abc'[number % 3]].execute('add', number))
            for number in range(300)
        ]
        for name in 'bcabca':
            await asyncio.sleep(0)
            assert await cluster['b'].transfer_leadership(url_of(name)) is None
        positions = await asyncio.gather(*calls)
        assert sorted(positions) == [*range(1, 301)]
        await cluster.until_equal()
        assert sorted(cluster.ledgers['a'].entries) == [*range(300)]
        assert cluster.ledgers['a'].entries == cluster.ledgers['b'].entries


async def test_second_transfer_meanwhile_ends_too() -> None:
    """Two callers, two targets: each is told how it ended, and one leads."""
    async with Cluster('abc') as cluster:
        texts = await asyncio.gather(
            cluster['a'].transfer_leadership(url_of('b')),
            cluster['a'].transfer_leadership(url_of('c')),
        )
        assert None in texts
        await cluster.until_led('abc')
        assert await cluster['a'].execute('add', 1) == 1


async def test_what_is_no_url_is_refused() -> None:
    """Design §2, errors by blame: the caller's."""
    async with Cluster('abc') as cluster:
        text = await cluster['a'].transfer_leadership('memory://b')  # type: ignore[arg-type]
        assert 'yarl.URL' in str(text)
