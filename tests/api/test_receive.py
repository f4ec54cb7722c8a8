"""receive: the entry point of a Receiver, and what it does with nonsense (design §2, §4)."""

import asyncio
import copy
import json
from random import Random
from typing import Any

import pytest

from consensual.raft import MessageKind, Node
from consensual.raft.errors import ConsensualError, InvalidMessage
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, Deliver, T, answer, fail
from tests.readable import readable

pytestmark = in_virtual_time


class Tap:
    """Keeps a copy of every message that a cluster sends."""

    def __init__(self, cluster: Cluster) -> None:
        self.seen: list[tuple[str, MessageKind, Any]] = []
        for name in cluster.nodes:
            receiver = cluster.network.nodes[name]
            cluster.network.nodes[name] = Tapped(receiver, self)  # type: ignore[assignment]

    def of(self, kind: MessageKind) -> list[tuple[str, MessageKind, Any]]:
        return [item for item in self.seen if item[1] == kind]


class Tapped:
    def __init__(self, node: Node, tap: Tap) -> None:
        self.node, self.tap = node, tap

    async def receive(self, *, kind: MessageKind, message: Any) -> Any:
        self.tap.seen.append((self.node.url.authority, kind, copy.deepcopy(message)))
        return await self.node.receive(kind=kind, message=message)


NONSENSE = [None, 1, 'text', [], {}, {'version': 1}, {'version': 1, 'route': None}, b'bytes']


@pytest.mark.parametrize('kind', list(MessageKind))
@pytest.mark.parametrize('message', NONSENSE, ids=readable)
async def test_what_does_not_validate_is_refused_and_changes_nothing(
    kind: MessageKind, message: Any
) -> None:
    """Design §5: a message that does not validate gets a clear error and changes nothing."""
    async with Cluster('ab') as cluster:
        await cluster.until_equal()
        before = [node.status for node in cluster.nodes.values()]
        for node in cluster.nodes.values():
            try:
                reply = await node.receive(kind=kind, message=message)
            except InvalidMessage as error:
                assert str(error)  # noqa: PT017 - another version is refused by a reply
            else:
                assert reply['type'] == 'refused'
                assert reply['reason'] == 'version'
        assert [node.status for node in cluster.nodes.values()] == before


@pytest.mark.parametrize('kind', [0, 99, -1, None, 'APPEND_ENTRIES', [], 1.5])
async def test_unknown_kind_is_refused_by_name(kind: Any) -> None:
    """Design §5: the error names what came."""
    async with Cluster('a') as cluster:
        with pytest.raises(InvalidMessage, match='kind'):
            await cluster['a'].receive(kind=kind, message={'version': 1})


def corrupted(message: Any, random: Random) -> Any:
    """Return a copy with one value replaced, removed or added somewhere."""
    message = copy.deepcopy(message)
    places: list[tuple[Any, Any]] = []
    level = [message]
    while level:
        container = level.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in items:
            places.append((container, key))
            if isinstance(value, (dict, list)):
                level.append(value)
    container, key = random.choice(places)
    value = random.choice([None, -1, 10**30, 2**63, 'x', '', [], {}, True, 1.5, [[]], {'a': 1}])
    if random.random() < 0.25 and isinstance(container, dict):
        del container[key]
    else:
        container[key] = value
    return message


@pytest.mark.parametrize('seed', range(6))
async def test_corrupted_messages_never_stop_a_node_nor_split_a_cluster(seed: int) -> None:
    """Design §2: the node never trusts a transport; either refused, or harmless by its content.

    Terms and logs may be lied about by a valid message; so the corrupted ones go to a node
    whose identity no longer fits (another life), besides those that do not validate.
    """
    random = Random(seed)
    async with Cluster('abc', idle='d') as cluster:
        tap = Tap(cluster)
        assert await cluster['a'].attach_nodes([cluster['d'].url]) is None
        await asyncio.gather(*(cluster['abc'[n % 3]].execute('add', n) for n in range(10)))
        await cluster['b'].ensure_linearizable()
        assert await cluster['b'].transfer_leadership() is None
        assert await cluster['d'].detach() is None
        assert await cluster['d'].detach() is None
        status = cluster['d'].status
        for _, kind, message in tap.seen:
            for _ in range(5):
                try:
                    reply = await cluster['d'].receive(
                        kind=kind, message=corrupted(message, random)
                    )
                except ConsensualError as error:
                    assert isinstance(error, InvalidMessage)  # noqa: PT017 - or a refusal
                else:
                    json.dumps(reply)
        assert cluster['d'].status == status
        await cluster.until_led('abc')
        assert isinstance(await cluster['a'].execute('add', 'end'), int)


