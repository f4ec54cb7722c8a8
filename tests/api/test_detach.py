"""detach_nodes and detach: leaving, and starting anew (design §2, §4 Membership)."""

import asyncio

import pytest

from consensual.raft.errors import NotMember
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, cut, names_of, urls_of

pytestmark = in_virtual_time


@pytest.mark.parametrize('by', 'abc')
async def test_follower_is_detached_by_any_member(by: str) -> None:
    """Design §2: joint consensus, on any member, the one that goes included."""
    async with Cluster('abc') as cluster:
        assert cluster.leader is cluster['a']
        await cluster['a'].execute('add', 1)
        assert await cluster[by].detach_nodes(urls_of('c')) is None
        await cluster.until(lambda: cluster['c'].status.role == 'detached')
        await cluster.until_equal('ab')
        for name in 'ab':
            status = cluster[name].status
            assert (names_of(status.voters), status.stable) == ('ab', True)
        assert cluster.ledgers['c'].entries == [1], 'it keeps its history'
        assert cluster['c'].status.voters == ()
        assert await cluster['b'].execute('add', 2) == 2


@pytest.mark.parametrize('by', 'abc')
async def test_leader_may_be_among_them(by: str) -> None:
    """Design §4: a removed leader leads until C_new commits, then hands over."""
    async with Cluster('abc') as cluster:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await cluster[by].detach_nodes(urls_of('a')) is None
        await cluster.until(lambda: cluster['a'].status.role == 'detached')
        new = await cluster.until_led('bc')
        assert loop.time() - began < T, 'it handed over: nobody had to time out'
        assert names_of(new.status.voters) == 'bc'
        assert await cluster['c'].execute('add', 1) == 1


async def test_many_are_detached_at_once() -> None:
    """Design §2: one joint change, the leader among them; the rest goes on."""
    async with Cluster('abcde') as cluster:
        assert await cluster['e'].detach_nodes(urls_of('abc')) is None
        await cluster.until(lambda: all(cluster[n].status.role == 'detached' for n in 'abc'))
        assert names_of((await cluster.until_led('de')).status.voters) == 'de'
        assert await cluster['d'].execute('add', 1) == 1


@pytest.mark.parametrize('names', ['z', 'bz', 'd'])
@pytest.mark.parametrize('by', 'ab')
async def test_detaching_a_non_member_is_an_error_that_names_it(by: str, names: str) -> None:
    """Design §2: detaching a non-member is an error; nobody of the list is detached."""
    async with Cluster('abc', idle='d') as cluster:
        text = await cluster[by].detach_nodes(urls_of(names))
        assert names[-1] in str(text).split()
        assert 'no member' in str(text) or 'not a member' in str(text)
        assert names_of(cluster['a'].status.voters) == 'abc'
        assert await cluster['b'].execute('add', 1) == 1


@pytest.mark.parametrize('names', ['a', 'ab', 'abc'])
async def test_detaching_everybody_is_an_error(names: str) -> None:
    """Design §2: a cluster of nobody could not go on: the cluster is unchanged."""
    async with Cluster(names) as cluster:
        text = await cluster[names[-1]].detach_nodes(urls_of(names))
        assert text is not None
        assert 'detach' in text or 'nobody' in text or 'everybody' in text
        assert names_of(cluster.leader.status.voters) == names
        assert await cluster['a'].execute('add', 1) == 1


async def test_url_given_twice_counts_once() -> None:
    """Duplicate URLs name one node."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].detach_nodes(urls_of('cc')) is None
        assert names_of(cluster['a'].status.voters) == 'ab'


@pytest.mark.parametrize('name', 'abc')
async def test_detach_leaves_the_cluster(name: str) -> None:
    """Design §2: on a member of a larger cluster; it has applied C_new when the call returns."""
    async with Cluster('abc') as cluster:
        await cluster[name].execute('add', 1)
        assert await cluster[name].detach() is None
        assert cluster[name].status.role == 'detached'
        assert cluster.ledgers[name].entries == [1]
        rest = [other for other in 'abc' if other != name]
        assert names_of((await cluster.until_led(rest)).status.voters) == ''.join(rest)
        assert await cluster[rest[0]].execute('add', 2) == 2
        assert cluster.ledgers[name].entries == [1]


async def test_last_member_becomes_detached_and_keeps_its_history() -> None:
    """Design §2: on a cluster of one: become detached, history kept."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        await node.execute('add', 1)
        last, term = node.status.last_index, node.status.term
        assert await node.detach() is None
        status = node.status
        assert (status.role, status.last_index, status.voters) == ('detached', last, ())
        assert status.term >= term, 'a term is never forgotten'
        assert cluster.ledgers['a'].entries == [1]
        with pytest.raises(NotMember):
            await node.execute('add', 2)


