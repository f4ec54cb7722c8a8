"""Defects of applying that a review found: each stays found (design §2, Processors)."""

import asyncio
import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import InvariantViolated, ProcessorFailed, WaitingInsideProcessor
from consensual.storage import MemoryStorage
from tests.api.marks import in_virtual_time
from tests.api.test_burning import BurningLoop
from tests.clusters import HEARTBEAT, Cluster, Ledger, T

WHO: ContextVar[str] = ContextVar('who', default='nobody')


class UnprintableError(Exception):
    """Has the usual slip in its __repr__: an attribute that is not there."""

    def __init__(self, code: int) -> None:
        self.kode = code

    def __repr__(self) -> str:
        return f'Unprintable({self.code})'  # type: ignore[attr-defined]


class Accounts:
    """A state machine whose one invariant does not hold within its command."""

    def __init__(self) -> None:
        self.left, self.right = 100, 0
        self.processors = {'move': self.move}
        self.queries = {'sum': lambda _: self.left + self.right}

    async def move(self, amount: int) -> None:
        self.left -= amount
        await asyncio.sleep(HEARTBEAT)
        self.right += amount

    def reset(self) -> None:
        self.left, self.right = 100, 0


@pytest.fixture
def _no_current_loop() -> None:
    """Begin like a fresh program: what pytest's plugins left as current is closed."""
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError):
        warnings.simplefilter('ignore', DeprecationWarning)
        asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


@pytest.fixture
def loop(_no_current_loop: None) -> Iterator[BurningLoop]:
    loop = BurningLoop(end=900, idle_timeout=2)
    yield loop
    loop.close()


@pytest.fixture
def second() -> Iterator[BurningLoop]:
    loop = BurningLoop(end=900, idle_timeout=2)
    yield loop
    loop.close()


def virtual(test: Any) -> Any:
    """Mark one test as running in virtual time; others here bring a loop of their own."""
    for mark in in_virtual_time:
        test = mark(test)
    return test


def test_reset_between_two_slices_of_applying_empties_the_state_at_once(loop: BurningLoop) -> None:
    """Design §2, detach: everything is erased then, and nothing of the next life.

    A backlog is applied in slices; between two of them no processor runs, so
    there is nothing to wait for.
    """
    ledger = Ledger()
    has_begun = asyncio.Event()

    def burn(parameters: Any) -> None:
        loop.burn(0.002)
        if ledger.add(parameters) == 20:
            has_begun.set()

    async def wait(parameters: Any) -> None:
        await asyncio.sleep(0)
        ledger.add(parameters)

    async def run() -> None:
        async with Cluster('', state_machine=ledger) as cluster:
            node = cluster.make('a', processors={'burn': burn, 'wait': wait})
            assert await node.solo() is None
            calls = [asyncio.create_task(node.enqueue('wait', 'old'))]
            calls += [asyncio.create_task(node.enqueue('burn', 'old')) for _ in range(200)]
            await has_begun.wait()

            assert await node.detach() is None
            assert await node.detach() is None

            assert (ledger.entries, ledger.resets) == ([], 1)
            await asyncio.gather(*calls)
            assert await node.solo() is None
            assert await node.enqueue('burn', 'new') is None
            assert await node.enqueue('wait', 'newer') is None
            assert (ledger.entries, ledger.resets) == (['new', 'newer'], 1)

    loop.run_until_complete(run())


@virtual
async def test_reset_returns_when_the_state_is_empty() -> None:
    """Design §2, detach: None means reset, also while a processor is still under way."""
    ledger = Ledger()

    async def slow(parameters: Any) -> None:
        ledger.add(parameters)
        await asyncio.sleep(2 * T)
        ledger.add(parameters)

    async with Cluster('', state_machine=ledger) as cluster:
        node = cluster.make('a', processors={'slow': slow})
        assert await node.solo() is None
        call = asyncio.create_task(node.enqueue('slow', 1))
        await asyncio.sleep(HEARTBEAT)
        assert await node.detach() is None

        assert await node.detach() is None

        assert await node.query('entries', consistency='local') == []
        assert ledger.resets == 1
        assert await call is not None


