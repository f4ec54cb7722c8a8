"""Sessions of clients in other processes: applied once, through whichever member (thesis §6.3)."""

import asyncio
from random import Random
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import (
    ClusterError,
    InvalidParameters,
    NodeStopped,
    OutcomeUnknown,
    ProcessorFailed,
    SessionLost,
    TooLarge,
    UnknownAction,
)
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, Ledger, T, hang, jitter, swallow_reply

pytestmark = in_virtual_time


class SnapshottingLedger(Ledger):
    """A ledger whose log can be compacted."""

    def snapshot(self) -> list[Any]:
        return [*self.entries]

    def restore(self, value: list[Any]) -> None:
        self.entries[:] = value


def hand_in(node: Node, session: int, sequence: int, value: int, **options: Any) -> Any:
    """Have a client's `add` applied; return the future of its outcome."""
    numbers = {'lowest': 0, 'timeout': 5.0, **options}
    return node.gateway.execute(
        'add', str(value), session=session, sequence=sequence, **numbers
    ).future


@pytest.mark.parametrize('name', 'abc')
async def test_session_is_opened_through_any_member(name: str) -> None:
    """Its id is the index of a committed entry; each has another."""
    async with Cluster('abc') as cluster:
        first = await cluster[name].gateway.open_session(5.0).future
        second = await cluster['b'].gateway.open_session(5.0).future
        assert 0 < first < second <= cluster.leader.status.commit_index
        assert await hand_in(cluster[name], first, 0, 7) == 1
        assert cluster.ledgers[name].entries == [7]


async def test_command_that_comes_again_elsewhere_is_answered_from_the_table() -> None:
    """Under the same numbers it is the same command, through another member, too."""
    async with Cluster('abc') as cluster:
        session = await cluster['a'].gateway.open_session(5.0).future
        outcomes = [await hand_in(cluster[name], session, 0, 7) for name in 'abcab']
        assert outcomes == [1] * 5
        await cluster.until_equal()
        assert [ledger.entries for ledger in cluster.ledgers.values()] == [[7]] * 3


async def test_failure_of_a_processor_is_an_outcome_that_is_kept() -> None:
    """It comes again like any other."""
    async with Cluster('ab') as cluster:
        session = await cluster['a'].gateway.open_session(5.0).future
        for name in 'ab':
            numbers = {'session': session, 'sequence': 0, 'lowest': 0}
            ticket = cluster[name].gateway.execute('fail', '7', **numbers, timeout=5.0)
            with pytest.raises(ProcessorFailed, match='no 7'):
                await ticket.future


async def test_two_that_wait_for_one_command_both_get_the_outcome() -> None:
    """On one node: a client that was cut off came back before its command was applied."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        session = await follower.gateway.open_session(5.0).future
        futures = [hand_in(follower, session, 0, 7) for _ in range(3)]
        assert await asyncio.gather(*futures) == [1, 1, 1]
        assert follower.status.last_index == session + 1


async def test_one_who_gives_up_leaves_the_command_to_the_other() -> None:
    """The second one waits on, and is told."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        session = await follower.gateway.open_session(5.0).future
        name = cluster.name_of(follower)
        rule = cluster.network.add(hang, sender=name)
        first = follower.gateway.execute(
            'add', '7', session=session, sequence=0, lowest=0, timeout=5.0
        )
        second = hand_in(follower, session, 0, 7)
        await asyncio.sleep(HEARTBEAT)
        first.drop()
        cluster.network.remove(rule)
        assert await second == 1
        await cluster.until_equal()
        assert cluster.ledgers[name].entries == [7]


async def test_retry_through_another_node_after_the_leader_crashed_is_applied_once() -> None:
    """The leader committed it, told nobody, and died; the retry is the same command."""
    async with Cluster('abc') as cluster:
        leader = cluster.name_of(cluster.leader)
        session = await cluster[leader].gateway.open_session(5.0).future
        await cluster.until_equal()
        lost = hand_in(cluster[leader], session, 0, 7)
        cluster.network.add(swallow_reply, sender=leader)
        await asyncio.sleep(T / 2)
        assert not lost.done()
        cluster.crash(leader)
        cluster.network.heal()
        others = [name for name in 'abc' if name != leader]
        assert await hand_in(cluster[others[0]], session, 0, 7) == 1
        assert await hand_in(cluster[others[1]], session, 0, 7) == 1
        assert await hand_in(cluster[others[1]], session, 1, 8) == 2
        await cluster.until_equal(others)
        assert [cluster.ledgers[name].entries for name in others] == [[7, 8]] * 2


async def test_command_below_the_mark_is_never_applied() -> None:
    """Its client is done with it; a late copy is refused, and does nothing."""
    async with Cluster('ab') as cluster:
        session = await cluster['a'].gateway.open_session(5.0).future
        assert await hand_in(cluster['a'], session, 3, 7, lowest=3) == 1
        with pytest.raises(SessionLost, match='had moved on'):
            await hand_in(cluster['b'], session, 2, 8)
        await cluster.until_equal()
        assert cluster.ledgers['a'].entries == cluster.ledgers['b'].entries == [7]


