"""Snapshots between nodes, as their owners see them (design §2, §4; MemoryStorage)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from consensual.raft import MessageKind
from consensual.raft.errors import OutcomeUnknown, ProcessorFailed
from consensual.storage import MemoryStorage
from tests.api.books import EVERY, Book, Library
from tests.api.marks import in_virtual_time
from tests.clusters import HEARTBEAT, Ledger, T, cut, delay, names_of, urls_of

pytestmark = in_virtual_time

ENTRIES = [MessageKind.APPEND_ENTRIES, MessageKind.INSTALL_SNAPSHOT]


async def leave_behind(library: Library, name: str, count: int = 3 * EVERY) -> None:
    """Let the others go on until what that follower lacks is compacted away."""
    other = next(each for each in 'abc' if each != name)
    await asyncio.sleep(3 * T)
    await library.fill(other, count)
    for each in 'abc':
        if each != name:
            await library[each].take_snapshot()


async def cut_off(library: Library) -> str:
    """Name a follower to which neither entries nor snapshots get through from now on."""
    await library.fill('b', 1)
    await library.until_equal()
    name = library.name_of(library.followers[0])
    await library[name].execute('add', 'its session is open')
    library.network.add(cut, receiver=name, kinds=ENTRIES)
    return name


async def test_follower_that_was_away_comes_back_by_a_snapshot() -> None:
    """What it lacks was compacted away; it gets it in one, and goes on with the log."""
    async with Library('abc') as library:
        name = await cut_off(library)
        await leave_behind(library, name)
        library.network.heal()
        await library.until_equal()
        assert len(library.books[name].restored) == 1
        assert library.books[name].entries == library.books['abc'.replace(name, '')[0]].entries
        assert library[name].status.snapshot_index > 0
        assert isinstance(await library[name].execute('add', 'x'), int)


async def test_newcomer_is_brought_up_by_a_snapshot() -> None:
    """It is a voter when `attach_nodes` returns, with the state and without the log."""
    async with Library('abc', idle='de') as library:
        await library.fill('a', 5 * EVERY)
        assert await library['b'].attach_nodes(urls_of('de')) is None
        await library.until_equal()
        for name in 'de':
            assert names_of(library[name].status.voters) == 'abcde'
            assert library.books[name].entries == library.books['a'].entries
            assert len(library.books[name].restored) == 1


async def test_large_state_takes_many_pieces() -> None:
    """Of text of all kinds; the newcomer's state is the others'."""
    async with Library('abc', idle='d', snapshot_every=4) as library:
        for number in range(40):
            await library['a'].execute('add', f'{number} é\u2028"' * 3000)
        assert await library['a'].attach_nodes(urls_of('d')) is None
        pieces = sum(
            count
            for (_, receiver, kind), count in library.network.sent.items()
            if kind is MessageKind.INSTALL_SNAPSHOT and receiver == 'd'
        )
        assert pieces > 20
        await library.until_equal()
        assert library.books['d'].entries == library.books['a'].entries


async def test_transfer_is_no_storm_of_messages() -> None:
    """Beside the pieces there are heartbeats, at their pace."""
    async with Library('abc', idle='d', snapshot_every=4) as library:
        for number in range(40):
            await library['a'].execute('add', f'{number}' * 20_000)
        for name in 'abc':
            library.network.add(delay(0.01), sender=name)
        before = Counter(library.network.sent)
        assert await library['a'].attach_nodes(urls_of('d')) is None
        sent = library.network.sent - before
        kinds: Counter[MessageKind] = Counter()
        for (_, receiver, kind), count in sent.items():
            kinds[kind] += count if receiver == 'd' else 0
        assert kinds[MessageKind.INSTALL_SNAPSHOT] > 20
        assert kinds[MessageKind.APPEND_ENTRIES] < kinds[MessageKind.INSTALL_SNAPSHOT]


async def test_calls_go_on_while_a_snapshot_is_sent() -> None:
    """A slow peer delays nobody: commands, reads, heartbeats."""
    async with Library('abc', idle='d', snapshot_every=4) as library:
        for number in range(40):
            await library['a'].execute('add', f'{number}' * 20_000)
        library.network.add(delay(0.2), receiver='d')
        attaching = asyncio.create_task(library['a'].attach_nodes(urls_of('d')))
        term = library['a'].status.term
        async with asyncio.timeout(HEARTBEAT * 30):
            for _ in range(20):
                await library['b'].execute('add', 'x')
                await library['c'].ensure_linearizable()
        assert not attaching.done()
        assert await attaching is None
        assert library['a'].status.term == term


async def test_node_goes_on_in_an_async_processor_while_it_gets_a_snapshot() -> None:
    """Its end is waited for; what it did is replaced by the snapshot's state."""
    async with Library('abc', snapshot_every=1000) as library:
        name = await cut_off(library)
        others = [each for each in 'abc' if each != name]
        library.network.heal()
        for each in others:
            library.books[each].gate.set()
        call = asyncio.create_task(library[name].execute('wait', 'long', timeout=600))
        await library.until(lambda: library.books[others[0]].entries[-1] == 'long')
        await library.until(lambda: library[name].status.commit_index > 4)
        await asyncio.sleep(2 * HEARTBEAT)
        library.network.add(cut, receiver=name, kinds=ENTRIES)
        await leave_behind(library, name, 1010)
        library.network.heal()
        await library.until(lambda: library[name].status.snapshot_index > 0)
        await asyncio.sleep(T)
        book = library.books[name]
        assert book.restored == []
        assert not call.done()
        book.gate.set()
        assert await call == library.books[others[0]].entries.index('long') + 1
        await library.until_equal()
        assert len(book.restored) == 1
        assert book.entries == library.books[others[0]].entries