def test_loop_closed_while_applying_loses_nothing_and_applies_nothing_twice(
    loop: BurningLoop, second: BurningLoop
) -> None:
    """Design §2: applied exactly once; a node whose loop died goes on where it was."""
    storage = MemoryStorage()
    cluster = Cluster('', storage=storage)
    ledger = Ledger()
    has_begun = asyncio.Event()

    def burn(parameters: Any) -> None:
        loop.burn(0.004)
        second.burn(0.004)
        if ledger.add(parameters) == 10:
            has_begun.set()

    async def fill(node: Node) -> None:
        assert await node.solo() is None
        for session in range(3):
            await asyncio.gather(*(node.execute('burn', [session, i]) for i in range(20)))
            await node.stop()
            await node.start()
        await node.stop()

    async def begin(node: Node) -> None:
        await node.start()
        await has_begun.wait()

    async def go_on(node: Node) -> None:
        await node.stop()
        await node.start()
        await node.ensure_linearizable()
        assert await node.execute('add', 'new') == 61
        await node.stop()

    loop.run_until_complete(fill(cluster.make('a', processors={'burn': str})))
    ledger.entries.clear()
    has_begun.clear()
    node = cluster.make('a', state_machine=ledger, processors={'burn': burn})
    loop.run_until_complete(begin(node))
    loop.close()
    assert len(ledger.entries) < 60
    second.run_until_complete(go_on(node))
    assert ledger.entries == [*([session, i] for session in range(3) for i in range(20)), 'new']


def test_loop_closed_within_an_async_processor_makes_the_node_useless(
    loop: BurningLoop, second: BurningLoop
) -> None:
    """Design §2: half a command is no state of any log: the node refuses to go on from it."""
    applied: list[Any] = []

    async def slow(parameters: Any) -> None:
        await asyncio.sleep(T)
        applied.append(parameters)

    node = Cluster('').make('a', processors={'slow': slow})

    async def begin() -> asyncio.Task[Any]:
        assert await node.solo() is None
        call = asyncio.create_task(node.enqueue('slow', 1))
        await asyncio.sleep(T / 2)
        return call

    async def go_on() -> None:
        await node.stop()
        with pytest.raises(InvariantViolated, match='make a new Node'):
            await node.start()
        await node.stop()

    call = loop.run_until_complete(begin())
    loop.close()
    second.run_until_complete(go_on())
    assert not call.done()
    assert applied == []


@virtual
async def test_cancelling_a_command_under_way_stops_the_node_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Design §2: skipping an entry would make the replicas differ, so the node stops.

    A program that cancels all of its tasks cancels the one that applies, too.
    """

    async def slow(_: Any) -> None:
        await asyncio.sleep(T)

    async with Cluster('') as cluster:
        before = asyncio.all_tasks()
        node = cluster.make('a', processors={'slow': slow})
        assert await node.solo() is None
        calls = [asyncio.create_task(node.enqueue('slow')) for _ in range(3)]
        await asyncio.sleep(HEARTBEAT)

        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.wait(calls)

        await asyncio.sleep(4 * T)
        assert 'cancelled within the command' in str(await node.enqueue('add', 1))
        assert cluster.ledgers['a'].entries == []
        assert 'CRITICAL' in {record.levelname for record in caplog.records}
        with pytest.raises(InvariantViolated, match='make a new Node'):
            await node.start()


@virtual
@pytest.mark.parametrize('is_async', [False, True])
async def test_exception_that_cannot_be_printed_is_an_outcome_too(is_async: bool) -> None:
    """Design §2: an exception is the command's outcome; applying goes on."""

    def refuse(code: int) -> Any:
        if is_async:
            return refuse_later(code)
        raise UnprintableError(code)

    async def refuse_later(code: int) -> None:
        await asyncio.sleep(0)
        raise UnprintableError(code)

    async with Cluster('') as cluster:
        node = cluster.make('a', processors={'refuse': refuse})
        assert await node.solo() is None
        with pytest.raises(ProcessorFailed, match="'refuse' raised UnprintableError") as raised:
            await node.execute('refuse', 1)
        assert isinstance(raised.value.__cause__, UnprintableError)
        assert await node.execute('add', 1) == 1
        assert node.status.applied_index == node.status.last_index


