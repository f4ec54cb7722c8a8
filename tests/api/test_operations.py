"""`Node.operations`: what returns None or error text on a node raises typed errors there."""

import pytest

from consensual.raft import errors
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, url_of, urls_of

pytestmark = in_virtual_time


async def test_cluster_is_founded_grown_shrunk_and_handed_over() -> None:
    """Each operation returns when it is done."""
    async with Cluster('', idle='abc') as cluster:
        await cluster['a'].operations.solo()
        await cluster['a'].operations.attach_nodes(urls_of('bc'))
        await cluster['b'].operations.transfer_leadership(url_of('b'))
        assert cluster['b'].status.role == 'leader'
        await cluster['b'].operations.detach_nodes(urls_of('a'))
        assert cluster['b'].status.voters == tuple(urls_of('bc'))


async def test_refusals_are_typed() -> None:
    """What is refused is raised as what it is."""
    async with Cluster('ab', idle='c') as cluster:
        with pytest.raises(errors.AlreadyMember):
            await cluster['a'].operations.attach_nodes(urls_of('b'))
        with pytest.raises(errors.InvalidParameters):
            await cluster['a'].operations.detach_nodes([])
        with pytest.raises(errors.NotMember):
            await cluster['a'].operations.detach_nodes(urls_of('c'))
        with pytest.raises(errors.NotMember, match='c is in no cluster; reset it to erase'):
            await cluster['c'].operations.leave()
        with pytest.raises(errors.SnapshotUnsupported):
            await cluster['a'].operations.take_snapshot()


async def test_leaving_keeps_the_history_however_often_it_is_asked_for() -> None:
    """A request to leave that is repeated erases nothing; a reset has to be asked for."""
    async with Cluster('ab') as cluster:
        await cluster['a'].execute('add', 1)
        await cluster.until_equal()
        await cluster['b'].operations.leave()
        with pytest.raises(errors.NotMember):
            await cluster['b'].operations.leave()
        assert cluster.ledgers['b'].entries == [1]
        await cluster['b'].operations.reset()
        assert cluster.ledgers['b'].entries == []


async def test_member_cannot_be_reset() -> None:
    """What the cluster counts on is not erased."""
    async with Cluster('ab') as cluster:
        with pytest.raises(errors.AlreadyMember, match='b is a member of a cluster: detach it'):
            await cluster['b'].operations.reset()
        assert cluster['b'].status.role == 'follower'


async def test_last_member_ends_the_cluster() -> None:
    """And keeps its history."""
    async with Cluster('a') as cluster:
        await cluster['a'].execute('add', 1)
        await cluster['a'].operations.leave()
        assert cluster['a'].status.role == 'detached'
        assert cluster.ledgers['a'].entries == [1]
