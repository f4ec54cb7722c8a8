"""What is said of what was begun when something comes in between (design §2: errors).

An answer that says that nothing was done is trusted: it is done again, elsewhere.
"""

import asyncio
from typing import Any

import pytest

from consensual.raft import MessageKind, Node, Write
from consensual.raft.errors import (
    NodeStopped,
    NotMember,
    OutcomeUnknown,
    ReceiverUnavailable,
    StorageFull,
)
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, Deliver, T, cut, delay, names_of, url_of, urls_of

pytestmark = in_virtual_time


class Disk(MemoryStorage):
    """Writes at once, or late, or not at all."""

    seconds = 0.0
    is_full = False

    def write(self, write: Write) -> Any:
        if self.is_full:
            raise StorageFull('no room')
        if not self.seconds:
            return super().write(write)
        return self._late(write)

    async def _late(self, write: Write) -> None:
        await asyncio.sleep(self.seconds)
        super().write(write)


async def test_attachment_that_was_begun_is_not_denied_when_the_asked_node_stops() -> None:
    async with Cluster('abc', idle='d') as cluster:
        cluster.network.add(delay(T / 2), receiver='d', kinds=[MessageKind.APPEND_ENTRIES])
        asking = asyncio.create_task(cluster['b'].operations.attach_nodes(urls_of('d')))
        await cluster.until(lambda: bool(cluster['a'].status.learners))
        await cluster['b'].stop()
        with pytest.raises(OutcomeUnknown, match='may complete, or not'):
            await asking
        cluster.network.heal()
        await cluster.until(lambda: 'd' in names_of(cluster['a'].status.voters))


async def test_detachment_that_was_sent_is_not_denied_when_the_disk_of_the_leader_is_full() -> None:
    disk = Disk()
    async with Cluster('') as cluster:
        cluster.make('a', storage=disk)
        for name in 'bc':
            cluster.make(name)
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes(urls_of('bc')) is None
        cluster.network.add(delay(T / 4), receiver='b')
        cluster.network.add(delay(T / 4), receiver='c')
        asking = asyncio.create_task(cluster['a'].operations.detach_nodes(urls_of('c')))
        await cluster.until(lambda: not cluster['a'].status.stable)
        disk.is_full = True
        with pytest.raises(OutcomeUnknown, match='no room'):
            await asking


async def test_change_is_not_denied_when_time_is_over_before_the_first_answer() -> None:
    async def late(deliver: Deliver) -> Any:
        reply = await deliver()
        await asyncio.sleep(T / 2)
        return reply

    async with Cluster('abc') as cluster:
        cluster.network.add(late, sender='b', kinds=[MessageKind.CHANGE_MEMBERSHIP])
        with pytest.raises(OutcomeUnknown, match='may still complete'):
            await cluster['b'].operations.detach_nodes(urls_of('c'), timeout=T / 4)
        await cluster.until(lambda: names_of(cluster['a'].status.voters) == 'ab')


