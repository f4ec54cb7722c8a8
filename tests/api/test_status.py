"""status and watch (design §2)."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from yarl import URL

from consensual.raft import Node, NodeStatus, communication
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, hang, names_of, urls_of

pytestmark = in_virtual_time

FIELDS = [
    'url',
    'id',
    'role',
    'term',
    'leader',
    'cluster_id',
    'voters',
    'learners',
    'stable',
    'last_index',
    'commit_index',
    'applied_index',
    'snapshot_index',
]


async def test_status_has_all_fields_and_is_frozen() -> None:
    """Design §2: frozen, with these fields."""
    async with Cluster('a') as cluster:
        status = cluster['a'].status
        assert isinstance(status, NodeStatus)
        for field in FIELDS:
            assert hasattr(status, field)
            with pytest.raises(AttributeError):
                setattr(status, field, None)


async def test_status_of_a_stable_cluster_agrees() -> None:
    """Design §2: leader as URL, voters, cluster id: the same on every member."""
    async with Cluster('abc') as cluster:
        await cluster['b'].execute('add', 1)
        await cluster.until_equal()
        await asyncio.sleep(2 * HEARTBEAT)
        statuses = [node.status for node in cluster.nodes.values()]
        assert sorted(status.role for status in statuses) == ['follower', 'follower', 'leader']
        for status in statuses:
            assert status.leader == cluster.leader.url
            assert names_of(status.voters) == 'abc'
            assert (status.learners, status.stable, status.snapshot_index) == ((), True, 0)
            assert status.applied_index == status.commit_index == status.last_index
        for field in ('term', 'cluster_id', 'last_index', 'commit_index'):
            assert len({getattr(status, field) for status in statuses}) == 1


async def test_urls_in_a_status_are_the_nodes_urls() -> None:
    """Design §2: `leader` and `voters` are the URLs that the nodes have, default ports included."""
    nodes: dict[str, Any] = {}
    urls = [URL('http://first:80'), URL('http://second:80')]
    made = [Node.from_url(url, sender=communication.Sender([], nodes)) for url in urls]
    for node in made:
        communication.Receiver(node, nodes).start()
    assert await made[0].solo() is None
    assert await made[0].attach_nodes(urls[1:]) is None
    assert made[1].status.leader == made[0].url
    assert set(made[1].status.voters) == set(urls)
    await asyncio.gather(*(node.stop() for node in made))


async def test_status_is_a_picture_of_its_moment() -> None:
    """Design §2: frozen: an old status does not change."""
    async with Cluster('a') as cluster:
        old = cluster['a'].status
        index = old.last_index
        await cluster['a'].execute('add', 1)
        assert old.last_index == index < cluster['a'].status.last_index


async def test_learner_is_a_membership_not_a_role() -> None:
    """Design §2: roles are five; a newcomer that catches up is a follower among the learners."""
    async with Cluster('ab', idle='c') as cluster:
        cluster.network.add(hang, receiver='c', kinds=[1])
        call = asyncio.create_task(cluster['a'].attach_nodes(urls_of('c')))
        await cluster.until(lambda: cluster['a'].status.learners)
        assert names_of(cluster['a'].status.learners) == 'c'
        assert names_of(cluster['a'].status.voters) == 'ab'
        assert cluster['c'].status.role in ('detached', 'follower')
        cluster.network.heal()
        assert await call is None


async def test_isolated_follower_is_a_pre_candidate_and_knows_no_leader() -> None:
    """Design §2: `leader` is None when it knows none; role pre_candidate (thesis §9.6)."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        term = follower.status.term
        cluster.network.cut_off(cluster.name_of(follower))
        await cluster.until(lambda: follower.status.role == 'pre_candidate')
        assert (follower.status.leader, follower.status.term) == (None, term)


async def test_leader_without_quorum_is_no_leader_after_its_timeout() -> None:
    """Design §4: a leader that cannot reach a quorum for T steps down."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        cluster.network.cut_off(cluster.name_of(leader), fault=hang)
        await cluster.until(lambda: leader.status.role != 'leader', seconds=2 * T)
        assert leader.status.leader != leader.url


async def test_watch_yields_now_and_each_change() -> None:
    """Design §2: a new status on each change of role, term, leader or membership."""
    seen: list[NodeStatus] = []
    async with Cluster('', idle='abc') as cluster:

        async def watch() -> None:
            async for status in cluster['a'].watch():
                seen.append(status)  # noqa: PERF401 - watched while it grows

        watcher = asyncio.create_task(watch())
        await asyncio.sleep(HEARTBEAT)
        assert [status.role for status in seen] == ['detached']
        assert await cluster['a'].solo() is None
        await asyncio.sleep(HEARTBEAT)
        assert seen[-1].role == 'leader'
        assert await cluster['a'].attach_nodes(urls_of('bc')) is None
        await asyncio.sleep(HEARTBEAT)
        assert names_of(seen[-1].voters) == 'abc'
        assert seen[-1].stable
        assert any(not status.stable for status in seen)
        assert await cluster['a'].transfer_leadership() is None
        await asyncio.sleep(2 * T)
        assert seen[-1].role == 'follower'
        assert seen[-1].leader is not None
        assert await cluster['a'].detach() is None
        await asyncio.sleep(HEARTBEAT)
        assert (seen[-1].role, seen[-1].voters) == ('detached', ())
        await cluster['a'].stop()
        await watcher
    for earlier, later in pairwise(seen):
        assert what_is_watched(earlier) != what_is_watched(later)


def what_is_watched(status: NodeStatus) -> tuple[object, ...]:
    return (
        status.role,
        status.term,
        status.leader,
        status.cluster_id,
        status.voters,
        status.learners,
        status.stable,
    )


async def test_watch_is_silent_while_commands_flow() -> None:
    """Design §2: commands are no change of role, term, leader or membership."""
    async with Cluster('abc') as cluster:
        statuses = cluster['b'].watch()
        await anext(statuses)
        following = asyncio.create_task(anext(statuses))
        for number in range(50):
            await cluster['b'].execute('add', number)
        await asyncio.sleep(10 * T)
        assert not following.done()
        assert await cluster['a'].transfer_leadership(cluster['b'].url) is None
        await following
        await statuses.aclose()  # type: ignore[attr-defined]


async def test_many_may_watch_and_one_may_leave() -> None:
    """Each iteration is its own; leaving one harms no other."""
    async with Cluster('abc') as cluster:
        first, second = cluster['a'].watch(), cluster['a'].watch()
        assert await anext(first) == await anext(second)
        await first.aclose()  # type: ignore[attr-defined]
        assert await cluster['a'].transfer_leadership() is None
        async with asyncio.timeout(T):
            assert (await anext(second)).role != 'leader'
        await second.aclose()  # type: ignore[attr-defined]


async def test_slow_watcher_costs_bounded_memory_and_sees_the_last_state() -> None:
    """A watcher that lags behind misses the oldest changes, never the newest."""
    async with Cluster('a') as cluster:
        statuses = cluster['a'].watch()
        await anext(statuses)
        for _ in range(1500):
            assert await cluster['a'].solo() is None
        term = cluster['a'].status.term
        count = 0
        async for status in statuses:
            count += 1
            if status.term == term and status.role == 'leader':
                break
        assert count <= 1500 * 2
        await statuses.aclose()  # type: ignore[attr-defined]