async def outcomes(action: str, *parameters: Any) -> list[Any]:
    """Have a follower's commands applied by way of a snapshot; return what their callers got."""
    async with Library('abc') as library:
        name = await cut_off(library)
        calls = [
            asyncio.create_task(library[name].execute(action, value, timeout=600))
            for value in parameters
        ]
        await asyncio.sleep(HEARTBEAT)
        await leave_behind(library, name)
        assert not any(call.done() for call in calls)
        library.network.heal()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert len(library.books[name].restored) == 1
        assert library.books[name].entries == library.books[name].restored[0]
        assert isinstance(await library[name].execute('add', 'after'), int)
        entries = library.books[name].entries
        assert all(entries.count(value) == (action != 'fail') for value in parameters)
        return results


async def test_caller_gets_the_result_of_what_a_snapshot_brought() -> None:
    """Applied by others, seen here in the session table of the snapshot (thesis §6.3)."""
    assert await outcomes('add', 'x', 'y', 'z') == [3, 4, 5]


async def test_caller_gets_the_failure_of_what_a_snapshot_brought() -> None:
    """With its text: the exception was raised elsewhere."""
    (error,) = await outcomes('fail', 'x')
    assert isinstance(error, ProcessorFailed)
    assert str(error) == "processor 'fail' raised ValueError('no x')"


async def test_caller_is_told_of_a_result_that_json_cannot_carry() -> None:
    """It was applied, and nobody here knows what came of it."""
    (error,) = await outcomes('odd', 'x')
    assert isinstance(error, OutcomeUnknown)
    assert 'was applied' in str(error)
    assert 'JSON cannot carry' in str(error)


async def test_lost_result_of_one_call_costs_the_others_nothing() -> None:
    """Their results are known, and their session goes on."""
    async with Library('abc') as library:
        name = await cut_off(library)
        node = library[name]
        calls = [
            asyncio.create_task(node.execute(action, value, timeout=600))
            for action, value in (('add', 'x'), ('odd', 'y'), ('add', 'z'))
        ]
        await asyncio.sleep(HEARTBEAT)
        await leave_behind(library, name)
        library.network.heal()
        before, lost, after = await asyncio.gather(*calls, return_exceptions=True)
        assert (before, after) == (3, 5)
        assert 'was applied' in str(lost)


