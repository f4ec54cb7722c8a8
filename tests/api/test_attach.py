"""attach_nodes: newcomers become voters, or the cluster goes on unchanged (design §2, §4)."""

import asyncio
from typing import Any

import pytest

from tests.api.marks import in_virtual_time
from tests.clusters import (
    HEARTBEAT,
    Cluster,
    Deliver,
    Fault,
    T,
    answer,
    cut,
    fail,
    hang,
    names_of,
    urls_of,
)

pytestmark = in_virtual_time


async def attach(cluster: Cluster, by: str, names: str) -> str:
    """Attach, expect that it fails and that the cluster goes on unchanged; return the text."""
    before = names_of(cluster.leader.status.voters)
    text = await cluster[by].attach_nodes(urls_of(names))
    assert text is not None
    await cluster.until(lambda: cluster.leaders and cluster.leader.status.stable)
    status = cluster.leader.status
    assert (names_of(status.voters), status.learners, status.stable) == (before, (), True)
    assert isinstance(await cluster.leader.execute('add', text), int)
    return text


async def test_many_nodes_are_attached_at_once() -> None:
    """Design §2: one or many at once; None when all are caught-up voters of a stable cluster."""
    async with Cluster('a', idle='bcde') as cluster:
        for number in range(10):
            await cluster['a'].execute('add', number)
        assert await cluster['a'].attach_nodes(urls_of('bcde')) is None
        status = cluster['a'].status
        assert (names_of(status.voters), status.learners, status.stable) == ('abcde', (), True)
        assert status.applied_index == status.commit_index == status.last_index
        assert await cluster['e'].execute('add', 10) == 11
        await cluster.until_equal()
        assert all(ledger.entries == [*range(11)] for ledger in cluster.ledgers.values())


@pytest.mark.parametrize('by', 'bc')
async def test_any_member_can_attach(by: str) -> None:
    """Design §2: on a follower too; it has applied C_new when the call returns."""
    async with Cluster('abc', idle='d') as cluster:
        assert await cluster[by].attach_nodes(urls_of('d')) is None
        status = cluster[by].status
        assert (names_of(status.voters), status.stable) == ('abcd', True)
        assert status.applied_index == status.last_index


async def test_url_given_twice_counts_once() -> None:
    """Duplicate URLs name one node."""
    async with Cluster('a', idle='b') as cluster:
        assert await cluster['a'].attach_nodes(urls_of('bb')) is None
        assert names_of(cluster['a'].status.voters) == 'ab'


async def test_any_collection_of_urls_will_do() -> None:
    """Sets, tuples and mappings' keys, as well as lists."""
    async with Cluster('a', idle='bcd') as cluster:
        assert await cluster['a'].attach_nodes(set(urls_of('b'))) is None
        assert await cluster['a'].attach_nodes(tuple(urls_of('c'))) is None
        assert await cluster['a'].attach_nodes(dict.fromkeys(urls_of('d')).keys()) is None
        assert names_of(cluster['a'].status.voters) == 'abcd'


@pytest.mark.parametrize('method', ['attach_nodes', 'detach_nodes'])
async def test_empty_list_is_refused(method: str) -> None:
    """To attach nobody is a mistake of the caller's."""
    async with Cluster('ab') as cluster:
        assert 'at least one' in str(await getattr(cluster['b'], method)([]))


@pytest.mark.parametrize('method', ['attach_nodes', 'detach_nodes'])
async def test_what_is_no_url_is_refused(method: str) -> None:
    """Design §2, errors by blame: `InvalidAddress` as text, nothing was done."""
    async with Cluster('ab') as cluster:
        assert 'yarl.URL' in str(await getattr(cluster['a'], method)(['memory://b']))
        assert 'yarl.URL' in str(await getattr(cluster['a'], method)([None]))


@pytest.mark.parametrize('names', ['b', 'bd', 'a'])
@pytest.mark.parametrize('by', 'ab')
async def test_attaching_a_member_is_an_error_that_names_it(by: str, names: str) -> None:
    """Design §2: attaching a member is an error; nobody of the list is attached."""
    async with Cluster('abc', idle='d') as cluster:
        text = await attach(cluster, by, names)
        assert f'{names[0]} is a member' in text
        assert names_of(cluster['a'].status.voters) == 'abc'


