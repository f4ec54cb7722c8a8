"""Every class of errors.py is raised somewhere, names the thing and says what to do (design §2)."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from yarl import URL

from consensual.raft import MessageKind, Node, communication, errors
from consensual.raft.errors import ConsensualError
from consensual.storage import MemoryStorage, SQLiteStorage
from consensual.storage.sqlite_errors import explain
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, T, answer, hang, swallow_reply, url_of, urls_of

pytestmark = in_virtual_time

Scenario = Callable[[Cluster], Awaitable[Any]]
SCENARIOS: dict[type[ConsensualError], tuple[str, Scenario]] = {}


def raises(error: type[ConsensualError], pattern: str) -> Callable[[Scenario], Scenario]:
    """Register: this ends in that error, or its text, whose message matches."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS[error] = pattern, scenario
        return scenario

    return register


@raises(errors.InvalidParameters, 'a set, which JSON cannot carry')
async def _(cluster: Cluster) -> Any:
    await cluster['b'].execute('add', {1, 2})


@raises(errors.TooLarge, 'take 1048578 bytes; a command may take 1048576: store large values')
async def _(cluster: Cluster) -> Any:
    await cluster['b'].execute('add', 'x' * (1 << 20))


@raises(errors.InvalidAddress, 'no host')
async def _(_: Cluster) -> Any:
    Node.from_url(URL('/path'), sender=communication.Sender([], {}))


@raises(errors.InvalidMessage, 'route')
async def _(cluster: Cluster) -> Any:
    await cluster['b'].receive(kind=MessageKind.INQUIRE, message={'version': 1})


@raises(errors.UnknownAction, "'sub' is no processor of b; there are .*'add'")
async def _(cluster: Cluster) -> Any:
    await cluster['b'].execute('sub', 1)


@raises(errors.UnknownQuery, "'sum' is no query of b; there are .*'count'")
async def _(cluster: Cluster) -> Any:
    await cluster['b'].query('sum')


@raises(errors.AlreadyMember, 'c is a member')
async def _(cluster: Cluster) -> Any:
    return await cluster['b'].attach_nodes(urls_of('c'))


@raises(errors.WaitingInsideProcessor, 'execute inside a processor .* return first')
async def _(_: Cluster) -> Any:
    made: list[Node] = []

    async def call(_: Any) -> None:
        await made[0].execute('call')

    node = Node.from_url(
        url_of('z'), sender=communication.Sender([], {}), processors={'call': call}
    )
    made.append(node)
    async with node:
        assert await node.solo() is None
        with pytest.raises(errors.ProcessorFailed) as raised:
            await node.execute('call')
        raise raised.value.__cause__ or raised.value


@raises(errors.SnapshotUnsupported, r'snapshots take a state machine with snapshot\(\) and restore')
async def _(_: Cluster) -> Any:
    async with Node.from_url(
        url_of('z'), sender=communication.Sender([], {}), processors={'add': print}
    ) as node:
        assert await node.solo() is None
        await node.take_snapshot()


class Unfaithful:
    """A state machine whose state JSON cannot carry."""

    processors: Mapping[str, Any] = MappingProxyType({})

    def snapshot(self) -> Any:
        return {'a': {1, 2}}

    def restore(self, value: Any) -> None:
        """Never called."""

    def reset(self) -> None:
        """Nothing is kept."""


@raises(errors.SnapshotFailed, 'cannot be carried as JSON: it.* a set, which JSON cannot carry')
async def _(_: Cluster) -> Any:
    async with Node.from_url(
        url_of('z'), sender=communication.Sender([], {}), state_machine=Unfaithful()
    ) as node:
        assert await node.solo() is None
        await node.take_snapshot()


@raises(errors.NodeStopped, r'b was stopped: start\(\) it first')
async def _(cluster: Cluster) -> Any:
    await cluster['b'].stop()
    await cluster['b'].execute('add', 1)


@raises(errors.WrongLoop, r'z lives on another event loop: .* stop\(\) it there')
async def _(_: Cluster) -> Any:
    loop = asyncio.new_event_loop()
    try:
        node = Node.from_url(url_of('z'), sender=communication.Sender([], {}), loop=loop)
        await node.start()
    finally:
        loop.close()


@raises(errors.ProcessorFailed, "processor 'fail' raised ValueError.*no 7")
async def _(cluster: Cluster) -> Any:
    await cluster['b'].execute('fail', 7)


