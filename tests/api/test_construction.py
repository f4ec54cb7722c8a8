"""Making a node, outside an event loop and inside one (design §2, `from_url`)."""

import asyncio
import contextlib
import logging
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import looptime
import pytest
from yarl import URL

import consensual.raft
from consensual.raft import Node, communication
from consensual.raft.errors import InvalidAddress, InvalidParameters, WrongLoop
from consensual.storage import MemoryStorage
from tests.clusters import Ledger, url_of


def make(**options: Any) -> Node:
    return Node.from_url(url_of('a'), sender=communication.Sender([], {}), **options)


def close(loop: asyncio.AbstractEventLoop) -> None:
    """End a loop as `asyncio.run` does: what still runs is cancelled."""
    if loop.is_closed():
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()


@pytest.fixture(autouse=True)
def _no_current_loop() -> None:
    """Begin like a fresh program: the loop that looptime's plugin left as current is closed."""
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError):
        warnings.simplefilter('ignore', DeprecationWarning)
        asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    close(loop)


@pytest.fixture
def second() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    close(loop)


def test_names_that_other_transports_import_are_there() -> None:
    """Design §2: these imports must always work; `plain` is an alias of `communication`."""
    for name in ('Node', 'Sender', 'Receiver', 'ReceiverUnavailable', 'MessageKind', 'Processor'):
        assert hasattr(consensual.raft, name)
    assert consensual.raft.plain is consensual.raft.communication


def test_from_url_does_no_io_and_needs_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Design §2: no DNS, no event loop; a node has no loop before its first use."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('a look-up')

    for name in ('gethostbyname', 'gethostbyname_ex', 'getaddrinfo', 'gethostbyaddr', 'getfqdn'):
        monkeypatch.setattr(socket, name, refuse)
    for name in ('get_event_loop', 'new_event_loop', 'get_running_loop'):
        monkeypatch.setattr(asyncio, name, refuse)

    node = Node.from_url(URL('http://no.such.host:1'), sender=communication.Sender([], {}))

    assert node.loop is None
    assert node.status.id == 'no.such.host:1'


@pytest.mark.parametrize(
    ('url', 'id_'),
    [
        ('http://localhost:6000', 'localhost:6000'),
        ('http://[::1]:6000', '[::1]:6000'),
        ('https://example.org:8443', 'example.org:8443'),
        ('memory://a', 'a'),
    ],
)
def test_id_is_the_authority_of_the_url(url: str, id_: str) -> None:
    """Design §2: a node's id is its URL's authority, never a resolved address."""
    node = Node.from_url(URL(url), sender=communication.Sender([], {}))
    assert node.status.id == id_
    assert node.status.url == node.url == URL(url)


@pytest.mark.parametrize(
    ('url', 'complaint'),
    [
        (URL('/path'), 'host'),
        (URL(''), 'host'),
        ('http://localhost:1', 'yarl.URL'),
        (None, 'yarl.URL'),
        (URL('http://user:secret@localhost:1'), 'credentials'),
        (URL('http://localhost:1?a=b'), 'query'),
    ],
)
def test_url_that_cannot_name_a_node_is_refused(url: Any, complaint: str) -> None:
    """Design §2, errors by blame: `InvalidAddress` says what is wrong, and no secret."""
    with pytest.raises(InvalidAddress, match=complaint) as raised:
        Node.from_url(url, sender=communication.Sender([], {}))
    assert isinstance(raised.value, ValueError)
    assert 'secret' not in str(raised.value)


@pytest.mark.parametrize('heartbeat', [0, -0.1, float('nan'), float('inf')])
def test_heartbeat_must_be_a_positive_number(heartbeat: float) -> None:
    """Design §2: heartbeat is in seconds."""
    with pytest.raises(InvalidParameters, match='heartbeat'):
        make(heartbeat=heartbeat)


@pytest.mark.parametrize('timeout', [0, -1, 0.05, float('nan'), float('inf')])
def test_election_timeout_must_leave_room_for_heartbeats(timeout: float) -> None:
    """Design §2: T is in seconds; below a heartbeat no leader could last."""
    with pytest.raises(InvalidParameters, match='election_timeout'):
        make(heartbeat=0.1, election_timeout=timeout)


