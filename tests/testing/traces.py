"""Traces to test with: clusters that are recorded, and examples of all that a trace holds."""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import looptime
from hypothesis import strategies as st
from msgspec import Struct

from consensual.raft.core.configuration import Address
from consensual.raft.core.events import Persisted, SoloRequested
from consensual.raft.core.log import Natural
from consensual.raft.core.state import Settings
from consensual.raft.driver.recording import Beginning, RecordedRaft
from consensual.raft.driver.status import NodeStatus
from consensual.storage import MemoryStorage
from consensual.testing.trace import Record, Trace
from tests.clusters import HEARTBEAT, Cluster, urls_of

Result = TypeVar('Result')

ATOMS: Mapping[Any, st.SearchStrategy[Any]] = {
    Natural: st.integers(0, 2**63 - 1),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=5),
    bytes: st.binary(max_size=5),
    type(None): st.none(),
}


def examples_of(type_: Any) -> st.SearchStrategy[Any]:
    """Return examples of a struct of the library, by the types of its fields."""
    if type_ in ATOMS:
        return ATOMS[type_]
    if isinstance(type_, type) and issubclass(type_, Struct):
        fields = get_type_hints(type_, include_extras=True)
        names = [name for name in fields if name in type_.__struct_fields__]
        return st.builds(type_, **{name: examples_of(fields[name]) for name in names})
    arguments = get_args(type_)
    if get_origin(type_) in (Union, UnionType):
        return st.one_of(*map(examples_of, arguments))
    if get_origin(type_) is Annotated:
        return examples_of(arguments[0])
    if get_origin(type_) is tuple and arguments[-1] is not ...:
        return st.tuples(*map(examples_of, arguments))
    items = st.lists(examples_of(arguments[0]), max_size=2)
    assert get_origin(type_) in (list, tuple, Sequence, Collection), f'no examples of {type_}'
    return items.map(tuple) if get_origin(type_) is tuple else items


def begin_core(trace: Trace, name: str = 'a', *, seed: int = 1, now: float = 0.0) -> RecordedRaft:
    """Begin a core of one's own to be driven by hand, with nothing stored."""
    address = Address(name, f'memory://{name}')
    beginning = Beginning(address, Settings(0.1, 0.5), seed, None, now)
    return RecordedRaft(beginning, trace.recorder(name))


def lone_leader() -> Trace:
    """Record a node that makes itself a cluster, by hand."""
    trace = Trace()
    core = begin_core(trace)
    core.step(SoloRequested(), 1.0)
    for now, number in ((1.0, 1), (2.0, None)):
        core.take_effects(now)
        if number is not None:
            core.step(Persisted(number), now)
    trace.note('that is all', 2.0)
    return trace


class Run(NamedTuple):
    """What was recorded up to an instant, and what the nodes were at that instant."""

    records: list[Record]
    nodes: dict[str, NodeStatus]


async def eventful_run(trace: Trace) -> Run:
    """Record a cluster that is put through all that a node lives through.

    The trace goes on until the nodes have stopped; the run ends before.
    """
    storages = {name: MemoryStorage() for name in 'abcd'}
    clock = asyncio.get_running_loop().time
    async with Cluster('') as cluster:
        for name, storage in storages.items():
            cluster.make(name, storage=storage, recorder=trace.recorder(name))
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes(urls_of('bc')) is None
        await asyncio.gather(*(cluster['abc'[i % 3]].execute('add', i) for i in range(20)))

        trace.note('crash a', clock())
        cluster.crash('a')
        leader = await cluster.until_led('bc')
        await leader.execute('add', 'without a')
        trace.note('restart a', clock())
        survivor = storages['a'].survivor()
        await cluster.make('a', storage=survivor, recorder=trace.recorder('a')).start()
        assert await leader.attach_nodes(urls_of('d')) is None
        assert await leader.transfer_leadership() is None

        leader = await cluster.until_led('abcd')
        others = {*'abcd'} - {cluster.name_of(leader)}
        trace.note(f'cut off {cluster.name_of(leader)}', clock())
        cluster.network.cut_off(cluster.name_of(leader))
        other = await cluster.until_led(sorted(others))
        await other.ensure_linearizable()
        cluster.network.heal()
        leader = await cluster.until_led('abcd')
        follower = cluster.followers[0]
        assert await leader.detach_nodes([follower.url]) is None
        await cluster.until_led({*'abcd'} - {cluster.name_of(follower)})
        await asyncio.sleep(5 * HEARTBEAT)
        return Run([*trace], {name: node.status for name, node in cluster.nodes.items()})


def run_in_virtual_time(trace: Trace) -> Run:
    """Record an eventful run on a new loop, whose time begins at 0."""
    return run_on(looptime.new_event_loop(), eventful_run(trace))


def run_in_real_time(program: Coroutine[Any, Any, Result]) -> Result:
    """Run on a new loop of the usual kind."""
    return run_on(asyncio.new_event_loop(), program)


def run_on(loop: asyncio.AbstractEventLoop, program: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end and close the loop."""
    try:
        return loop.run_until_complete(program)
    finally:
        loop.close()