def test_async_processors_that_never_suspend_do_not_hold_the_loop(loop: BurningLoop) -> None:
    """Design §2: applying yields to the loop so that a long backlog delays no heartbeat."""
    gaps: list[float] = []

    async def burn(_: Any) -> None:
        loop.burn(0.001)

    async def watch() -> None:
        last = loop.time()
        while True:
            await asyncio.sleep(0)
            gaps.append(loop.time() - last)
            last = loop.time()

    async def run() -> None:
        async with Cluster('') as cluster:
            node = cluster.make('a', processors={'burn': burn})
            assert await node.solo() is None
            await node.execute('burn')
            watching = asyncio.create_task(watch())
            await asyncio.gather(*(node.execute('burn') for _ in range(2000)))
            watching.cancel()

    loop.run_until_complete(run())
    assert sum(gaps) > 1
    assert max(gaps) < HEARTBEAT / 4
    assert sum(gap > 0 for gap in gaps) > 100


@virtual
@pytest.mark.parametrize('is_async', [False, True])
async def test_task_of_a_processor_that_returned_may_call_the_node(is_async: bool) -> None:
    """Design §2: only a processor's own waiting is refused, not what it left behind.

    Another processor runs by then: that one ends without waiting for the task.
    """
    nodes: list[Node] = []
    tasks: list[asyncio.Task[Any]] = []

    async def follow() -> Any:
        await asyncio.sleep(HEARTBEAT)
        return await nodes[0].execute('add', 1)

    def leave(_: Any) -> Any:
        if is_async:
            return leave_later()
        tasks.append(asyncio.create_task(follow()))
        return None

    async def leave_later() -> None:
        tasks.append(asyncio.create_task(follow()))

    async def slow(_: Any) -> None:
        await asyncio.sleep(T)

    async with Cluster('') as cluster:
        processors = {'leave': leave, 'slow': slow}
        nodes.append(cluster.make('a', processors=processors))
        assert await nodes[0].solo() is None
        async with asyncio.TaskGroup() as group:
            for action in ('slow', 'leave', 'slow'):
                group.create_task(nodes[0].execute(action))
        assert await tasks[0] == 1


@virtual
async def test_start_inside_a_processor_is_refused() -> None:
    """Design §2: a call that waits for its own processor to end raises at once.

    stop() lets the processor end, and start() waits for stop().
    """
    nodes: list[Node] = []

    async def restart(_: Any) -> None:
        await asyncio.sleep(T)
        await nodes[0].start()

    async with Cluster('') as cluster:
        nodes.append(cluster.make('a', processors={'restart': restart}))
        assert await nodes[0].solo() is None
        with pytest.raises(ProcessorFailed, match='start inside a processor') as raised:
            await nodes[0].execute('restart')
        assert isinstance(raised.value.__cause__, WaitingInsideProcessor)
        call = asyncio.create_task(nodes[0].enqueue('restart'))
        await asyncio.sleep(HEARTBEAT)
        stopping = asyncio.create_task(nodes[0].stop())
        await asyncio.wait([stopping], timeout=10 * T)
        assert stopping.done()
        await call


@virtual
async def test_linearizable_query_sees_no_half_applied_command() -> None:
    """Design §2, query: linearizable: the state between two commands, never within one."""
    accounts = Accounts()
    async with Cluster('', state_machine=accounts) as cluster:
        node = cluster.make('a')
        assert await node.solo() is None
        calls = [asyncio.create_task(node.execute('move', 10))]
        await asyncio.sleep(HEARTBEAT / 5)
        query = asyncio.create_task(node.query('sum'))
        await asyncio.sleep(HEARTBEAT / 5)
        calls.append(asyncio.create_task(node.execute('move', 10)))

        assert await query == 100

        await asyncio.gather(*calls)
        assert (accounts.left, accounts.right) == (80, 20)


@virtual
async def test_processors_do_not_see_the_context_of_whoever_called() -> None:
    """Design §2: a command carries its parameters, the same on all nodes, and nothing else."""
    seen: list[str] = []

    async def look_later(_: Any) -> None:
        seen.append(WHO.get())
        await asyncio.sleep(0)
        seen.append(WHO.get())

    async def request(node: Node, who: str) -> None:
        WHO.set(who)
        for action in ('look', 'look later'):
            await node.execute(action, who)

    async with Cluster('', state_machine=None) as cluster:
        processors = {'look': lambda _: seen.append(WHO.get()), 'look later': look_later}
        node = cluster.make('a', processors=processors)
        assert await node.solo() is None
        async with asyncio.TaskGroup() as group:
            for who in ('ann', 'bob'):
                group.create_task(request(node, who))
        assert seen == ['nobody'] * 6
