"""The in-memory Sender and Receiver, and `Sender.urls` (design §2, Sender / Receiver)."""

import asyncio
from typing import Any

import pytest
from yarl import URL

from consensual.raft import MessageKind, Node, Receiver, ReceiverUnavailable, Sender, communication
from consensual.raft.errors import ConsensualError
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Cluster, T, hang, url_of, urls_of


def make(name: str, nodes: dict[str, Any]) -> tuple[Node, communication.Receiver]:
    node = Node.from_url(url_of(name), sender=communication.Sender([], nodes))
    return node, communication.Receiver(node, nodes)


def test_sender_and_receiver_are_abstract() -> None:
    """Design §2: other transports implement them."""
    for abstract in (Sender, Receiver):
        with pytest.raises(TypeError):
            abstract()  # type: ignore[abstract]
    assert issubclass(communication.Sender, Sender)
    assert issubclass(communication.Receiver, Receiver)


def test_receiver_starts_and_stops() -> None:
    """Design §2: `is_running`; stopped already, stop does nothing."""
    nodes: dict[str, Any] = {}
    node, receiver = make('a', nodes)
    assert not receiver.is_running
    receiver.start()
    assert receiver.is_running
    assert nodes == {'a': node}
    receiver.stop()
    receiver.stop()
    assert not receiver.is_running
    assert nodes == {}
    receiver.start()
    assert nodes == {'a': node}


def test_receiver_that_is_running_cannot_be_started_again() -> None:
    """The issue: `RuntimeError` when already running, naming the address."""
    _, receiver = make('a', {})
    receiver.start()
    with pytest.raises(RuntimeError, match='memory://a is already running'):
        receiver.start()
    assert receiver.is_running


def test_address_that_is_taken_is_refused() -> None:
    """The issue: `OSError` when the address is taken; the one who has it keeps it."""
    nodes: dict[str, Any] = {}
    first, receiver = make('a', nodes)
    _, other = make('a', nodes)
    receiver.start()
    with pytest.raises(OSError, match='memory://a is taken'):
        other.start()
    assert not other.is_running
    other.stop()
    assert nodes == {'a': first}
    receiver.stop()
    other.start()
    assert other.is_running


def test_second_receiver_of_the_same_node_is_refused() -> None:
    """The issue: the address is taken, though by the same node; else one stop hides both."""
    nodes: dict[str, Any] = {}
    node, receiver = make('a', nodes)
    other = communication.Receiver(node, nodes)
    receiver.start()
    with pytest.raises(OSError, match='taken'):
        other.start()


def test_reprs_tell_what_they_are() -> None:
    """For a debugger's eye."""
    node, receiver = make('a', {})
    assert 'a' in repr(receiver)
    assert 'Sender' in repr(node.sender)


@pytest.mark.asyncio
async def test_sender_to_nobody_raises_receiver_unavailable() -> None:
    """Design §2: `send` raises `ReceiverUnavailable`, which names the address."""
    nodes: dict[str, Any] = {}
    sender = communication.Sender([url_of('a')], nodes)
    with pytest.raises(ReceiverUnavailable, match='nobody receives at memory://a') as raised:
        await sender.send(kind=MessageKind.INQUIRE, message={}, url=url_of('a'))
    assert isinstance(raised.value, ConsensualError)
    with pytest.raises(ReceiverUnavailable, match='memory://b is none of the nodes'):
        await sender.send(kind=MessageKind.INQUIRE, message={}, url=url_of('b'))


@pytest.mark.asyncio
async def test_sender_to_a_stopped_node_raises_receiver_unavailable() -> None:
    """Design §2: a stopped node is as good as none."""
    nodes: dict[str, Any] = {}
    node, receiver = make('a', nodes)
    receiver.start()
    await node.stop()
    sender = communication.Sender([url_of('a')], nodes)
    with pytest.raises(ReceiverUnavailable, match='memory://a is stopped'):
        await sender.send(kind=MessageKind.INQUIRE, message={}, url=url_of('a'))


class TestUrls:
    """Design §2: `Sender.urls` is assigned by the node whenever membership changes."""

    pytestmark = in_virtual_time

    async def test_urls_are_those_of_the_other_members(self) -> None:
        async with Cluster('abc') as cluster:
            await cluster.until_equal()
            for name in 'abc':
                assert set(cluster[name].sender.urls) - {url_of(name)} == {
                    url for url in urls_of('abc') if url != url_of(name)
                }

    async def test_urls_cover_newcomers_being_probed(self) -> None:
        async with Cluster('ab', idle='c') as cluster:
            cluster.network.add(hang, receiver='c')
            call = asyncio.create_task(cluster['a'].attach_nodes(urls_of('c')))
            await asyncio.sleep(HEARTBEAT)
            assert url_of('c') in cluster['a'].sender.urls
            assert await call is not None
            await asyncio.sleep(60)
            assert url_of('c') not in cluster['a'].sender.urls, 'telling has an end'

    async def test_urls_cover_removed_nodes_being_told(self) -> None:
        async with Cluster('abc') as cluster:
            cluster.network.cut_off('c')
            assert await cluster['a'].detach_nodes(urls_of('c')) is None
            assert cluster['a'].sender.urls
            cluster.network.heal()
            await cluster.until(lambda: cluster['c'].status.role == 'detached', seconds=20 * T)

    async def test_urls_of_a_reset_node_are_none(self) -> None:
        async with Cluster('ab') as cluster:
            assert await cluster['b'].detach() is None
            assert await cluster['b'].detach() is None
            assert url_of('a') not in cluster['b'].sender.urls

    async def test_urls_of_a_cluster_of_one_are_none(self) -> None:
        async with Cluster('ab') as cluster:
            assert await cluster['a'].solo() is None
            assert url_of('b') not in cluster['a'].sender.urls

    async def test_urls_given_at_first_do_not_matter(self) -> None:
        """The reference page gives each Sender its own address."""
        nodes: dict[str, Any] = {}
        made = []
        for name in 'ab':
            sender = communication.Sender([url_of(name)], nodes)
            made.append(Node.from_url(url_of(name), sender=sender, processors={'same': str}))
            communication.Receiver(made[-1], nodes).start()
        assert await made[0].solo() is None
        assert await made[0].attach_nodes([made[1].url]) is None
        assert await made[1].execute('same', 1) == '1'
        await asyncio.gather(*(node.stop() for node in made))

    async def test_nodes_of_many_clusters_share_one_dict(self) -> None:
        """Several nodes and clusters per loop, with paths and ports in their URLs."""
        nodes: dict[str, Any] = {}
        urls = [URL(f'http://host:{port}/path') for port in (1, 2, 3, 4)]
        made = [
            Node.from_url(
                url, sender=communication.Sender([], nodes), processors={'same': lambda v: v}
            )
            for url in urls
        ]
        for node in made:
            communication.Receiver(node, nodes).start()
        for first, second in ((0, 1), (2, 3)):
            assert await made[first].solo() is None
            assert await made[first].attach_nodes([urls[second]]) is None
        assert await made[1].execute('same', 1) == 1
        assert await made[3].execute('same', 2) == 2
        assert made[0].status.cluster_id != made[2].status.cluster_id
        await asyncio.gather(*(node.stop() for node in made))
