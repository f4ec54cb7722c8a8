"""solo: leave whatever cluster this is and lead a new one, alone (design §2)."""

import asyncio

from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, T, delay, names_of, urls_of

pytestmark = in_virtual_time


async def test_detached_node_becomes_sole_member_and_leader() -> None:
    """Design §2: the sole member and leader; its no-op is applied when the call returns."""
    async with Cluster('', idle='a') as cluster:
        assert await cluster['a'].solo() is None
        status = cluster['a'].status
        assert (status.role, status.leader, status.stable) == ('leader', cluster['a'].url, True)
        assert names_of(status.voters) == 'a'
        assert status.applied_index == status.commit_index == status.last_index > 0
        assert status.term > 0
        assert status.cluster_id


async def test_solo_takes_no_time() -> None:
    """Nobody is asked, so nothing is waited for."""
    async with Cluster('', idle='a') as cluster:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await cluster['a'].solo() is None
        assert loop.time() == began


async def test_each_solo_draws_another_cluster_and_a_higher_term() -> None:
    """Design §2: new cluster id, higher term, history and state kept."""
    async with Cluster('', idle='a') as cluster:
        node = cluster['a']
        seen, term = set(), 0
        for number in range(5):
            assert await node.solo() is None
            assert node.status.term > term
            term = node.status.term
            seen.add(node.status.cluster_id)
            assert await node.execute('add', number) == number + 1
        assert len(seen) == 5
        assert cluster.ledgers['a'].entries == [*range(5)]
        assert cluster.ledgers['a'].resets == 0


async def test_follower_separates_and_the_rest_goes_on() -> None:
    """Design §2: non-consensual; afterwards old and new cluster never mix (§4)."""
    async with Cluster('abc') as cluster:
        await cluster['b'].execute('add', 1)
        await cluster.until_equal()
        old_id = cluster.leader.status.cluster_id
        follower = cluster.followers[0]
        name = cluster.name_of(follower)
        rest = [other for other in 'abc' if other != name]
        assert await follower.solo() is None
        assert await follower.execute('add', 'new') == 2
        assert await cluster[rest[0]].execute('add', 'old') == 2
        await asyncio.sleep(10 * T)
        assert follower.status.cluster_id != old_id
        assert {cluster[other].status.cluster_id for other in rest} == {old_id}
        assert cluster.ledgers[name].entries == [1, 'new']
        assert [cluster.ledgers[other].entries for other in rest] == [[1, 'old']] * 2
        assert follower.status.role == 'leader'


async def test_leader_separates_and_the_rest_elects_another() -> None:
    """Design §2: the old cluster has a new leader; two leaders, of two clusters."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        rest = [name for name in 'abc' if cluster[name] is not old]
        assert await old.solo() is None
        new = await cluster.until_led(rest)
        assert await new.execute('add', 'rest') == 1
        assert await old.execute('add', 'alone') == 1
        assert names_of(old.status.voters) == cluster.name_of(old)


async def test_survivor_of_a_lost_majority_rescues_the_state() -> None:
    """Design §2: history and state kept, though nobody else is there; then it grows again."""
    async with Cluster('abc', idle='d') as cluster:
        await cluster['a'].execute('add', 1)
        await cluster.until_equal('abc')
        for name in 'ab':
            cluster.crash(name)
        assert await cluster['c'].solo() is None
        assert await cluster['c'].execute('add', 2) == 2
        assert await cluster['c'].attach_nodes(urls_of('d')) is None
        assert await cluster['d'].execute('add', 3) == 3
        assert cluster.ledgers['d'].entries == [1, 2, 3]


async def test_solo_commits_what_was_in_the_log() -> None:
    """Design §2, history kept: an uncommitted tail of the old cluster becomes the new one's.

    Who had it done by the old one is not told that it was: there it may never be.
    """
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        name = cluster.name_of(leader)
        await leader.execute('add', 1)
        cluster.network.cut_off(name)
        call = asyncio.create_task(leader.enqueue('add', 2, timeout=60))
        await asyncio.sleep(0.01)
        assert await leader.solo() is None
        status = leader.status
        assert status.commit_index == status.last_index
        assert 'may be applied or not' in str(await call)
        assert cluster.ledgers[name].entries == [1, 2]
        assert await leader.execute('add', 3) == 3


async def test_concurrent_solos_end_in_one_cluster_of_one() -> None:
    """Two callers at once: both are told the truth, the node leads one cluster."""
    async with Cluster('', idle='a') as cluster:
        results = await asyncio.gather(cluster['a'].solo(), cluster['a'].solo())
        assert None in results
        assert cluster['a'].status.role == 'leader'
        assert await cluster['a'].execute('add', 1) == 1


async def test_learner_can_go_solo() -> None:
    """Design §2: whatever it was before, also a newcomer that never was promoted."""
    async with Cluster('ab', idle='c') as cluster:
        cluster.network.add(delay(T / 2), receiver='c')
        call = asyncio.create_task(cluster['a'].attach_nodes(urls_of('c')))
        await cluster.until(lambda: cluster['c'].status.cluster_id is not None)
        assert await cluster['c'].solo() is None
        assert await call is not None
        assert names_of(cluster['c'].status.voters) == 'c'
        assert names_of(cluster['a'].status.voters) == 'ab'
        assert await cluster['a'].execute('add', 1) == 1


async def test_solo_ends_although_the_node_was_reset_in_the_same_turn() -> None:
    """Design §2: solo returns when its own no-op is applied, whatever was applied before."""
    async with Cluster('', idle='a') as cluster:
        reset, solo = cluster['a'].detach(), cluster['a'].solo()
        assert await asyncio.wait_for(asyncio.gather(reset, solo), 60.0) == [None, None]


async def test_solo_after_a_reset_does_not_take_the_old_log_for_the_new_one() -> None:
    """What was applied before the reset says nothing of what is applied after it."""
    async with Cluster('a') as cluster:
        for number in range(5):
            await cluster['a'].execute('add', number)
        assert await cluster['a'].detach() is None
        reset = asyncio.create_task(cluster['a'].detach())
        solo = asyncio.create_task(cluster['a'].solo())
        assert await asyncio.wait_for(asyncio.gather(reset, solo), 60.0) == [None, None]
        assert cluster['a'].status.applied_index == cluster['a'].status.last_index > 0
        assert cluster.ledgers['a'].entries == []
