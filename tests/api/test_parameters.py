"""What parameters may be (design §2, Processors: encoded once, to JSON text)."""

import asyncio
import datetime as dt
import decimal
import enum
import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from consensual.raft import Node
from consensual.raft.errors import InvalidParameters
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster
from tests.readable import readable

pytestmark = in_virtual_time

MEBIBYTE = 1 << 20


class Colour(enum.Enum):
    RED = 'red'


def nested(depth: int) -> Any:
    value: Any = 'leaf'
    for _ in range(depth):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    'parameters',
    [
        None,
        True,
        0,
        -1,
        1.5,
        -0.0,
        1e308,
        5e-324,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        '',
        'naïve ☃ 𝄞',
        '\x00\x1f"\\/\u2028',
        [],
        {},
        [[], {}, [None]],
        {'': {'a': [1, 2.5, None, True]}},
        {'id': 1, 'action': 'add', 'version': 7},
        nested(50),
    ],
    ids=readable,
)
async def test_what_json_carries_arrives_on_every_node(parameters: Any) -> None:
    """Design §2: each node decodes its own, equal copy; types are kept."""
    async with Cluster('abc') as cluster:
        await cluster['b'].execute('add', parameters)
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == [parameters]
            assert type(ledger.entries[0]) is type(parameters)


async def test_tuples_arrive_as_lists() -> None:
    """JSON has arrays only; on every node alike, also where the command was given."""
    async with Cluster('abc') as cluster:
        await cluster['a'].execute('add', (1, (2, {'k': ()})))
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == [[1, [2, {'k': []}]]]


@pytest.mark.parametrize('number', [2**64, -(2**64), 10**40, 2**63])
async def test_huge_integers_arrive_or_are_refused_but_never_change(number: int) -> None:
    """Design §2: what can't be carried is refused at once; nothing arrives as something else."""
    async with Cluster('ab') as cluster:
        try:
            await cluster['b'].execute('add', {'n': number})
        except InvalidParameters:
            assert cluster.ledgers['a'].entries == []
            return
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries == [{'n': number}]
            assert type(ledger.entries[0]['n']) is int


@pytest.mark.parametrize(
    'parameters',
    [
        math.nan,
        math.inf,
        -math.inf,
        [1, {'deep': math.nan}],
        {1, 2},
        frozenset(),
        b'bytes',
        bytearray(b'x'),
        {1: 'int key'},
        {'a': {2.5: 'float key'}},
        {None: 'none key'},
        {(1, 2): 'tuple key'},
        {True: 'bool key'},
        object(),
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        decimal.Decimal('1.1'),
        uuid.UUID(int=7),
        Colour.RED,
        'lone \ud800 surrogate',
        {'\udfff': 1},
        print,
        1j,
    ],
    ids=lambda value: f'{type(value).__name__} {ascii(readable(value))[1:-1]}',
)
async def test_what_json_cannot_carry_is_refused_at_once(parameters: Any) -> None:
    """Design §2: `InvalidParameters`, at once, naming what it is about; nothing is done."""
    await check_refused(parameters)


@pytest.mark.parametrize('make', [lambda: nested(100_000), lambda: nested(101), cyclic])
async def test_what_is_nested_too_deep_is_refused_at_once(make: Callable[[], Any]) -> None:
    """Design §2: what JSON can't carry; a decoder on another node must not run out of stack."""
    await check_refused(make())


async def check_refused(parameters: Any) -> None:
    async with Cluster('ab') as cluster:
        loop = asyncio.get_running_loop()
        last, began = cluster['a'].status.last_index, loop.time()
        with pytest.raises(InvalidParameters, match='parameters') as raised:
            await cluster['b'].execute('add', parameters)
        assert isinstance(raised.value, ValueError)
        assert len(str(raised.value)) < 2000
        assert 'parameters' in str(await cluster['b'].enqueue('add', parameters))
        assert loop.time() == began
        assert cluster['a'].status.last_index == last


async def test_message_says_where_the_bad_value_is() -> None:
    """Style, errors: what is wrong, and where, in a large structure."""
    async with Cluster('a') as cluster:
        with pytest.raises(InvalidParameters, match=r"\['b'\]\[1\].*nan"):
            await cluster['a'].execute('add', {'a': 1, 'b': [0, math.nan]})


