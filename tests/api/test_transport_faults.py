"""Whatever a transport does: one order, each command once, nobody waits for ever (design §2)."""

import asyncio
from random import Random
from typing import Any

import pytest

from consensual.raft import MessageKind
from consensual.raft.errors import ConsensualError, OutcomeUnknown
from tests.api.marks import in_virtual_time
from tests.clusters import (
    HEARTBEAT,
    Cluster,
    Deliver,
    T,
    cut,
    delay,
    drop,
    duplicate,
    hang,
    jitter,
    lose_reply,
    swallow_reply,
)

pytestmark = in_virtual_time


async def write(cluster: Cluster, name: str, count: int, acknowledged: list[Any]) -> None:
    for number in range(count):
        command = [name, number]
        try:
            await cluster[name].execute('add', command, timeout=30)
        except ConsensualError:
            continue
        acknowledged.append(command)


def check_once_in_one_order(cluster: Cluster, acknowledged: list[Any]) -> None:
    """Each acknowledged command was applied, none twice, in one order on all nodes."""
    ledgers = [cluster.ledgers[name].entries for name in cluster.nodes]
    assert all(entries == ledgers[0] for entries in ledgers)
    applied = [tuple(entry) for entry in ledgers[0]]
    assert len(applied) == len(set(applied))
    assert {tuple(command) for command in acknowledged} <= set(applied)


@pytest.mark.parametrize(
    'fault',
    [duplicate, jitter(Random(1), T / 5), drop(Random(2), 0.2), delay(T / 5)],
    ids=['duplicate', 'jitter', 'drop', 'delay'],
)
async def test_all_is_applied_once_in_one_order_over_a_bad_network(fault: Any) -> None:
    """Design §4, Clients: messages are lost, late, doubled and overtaken: exactly once."""
    async with Cluster('abc') as cluster:
        cluster.network.add(fault)
        acknowledged: list[Any] = []
        await asyncio.gather(
            *(write(cluster, name, 15, acknowledged) for name in 'abc'),
            *(write_many(cluster, name, acknowledged) for name in 'abc'),
        )
        cluster.network.heal()
        await cluster.until_equal()
        check_once_in_one_order(cluster, acknowledged)
        assert len(acknowledged) == 3 * (15 + 60), 'the nodes try again by themselves'