@pytest.mark.parametrize('processors', [{'add': 'no function'}, {1: print}, {'add': None}])
def test_processors_must_be_functions_by_name(processors: Any) -> None:
    """Design §2: processors map names to callables."""
    with pytest.raises(InvalidParameters, match='processors'):
        make(processors=processors)


@pytest.mark.parametrize('processors', [Ledger(), [print], 7, 'add'])
def test_state_machine_in_place_of_processors_is_told_where_it_belongs(processors: Any) -> None:
    """Design §2: both are arguments of their own, and easily confused."""
    with pytest.raises(InvalidParameters, match='state_machine='):
        make(processors=processors)


def test_action_in_processors_and_state_machine_is_refused() -> None:
    """Two functions for one action: the error names the action."""
    with pytest.raises(InvalidParameters, match="'add'"):
        make(processors={'add': print}, state_machine=Ledger())


def test_processors_of_the_state_machine_are_the_nodes() -> None:
    """Design §2: a state machine is an object with `processors`."""
    ledger = Ledger()
    node = make(processors={'other': print}, state_machine=ledger)
    assert dict(node.processors) == {'other': print, **ledger.processors}


def test_later_changes_of_the_mapping_given_do_not_reach_the_node() -> None:
    """Design §2: `processors` is read-only: replicas must not come to differ by it."""
    processors: dict[str, Any] = {'add': print}
    node = make(processors=processors)
    processors.clear()
    assert set(node.processors) == {'add'}


@pytest.mark.parametrize('name', ['url', 'processors', 'sender', 'logger', 'loop', 'status'])
def test_properties_are_read_only(name: str) -> None:
    """Design §2: url, processors, sender, logger, loop are read-only."""
    node = make(processors={'add': print})
    with pytest.raises(AttributeError):
        setattr(node, name, None)
    with pytest.raises(TypeError):
        node.processors['more'] = print  # type: ignore[index]


def test_properties_give_what_was_given() -> None:
    """Design §2: url, sender, logger, loop."""
    sender, logger = communication.Sender([], {}), logging.getLogger('mine')
    node = Node.from_url(url_of('a'), sender=sender, logger=logger)
    assert node.sender is sender
    assert node.logger is logger
    assert make().logger is not None


def test_never_started_node_shows_a_detached_status() -> None:
    """Design §2: `status` needs no loop."""
    status = make().status
    assert (status.role, status.term, status.leader, status.cluster_id) == (
        'detached',
        0,
        None,
        None,
    )
    assert (status.voters, status.learners, status.applied_index) == ((), (), 0)
    assert 'a' in repr(make())


def test_node_binds_to_the_loop_of_its_first_use(loop: asyncio.AbstractEventLoop) -> None:
    """Design §2: a node binds to the running loop on first use, and tells which it is."""
    node = make()
    loop.run_until_complete(node.start())
    assert node.loop is loop
    loop.run_until_complete(node.stop())


def test_node_made_outside_a_loop_works_inside_one(loop: asyncio.AbstractEventLoop) -> None:
    """The issue, Construction: as on the reference page, the loop comes after the nodes."""
    node = make(processors={'double': lambda number: 2 * number})
    assert loop.run_until_complete(node.solo()) is None
    assert loop.run_until_complete(node.execute('double', 21)) == 42
    loop.run_until_complete(node.stop())


def test_node_made_and_used_under_asyncio_run() -> None:
    """The issue, Construction: inside `asyncio.run`."""

    async def main() -> Any:
        async with make(processors={'double': lambda number: 2 * number}) as node:
            assert await node.solo() is None
            return await node.execute('double', 21)

    assert asyncio.run(main()) == 42


def test_node_made_before_asyncio_run_works_inside_it() -> None:
    """The issue, Construction: made outside a loop, used by `asyncio.run`."""
    node = make()

    async def main() -> None:
        assert await node.solo() is None
        await node.stop()

    asyncio.run(main())