@raises(errors.NoLeader, "'add' was not done: no leader")
async def _(cluster: Cluster) -> Any:
    cluster.network.cut_off(*'abc')
    await cluster.until(lambda: not cluster.leaders)
    await cluster['b'].execute('add', 1)


@raises(errors.Overloaded, "'slow' was not done: its turn did not come.*try later")
async def _(cluster: Cluster) -> Any:
    """The node lags: an earlier command still runs, so its session is not open yet."""
    gate = asyncio.Event()
    cluster.before_stop = gate.set

    async def slow(_: Any) -> None:
        await gate.wait()

    node = cluster.make('d', processors={'slow': slow}, state_machine=None)
    other = cluster.make('e', processors={'slow': str}, state_machine=None)
    assert await other.solo() is None
    assert await other.attach_nodes(urls_of('d')) is None
    await other.execute('slow')
    await node.execute('slow', timeout=4 * T)


@raises(errors.LeadershipLost, 'confirm')
async def _(cluster: Cluster) -> Any:
    cluster.network.cut_off(cluster.name_of(cluster.leader), fault=hang)
    await cluster.leader.ensure_linearizable(timeout=T / 2)


@raises(errors.NotMember, r'd is in no cluster: attach it to one, or call solo\(\)')
async def _(cluster: Cluster) -> Any:
    await cluster['d'].execute('add', 1)


@raises(errors.SessionLost, 'not applied: its session was closed.*open another one')
async def _(cluster: Cluster) -> Any:
    await (
        cluster['b'].gateway.execute('add', '1', session=2, sequence=0, lowest=0, timeout=T).future
    )


@raises(errors.NodeUnreachable, r'\bnowhere\b')
async def _(cluster: Cluster) -> Any:
    return await cluster['b'].attach_nodes(urls_of(['nowhere']))


@raises(errors.NodeNotEmpty, 'd has a history.*reset it first')
async def _(cluster: Cluster) -> Any:
    assert await cluster['d'].solo() is None
    return await cluster['b'].attach_nodes(urls_of('d'))


@raises(errors.AttachFailed, r'\bd\b')
async def _(cluster: Cluster) -> Any:
    cluster.network.add(swallow_reply, receiver='d', kinds=[MessageKind.APPEND_ENTRIES])
    return await cluster['b'].attach_nodes(urls_of('d'))


@raises(errors.MembershipChangeInProgress, 'being changed already.*wait')
async def _(cluster: Cluster) -> Any:
    cluster.network.add(hang, receiver='d')
    first = asyncio.create_task(cluster['b'].attach_nodes(urls_of('d')))
    await asyncio.sleep(T / 5)
    text = await cluster['c'].detach_nodes(urls_of('b'))
    await first
    return text


@raises(errors.TransferFailed, r'\bc\b')
async def _(cluster: Cluster) -> Any:
    cluster.network.add(answer(None), receiver='c', kinds=[MessageKind.TIMEOUT_NOW])
    return await cluster['b'].transfer_leadership(url_of('c'))


@raises(errors.ReceiverUnavailable, 'nobody receives at memory://nowhere')
async def _(_: Cluster) -> Any:
    sender = communication.Sender(urls_of(['nowhere']), {})
    await sender.send(kind=MessageKind.INQUIRE, message={}, url=url_of('nowhere'))


@raises(errors.OutcomeUnknown, "'add'.*may be applied.*read the state")
async def _(cluster: Cluster) -> Any:
    leader = cluster.leader
    await leader.execute('add', 0)
    cluster.network.cut_off(cluster.name_of(leader), fault=hang)
    await leader.execute('add', 1)


@raises(errors.StorageLocked, 'in use by a node: give each node its own storage')
async def _(_: Cluster) -> Any:
    storage = MemoryStorage()
    options: dict[str, Any] = {'sender': communication.Sender([], {}), 'storage': storage}
    async with Node.from_url(url_of('y'), **options):
        await Node.from_url(url_of('z'), **options).start()


@raises(errors.StorageMismatch, 'holds the data of y, and z wanted .*storage readdress PATH memory')
async def _(_: Cluster) -> Any:
    options: dict[str, Any] = {
        'sender': communication.Sender([], {}),
        'storage': MemoryStorage(),
    }
    async with Node.from_url(url_of('y'), **options) as owner:
        assert await owner.solo() is None
    await Node.from_url(url_of('z'), **options).start()