async def test_evicted_session_is_told_and_nothing_is_applied() -> None:
    """The table is bounded: who was silent while a thousand others came starts anew."""
    async with Cluster('a') as cluster:
        gateway = cluster['a'].gateway
        session = await gateway.open_session(5.0).future
        await asyncio.gather(*(gateway.open_session(5.0).future for _ in range(1024)))
        with pytest.raises(SessionLost):
            await hand_in(cluster['a'], session, 0, 7)
        assert cluster.ledgers['a'].entries == []


async def test_own_callers_and_clients_do_not_disturb_each_other() -> None:
    """The node's session and those of clients have the same sequences."""
    async with Cluster('abc') as cluster:
        sessions = [await cluster['b'].gateway.open_session(5.0).future for _ in range(3)]
        calls = [hand_in(cluster['b'], session, n, 0) for n in range(20) for session in sessions]
        results = await asyncio.gather(*(cluster['b'].execute('add', 1) for _ in range(20)), *calls)
        assert sorted(results) == list(range(1, 81))


async def test_clients_need_no_session_of_the_node() -> None:
    """Its own callers may wait for one while theirs go on."""
    async with Cluster('a', idle='b') as cluster:
        await cluster['a'].attach_nodes([cluster['b'].url])
        last = cluster['b'].status.last_index
        session = await cluster['b'].gateway.open_session(5.0).future
        assert await hand_in(cluster['b'], session, 0, 7) == 1
        assert cluster['b'].status.last_index == last + 2


@pytest.mark.parametrize('seed', range(6))
async def test_applied_once_whatever_the_network_and_whoever_leads(seed: int) -> None:
    """A client hands each command in through one member after the other until it is done."""
    random = Random(seed)
    async with Cluster('abc') as cluster:
        cluster.network.add(jitter(random, HEARTBEAT))
        session = await cluster['a'].gateway.open_session(5.0).future

        async def persist(sequence: int) -> int:
            while True:
                node = cluster[random.choice('abc')]
                try:
                    return await hand_in(node, session, sequence, sequence, timeout=2 * T)
                except SessionLost:
                    raise
                except (OutcomeUnknown, ClusterError):
                    await asyncio.sleep(HEARTBEAT)

        async def disturb() -> None:
            for _ in range(5):
                await asyncio.sleep(random.uniform(0, T))
                await cluster[random.choice('abc')].transfer_leadership()

        async with asyncio.TaskGroup() as group:
            group.create_task(disturb())
            calls = [group.create_task(persist(n)) for n in range(40)]
        assert sorted(call.result() for call in calls) == list(range(1, 41))
        cluster.network.heal()
        await cluster.until_equal()
        assert all(sorted(each.entries) == [*range(40)] for each in cluster.ledgers.values())


async def test_snapshot_that_overtakes_a_command_tells_its_outcome() -> None:
    """The member that lagged takes the outcome from the table that came with the snapshot."""
    async with Cluster('', idle='abc') as cluster:
        for name in 'abc':
            cluster.make(name, state_machine=SnapshottingLedger(), snapshot_every=10)
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes([cluster[name].url for name in 'bc']) is None
        session = await cluster['a'].gateway.open_session(5.0).future
        assert await hand_in(cluster['a'], session, 0, 7) == 1
        cluster.network.cut_off('c', fault=hang)
        late = hand_in(cluster['c'], session, 0, 7, timeout=60.0)
        unsaid = hand_in(cluster['c'], session, 1, 8, timeout=60.0)
        for n in range(60):
            await cluster['a'].execute('add', n)
        await cluster['a'].take_snapshot()
        cluster.network.heal()
        assert await late == 1
        assert await unsaid == 62


@pytest.mark.parametrize(
    ('action', 'text', 'numbers', 'error'),
    [
        ('sub', '1', {}, UnknownAction),
        ('add', '{', {}, InvalidParameters),
        ('add', 'NaN', {}, InvalidParameters),
        ('add', '', {}, InvalidParameters),
        ('add', '"\ud800"', {}, InvalidParameters),
        ('add', '[' * 102 + ']' * 102, {}, InvalidParameters),
        ('add', '[' * 100_000, {}, InvalidParameters),
        ('add', f'"{"x" * 2**20}"', {}, TooLarge),
        ('add', '1', {'sequence': -1, 'lowest': -2}, InvalidParameters),
        ('add', '1', {'sequence': 1, 'lowest': 2}, InvalidParameters),
        ('add', '1', {'session': 2**63}, InvalidParameters),
        ('add', '1', {'timeout': float('nan')}, InvalidParameters),
    ],
)
async def test_what_is_wrong_is_refused_at_once(
    action: str, text: str, numbers: dict[str, Any], error: type[Exception]
) -> None:
    """And leaves no trace in the log."""
    async with Cluster('a') as cluster:
        last = cluster['a'].status.last_index
        chosen: dict[str, Any] = {'session': 1, 'sequence': 0, 'lowest': 0, 'timeout': 5.0}
        with pytest.raises(error):
            cluster['a'].gateway.execute(action, text, **{**chosen, **numbers})
        assert cluster['a'].status.last_index == last


async def test_stopped_node_says_so() -> None:
    """And one that was never started."""
    async with Cluster('a', idle='b') as cluster:
        with pytest.raises(NodeStopped, match='b is not running'):
            cluster['b'].gateway.open_session(1.0)
        assert cluster['a'].gateway.leader == 'memory://a/'
        await cluster['a'].stop()
        with pytest.raises(NodeStopped):
            hand_in(cluster['a'], 1, 0, 1)
        assert cluster['a'].gateway.leader is None
