"""The server side of the clients' WebSockets: what may be said there, and what if not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSCloseCode, WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from consensual.http.calls import (
    CALL_LIMIT,
    FRAME,
    REQUEST_LIMIT,
    Answers,
    BadFrame,
    Done,
    Execute,
    Failed,
    Leave,
    OpenSession,
    Outbox,
    Query,
    Status,
    answers_of,
    error_of,
    failure_of,
    requests_of,
)
from consensual.raft.errors import ConsensualError, NoLeader
from tests.clusters import hang
from tests.http.client_clusters import ServedCluster
from tests.http.serving import Guarded
from tests.http.wires import session_of, wire_to

in_loop = pytest.mark.asyncio


@in_loop
async def test_batch_is_answered_by_number() -> None:
    """Commands, queries and status in one frame; each gets its own answer."""
    async with ServedCluster(1) as cluster, wire_to(cluster.served[0]) as wire:
        session = await session_of(wire)
        answers = await wire.ask(
            Execute(1, session, 0, 0, 'add', '[1.50]', 5.0),
            Execute(2, session, 1, 0, 'sub', '1', 5.0),
            Execute(3, session, 2, 0, 'fail', '7', 5.0),
            Query(4, 'sum', 'null', True, 5.0),
            Query(5, 'count', '{', False, 5.0),
            Query(6, 'count', '7', False, 5.0),
            Execute(7, session + 9, 0, 0, 'add', '1', 5.0),
            Execute(8, session, 4, 0, 'add', '1', 61.0),
        )
        assert answers[0] == Done(1, '1')
        assert [getattr(answer, 'kind', None) for answer in answers[1:]] == [
            'UnknownAction',
            'ProcessorFailed',
            'UnknownQuery',
            'InvalidParameters',
            None,
            'SessionLost',
            'InvalidParameters',
        ]
        assert wire.leader == f'{cluster.served[0].url}/'
        (read, status) = await wire.ask(Query(1, 'entries', 'null', True, 5.0), Status(2))
        assert read == Done(1, '[[1.5]]')
        assert msgspec.json.decode(status.result)['role'] == 'leader'


@in_loop
async def test_leader_is_told_at_once_and_at_each_change() -> None:
    """Also to a client that asks nothing."""
    async with ServedCluster(3) as cluster, wire_to(cluster.followers[0]) as wire:
        old = cluster.leader
        told = answers_of(await wire.socket.receive_bytes(timeout=10))
        assert told == Answers(f'{old.url}/', str(old.node.status.cluster_id), [])
        await old.node.transfer_leadership()
        while told.leader in ('', f'{old.url}/'):
            told = answers_of(await wire.socket.receive_bytes(timeout=10))
        assert told.leader == f'{cluster.leader.url}/'


@in_loop
async def test_client_that_leaves_is_told_what_is_not_done() -> None:
    """What waits for a leader is dropped; what was handed to one may be applied yet."""
    async with ServedCluster(2) as cluster:
        leader = cluster.leader
        async with wire_to(leader) as wire:
            session = await session_of(wire)
            cluster.network.cut_off(leader.url.authority, fault=hang)
            proposed = Execute(2, session, 0, 0, 'add', '1', 30.0)
            await wire.send(proposed)
            await cluster.until(lambda: leader.node.status.leader is None)
            waiting = Execute(3, session, 1, 0, 'add', '2', 30.0)
            await wire.send(waiting, Leave(0))
            answers = await wire.answers(2)
            assert {answer.number: answer.kind for answer in answers} == {
                2: 'OutcomeUnknown',
                3: 'NoLeader',
            }
            assert (await wire.socket.receive(timeout=10)).type is WSMsgType.CLOSE
        cluster.network.heal()
        roles = lambda: [one.node.status.role for one in cluster.served]  # noqa: E731
        await cluster.until(lambda: 'leader' in roles())
        async with wire_to(cluster.leader) as wire:
            again = await wire.ask(Execute(1, session, 2, 0, 'add', '3', 5.0))
        assert [2] not in [one.ledger.entries for one in cluster.served]
        assert 2 not in cluster.leader.ledger.entries
        assert again[0].result in ('1', '2')


BAD: list[Callable[[ClientWebSocketResponse], Awaitable[Any]]] = [
    lambda socket: socket.send_str('[]'),
    lambda socket: socket.send_bytes(b''),
    lambda socket: socket.send_bytes(b'\xc1'),
    lambda socket: socket.send_bytes(b'\x91\x96\x03\x01\xa1\xff\xa1x\xc2\x01'),  # no UTF-8
    lambda socket: socket.send_bytes(b'\x91' * 100_000),
    lambda socket: socket.send_bytes(b'\xdd\xff\xff\xff\xff'),
    lambda socket: socket.send_bytes(msgspec.msgpack.encode([[9, 1]])),
    lambda socket: socket.send_bytes(msgspec.msgpack.encode([[2, 1, 'x']])),
    lambda socket: socket.send_bytes(msgspec.msgpack.encode({'op': 2})),
    lambda socket: socket.send_bytes(bytes(REQUEST_LIMIT + 1)),
]


@in_loop
@pytest.mark.parametrize('number', range(len(BAD)))
async def test_who_sends_bad_frames_is_sent_away_and_nothing_changes(number: int) -> None:
    """With a code that says so; others go on."""
    async with ServedCluster(1) as cluster, wire_to(cluster.served[0]) as other:
        before = cluster.served[0].node.status
        async with wire_to(cluster.served[0]) as wire:
            await BAD[number](wire.socket)
            assert await wire.farewell() in (
                WSCloseCode.POLICY_VIOLATION,
                WSCloseCode.MESSAGE_TOO_BIG,
            )
        assert cluster.served[0].node.status == before
        assert len(await other.ask(Status(1))) == 1


@in_loop
async def test_number_in_use_is_a_bad_frame() -> None:
    """Its answer could not be told from that of the other."""
    async with ServedCluster(1) as cluster, wire_to(cluster.served[0]) as wire:
        session = await session_of(wire)
        twice = [Execute(7, session, n, 0, 'add', '1', 5.0) for n in range(2)]
        await wire.send(*twice)
        assert await wire.farewell() == WSCloseCode.POLICY_VIOLATION


@in_loop
async def test_calls_under_way_are_bounded() -> None:
    """Those above are refused, not kept."""
    async with ServedCluster(2) as cluster, wire_to(cluster.leader) as wire:
        session = await session_of(wire)
        cluster.network.cut_off(cluster.leader.url.authority, fault=hang)
        calls = [Execute(10 + n, session, n, 0, 'add', '1', 30.0) for n in range(CALL_LIMIT + 5)]
        await wire.send(*calls)
        refused = await wire.answers(5)
        assert {answer.kind for answer in refused} == {'Overloaded'}


@in_loop
async def test_who_asks_is_checked_first() -> None:
    """A token, no page of a browser, and a WebSocket."""
    async with ServedCluster(1, access=Guarded()) as cluster, ClientSession() as session:
        url = cluster.served[0].url / 'client'
        word = {'Authorization': 'Bearer sesame'}
        for headers, status in (
            ({}, 401),
            ({'Authorization': 'Bearer parsley'}, 403),
            ({**word, 'Origin': 'http://elsewhere'}, 403),
            (word, 426),
        ):
            async with session.get(url, headers=headers) as response:
                assert response.status == status
        async with wire_to(cluster.served[0], headers=word) as wire:
            assert len(await wire.ask(Status(1))) == 1


@in_loop
async def test_connection_that_breaks_leaves_nothing_behind() -> None:
    """Its calls are dropped; `ServedCluster` sees that no task is left."""
    async with ServedCluster(2) as cluster:
        cluster.network.cut_off(cluster.leader.url.authority, fault=hang)
        for _ in range(5):
            async with wire_to(cluster.leader) as wire:
                reads = [Query(n, 'entries', 'null', True, 30.0) for n in range(50)]
                await wire.send(*reads, OpenSession(99, 30.0))
                await asyncio.sleep(0)


@given(st.lists(st.integers(0, 3 * FRAME), max_size=60))
def test_frames_are_bounded_and_keep_the_order(sizes: list[int]) -> None:
    """Only one large value makes a larger one."""
    outbox: Outbox[tuple[int, int]] = Outbox()
    for number, size in enumerate(sizes):
        outbox.put((number, size), size)
    frames = []
    while outbox:
        frames.append(outbox.take())
    assert [item for frame in frames for item in frame] == list(enumerate(sizes))
    assert all(len(frame) == 1 or sum(size for _, size in frame) <= FRAME for frame in frames)
    assert outbox.size == 0


@given(
    st.binary()
    | st.recursive(
        st.integers(-9, 9) | st.text() | st.floats() | st.none() | st.booleans(),
        lambda children: st.lists(children, max_size=9),
    ).map(msgspec.msgpack.encode)
)
def test_decoders_refuse_with_one_error(data: bytes) -> None:
    """Whatever comes is a frame, or raises what the connection expects."""
    for decode in (requests_of, answers_of):
        with suppress(BadFrame):
            decode(data)


@pytest.mark.parametrize('kind', ['KeyError', 'Any', '__doc__', 'Nonsense', ''])
def test_errors_that_are_not_known_are_the_root_of_all(kind: str) -> None:
    """A newer node may have others; and no name makes something else of it."""
    error = error_of(Failed(1, kind, 'why'))
    assert type(error) is ConsensualError
    assert str(error) == f'{kind}: why'


def test_errors_come_back_as_they_went() -> None:
    """By the name of the class."""
    error = error_of(failure_of(1, NoLeader('nobody')))
    assert (type(error), str(error)) == (NoLeader, 'nobody')
    assert type(error_of(failure_of(1, KeyError('x')))) is ConsensualError