@raises(errors.StorageCorrupted, 'errors.py is no file of SQLite')
async def _(_: Cluster) -> Any:
    options: dict[str, Any] = {'storage': SQLiteStorage(errors.__file__)}
    await Node.from_url(url_of('z'), sender=communication.Sender([], {}), **options).start()


@raises(errors.StorageFull, r'z\.db failed, there is no room.*make room')
async def _(_: Cluster) -> Any:
    async def disk() -> None:
        raise explain(OSError(28, 'No space left on device'), Path('z.db'), 'writing to')

    node = Node.from_url(
        url_of('z'), sender=communication.Sender([], {}), storage=MemoryStorage(later=disk)
    )
    solo = asyncio.create_task(node.solo())
    await asyncio.sleep(T)
    solo.cancel()
    await node.ensure_linearizable()


@raises(errors.StorageFailed, 'No space left')
async def _(_: Cluster) -> Any:
    async def disk() -> None:
        raise OSError(28, 'No space left on device')

    node = Node.from_url(
        url_of('z'), sender=communication.Sender([], {}), storage=MemoryStorage(later=disk)
    )
    solo = asyncio.create_task(node.solo())
    await asyncio.sleep(T)
    solo.cancel()
    await node.ensure_linearizable()


@raises(errors.InvariantViolated, 'both lead term')
async def _(cluster: Cluster) -> Any:
    """Two leaders of one term: no honest cluster has them, so the message is a forged one."""
    seen: list[Any] = []
    leader, follower = cluster.leader, cluster.name_of(cluster.followers[0])
    inner = cluster.network.nodes[follower]

    class Tap:
        async def receive(self, *, kind: MessageKind, message: Any) -> Any:
            if kind == MessageKind.APPEND_ENTRIES:
                seen.append(message)
            return await inner.receive(kind=kind, message=message)

    cluster.network.nodes[follower] = Tap()  # type: ignore[assignment]
    await cluster.until(lambda: seen)
    cluster_id, *leaders, receiver, incarnation = seen[0]['route']
    route = [cluster_id, receiver, incarnation, *leaders]
    message = seen[0] | {'route': route}
    await asyncio.wait(
        [asyncio.create_task(leader.receive(kind=MessageKind.APPEND_ENTRIES, message=message))]
    )
    await leader.execute('add', 1)


ALL = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, ConsensualError)
]
GROUPS = {errors.ConsensualError, errors.CallerError, errors.ClusterError, errors.StorageError}


@pytest.mark.parametrize('error', [error for error in ALL if error not in GROUPS])
async def test_error_is_raised_and_names_the_thing(error: type[ConsensualError]) -> None:
    """Style, errors: what was tried, what is wrong, and what the user can do."""
    pattern, scenario = SCENARIOS[error]
    async with Cluster('abc', idle='d') as cluster:
        try:
            text = await scenario(cluster)
        except error as raised:
            assert type(raised) is error  # noqa: PT017 - some are returned as text
            text = str(raised)
        assert isinstance(text, str)
        check_match(pattern, text)


def check_match(pattern: str, text: str) -> None:
    with pytest.raises(ConsensualError, match=pattern):
        raise ConsensualError(text)


async def test_tree_is_by_blame() -> None:
    """Design §2: typed, one tree: caller, cluster, outcome unknown, storage, our bug."""
    tops = {error for error in ALL if error.__bases__[0] is ConsensualError}
    assert tops == {
        errors.CallerError,
        errors.ClusterError,
        errors.StorageError,
        errors.ProcessorFailed,
        errors.SnapshotFailed,
        errors.OutcomeUnknown,
        errors.InvariantViolated,
    }
    assert issubclass(errors.StorageLocked, errors.StorageError)
    assert issubclass(errors.ReceiverUnavailable, errors.ClusterError)


async def test_texts_are_the_errors_texts() -> None:
    """Design §2: the text-returning calls return `str(error)`."""
    async with Cluster('a') as cluster:
        for action, parameters in (('sub', 1), ('add', {1}), ('fail', 2)):
            text = await cluster['a'].enqueue(action, parameters)
            with pytest.raises(ConsensualError) as raised:
                await cluster['a'].execute(action, parameters)
            assert text == str(raised.value)