async def test_overtaking_replies_accuse_no_honest_follower(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Design §4: delayed messages never regress anything; a late refusal is no lost storage.

    The second of two pipelined messages arrives first, its refusal after the first one's success.
    """
    count = 0

    async def overtake(deliver: Deliver) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            await asyncio.sleep(0.02)
            return await deliver()
        reply = await deliver()
        await asyncio.sleep(0.04)
        return reply

    async with Cluster('abc') as cluster:
        leader = cluster.leader
        await leader.execute('add', 0)
        await cluster.until_equal()
        follower = cluster.name_of(cluster.followers[0])
        kinds = [MessageKind.APPEND_ENTRIES]
        cluster.network.add(overtake, receiver=follower, kinds=kinds)
        for number in range(1, 4):
            await leader.execute('add', number)
        await asyncio.sleep(T)
        assert count >= 3
        assert 'went back in time' not in caplog.text
        await cluster.until_equal()


async def write_many(cluster: Cluster, name: str, acknowledged: list[Any]) -> None:
    await asyncio.gather(
        *(write_one(cluster, name, [f'{name} many', n], acknowledged) for n in range(60))
    )


async def write_one(cluster: Cluster, name: str, command: Any, acknowledged: list[Any]) -> None:
    try:
        await cluster[name].execute('add', command, timeout=30)
    except ConsensualError:
        return
    acknowledged.append(command)


@pytest.mark.parametrize('fault', [lose_reply, swallow_reply])
async def test_lost_answers_to_forwarded_commands_double_nothing(fault: Any) -> None:
    """Design §4, Clients: retried by the node, counted once; the caller hardly notices."""
    async with Cluster('abc') as cluster:
        cluster.network.add(fault, kinds=[MessageKind.PROPOSE])
        follower = cluster.followers[0]
        for number in range(10):
            assert await follower.execute('add', number) == number + 1
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == [*range(10)]


async def test_duplicates_together_with_changing_leaders_double_nothing() -> None:
    """Design §4, Clients: a command is applied once although retried across leader changes."""
    async with Cluster('abc') as cluster:
        cluster.network.add(jitter(Random(3), HEARTBEAT / 4))
        cluster.network.add(duplicate)
        acknowledged: list[Any] = []
        writers = [
            asyncio.create_task(write(cluster, name, 40, acknowledged)) for name in cluster.nodes
        ]
        random = Random(4)
        for _ in range(6):
            await asyncio.sleep(2 * T)
            rules = [
                cluster.network.add(cut, sender=random.choice('abc')),
                cluster.network.add(lose_reply, receiver=random.choice('abc')),
            ]
            await asyncio.sleep(3 * T)
            for rule in rules:
                cluster.network.remove(rule)
        await asyncio.gather(*writers)
        cluster.network.heal()
        await cluster.until_equal()
        check_once_in_one_order(cluster, acknowledged)
        assert len(acknowledged) == 120, 'leader changes rarely show to the caller'


async def test_one_way_links_do_not_wedge_the_cluster() -> None:
    """Design §4, stickiness: a follower that hears nothing but is heard disturbs nobody."""
    async with Cluster('abc') as cluster:
        follower = cluster.name_of(cluster.followers[0])
        term = cluster.leader.status.term
        cluster.network.add(hang, receiver=follower)
        await asyncio.sleep(10 * T)
        assert cluster.leader.status.term == term
        assert await cluster.leader.execute('add', 1) == 1


async def test_leader_that_is_not_heard_is_replaced() -> None:
    """Design §4, check quorum: one that hears but is not heard gives way to another."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        cluster.network.add(hang, sender=cluster.name_of(old))
        rest = [name for name in 'abc' if cluster[name] is not old]
        new = await cluster.until_led(rest, seconds=10 * T)
        assert await new.execute('add', 1) == 1
        assert old.status.role != 'leader'


async def test_one_slow_peer_delays_nobody() -> None:
    """Design §3: one slow or dead peer never delays another."""
    async with Cluster('abcde') as cluster:
        slow = cluster.name_of(cluster.followers[0])
        cluster.network.add(delay(T * 0.9), receiver=slow)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(50):
            await cluster.leader.execute('add', number)
        assert loop.time() - began < HEARTBEAT


async def test_hanging_peer_costs_a_bounded_number_of_messages() -> None:
    """Design §3: a bounded in-flight window per peer: what is not answered is not piled up."""
    async with Cluster('abc') as cluster:
        dead = cluster.name_of(cluster.followers[0])
        leader = cluster.leader
        await leader.execute('add', 'first')
        cluster.network.add(hang, receiver=dead)
        before = len(asyncio.all_tasks())
        for number in range(500):
            await leader.execute('add', number)
        assert len(asyncio.all_tasks()) - before < 100


async def test_calls_to_a_peer_end_after_their_deadline() -> None:
    """Design §2: one call to a peer takes T at most: a transport that hangs is cancelled."""
    ended: list[float] = []
    loop = asyncio.get_running_loop()

    async def measure(_: Any) -> Any:
        began = loop.time()
        try:
            await hang(_)
        finally:
            ended.append(loop.time() - began)

    async with Cluster('abc') as cluster:
        cluster.network.add(measure, receiver=cluster.name_of(cluster.followers[0]))
        await asyncio.sleep(10 * T)
        assert ended
        assert max(ended) <= T + 1e-6


async def test_minority_does_nothing_and_catches_up() -> None:
    """§5.3: five nodes, two cut off: they acknowledge nothing and take over what they missed."""
    async with Cluster('abcde') as cluster:
        leader = cluster.leader
        name = cluster.name_of(leader)
        friend = cluster.name_of(cluster.followers[0])
        rest = [other for other in 'abcde' if other not in (name, friend)]
        await friend_writes(cluster, friend)
        cluster.network.split([name, friend], rest)
        calls = [
            asyncio.create_task(cluster[other].execute('add', 'lost', timeout=2 * T))
            for other in (name, friend)
        ]
        new = await cluster.until_led(rest)
        for number in range(10):
            await new.execute('add', number)
        for call in calls:
            with pytest.raises(ConsensualError):
                await call
        cluster.network.heal()
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert [entry for entry in ledger.entries if entry != 'lost'] == ['x', *range(10)]


async def friend_writes(cluster: Cluster, name: str) -> None:
    assert await cluster[name].execute('add', 'x') == 1


async def test_dead_majority_makes_no_progress_and_recovers() -> None:
    """Availability needs a majority; when it is back, so is the cluster, without help."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].execute('add', 0) == 1
        cluster.network.cut_off('b', 'c', fault=hang)
        with pytest.raises((OutcomeUnknown, ConsensualError)):
            await cluster['a'].execute('add', 1, timeout=4 * T)
        await asyncio.sleep(60)
        cluster.network.heal()
        await cluster.until_led('abc', seconds=6 * T)
        assert isinstance(await cluster['c'].execute('add', 2), int)
        await cluster.until_equal()
        assert cluster.ledgers['a'].entries == cluster.ledgers['c'].entries
        assert cluster.ledgers['a'].entries.count(2) == 1


async def test_many_thousand_callers_all_finish_and_each_is_applied_once() -> None:
    """The issue, back-pressure: beyond the limit callers wait; every one finishes."""
    async with Cluster('abc') as cluster:
        calls = [
            cluster['abc'[number % 3]].execute('add', number, timeout=120)
            for number in range(12_000)
        ]
        positions = await asyncio.gather(*calls)
        assert sorted(positions) == [*range(1, 12_001)]
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == cluster.ledgers['a'].entries
        assert sorted(cluster.ledgers['a'].entries) == [*range(12_000)]


async def test_waiting_callers_do_not_pile_up_in_the_log_of_a_cut_off_leader() -> None:
    """The issue, back-pressure: uncommitted commands are limited; callers wait outside the log."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        await leader.execute('add', 'first')
        cluster.network.cut_off(cluster.name_of(leader), fault=hang)
        before = leader.status.last_index
        text = 'x' * 100_000
        calls = [
            asyncio.create_task(leader.enqueue('add', f'{number}{text}', timeout=0.3))
            for number in range(3000)
        ]
        await asyncio.sleep(0.2)
        assert leader.status.last_index - before < 2000, '200 MB of uncommitted commands'
        texts = await asyncio.gather(*calls)
        assert all(isinstance(text, str) for text in texts)


async def test_back_pressure_lets_go_once_the_network_heals() -> None:
    """The issue, back-pressure: callers beyond the limit go on where the others finish."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        rest = [cluster.name_of(node) for node in cluster.followers]
        cluster.network.cut_off(*rest, fault=hang)
        calls = [
            asyncio.create_task(leader.execute('add', number, timeout=60)) for number in range(6000)
        ]
        await asyncio.sleep(2 * T)
        cluster.network.heal()
        assert sorted(await asyncio.gather(*calls)) == [*range(1, 6001)]


@pytest.mark.parametrize('gives_up', ['cancelled', 'timed out'])
async def test_callers_that_gave_up_leave_room_for_others(gives_up: str) -> None:
    """The issue, back-pressure: what nobody waits for takes no place in the limits for ever."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        follower = cluster.followers[0]
        await leader.execute('add', 'first')
        await follower.execute('add', 'first')
        cluster.network.cut_off(*'abc', fault=hang)
        timeout = 60 if gives_up == 'cancelled' else T
        calls = [
            asyncio.create_task(node.execute('add', f'{number}', timeout=timeout))
            for node in (leader, follower)
            for number in range(5000)
        ]
        await asyncio.sleep(T / 2)
        if gives_up == 'cancelled':
            for call in calls:
                call.cancel()
        await asyncio.wait(calls)
        cluster.network.heal()
        await cluster.until_led('abc')
        for node in (leader, follower):
            assert isinstance(await node.execute('add', 'last', timeout=20), int)
        await cluster.until_equal()
        entries = [entry for entry in cluster.ledgers['a'].entries if entry.isdigit()]
        assert all(entries.count(entry) <= 2 for entry in set(entries))


async def test_rolling_restart_shows_to_no_caller_on_another_node() -> None:
    """Design §4, Clients: leaders come and go, each hands over; a's callers never notice."""
    async with Cluster('abc') as cluster:
        assert await cluster['a'].transfer_leadership(cluster['b'].url) is None
        acknowledged: list[Any] = []
        is_over = False

        async def work(task: int) -> None:
            number = 0
            while not is_over:
                await cluster['a'].execute('add', [task, number])
                acknowledged.append([task, number])
                number += 1
                await asyncio.sleep(0.01)

        workers = [asyncio.create_task(work(task)) for task in range(4)]
        for name in 'bcbcbc':
            await asyncio.sleep(T)
            await cluster[name].stop()
            await asyncio.sleep(T)
            await cluster[name].start()
        is_over = True
        await asyncio.gather(*workers)
        await cluster.until_equal()
        check_once_in_one_order(cluster, acknowledged)
        assert len(cluster.ledgers['a'].entries) == len(acknowledged) > 100


async def test_forwarding_is_batched() -> None:
    """The issue, Driver: forwarding from followers is batched."""
    async with Cluster('abc') as cluster:
        follower = cluster.followers[0]
        await follower.execute('add', 'first')
        before = cluster.network.sent.total()
        await asyncio.gather(*(follower.execute('add', number) for number in range(500)))
        assert cluster.network.sent.total() - before < 100


async def test_followers_of_a_follower_that_leads_now_are_served() -> None:
    """Design §2: on any member, whoever leads now; forwarding follows the leader."""
    async with Cluster('abc') as cluster:
        for round_ in range(6):
            target = cluster['abc'[round_ % 3]]
            assert await cluster['a'].transfer_leadership(target.url) is None or target.status
            for name in 'abc':
                await cluster[name].execute('add', [round_, name])
        await cluster.until_equal()
        assert len(cluster.ledgers['a'].entries) == 18