@pytest.mark.parametrize(
    'fault', [cut, hang, fail(ValueError('boom')), answer(None), answer({'type': 'lie'})]
)
@pytest.mark.parametrize('by', 'ab')
async def test_unreachable_newcomer_is_an_error_that_names_it(by: str, fault: Any) -> None:
    """Design §2: a newcomer silent for 2 T is `NodeUnreachable`; the cluster goes on unchanged."""
    async with Cluster('ab', idle='cd') as cluster:
        cluster.network.add(fault, receiver='d')
        loop = asyncio.get_running_loop()
        began = loop.time()
        text = await attach(cluster, by, 'cd')
        assert 'd' in text.split()
        assert loop.time() - began <= 3 * T
        cluster.network.heal()
        assert await cluster[by].attach_nodes(urls_of('cd')) is None


async def test_nobody_at_the_address_is_an_error_that_names_it() -> None:
    """Design §2: the same for an address where nobody ever was."""
    async with Cluster('ab') as cluster:
        assert 'nowhere' in await attach_url(cluster, 'nowhere')


async def attach_url(cluster: Cluster, name: str) -> str:
    return str(await cluster['b'].attach_nodes(urls_of([name])))


@pytest.mark.parametrize('names', ['x', 'xy', 'xd'])
async def test_node_of_another_cluster_is_refused(names: str) -> None:
    """Design §4: only an empty node can be attached; old and new cluster never mix."""
    async with Cluster('ab', idle='dxy') as cluster:
        assert await cluster['x'].solo() is None
        assert await cluster['x'].attach_nodes(urls_of('y')) is None
        await cluster['x'].execute('add', 'theirs')
        other_id = cluster['x'].status.cluster_id
        text = await cluster['a'].attach_nodes(urls_of(names))
        assert 'x' in str(text).split() or 'y' in str(text).split()
        assert names_of(cluster['a'].status.voters) == 'ab'
        assert cluster['x'].status.cluster_id == other_id != cluster['a'].status.cluster_id
        assert await cluster['b'].execute('add', 1) == 1
        assert await cluster['y'].execute('add', 'more') == 2
        assert cluster.ledgers['x'].entries == ['theirs', 'more']
        assert cluster.ledgers['a'].entries == [1]


async def test_node_with_a_history_must_be_reset_first() -> None:
    """Design §4: others give an error that says "reset it first"; then it can be attached."""
    async with Cluster('ab', idle='x') as cluster:
        assert await cluster['x'].solo() is None
        await cluster['x'].execute('add', 'old')
        assert await cluster['x'].detach() is None
        text = await attach(cluster, 'b', 'x')
        assert 'reset it first' in text
        assert 'x' in text
        assert cluster.ledgers['x'].entries == ['old']
        assert await cluster['x'].detach() is None
        assert await cluster['a'].attach_nodes(urls_of('x')) is None
        await cluster.until_equal()
        assert cluster.ledgers['x'].entries == cluster.ledgers['a'].entries


async def test_stopped_newcomer_is_unreachable() -> None:
    """Design §2: a stopped node takes nothing until start()."""
    async with Cluster('ab', idle='c') as cluster:
        await cluster['c'].start()
        await cluster['c'].stop()
        assert 'c' in (await attach(cluster, 'a', 'c')).split()
        await cluster['c'].start()
        assert await cluster['a'].attach_nodes(urls_of('c')) is None


def answer_once_filled(cluster: Cluster) -> Fault:
    """Make a fault: 'c' answers until it has entries, then never again."""

    async def fault(deliver: Deliver) -> Any:
        reply = await deliver()
        return await hang(deliver) if cluster['c'].status.last_index else reply

    return fault