async def test_change_that_no_leader_was_asked_for_is_denied() -> None:
    """And not called unknown where it is known."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: cluster['b'].status.leader is None)
        asking = asyncio.create_task(cluster['b'].operations.detach_nodes(urls_of('c')))
        await asyncio.sleep(T)
        await cluster['b'].stop()
        with pytest.raises(NodeStopped):
            await asking


async def test_refusal_of_the_moment_says_nothing_of_an_earlier_ask_without_an_answer() -> None:
    """It is on its way, for longer than its answer is waited for, while another change is made."""
    asked = 0

    async with Cluster('abc', idle='d') as cluster:

        async def first_is_late(deliver: Deliver) -> Any:
            nonlocal asked
            asked += 1
            if asked == 1:
                late = asyncio.ensure_future(deliver_late(deliver))
                await asyncio.shield(late)
            return await deliver()

        async def deliver_late(deliver: Deliver) -> None:
            await asyncio.sleep(5 * T)
            await deliver()

        cluster.network.add(first_is_late, sender='b', kinds=[MessageKind.CHANGE_MEMBERSHIP])
        cluster.network.add(delay(0.9 * T), receiver='d', kinds=[MessageKind.APPEND_ENTRIES])
        other = asyncio.create_task(cluster['a'].attach_nodes(urls_of('d')))
        with pytest.raises(OutcomeUnknown):
            await cluster['b'].operations.detach_nodes(urls_of('c'))
        assert await other is None
        await cluster.until(lambda: 'c' not in names_of(cluster['a'].status.voters))


async def test_transfer_whose_answers_are_lost_is_not_denied() -> None:
    async def lose(deliver: Deliver) -> Any:
        await deliver()
        raise ReceiverUnavailable('lost')

    async with Cluster('abc') as cluster:
        cluster.network.add(lose, sender='b')
        cluster.network.add(cut, receiver='b')
        with pytest.raises(OutcomeUnknown):
            await cluster['b'].operations.transfer_leadership(url_of('c'))
        assert cluster.leader is cluster['c']


async def test_transfer_that_was_taken_up_is_not_denied_by_who_is_cut_off_then() -> None:
    async with Cluster('abc') as cluster:

        async def cut_off_then(deliver: Deliver) -> Any:
            reply = await deliver()
            cluster.network.cut_off('b')
            return reply

        cluster.network.add(cut_off_then, sender='b', kinds=[MessageKind.TRANSFER_LEADERSHIP])
        with pytest.raises(OutcomeUnknown):
            await cluster['b'].operations.transfer_leadership(url_of('c'))
        assert cluster['a'].status.leader == url_of('c')


async def solo(node: Node) -> None:
    await node.operations.solo()


async def leave(node: Node) -> None:
    await node.operations.leave()


async def reset(node: Node) -> None:
    await node.operations.reset()


@pytest.mark.parametrize('begin', [solo, leave, reset])
async def test_what_is_being_written_is_not_denied_when_the_node_stops(begin: Any) -> None:
    """A node that is stopped ends its write: it is found done, when it starts again."""
    disk = Disk()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=disk)
        if begin is not solo:
            assert await node.solo() is None
            assert await node.execute('add', 1) == 1
        if begin is reset:
            assert await node.detach() is None
        await node.start()
        disk.seconds = T
        asking = asyncio.create_task(begin(node))
        await asyncio.sleep(T / 2)
        await node.stop()
        with pytest.raises(OutcomeUnknown, match='may be done or not'):
            await asking


@pytest.mark.parametrize('begin', [solo, leave])
async def test_what_the_disk_refuses_ends_and_is_told(begin: Any) -> None:
    disk = Disk()
    async with Cluster('') as cluster:
        node = cluster.make('a', storage=disk)
        if begin is leave:
            assert await node.solo() is None
        await node.start()
        disk.is_full = True
        async with asyncio.timeout(10 * T):
            with pytest.raises(OutcomeUnknown, match='no room'):
                await begin(node)


async def test_command_for_a_cluster_is_not_done_by_another_one_that_its_node_founds() -> None:
    """Design §4: the old and the new cluster never mix."""
    async with Cluster('abc') as cluster:
        cluster.network.cut_off('c')
        assert await cluster['a'].execute('add', 'of the old one') == 1
        asking = asyncio.create_task(cluster['c'].execute('add', 'x', timeout=60))
        await asyncio.sleep(T / 2)
        assert await cluster['c'].solo() is None
        with pytest.raises((NotMember, OutcomeUnknown), match='another cluster'):
            await asking
        assert cluster.ledgers['c'].entries == []
        assert await cluster['c'].execute('add', 'y') == 1


async def test_linearizable_read_of_a_cluster_is_not_answered_from_another_one() -> None:
    async with Cluster('abc') as cluster:
        cluster.network.cut_off('c')
        assert await cluster['a'].execute('add', 'of the old one') == 1
        asking = asyncio.create_task(cluster['c'].ensure_linearizable(timeout=60))
        await asyncio.sleep(T / 2)
        assert await cluster['c'].solo() is None
        with pytest.raises(NotMember, match='another cluster'):
            await asking
        await cluster['c'].ensure_linearizable()


async def test_change_of_a_cluster_is_not_made_by_another_one() -> None:
    async with Cluster('abc', idle='d') as cluster:
        cluster.network.split('ab', 'c')
        asking = asyncio.create_task(cluster['c'].operations.attach_nodes(urls_of('d')))
        await asyncio.sleep(T / 4)
        assert await cluster['c'].solo() is None
        with pytest.raises((NotMember, OutcomeUnknown), match='another cluster'):
            await asking
        assert cluster['d'].status.cluster_id is None