async def test_detach_of_a_detached_node_resets_it() -> None:
    """Design §2: log, term, vote, snapshot, sessions and state machine are erased."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        await node.execute('add', 1)
        assert await node.detach() is None
        assert await node.detach() is None
        status = node.status
        assert (status.term, status.last_index, status.commit_index) == (0, 0, 0)
        assert (status.applied_index, status.role, status.leader) == (0, 'detached', None)
        assert cluster.ledgers['a'].entries == []
        assert cluster.ledgers['a'].resets == 1
        assert await node.solo() is None
        assert await node.execute('add', 2) == 1


async def test_reset_node_does_not_speak_in_a_session_of_its_old_cluster() -> None:
    """Design §4, Clients: a session's id is an index of one log; reset erases it here, too.

    Both logs are alike, so that the old id names another node's session in the new cluster.
    """
    async with Cluster('', idle='cx') as cluster:
        for name in 'cx':
            assert await cluster[name].solo() is None
            assert await cluster[name].execute('add', f'{name}1') == 1
        assert await cluster['c'].detach() is None
        assert await cluster['c'].detach() is None
        assert await cluster['x'].attach_nodes(urls_of('c')) is None
        assert await cluster['c'].execute('add', 'c2') == 2
        assert await cluster['x'].execute('add', 'x2') == 3
        await cluster.until_equal()
        for name in 'cx':
            assert cluster.ledgers[name].entries == ['x1', 'c2', 'x2']


async def test_reset_survives_a_restart() -> None:
    """Design §2: what is erased is erased in the storage, too."""
    async with Cluster('a') as cluster:
        node = cluster['a']
        await node.execute('add', 1)
        await node.detach()
        await node.detach()
        await node.stop()
        await node.start()
        assert (node.status.term, node.status.last_index) == (0, 0)
        assert cluster.ledgers['a'].entries == []


async def test_reset_node_can_be_attached_again_and_again() -> None:
    """Design §4: a new incarnation is drawn: to the cluster it is a new node."""
    async with Cluster('abc') as cluster:
        for round_ in range(3):
            await cluster['a'].execute('add', round_)
            assert await cluster['c'].detach() is None
            text = await cluster['b'].attach_nodes(urls_of('c'))
            assert 'reset it first' in str(text)
            assert await cluster['c'].detach() is None
            assert cluster.ledgers['c'].entries == []
            assert await cluster['b'].attach_nodes(urls_of('c')) is None
            await cluster.until_equal()
            assert cluster.ledgers['c'].entries == [*range(round_ + 1)]


async def test_node_of_old_cluster_that_was_reset_can_join_another() -> None:
    """Design §4: old and new cluster never mix, although the old one still sends to it."""
    async with Cluster('abc', idle='x') as cluster:
        assert await cluster['x'].solo() is None
        cluster.network.split('c', 'ab')
        assert await cluster['c'].solo() is None
        assert await cluster['c'].detach() is None
        assert await cluster['c'].detach() is None
        cluster.network.heal()
        assert await cluster['x'].attach_nodes(urls_of('c')) is None
        assert await cluster['x'].execute('add', 'x') == 1
        assert await cluster['a'].execute('add', 'a') == 1
        await asyncio.sleep(4 * T)
        assert cluster.ledgers['c'].entries == ['x']
        assert names_of(cluster['x'].status.voters) == 'cx'
        assert cluster['c'].status.cluster_id == cluster['x'].status.cluster_id


async def test_removed_node_disturbs_nobody() -> None:
    """Design §4: told or not, it raises no term; told later, it becomes detached."""
    async with Cluster('abc') as cluster:
        term = cluster.leader.status.term
        gone = cluster.name_of(cluster.followers[0])
        cluster.network.cut_off(gone, fault=cut)
        assert await cluster.leader.detach_nodes(urls_of(gone)) is None
        await asyncio.sleep(10 * T)
        cluster.network.heal()
        await cluster.until(lambda: cluster[gone].status.role == 'detached')
        await asyncio.sleep(4 * T)
        assert {cluster[name].status.term for name in 'abc' if name != gone} == {term}
        assert await cluster.leader.execute('add', 1) == 1


async def test_detach_of_a_dead_node_succeeds() -> None:
    """Design §4: both majorities are there without it."""
    async with Cluster('abc') as cluster:
        await cluster['c'].stop()
        assert await cluster['b'].detach_nodes(urls_of('c')) is None
        assert names_of(cluster['a'].status.voters) == 'ab'
        await cluster['c'].start()
        await cluster.until(lambda: cluster['c'].status.role == 'detached')


async def test_concurrent_detaches_of_everybody_leave_somebody() -> None:
    """Design §4: one change at a time: whatever each asks for, a cluster remains or is told."""
    async with Cluster('abc') as cluster:
        texts = await asyncio.gather(*(cluster[name].detach() for name in 'abc'))
        assert None in texts
        await asyncio.sleep(10 * T)
        stayed = [name for name, text in zip('abc', texts, strict=True) if text is not None]
        for name, text in zip('abc', texts, strict=True):
            assert (cluster[name].status.role == 'detached') == (text is None)
        if stayed:
            await cluster.until_led(stayed)
            assert await cluster[stayed[0]].execute('add', 1) == 1


async def test_detach_without_a_quorum_does_not_claim_success() -> None:
    """Design §2: error text, and no membership change of one's own making."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        name = cluster.name_of(leader)
        cluster.network.cut_off(name)
        assert await leader.detach() is not None
        cluster.network.heal()
        await asyncio.sleep(4 * T)
        await cluster.until(lambda: cluster.leaders and cluster.leader.status.stable)
        assert names_of(cluster.leader.status.voters) in ('abc', ''.join(sorted({*'abc'} - {name})))
        assert isinstance(await cluster.leader.execute('add', 1), int)


async def test_two_nodes_shrink_to_one_and_grow_again() -> None:
    """Design §4: the smallest clusters, where each majority is everybody."""
    async with Cluster('ab') as cluster:
        assert await cluster['b'].detach_nodes(urls_of('a')) is None
        await cluster.until(lambda: cluster['a'].status.role == 'detached')
        await cluster.until(lambda: cluster['b'].status.role == 'leader')
        assert await cluster['b'].execute('add', 1) == 1
        assert await cluster['a'].detach() is None
        assert await cluster['b'].attach_nodes(urls_of('a')) is None
        assert await cluster['a'].execute('add', 2) == 2
        await asyncio.sleep(HEARTBEAT)
        assert cluster.ledgers['a'].entries == [1, 2]
