"""What consensual 0.2.3 gets wrong, one test per item of the issue's list."""

import asyncio
import socket
from typing import Any

import pytest
from yarl import URL

from consensual.raft import MessageKind, Node, communication
from consensual.raft.errors import OutcomeUnknown
from tests.api.marks import in_virtual_time
from tests.clusters import (
    HEARTBEAT,
    Cluster,
    T,
    answer,
    delay,
    hang,
    names_of,
    url_of,
    urls_of,
)

pytestmark = in_virtual_time


async def test_1_success_means_committed_so_nothing_acknowledged_vanishes() -> None:
    """0.2.3: a cut-off leader acknowledges, and the write vanishes on healing."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        assert await old.enqueue('add', 'before') is None
        rest = [cluster.name_of(node) for node in cluster.followers]
        cluster.network.split(cluster.name_of(old), rest)
        with pytest.raises(OutcomeUnknown):
            await old.execute('add', 'cut off')
        new = await cluster.until_led(rest)
        assert await new.enqueue('add', 'meanwhile') is None
        cluster.network.heal()
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries[:2] == ['before', 'meanwhile']


async def test_2_new_leader_commits_by_an_entry_of_its_own_term() -> None:
    """0.2.3: entries of older terms are committed by counting; no no-op on election (Figure 8)."""
    async with Cluster('abc') as cluster:
        old = cluster.leader
        await old.execute('add', 1)
        await cluster.until_equal()
        last, commit = old.status.last_index, old.status.commit_index
        assert last == commit
        # the entry reaches one follower, but nobody learns that it is committed
        lucky, other = (cluster.name_of(node) for node in cluster.followers)
        cluster.network.split(cluster.name_of(old), other)
        cluster.network.add(hang, sender=lucky)
        cluster.network.add(answer(None), receiver=lucky, kinds=[MessageKind.PROPOSE])
        cluster.network.add(_deliver_then_lose, sender=cluster.name_of(old), receiver=lucky)
        call = asyncio.create_task(old.enqueue('add', 2, timeout=T / 4))
        await cluster.until(lambda: cluster[lucky].status.last_index == last + 1)
        assert await call is not None
        cluster.network.heal()
        cluster.crash(cluster.name_of(old))
        new = await cluster.until_led([lucky, other])
        assert new is cluster[lucky], 'its log is longer'
        await cluster.until(lambda: new.status.commit_index == last + 2)
        assert new.status.last_index == last + 2, 'the old entry and a no-op of its own term'
        assert cluster.ledgers[lucky].entries == [1, 2]


async def _deliver_then_lose(deliver: Any) -> Any:
    await deliver()
    await hang(deliver)


async def test_3_catching_up_500_entries_needs_no_recursion() -> None:
    """0.2.3: attaching to a log of 500 entries dies with RecursionError, candidate for ever."""
    async with Cluster('a', idle='b') as cluster:
        for number in range(500):
            assert await cluster['a'].enqueue('add', number) is None
        before = cluster.network.sent.total()
        assert await cluster['a'].attach_nodes(urls_of('b')) is None
        assert cluster.network.sent.total() - before < 100, 'not one message per entry'
        await cluster.until_equal()
        assert cluster.ledgers['b'].entries == [*range(500)]


async def test_3_what_64_tasks_were_told_is_applied_is_applied() -> None:
    """0.2.3: of 20,000 commands of 64 tasks, 8,256 acknowledged ones were never applied."""
    async with Cluster('abc') as cluster:

        async def work(task: int) -> None:
            for number in range(80):
                assert await cluster['abc'[task % 3]].enqueue('add', [task, number]) is None

        await asyncio.gather(*(work(task) for task in range(64)))
        await cluster.until_equal()
        entries = cluster.ledgers['a'].entries
        assert len(entries) == 64 * 80
        for task in range(64):
            mine = [number for of, number in entries if of == task]
            assert mine == [*range(80)]
        for ledger in cluster.ledgers.values():
            assert ledger.entries == entries


@pytest.mark.parametrize('mistake', ['unreachable', 'of another cluster', 'everybody'])
async def test_4_hopeless_membership_changes_wedge_nothing(mistake: str) -> None:
    """0.2.3: each of these wedges the cluster for good."""
    async with Cluster('abc', idle='xy') as cluster:
        if mistake == 'unreachable':
            cluster.network.add(hang, receiver='x')
            text = await cluster['b'].attach_nodes(urls_of('x'))
        elif mistake == 'of another cluster':
            assert await cluster['x'].solo() is None
            text = await cluster['b'].attach_nodes(urls_of('x'))
        else:
            text = await cluster['b'].detach_nodes(urls_of('abc'))
        assert isinstance(text, str)
        assert await cluster['b'].enqueue('add', 1) is None
        assert await cluster['c'].attach_nodes(urls_of('y')) is None
        assert names_of(cluster.leader.status.voters) == 'abcy'
        assert await cluster['y'].detach_nodes(urls_of('ya')) is None


async def test_5_truncation_restores_the_earlier_configuration() -> None:
    """0.2.3: a change that was truncated away stays in force."""
    async with Cluster('abcd') as cluster:
        old = cluster.leader
        name = cluster.name_of(old)
        rest = [other for other in 'abcd' if other != name]
        cluster.network.split(name, rest)
        call = asyncio.create_task(old.detach_nodes(urls_of(rest[0]), timeout=2))
        await cluster.until(lambda: not old.status.stable, seconds=T)
        new = await cluster.until_led(rest)
        for number in range(5):
            await new.execute('add', number)
        assert await call is not None
        cluster.network.heal()
        await cluster.until_equal()
        for node in cluster.nodes.values():
            assert (names_of(node.status.voters), node.status.stable) == ('abcd', True)


async def test_5_stale_follower_changes_membership_by_the_leaders_view() -> None:
    """0.2.3: followers build the new configuration from their own stale view."""
    async with Cluster('abc', idle='de') as cluster:
        leader = cluster.leader
        stale = cluster.name_of(cluster.followers[0])
        rule = cluster.network.add(
            hang,
            sender=cluster.name_of(leader),
            receiver=stale,
            kinds=[MessageKind.APPEND_ENTRIES],
        )
        assert await leader.attach_nodes(urls_of('d')) is None
        assert names_of(cluster[stale].status.voters) == 'abc'
        call = asyncio.create_task(cluster[stale].attach_nodes(urls_of('e')))
        await asyncio.sleep(HEARTBEAT / 2)
        cluster.network.remove(rule)
        assert await call is None
        await cluster.until_equal()
        assert names_of(cluster[stale].status.voters) == 'abcde'


async def test_6_slow_and_lying_peers_kill_and_stall_nothing() -> None:
    """0.2.3: latency and replies hit an `assert`; no send has a deadline; one slow peer stalls."""
    async with Cluster('abcde') as cluster:
        leader, term = cluster.leader, cluster.leader.status.term
        faults = [delay(10 * T), answer({'version': 1, 'type': 'vote', 'term': 'x'})]
        bad = [cluster.name_of(node) for node in cluster.followers[:2]]
        for name, fault in zip(bad, faults, strict=True):
            cluster.network.add(fault, receiver=name)
            cluster.network.add(fault, sender=name)
        loop = asyncio.get_running_loop()
        for number in range(40):
            began = loop.time()
            assert await leader.enqueue('add', number) is None
            assert loop.time() - began < HEARTBEAT
            await asyncio.sleep(T / 2)
        assert (cluster.leader, leader.status.term) == (leader, term)
        cluster.network.heal()
        await cluster.until_equal()


async def test_7_solo_raises_the_term_and_detach_forgets_none() -> None:
    """0.2.3: `solo()` leads without raising the term; a vote is forgotten on detach."""
    async with Cluster('abc') as cluster:
        await cluster.leader.transfer_leadership()
        await cluster.until_led('abc')
        name = cluster.name_of(cluster.followers[0])
        term = cluster[name].status.term
        assert await cluster[name].detach() is None
        assert cluster[name].status.term >= term
        await cluster[name].stop()
        await cluster[name].start()
        assert cluster[name].status.term >= term
        assert await cluster[name].solo() is None
        assert cluster[name].status.term > term


async def test_8_no_name_is_ever_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.2.3: a node id comes from `gethostbyname`: blocking, IPv4 only."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('a look-up')

    for name in ('gethostbyname', 'gethostbyname_ex', 'getaddrinfo', 'gethostbyaddr'):
        monkeypatch.setattr(socket, name, refuse)
    nodes: dict[str, Any] = {}
    urls = [URL('http://[2001:db8::1]:8000'), URL('http://no.such.host:1'), URL('http://localhost')]
    made = [
        Node.from_url(url, sender=communication.Sender([], nodes), processors={'same': str})
        for url in urls
    ]
    for node in made:
        communication.Receiver(node, nodes).start()
    assert await made[0].solo() is None
    assert await made[0].attach_nodes(urls[1:]) is None
    assert await made[2].execute('same', 1) == '1'
    assert set(made[1].status.voters) == set(urls)
    await asyncio.gather(*(node.stop() for node in made))


async def test_8_different_ipv6_hosts_are_different_nodes() -> None:
    """0.2.3: ids are ambiguous; `[::1:6000]` and `[::1]:6000` are two places."""
    ids = {
        Node.from_url(URL(url), sender=communication.Sender([], {})).status.id
        for url in ('http://[::1:6000]', 'http://[::1]:6000')
    }
    assert len(ids) == 2


async def test_9_messages_of_this_test_suite_are_delivered() -> None:
    """0.2.3: its test transport forgets an `await`: its invariants passed on empty logs."""
    async with Cluster('abc') as cluster:
        for number in range(10):
            assert await cluster['b'].enqueue('add', number) is None
        await cluster.until_equal()
        for name in 'abc':
            assert cluster[name].status.last_index >= 10
            assert cluster.ledgers[name].entries == [*range(10)]
        kinds = {kind for _, _, kind in cluster.network.sent}
        assert {MessageKind.APPEND_ENTRIES, MessageKind.PROPOSE, MessageKind.INQUIRE} <= kinds
        cluster.network.cut_off('b', fault=hang)
        assert await cluster['b'].enqueue('add', 'lost', timeout=T) is not None, 'faults do bite'


async def test_10_usage_example_ends_with_four_times_42() -> None:
    """0.2.3: `processed_parameters` ends empty; here `[42] * 4`, and all eight calls give None."""
    processed: list[Any] = []
    async with Cluster('', idle='ab', state_machine=None) as cluster:
        for name in 'ab':
            cluster.make(name, processors={'dummy': processed.append})
        node, other = cluster['a'], cluster['b']
        assert [
            await node.solo(),
            await node.enqueue('dummy', 42),
            await node.attach_nodes([other.url]),
            await node.enqueue('dummy', 42),
            await other.detach_nodes([node.url]),
            await other.solo(),
            await other.detach(),
            await other.detach(),
        ] == [None] * 8
        assert processed == [42] * 4
        assert url_of('a') == node.url