async def test_newcomer_that_falls_silent_is_dropped_and_empties_itself() -> None:
    """Design §4: dropped after the attach timeout; told so, it empties itself and can try again."""
    async with Cluster('ab', idle='c') as cluster:
        for number in range(20):
            await cluster['a'].execute('add', number)
        cluster.network.add(answer_once_filled(cluster), receiver='c')
        call = asyncio.create_task(cluster['b'].attach_nodes(urls_of('c')))
        await cluster.until(lambda: cluster['c'].status.last_index)
        assert names_of(cluster['a'].status.learners) == 'c'
        cluster.network.cut_off('c', fault=hang)
        loop = asyncio.get_running_loop()
        began = loop.time()
        text = str(await call)
        assert 'c' in text.split()
        assert loop.time() - began <= 30 + 4 * T
        await cluster.until(lambda: not cluster['a'].status.learners)
        assert names_of(cluster['a'].status.voters) == 'ab'
        cluster.network.heal()
        await cluster.until(lambda: cluster['c'].status.last_index == 0)
        assert cluster['c'].status.role == 'detached'
        await cluster.until(lambda: cluster.ledgers['c'].entries == [])
        assert await cluster['a'].attach_nodes(urls_of('c')) is None
        await cluster.until_equal()
        assert cluster.ledgers['c'].entries == [*range(20)]


async def test_second_change_meanwhile_is_told_to_wait() -> None:
    """Design §4: one change at a time; the other caller is told that one is under way."""
    async with Cluster('abc', idle='de') as cluster:
        cluster.network.add(hang, receiver='d')
        first = asyncio.create_task(cluster['b'].attach_nodes(urls_of('d')))
        await asyncio.sleep(HEARTBEAT)
        second = await cluster['c'].attach_nodes(urls_of('e'))
        third = await cluster['a'].detach_nodes(urls_of('c'))
        for text in (second, third):
            assert text is not None
            assert 'being changed already' in text
        cluster.network.heal()
        assert await first is None or isinstance(await first, str)
        await cluster.until(lambda: cluster.leader.status.stable)


async def test_concurrent_changes_each_succeed_or_tell() -> None:
    """Design §4: whatever is asked at once, every None is kept and the cluster ends stable."""
    async with Cluster('abc', idle='defg') as cluster:
        names = 'defg'
        calls = [
            cluster['abc'[number % 3]].attach_nodes(urls_of(name))
            for number, name in enumerate(names)
        ]
        texts = await asyncio.gather(*calls)
        await cluster.until(lambda: cluster.leader.status.stable)
        attached = {name for name, text in zip(names, texts, strict=True) if text is None}
        assert attached
        assert set(names_of(cluster.leader.status.voters)) == {*'abc', *attached}
        assert await cluster['a'].execute('add', 1) == 1


async def test_newcomer_that_two_clusters_want_joins_one() -> None:
    """Design §4: old and new cluster never mix: one gets it, the other is told."""
    async with Cluster('ab', idle='xn') as cluster:
        assert await cluster['x'].solo() is None
        texts = await asyncio.gather(
            cluster['b'].attach_nodes(urls_of('n')), cluster['x'].attach_nodes(urls_of('n'))
        )
        assert sum(text is None for text in texts) == 1
        await asyncio.sleep(40)
        winner, loser = ('a', 'x') if texts[0] is None else ('x', 'a')
        assert cluster['n'].status.cluster_id == cluster[winner].status.cluster_id
        assert 'n' in names_of(cluster[winner].status.voters)
        assert 'n' not in names_of(cluster[loser].status.voters + cluster[loser].status.learners)
        for name in (winner, loser, 'n'):
            assert isinstance(await cluster[name].execute('add', name), int)
        assert 'n' not in cluster.ledgers[loser].entries
        assert loser not in cluster.ledgers['n'].entries


