"""Processors: sync and async, in log order, on the node's loop (design §2, Processors)."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from consensual.raft import Context, Node
from consensual.raft.errors import (
    NodeStopped,
    OutcomeUnknown,
    Overloaded,
    ProcessorFailed,
    UnknownAction,
    WaitingInsideProcessor,
)
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, Ledger, T, url_of

pytestmark = in_virtual_time


def plain_cluster(processors_of: Callable[[str], dict[str, Any]], names: str = 'abc') -> Cluster:
    """Return a cluster, not yet joined, whose nodes have processors of their own."""
    cluster = Cluster('', state_machine=None)
    for name in names:
        cluster.make(name, processors=processors_of(name))
    return cluster


async def join(cluster: Cluster) -> None:
    first, *rest = cluster.nodes.values()
    assert await first.solo() is None
    assert not rest or await first.attach_nodes([node.url for node in rest]) is None


async def test_sync_and_async_processors_run_one_after_another_in_log_order() -> None:
    """Design §2: sync or async, one after another: no two are ever under way at once."""
    traces: dict[str, list[str]] = {name: [] for name in 'abc'}

    def processors_of(name: str) -> dict[str, Any]:
        async def slow(number: int) -> int:
            traces[name].append(f'{number} begins')
            await asyncio.sleep(0.01)
            traces[name].append(f'{number} ends')
            return number

        def quick(number: int) -> int:
            traces[name].extend([f'{number} begins', f'{number} ends'])
            return number

        return {'slow': slow, 'quick': quick}

    async with plain_cluster(processors_of) as cluster:
        await join(cluster)
        calls = [
            cluster['abc'[number % 3]].execute(['slow', 'quick'][number % 2], number)
            for number in range(12)
        ]
        assert await asyncio.gather(*calls) == [*range(12)]
        await cluster.until_equal()
    trace = traces['a']
    assert trace == traces['b'] == traces['c']
    numbers = [line.split()[0] for line in trace]
    assert numbers[::2] == numbers[1::2]
    assert len(trace) == 24


async def test_callables_of_any_sort_are_processors() -> None:
    """Design §2: `Callable[[Any], Any]`: methods, partials, callable objects, async ones too."""

    class Object:
        def __call__(self, parameters: Any) -> Any:
            return ['object', parameters]

    class AsyncObject:
        async def __call__(self, parameters: Any, *, context: Context) -> Any:
            return ['async object', parameters, context.index > 0]

    async def pair(first: Any, parameters: Any) -> Any:
        return [first, parameters]

    processors = {
        'object': Object(),
        'async': AsyncObject(),
        'partial': functools.partial(pair, 'partial'),
        'lambda': lambda parameters: ['lambda', parameters],
        'builtin': str,
    }
    async with plain_cluster(lambda _: processors, 'a') as cluster:
        await join(cluster)
        node = cluster['a']
        assert await node.execute('object', 1) == ['object', 1]
        assert await node.execute('async', 1) == ['async object', 1, True]
        assert await node.execute('partial', 1) == ['partial', 1]
        assert await node.execute('lambda', 1) == ['lambda', 1]
        assert await node.execute('builtin', 1) == '1'


async def test_context_tells_index_term_and_time_and_is_the_same_everywhere() -> None:
    """Design §2: a keyword-only `context` receives the entry's index, term and time."""
    async with Cluster('abc') as cluster:
        places = [await cluster['b'].execute('look', number) for number in range(5)]
        await asyncio.sleep(10)
        places.append(await cluster['c'].execute('look', 5))
        await cluster.until_equal()
        expected = [[number, place] for number, place in enumerate(places)]
        assert all(ledger.entries == expected for ledger in cluster.ledgers.values())
        indices = [place['index'] for place in places]
        assert indices == sorted(set(indices))
        assert indices[-1] == cluster['c'].status.applied_index
        assert {place['term'] for place in places} == {cluster.leader.status.term}
        times = [place['time'] for place in places]
        assert times == sorted(times)
        assert times[-1] - times[-2] == pytest.approx(10, abs=2 * HEARTBEAT)


async def test_time_never_goes_backwards_over_changes_of_leaders() -> None:
    """Design §2: stamped by the leader from the last committed stamp; never backwards."""
    async with Cluster('abc') as cluster:
        times = []
        for _ in range(4):
            await asyncio.sleep(3)
            times.append((await cluster['a'].execute('look'))['time'])
            assert await cluster.leader.transfer_leadership() is None
            times.append((await cluster['b'].execute('look'))['time'])
        assert times == sorted(times)
        assert times[-1] - times[0] >= 3 * 3 - 4 * T