async def test_old_messages_once_more_never_regress_anything() -> None:
    """Design §4: delayed or duplicate messages never regress anything."""
    async with Cluster('abc') as cluster:
        tap = Tap(cluster)
        for number in range(20):
            await cluster['abc'[number % 3]].execute('add', number)
            if number % 5 == 4:
                assert await cluster['a'].transfer_leadership() is None
        await cluster.until_equal()
        await asyncio.sleep(2 * HEARTBEAT)
        before = {name: cluster[name].status for name in 'abc'}
        random = Random(1)
        old = list(tap.seen)
        random.shuffle(old)
        for name, kind, message in old:
            if kind != MessageKind.TIMEOUT_NOW:
                await cluster[name].receive(kind=kind, message=message)
        for name in 'abc':
            status = cluster[name].status
            assert status.commit_index >= before[name].commit_index
            assert status.applied_index >= before[name].applied_index
            assert status.term == before[name].term
        await cluster.until_equal()
        for name in 'abc':
            assert cluster.ledgers[name].entries == [*range(20)]


async def test_messages_are_json_with_a_protocol_version() -> None:
    """Design §2: a message is a dict of JSON types, with a protocol version."""
    async with Cluster('abc', idle='d') as cluster:
        tap = Tap(cluster)
        await cluster['b'].execute('add', 1)
        await cluster['b'].ensure_linearizable()
        assert await cluster['b'].attach_nodes([cluster['d'].url]) is None
        assert await cluster['b'].transfer_leadership() is None
        cluster.network.cut_off(cluster.name_of(cluster.leader))
        await asyncio.sleep(4 * T)
        kinds = {kind for _, kind, _ in tap.seen}
        assert kinds == set(MessageKind) - {MessageKind.INSTALL_SNAPSHOT}  # these keep their logs
        for _, kind, message in tap.seen:
            assert isinstance(kind, MessageKind)
            assert isinstance(kind, int)
            assert isinstance(message['version'], int)
            assert json.loads(json.dumps(message)) == message


async def test_another_protocol_version_is_refused_in_a_reply_without_a_term() -> None:
    """Design §4, order of checks: version first; the refusal changes nothing."""
    async with Cluster('abc') as cluster:
        tap = Tap(cluster)
        await asyncio.sleep(2 * HEARTBEAT)
        name, kind, message = tap.of(MessageKind.APPEND_ENTRIES)[0]
        before = cluster[name].status
        reply = await cluster[name].receive(kind=kind, message=message | {'version': 2})
        assert reply['reason'] == 'version'
        assert 'term' not in reply
        assert '2' in reply['detail']
        assert cluster[name].status == before


@pytest.mark.parametrize(
    'fault',
    [
        answer(None),
        answer({}),
        answer({'type': 'append_entries', 'version': 1}),
        answer({'type': 'vote', 'version': 1, 'granted': True, 'term': 10**9}),
        answer({'type': 'refused', 'reason': 'cluster', 'version': 1}),
        answer({'type': 'refused', 'reason': 'nonsense', 'version': 1}),
        answer({'type': 'refused', 'reason': 'SystemExit', 'version': 1}),
        answer([1, 2, 3]),
        fail(ValueError('boom')),
        fail(OSError('boom')),
        fail(KeyError('boom')),
        fail(TimeoutError('boom')),
        fail(RuntimeError('boom')),
        fail(RecursionError('boom')),
    ],
)
async def test_nonsense_replies_and_errors_of_a_transport_cost_one_link_only(fault: Any) -> None:
    """The issue, list item 6: reply contents kill no timer and no task."""
    async with Cluster('abc') as cluster:
        follower = cluster.name_of(cluster.followers[0])
        cluster.network.add(fault, receiver=follower)
        cluster.network.add(fault, sender=follower)
        term = cluster.leader.status.term
        await asyncio.sleep(6 * T)
        assert await cluster.leader.execute('add', 1) == 1
        assert cluster.leader.status.term == term
        cluster.network.heal()
        assert await cluster[follower].execute('add', 2) == 2
        await cluster.until_equal()


async def test_cancelled_error_of_a_transport_costs_one_message_only() -> None:
    """A transport whose own task was cancelled raises CancelledError: no reason to die."""

    async def cancel(_: Deliver) -> Any:
        raise asyncio.CancelledError

    async with Cluster('abc') as cluster:
        follower = cluster.name_of(cluster.followers[0])
        cluster.network.add(cancel, receiver=follower)
        await asyncio.sleep(6 * T)
        assert await cluster.leader.execute('add', 1) == 1
        cluster.network.heal()
        assert await cluster[follower].execute('add', 2) == 2
        await cluster.until_equal()


async def test_transport_that_raises_before_it_is_awaited_costs_one_message_only() -> None:
    """A plain function that raises, or returns no awaitable, is a broken transport, too."""
    async with Cluster('abc') as cluster:
        leader = cluster.leader
        sender = leader.sender
        calls = []

        def broken(**_: Any) -> Any:
            calls.append(1)
            raise ValueError('boom')

        sender.send = broken  # type: ignore[method-assign]
        await asyncio.sleep(T)
        del sender.send
        assert calls
        await cluster.until_led('abc')
        assert await leader.execute('add', 1) == 1