def test_second_loop_is_refused_until_the_node_was_stopped(
    loop: asyncio.AbstractEventLoop, second: asyncio.AbstractEventLoop
) -> None:
    """Design §2: bound to one loop; `WrongLoop` names the node and says stop()."""
    node = make()
    assert loop.run_until_complete(node.solo()) is None
    with pytest.raises(WrongLoop, match=r'a lives on another event loop.*stop\(\)'):
        second.run_until_complete(node.execute('add', 1))
    with pytest.raises(WrongLoop):
        second.run_until_complete(node.start())
    assert 'another event loop' in str(second.run_until_complete(node.solo()))

    loop.run_until_complete(node.stop())
    second.run_until_complete(node.start())
    assert node.loop is second
    second.run_until_complete(node.ensure_linearizable())
    second.run_until_complete(node.stop())


def test_second_loop_cannot_stop_the_node(
    loop: asyncio.AbstractEventLoop, second: asyncio.AbstractEventLoop
) -> None:
    """Design §2: stopping belongs to the loop that the node lives on."""
    node = make()
    assert loop.run_until_complete(node.solo()) is None
    with pytest.raises(WrongLoop, match='another event loop'):
        second.run_until_complete(node.stop())
    loop.run_until_complete(node.ensure_linearizable())
    loop.run_until_complete(node.stop())


def test_loop_given_is_the_only_one_taken(loop: asyncio.AbstractEventLoop) -> None:
    """Design §2: `loop=` binds before the first use."""
    node = make(loop=loop)
    assert node.loop is loop

    with pytest.raises(WrongLoop, match='another event loop'):
        asyncio.run(node.start())

    loop.run_until_complete(node.start())
    loop.run_until_complete(node.stop())


def test_loop_given_stays_bound_after_stop(loop: asyncio.AbstractEventLoop) -> None:
    """Design §2: `loop` is what was given, read-only, also after a stop."""
    node = make(loop=loop)
    loop.run_until_complete(node.start())
    loop.run_until_complete(node.stop())
    assert node.loop is loop


def test_node_whose_loop_was_closed_can_be_stopped_and_started_on_another(
    loop: asyncio.AbstractEventLoop, second: asyncio.AbstractEventLoop
) -> None:
    """A loop that died takes its tasks along; stop() clears up and data are kept."""
    node = make(storage=MemoryStorage(), processors={'same': lambda value: value})
    assert loop.run_until_complete(node.solo()) is None
    close(loop)
    second.run_until_complete(node.stop())
    second.run_until_complete(node.start())
    assert second.run_until_complete(node.execute('same', 1)) == 1
    second.run_until_complete(node.stop())


def test_usage_example_of_the_reference_page(loop: asyncio.AbstractEventLoop) -> None:
    """The issue, list item 10: all eight calls return None, and `[42] * 4` is processed."""
    url, other_url = URL('http://localhost:6000'), URL('http://localhost:6001')
    processed: list[Any] = []
    nodes: dict[str, Any] = {}
    options: dict[str, Any] = {'heartbeat': 0.1, 'processors': {'dummy': processed.append}}
    node = Node.from_url(url, sender=communication.Sender([url], nodes), **options)
    other = Node.from_url(other_url, sender=communication.Sender([other_url], nodes), **options)
    receivers = [communication.Receiver(node, nodes), communication.Receiver(other, nodes)]
    for receiver in receivers:
        receiver.start()

    async def run() -> list[Any]:
        return [
            await node.solo(),
            await node.enqueue('dummy', 42),
            await node.attach_nodes([other.url]),
            await node.enqueue('dummy', 42),
            await other.detach_nodes([node.url]),
            await other.solo(),
            await other.detach(),
            await other.detach(),
        ]

    assert loop.run_until_complete(run()) == [None] * 8
    for receiver in receivers:
        receiver.stop()
    assert processed == [42] * 4
    loop.run_until_complete(node.stop())
    loop.run_until_complete(other.stop())