async def test_time_goes_on_from_the_log_after_a_restart_of_everybody() -> None:
    """Design §2: no wall clock; a new process's clock starts anywhere, the cluster's goes on."""
    async with Cluster('abc') as cluster:
        await asyncio.sleep(20)
        before = (await cluster['a'].execute('look'))['time']
        for node in cluster.nodes.values():
            await node.stop()
        await asyncio.gather(*(node.start() for node in cluster.nodes.values()))
        await cluster.until_led('abc')
        assert (await cluster['b'].execute('look'))['time'] >= before


async def test_exception_in_async_processor_is_an_outcome_too() -> None:
    """Design §2: an exception is the command's outcome; applying goes on."""

    async def refuse(parameters: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError(parameters)

    async with plain_cluster(lambda _: {'refuse': refuse, 'same': lambda value: value}) as cluster:
        await join(cluster)
        with pytest.raises(ProcessorFailed, match=r"'refuse'.*xyz") as raised:
            await cluster['b'].execute('refuse', 'xyz')
        assert isinstance(raised.value.__cause__, KeyError)
        assert await cluster['b'].execute('same', 1) == 1


async def test_wrong_signature_is_an_outcome_too() -> None:
    """Design §2: what a processor raises, also a TypeError of the call, is the outcome."""
    async with plain_cluster(
        lambda _: {'nothing': lambda: None, 'same': lambda value: value}, 'a'
    ) as cluster:
        await join(cluster)
        with pytest.raises(ProcessorFailed, match="'nothing'"):
            await cluster['a'].execute('nothing', 1)
        assert await cluster['a'].execute('same', 1) == 1


@pytest.mark.parametrize('error', [asyncio.CancelledError, asyncio.TimeoutError, StopIteration])
async def test_exceptions_with_a_meaning_for_asyncio_are_outcomes_too(
    error: type[BaseException],
) -> None:
    """Design §2: no processor's exception may end applying or be taken for our own."""

    def refuse(_: Any) -> None:
        raise error

    async with plain_cluster(lambda _: {'refuse': refuse, 'same': lambda value: value}) as cluster:
        await join(cluster)
        with pytest.raises(ProcessorFailed, match="'refuse'"):
            await cluster['b'].execute('refuse')
        assert await cluster['b'].execute('same', 1) == 1
        await cluster.until_equal()


async def test_result_need_not_be_json() -> None:
    """The result stays on the node of the caller."""
    marker = object()
    async with plain_cluster(lambda _: {'give': lambda _: marker}, 'ab') as cluster:
        await join(cluster)
        assert await cluster['b'].execute('give') is marker


async def test_committed_action_without_a_processor_stops_that_node_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Design §2: skipping would make replicas diverge; the others go on."""
    async with Cluster('', state_machine=None) as cluster:
        for name in 'abc':
            cluster.make(name, processors={'old': str} | ({'new': str} if name != 'c' else {}))
        await join(cluster)
        assert await cluster['b'].execute('new', 1) == '1'
        assert await cluster['c'].enqueue('old', 1) is not None
        with pytest.raises((UnknownAction, NodeStopped), match="'new'"):
            await cluster['c'].execute('old', 1)
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert any("'new'" in record.getMessage() for record in errors)
        assert await cluster['a'].execute('old', 2) == '2'
        assert await cluster['b'].execute('old', 3) == '3'


async def test_leader_without_a_processor_stops_and_another_leads() -> None:
    """Design §2: also the leader; its caller gets no lie, the others elect one of themselves."""
    async with Cluster('', state_machine=None) as cluster:
        for name in 'abc':
            cluster.make(name, processors={'old': str} | ({'new': str} if name != 'a' else {}))
        await join(cluster)
        assert cluster.leader is cluster['a']
        assert await cluster['b'].execute('new', 1, timeout=20) == '1'
        assert await cluster['c'].execute('old', 2, timeout=20) == '2'
        assert cluster.leader is not cluster['a']
        assert await cluster['a'].enqueue('old', 1) is not None


CALLS: dict[str, Callable[[Node], Awaitable[Any]]] = {
    'execute': lambda node: node.execute('call', None),
    'ensure_linearizable': lambda node: node.ensure_linearizable(),
    'query': lambda node: node.query('entries'),
    'stop': lambda node: node.stop(),
    'enqueue': lambda node: raise_text(node.enqueue('call', None)),
    'solo': lambda node: raise_text(node.solo()),
    'attach_nodes': lambda node: raise_text(node.attach_nodes([url_of('z')])),
    'detach_nodes': lambda node: raise_text(node.detach_nodes([url_of('b')])),
    'detach': lambda node: raise_text(node.detach()),
    'transfer_leadership': lambda node: raise_text(node.transfer_leadership()),
}


async def raise_text(call: Awaitable[Any]) -> None:
    """Turn the text of the text-returning calls into an exception."""
    text = await call
    assert 'processor' in text
    raise WaitingInsideProcessor(text)


@pytest.mark.parametrize('name', CALLS)
async def test_waiting_call_inside_a_processor_raises_at_once(name: str) -> None:
    """Design §2: it would wait for itself: it raises at once, and says what to do."""
    nodes: list[Node] = []
    errors: list[BaseException] = []

    async def call(_: Any) -> None:
        try:
            await CALLS[name](nodes[0])
        except WaitingInsideProcessor as error:
            errors.append(error)

    ledger = Ledger()
    async with Cluster('', state_machine=ledger) as cluster:
        nodes.append(cluster.make('a', processors={'call': call}))
        assert await nodes[0].solo() is None
        loop = asyncio.get_running_loop()
        began = loop.time()
        await nodes[0].execute('call')
        assert loop.time() == began
        assert len(errors) == 1
        assert 'processor' in str(errors[0])


async def test_processor_may_give_a_call_to_a_task() -> None:
    """Design §2: only waiting is impossible: a task of its own runs after the processor."""
    nodes: list[Node] = []
    tasks: list[asyncio.Task[Any]] = []

    async def call(_: Any) -> None:
        tasks.append(asyncio.create_task(nodes[0].execute('add', 1)))

    async with Cluster('') as cluster:
        nodes.append(cluster.make('a', processors={'call': call}))
        assert await nodes[0].solo() is None
        await nodes[0].execute('call')
        assert await tasks[0] == 1


async def test_backlog_of_slow_processors_does_not_delay_heartbeats() -> None:
    """Design §2: a long backlog never delays heartbeats: minutes of applying, one term."""

    async def slow(_: Any) -> None:
        await asyncio.sleep(T / 2)

    async with plain_cluster(lambda _: {'slow': slow}) as cluster:
        await join(cluster)
        term = cluster.leader.status.term
        calls = [cluster['abc'[number % 3]].execute('slow', timeout=600) for number in range(240)]
        await asyncio.gather(*calls)
        await cluster.until_equal(seconds=300)
        assert {node.status.term for node in cluster.nodes.values()} == {term}


async def test_processor_that_never_ends_does_not_stop_votes_and_replication() -> None:
    """Design §4, Storage: votes and AppendEntries are answered at once; commands wait."""
    gate = asyncio.Event()

    def processors_of(name: str) -> dict[str, Any]:
        async def wait(_: Any) -> None:
            if name == 'c':
                await gate.wait()

        return {'wait': wait, 'same': lambda value: value}

    async with plain_cluster(processors_of) as cluster:
        await join(cluster)
        cluster.before_stop = gate.set
        await cluster['c'].execute('same', 0)
        await cluster['a'].execute('wait')
        for number in range(5):
            assert await cluster['a'].execute('same', number) == number
        await asyncio.sleep(4 * T)
        assert cluster['c'].status.commit_index == cluster['a'].status.commit_index
        assert cluster['c'].status.applied_index < cluster['a'].status.applied_index
        with pytest.raises(OutcomeUnknown, match='same'):
            await cluster['c'].execute('same', 1, timeout=2 * T)
        gate.set()
        await cluster.until_equal()


async def test_node_that_is_behind_does_not_say_that_there_is_no_leader() -> None:
    """Design §2: `NoLeader` is for no leader; here one is known, only applying is held up."""
    gate = asyncio.Event()

    def processors_of(name: str) -> dict[str, Any]:
        async def wait(_: Any) -> None:
            if name == 'c':
                await gate.wait()

        return {'wait': wait}

    async with plain_cluster(processors_of) as cluster:
        await join(cluster)
        cluster.before_stop = gate.set
        await cluster['a'].execute('wait')
        with pytest.raises(Overloaded, match=r"'wait' was not done.*this node lags behind"):
            await cluster['c'].execute('wait', timeout=4 * T)
        assert cluster['c'].status.leader == cluster.leader.url


async def test_stop_lets_the_running_processor_end() -> None:
    """A stop does not tear a processor in two: what it began, it ends."""
    trace: list[str] = []

    async def slow(_: Any) -> None:
        trace.append('begins')
        await asyncio.sleep(10 * T)
        trace.append('ends')

    async with plain_cluster(lambda _: {'slow': slow}, 'a') as cluster:
        await join(cluster)
        call = asyncio.create_task(cluster['a'].execute('slow', timeout=60))
        await asyncio.sleep(T)
        await cluster['a'].stop()
        assert trace == ['begins', 'ends']
        assert len(await asyncio.gather(call, return_exceptions=True)) == 1
        await cluster['a'].start()
        await cluster.until_equal()
        assert trace == ['begins', 'ends'], 'and not once more'