async def test_attach_survives_a_change_of_leaders() -> None:
    """Design §4: learners are promoted, or dropped, by any leader, also a new one."""
    async with Cluster('abc', idle='d') as cluster:
        for number in range(100):
            await cluster['a'].execute('add', number)
        leader = cluster.leader
        asker = next(name for name in 'abc' if cluster[name] is not leader)
        call = asyncio.create_task(cluster[asker].attach_nodes(urls_of('d')))
        await cluster.until(
            lambda: leader.status.learners or names_of(leader.status.voters) != 'abc'
        )
        cluster.network.cut_off(cluster.name_of(leader))
        text = await call
        cluster.network.heal()
        await cluster.until(lambda: len(cluster.leaders) == 1 and cluster.leader.status.stable, 60)
        await cluster.until(lambda: not cluster.leader.status.learners, 60)
        voters = names_of(cluster.leader.status.voters)
        assert voters == 'abcd' if text is None else voters in ('abc', 'abcd')


async def test_default_timeout_of_attach_is_30_seconds() -> None:
    """Design §2: attach and detach take 30 s; then the error says what is known."""
    async with Cluster('abc', idle='d') as cluster:
        cluster.network.cut_off(*'abc')
        await cluster.until(lambda: not cluster.leaders)
        loop = asyncio.get_running_loop()
        for call in (
            cluster['a'].attach_nodes(urls_of('d')),
            cluster['a'].detach_nodes(urls_of('b')),
            cluster['a'].detach(),
        ):
            began = loop.time()
            assert 'leader' in str(await call)
            assert 30 <= loop.time() - began <= 30 + 2 * T + HEARTBEAT


async def test_attach_without_a_quorum_does_not_claim_success() -> None:
    """Design §2: a cut-off leader's caller learns that it failed or that nobody knows."""
    async with Cluster('abc', idle='d') as cluster:
        leader = cluster.leader
        rest = [name for name in 'abc' if cluster[name] is not leader]
        cluster.network.split(cluster.name_of(leader), rest)
        assert await leader.attach_nodes(urls_of('d'), timeout=5) is not None
        cluster.network.heal()
        await cluster.until_led('abc')
        await cluster.until(lambda: cluster.leader.status.stable, 60)
        await cluster.until(lambda: not cluster.leader.status.learners, 60)
        assert names_of(cluster.leader.status.voters) in ('abc', 'abcd')
        assert await cluster.leader.execute('add', 1) == 1


async def test_attach_of_itself_on_a_detached_node_is_an_error() -> None:
    """Design §2: a detached node has no cluster to attach to: `NotMember`."""
    async with Cluster('', idle='a') as cluster:
        assert 'a is in no cluster' in str(await cluster['a'].attach_nodes(urls_of('a')))


async def test_attaching_long_history_takes_no_recursion_and_no_time_per_entry() -> None:
    """The issue, list item 3: attaching to a log of thousands of entries."""
    async with Cluster('a', idle='b') as cluster:
        await asyncio.gather(*(cluster['a'].execute('add', number) for number in range(5000)))
        assert await cluster['a'].attach_nodes(urls_of('b')) is None
        await cluster.until_equal()
        assert cluster.ledgers['b'].entries == cluster.ledgers['a'].entries
        assert len(cluster.ledgers['b'].entries) == 5000


async def test_cancelled_attach_leaves_a_cluster_that_works() -> None:
    """A caller who gives up harms nobody: the change ends one way or the other."""
    async with Cluster('abc', idle='d') as cluster:
        call = asyncio.create_task(cluster['b'].attach_nodes(urls_of('d')))
        await asyncio.sleep(HEARTBEAT / 2)
        call.cancel()
        await asyncio.wait([call])
        await cluster.until(lambda: cluster.leader.status.stable, 60)
        await cluster.until(lambda: not cluster.leader.status.learners, 60)
        assert await cluster['c'].execute('add', 1) == 1
        text = await cluster['c'].attach_nodes(urls_of('d'))
        assert text is None or 'd is a member' in text
        assert names_of(cluster.leader.status.voters) == 'abcd'


async def test_members_get_to_know_the_newcomers_url() -> None:
    """Design §2: `Sender.urls` is assigned by the node whenever membership changes."""
    async with Cluster('ab', idle='c') as cluster:
        assert await cluster['a'].attach_nodes(urls_of('c')) is None
        await cluster.until_equal()
        for name in 'abc':
            others = set(urls_of('abc')) - {cluster[name].url}
            assert set(cluster[name].sender.urls) >= others