@pytest.mark.parametrize('text', ['x', 'é', '\n'])
async def test_command_above_a_mebibyte_is_refused_with_its_size(text: str) -> None:
    """Design §2: commands above 1 MiB are `InvalidParameters`, at once."""
    async with Cluster('a') as cluster:
        with pytest.raises(InvalidParameters, match=r'bytes.*1048576'):
            await cluster['a'].execute('add', text * (MEBIBYTE + 1))
        assert cluster.ledgers['a'].entries == []


async def test_command_just_below_a_mebibyte_goes_through() -> None:
    """Design §2: the limit is 1 MiB; followers get it, and what comes after it."""
    text = 'x' * (MEBIBYTE - 100)
    async with Cluster('abc') as cluster:
        assert await cluster['b'].execute('add', text) == 1
        assert await cluster['b'].execute('add', 1) == 2
        await cluster.until_equal()
        assert all(ledger.entries == [text, 1] for ledger in cluster.ledgers.values())


async def test_many_large_commands_at_once_reach_everyone() -> None:
    """Design §3: bounded bytes per message; large commands don't make messages grow."""
    texts = [f'{number}'.ljust(MEBIBYTE // 2) for number in range(12)]
    async with Cluster('abc') as cluster:
        await asyncio.gather(*(cluster['b'].execute('add', text, timeout=60) for text in texts))
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert sorted(ledger.entries) == sorted(texts)


async def test_value_changed_after_the_call_began_is_not_seen() -> None:
    """Design §2: encoded once; the caller's object is his own again."""
    async with Cluster('ab') as cluster:
        parameters = {'items': [1]}
        call = asyncio.create_task(cluster['b'].execute('add', parameters))
        await asyncio.sleep(0)
        parameters['items'].append(2)
        await call
        await cluster.until_equal()
        for ledger in cluster.ledgers.values():
            assert ledger.entries in ([{'items': [1]}], [{'items': [1, 2]}])
        assert cluster.ledgers['a'].entries == cluster.ledgers['b'].entries


async def test_what_a_node_does_to_an_applied_value_stays_its_own() -> None:
    """The issue: what one node does to a parameter must never be seen by another node."""
    seen: dict[str, list[Any]] = {'a': [], 'b': [], 'c': []}

    def processors_of(name: str) -> dict[str, Any]:
        def spoil(parameters: Any) -> None:
            seen[name].append(repr(parameters))
            parameters['list'].append(name)
            parameters[name] = name

        return {'spoil': spoil}

    async with Cluster('', state_machine=None) as cluster:
        for name in 'abc':
            cluster.make(name, processors=processors_of(name))
        assert await cluster['a'].solo() is None
        parameters = {'list': [1]}
        assert await cluster['a'].enqueue('spoil', parameters) is None
        assert parameters == {'list': [1]}, 'nor by the caller'
        urls = [cluster[name].url for name in 'bc']
        assert await cluster['a'].attach_nodes(urls) is None
        assert await cluster['c'].enqueue('spoil', parameters) is None
        await cluster.until_equal()
        assert all(values == ["{'list': [1]}"] * 2 for values in seen.values())


async def test_result_changed_by_the_caller_is_not_seen_by_the_state_machine_elsewhere() -> None:
    """Each node returns what its own processor did."""
    states: dict[str, dict[str, Any]] = {name: {} for name in 'ab'}

    def give_of(name: str) -> dict[str, Any]:
        def give(parameters: Any) -> Any:
            states[name].update(parameters)
            return states[name]

        return {'give': give}

    async with Cluster('', state_machine=None) as cluster:
        nodes: list[Node] = [cluster.make(name, processors=give_of(name)) for name in 'ab']
        assert await nodes[0].solo() is None
        assert await nodes[0].attach_nodes([nodes[1].url]) is None
        result = await nodes[1].execute('give', {'k': 1})
        result['k'] = 2
        await cluster.until_equal()
        assert states['a'] == {'k': 1}


@pytest.mark.parametrize('action', [1, None, ['add'], {'a': 1}])
async def test_action_that_is_no_text_is_refused(action: Any) -> None:
    """Design §2, errors by blame: the caller's, whatever he gave; no TypeError from inside."""
    async with Cluster('a') as cluster:
        text = await cluster['a'].enqueue(action, 1)
        assert text is not None
        assert cluster.ledgers['a'].entries == []