async def test_command_is_applied_once_although_it_comes_again_after_a_snapshot() -> None:
    """The session table is in the snapshot (thesis §6.3): a retry finds its outcome there."""
    async with Library('abc', snapshot_every=1000) as library:
        await library.fill('a', 2)
        await library.until_equal()
        leader = library.name_of(library.leader)
        caller, other = (each for each in 'abc' if each != leader)
        await library[caller].execute('add', 'its session is open')
        library.network.add(cut, receiver=caller)
        library.network.add(cut, sender=leader, receiver=caller)
        call = asyncio.create_task(library[caller].execute('add', 'once', timeout=600))
        await library.until(lambda: 'once' in library.books[leader].entries)
        await library.until(lambda: 'once' in library.books[other].entries)
        for name in (leader, other):
            await library[name].take_snapshot()
        storage = MemoryStorage()
        await library[leader].stop()
        library.network.heal()
        assert await call == 4
        await library[leader].start()
        assert await library[caller].execute('add', 'twice') == 5
        await library.until_equal()
        for book in library.books.values():
            assert book.entries == [0, 1, 'its session is open', 'once', 'twice']
        assert storage.load() is None


async def test_sessions_survive_a_restart_of_the_whole_cluster() -> None:
    """A command in the snapshot and again in the log behind it is applied once."""
    storages = {name: MemoryStorage() for name in 'abc'}
    async with Library('') as library:
        for name in 'abc':
            library.make(name, storage=storages[name])
        assert await library['a'].solo() is None
        assert await library['a'].attach_nodes(urls_of('bc')) is None
        await library.fill('b', 4 * EVERY)
        await library.until_equal()
        for name in 'abc':
            library.crash(name)
        for name in 'abc':
            library.make(name, storage=storages[name].survivor())
        for name in 'abc':
            await library[name].start()
        await library.until_led('abc')
        assert await library['c'].execute('add', 'x') == 4 * EVERY + 1
        await library.until_equal()
        for book in library.books.values():
            assert book.entries == [*range(4 * EVERY), 'x']


@pytest.mark.parametrize('storage', ['the same', 'another'])
async def test_wiped_node_is_a_voter_again(storage: str) -> None:
    """Design §4, Identity: the leader takes it in again; it gets the state by a snapshot."""
    async with Library('abc') as library:
        await library.fill('a', 4 * EVERY)
        await library.until_equal()
        library.crash('c')
        library.make('c', **({'storage': MemoryStorage()} if storage == 'another' else {}))
        await library['c'].start()
        await library.until(lambda: names_of(library['c'].status.voters) == 'abc')
        await library.until_equal()
        assert library.books['c'].restored != []
        library.network.cut_off('b' if library.leader is not library['b'] else 'a')
        assert isinstance(await library['c'].execute('add', 'it counts', timeout=60), int)


async def test_node_that_cannot_restore_stops_when_it_is_sent_a_snapshot() -> None:
    """All members need the same kind of state machine; this one says so, loudly."""
    async with Library('abc') as library:
        await library.fill('a', 4 * EVERY)
        machine = Ledger()
        machine.processors |= Book().processors
        library.make('d', state_machine=machine)
        attaching = asyncio.create_task(library['a'].attach_nodes(urls_of('d'), timeout=120))
        await library.until(lambda: library['d'].status.failure is not None)
        assert 'SnapshotUnsupported' in str(library['d'].status.failure)
        assert 'dropped' in str(await attaching)
        assert await library['b'].execute('add', 'on') == 4 * EVERY + 1


async def test_stop_while_a_snapshot_is_being_received() -> None:
    """The next start begins it again; nothing of it was anywhere but in memory."""
    async with Library('abc', idle='', snapshot_every=4) as library:
        for number in range(40):
            await library['a'].execute('add', f'{number}' * 20_000)
        await library.until_equal()
        name = await cut_off(library)
        await leave_behind(library, name, 10)
        library.network.heal()
        library.network.add(delay(0.1), receiver=name)
        pieces = MessageKind.INSTALL_SNAPSHOT
        sender = library.name_of(library.leader)
        await library.until(lambda: library.network.sent[sender, name, pieces] > 12)
        await library[name].stop()
        assert library.books[name].restored == []
        library.network.heal()
        await library[name].start()
        await library.until_equal()
        assert library.books[name].entries == library.books[sender].entries
