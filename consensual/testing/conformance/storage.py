"""The contract of a storage, as tests: subclass `StorageConformance`, and pytest runs them.

Looks through the Storage port only, as a node does; knows no storage from inside.
"""

import asyncio
from collections.abc import Awaitable
from inspect import isawaitable
from pathlib import Path
from random import Random
from typing import Any, Optional, Union

import pytest
from msgspec.structs import replace

from consensual.raft.core.effects import HardState
from consensual.raft.driver.ports import Storage, Write
from consensual.raft.errors import StorageLocked
from consensual.testing.conformance.data import (
    FULL,
    TEXT,
    Data,
    LoneNode,
    check_locked,
    check_same,
    entries_of,
    entries_of_every_kind,
    entry_of,
    new_name,
    random_write,
    settled,
    snapshot_of,
)


class StorageConformance:
    """Subclass it and say how to open yours; each test is one rule of the Storage port.

        class TestMyStorage(StorageConformance):
            def open(self, name):
                return MyStorage(self.directory / name)

    directory: empty, and another one for each test; use it if yours needs one.
    sequences: how many random sequences of writes are tried; fewer for a slow disk.

    The hooks, `open` and `crash`, may be async. Each test is run on an object of its own.
    """

    pytestmark = pytest.mark.asyncio

    directory: Path
    sequences: int = 100

    @pytest.fixture(autouse=True)
    def _provide_directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    # hooks

    def open(self, name: str) -> Union[Storage, Awaitable[Storage]]:
        """Return the storage of the data of that name, not loaded yet.

        Data of other names are apart. For data in use return what would compete for
        them: another object where there is a file, the same where there is only the object.
        """
        raise NotImplementedError('say how to open the storage: def open(self, name)')

    def crash(self, storage: Storage, name: str) -> Optional[Awaitable[None]]:  # noqa: ARG002
        """Let `open` give from now on what `kill -9` at this moment would leave of these data.

        storage: what has them in use, maybe in the midst of a write. The suite closes it
            at the end of the test, and ignores what that raises: it must no longer matter
            for the data of that name. So with files: copy them, and open the copies.

        Unless this is overridden, the tests of crashes are skipped.
        """
        pytest.skip(
            f'what a crash leaves of {storage!r} is not told: def crash(self, storage, name)'
        )

    # what is written is loaded

    async def test_new_storage_holds_nothing(self) -> None:
        """`load` returns None when nothing was written: the node begins its first life."""
        async with Data(self) as data:
            assert data.loaded is None, f'a new storage must load None, not {data.loaded!r}'
            await data.check('a storage that was loaded and closed, and never written to')

    async def test_hard_state_is_loaded_as_it_was_written(self) -> None:
        """A forgotten term or vote is a second vote in the same term: two leaders."""
        async with Data(self) as data:
            await data.write(FULL)
            await data.check('a hard state alone, without entries')

    async def test_later_hard_state_replaces_the_earlier_one(self) -> None:
        """It is replaced as a whole: what is empty now is empty, whatever it was before."""
        async with Data(self) as data:
            for hard_state in (
                FULL,
                replace(FULL, voted_for='', voted_incarnation=''),
                replace(FULL, is_attached=False, cluster_id=TEXT),
                replace(FULL, node_id=TEXT),
                HardState('another incarnation'),
            ):
                await data.write(hard_state)
                await data.check('the last of several hard states')

    async def test_entries_of_every_kind_are_loaded_as_they_were_written(self) -> None:
        """Payloads are the same to the last character, terms and stamps to the last digit."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of_every_kind())
            await data.check('entries of every kind')

    async def test_largest_command_is_loaded_as_it_was_written(self) -> None:
        """A command may take 1 MiB, of any text."""
        size = 1 << 20
        async with Data(self) as data:
            for text in ('x' * size, '日' * (size // 3), '"\\' * (size // 2)):
                await data.append(entry_of(text))
            await data.check('commands of 1 MiB')

    async def test_write_without_hard_state_keeps_the_earlier_one(self) -> None:
        """`hard_state=None` means that it has not changed."""
        async with Data(self) as data:
            await data.write(FULL)
            await data.write(None, 1, [entry_of('1')])
            await data.check('a hard state, then entries without one')

    async def test_write_without_first_index_keeps_the_log(self) -> None:
        """`first_index=None` means that the log has not changed."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            await data.write(replace(FULL, current_term=FULL.current_term + 1))
            await data.write()
            await data.check('entries, then writes that leave the log alone')

    # the log is cut off and continued

    async def test_log_is_continued_after_its_last_entry(self) -> None:
        """Indices count from 1: `first_index` one above the last appends and removes nothing."""
        async with Data(self) as data:
            for size in (1, 3, 2):
                await data.append(*entries_of(size, 'more'))
                await data.check('entries appended to a log')

    async def test_log_is_cut_off_from_first_index_on(self) -> None:
        """Conflicting entries go, that at `first_index` included, and new ones take their place."""
        for first in range(1, 7):
            for size in (1, 3, 8):
                async with Data(self) as data:
                    await data.write(FULL, 1, entries_of(5))
                    await data.write(None, first, entries_of(size, 'new'))
                    await data.check(f'a log of 5, continued with {size} new ones from {first} on')

    async def test_log_is_cut_off_without_being_continued(self) -> None:
        """`first_index` without entries removes those from there on, and adds none."""
        for first in range(1, 7):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(5))
                await data.write(None, first, ())
                await data.check(f'a log of 5, cut off from {first} on')

    async def test_reset_leaves_nothing_of_the_earlier_life(self) -> None:
        """A node that resets writes another incarnation and cuts off the whole log, at once."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of_every_kind())
            await data.write(HardState('another incarnation'), 1, ())
            await data.check('a reset')
            await data.write(None, 1, entries_of(2, 'another life'))
            await data.check('a log begun anew after a reset')

    async def test_many_writes_are_kept_in_their_order(self) -> None:
        """Each write comes after all earlier ones, however many there are."""
        async with Data(self) as data:
            for number in range(500):
                await data.append(entry_of(f'{number}'))
            await data.check('500 writes of one entry each')

    async def test_many_entries_are_kept_in_one_write(self) -> None:
        """A node far behind, or a batch of callers, writes thousands of entries at once."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5000))
            await data.write(None, 2, entries_of(5000, 'new'))
            await data.check('5000 entries in one write')

    # the log is compacted

    async def test_snapshot_is_loaded_as_it_was_written(self) -> None:
        """It stands for entries that are gone: its bytes, and who is a member, come back."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            for content in (b'', bytes(range(256)), TEXT.encode(), bytes(1 << 20)):
                await data.write(snapshot=snapshot_of(3, content))
                await data.check('a snapshot')

    async def test_later_snapshot_replaces_the_earlier_one(self) -> None:
        """There is one at most, also where it is of the same index, or shorter."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            for number, (index, content) in enumerate(((2, b'long'), (4, b'two'), (4, b''))):
                await data.write(snapshot=snapshot_of(index, content, number))
                await data.check('the last of several snapshots')

    async def test_snapshot_changes_nothing_else(self) -> None:
        """Without `log_start` the log stays whole, and so does the hard state."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            await data.write(snapshot=snapshot_of(4))
            await data.check('a snapshot beside its log')
            await data.append(entry_of('more'))
            await data.write(replace(FULL, voted_for=''))
            await data.check('a snapshot, then writes without one')

    async def test_log_start_drops_the_entries_before_it(self) -> None:
        """The log begins there then, and `Stored.first_index` says so; an earlier one is none."""
        for start in range(1, 8):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(5))
                await data.write(snapshot=snapshot_of(max(5, start - 1)), log_start=start)
                await data.check(f'a log of 5, dropped before {start}')
                await data.write(log_start=2)
                await data.check(f'a log of 5, dropped before {start} and then before 2')

    async def test_log_goes_on_after_its_beginning_was_dropped(self) -> None:
        """Indices stay what they are: entries go behind the last one, though none may be left."""
        for start in (4, 6, 9):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(5))
                await data.write(snapshot=snapshot_of(start - 1), log_start=start)
                await data.check(f'a log that begins at {start}')
                for size in (1, 0, 3):
                    await data.append(*entries_of(size, 'more'))
                    await data.check(f'entries appended to a log that begins at {start}')
                await data.write(log_start=start + 2)
                await data.check('a log whose beginning was dropped again')

    async def test_log_is_cut_off_after_its_beginning_was_dropped(self) -> None:
        """`first_index` counts from 1 still, whatever the log begins with."""
        for first in range(4, 8):
            for size in (0, 1, 5):
                async with Data(self) as data:
                    await data.write(FULL, 1, entries_of(6))
                    await data.write(snapshot=snapshot_of(3), log_start=4)
                    await data.write(None, first, entries_of(size, 'new'))
                    await data.check(f'a log of 4 to 6, continued with {size} from {first} on')

    async def test_log_is_replaced_by_a_snapshot_in_one_write(self) -> None:
        """Far behind, or in conflict, a node takes another's snapshot in place of its log."""
        snapshot = snapshot_of(100, b'of another node')
        for first, size in ((1, 0), (3, 0), (101, 0), (101, 4)):
            for length in (0, 5, 150):
                async with Data(self) as data:
                    await data.write(FULL, 1, entries_of(length))
                    await data.write(FULL, first, entries_of(size, 'new'), snapshot, 101)
                    await data.check(f'a log of {length}, replaced by a snapshot up to 100')
                    await data.append(entry_of('after it'))
                    await data.check('an entry after a snapshot that was installed')

    async def test_compaction_keeps_the_entries_behind_it(self) -> None:
        """Appended and compacted in the same write, with a hard state: all of it counts."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            later = replace(FULL, current_term=FULL.current_term + 1)
            await data.write(later, 5, entries_of(4, 'new'), snapshot_of(4), 3)
            await data.check('a write of everything at once')

    async def test_reset_leaves_no_snapshot(self) -> None:
        """What is cut off from an index on includes the snapshot that covers that index."""
        for start in (None, 4, 6):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(5))
                await data.write(snapshot=snapshot_of(5), log_start=start)
                await data.write(HardState('another incarnation'), 1, ())
                await data.check('a reset of a log with a snapshot')
                await data.append(*entries_of(2, 'another life'))
                await data.check('a log begun anew after a reset')

    # durability

    async def test_write_returns_none_or_an_awaitable(self) -> None:
        """None says that it is durable now; anything else is awaited, so it must be awaitable."""
        async with Data(self) as data:
            returned = data.in_use.write(Write(1, FULL, 1, entries_of(3)))
            assert returned is None or isawaitable(returned), (
                f'write must return None, or an awaitable of it, not {returned!r}'
            )
            if returned is not None:
                await returned

    async def test_completed_write_survives_close(self) -> None:
        """What was written stays when the node stops right after."""
        async with Data(self) as data:
            for number in range(10):
                await data.write(replace(FULL, current_term=number))
                await data.check('a write that completed right before close')
                await data.append(entry_of(f'{number}'))
                await data.check('a write that completed right before close')

    async def test_completed_write_survives_a_crash(self) -> None:
        """Once it completed, others rely on it: kill -9 in the next moment loses nothing."""
        async with Data(self) as data:
            for number in range(10):
                await data.append(entry_of(f'{number}'))
                await data.check_crash('a write that completed right before a crash')
                await data.write(replace(FULL, current_term=number), 2, entries_of(3))
                await data.check_crash('a write that completed right before a crash')

    async def test_crash_amid_a_write_leaves_all_of_it_or_nothing(self) -> None:
        """A term without its vote, or a cut without what follows it, is nobody's state."""
        for turns in (*range(10), 20, 50):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(50))
                change = Write(2, HardState('another'), 20, entries_of(200, 'new'))
                await data.check_crash_amid(change, turns)
                await data.append(entry_of('after the crash'))
                await data.check('a write after recovery from a crash amid a write')

    async def test_crash_amid_compaction_leaves_all_of_it_or_nothing(self) -> None:
        """Entries dropped without the snapshot that stands for them would be lost."""
        for turns in (*range(10), 20, 50):
            async with Data(self) as data:
                await data.write(FULL, 1, entries_of(100))
                await data.write(snapshot=snapshot_of(10), log_start=11)
                change = Write(2, None, 101, entries_of(9), snapshot_of(90, bytes(50_000)), 91)
                await data.check_crash_amid(change, turns)
                await data.append(entry_of('after the crash'))
                await data.check('a write after recovery from a crash amid a compaction')

    # possession

    async def test_storage_in_use_is_refused_to_another_node(self) -> None:
        """Two nodes on the same data would vote twice: the second `load` raises StorageLocked."""
        async with Data(self) as data:
            for rival in (await settled(self.open(data.name)), data.in_use):
                await check_locked(rival)
            await data.append(entry_of('1'))
            await check_locked(await settled(self.open(data.name)))
            await data.check('a write by the one who has it, after another one was refused')

    async def test_closed_storage_can_be_loaded_again(self) -> None:
        """`close` gives up possession: a node that is started again loads the same object."""
        async with Data(self) as data:
            for number in range(3):
                await data.append(entry_of(f'{number}'))
                await settled(data.in_use.close())
                try:
                    stored = await settled(data.in_use.load())
                except StorageLocked as error:
                    raise AssertionError('after close it must be possible to load again') from error
                data.check_same(stored, 'a storage closed and loaded again')
                await data.check('a storage closed and opened again')

    async def test_data_of_another_name_are_apart(self) -> None:
        """Nodes of one process have a storage each, at the same time."""
        async with Data(self) as one, Data(self) as other:
            await one.write(FULL, 1, entries_of(3))
            await other.write(HardState('other'), 1, entries_of(2, 'other'))
            await one.check('two storages in use at a time')
            await other.check('two storages in use at a time')

    # nothing is shared

    async def test_what_was_loaded_does_not_change_by_later_writes(self) -> None:
        """`Stored` tells what was there then: the node keeps it and goes on writing."""
        async with Data(self) as data:
            await data.write(FULL, 1, entries_of(5))
            await data.check('what is loaded')
            stored, model = data.loaded, data.model.copy()
            await data.write(HardState('another'), 3, entries_of(4, 'new'))
            assert stored is not None
            check_same(stored, model, 'what was loaded before a later write')

    async def test_what_was_written_does_not_change_by_the_writers_hand(self) -> None:
        """A completed write is done: its list is the writer's again, to fill or to empty."""
        async with Data(self) as data:
            entries = entries_of(3)
            await data.write(FULL, 1, entries)
            entries.append(entry_of('not written'))
            del entries[0]
            await data.check('a write whose list was changed afterwards')

    # anything goes

    async def test_random_writes_and_reopenings_leave_what_a_model_says(self) -> None:
        """Whatever a node writes and whenever it stops, a list and a record tell the same."""
        for seed in range(self.sequences):
            random = Random(seed)  # noqa: S311 - to be repeated
            async with Data(self) as data:
                for step in range(random.randint(1, 12)):
                    await data.do(random_write(random, data.model))
                    if random.random() < 0.3:
                        await data.check(f'seed {seed}, step {step}')
                await data.check(f'seed {seed}, at the end')

    async def test_random_writes_and_crashes_leave_what_a_model_says(self) -> None:
        """Completed writes are there, the one under way is there or not, nothing else."""
        for seed in range(self.sequences):
            random = Random(f'crashes {seed}')  # noqa: S311 - to be repeated
            async with Data(self) as data:
                for step in range(random.randint(1, 12)):
                    write = random_write(random, data.model)
                    if random.random() < 0.7 or data.model.hard_state is None:
                        await data.do(write)
                    else:
                        await data.check_crash_amid(write, random.randrange(20), f'seed {seed}, ')
                    if random.random() < 0.2:
                        await data.check_crash(f'seed {seed}, step {step}')

    # a node on it

    async def test_node_finds_its_commands_again(self) -> None:
        """Stopped and started, in the same object and in another one, it applies each once."""
        name = new_name()
        storage = await settled(self.open(name))
        commands = [TEXT, *range(20)]
        async with LoneNode(storage) as lone:
            assert await lone.node.solo() is None
            await asyncio.gather(*(lone.keep(command) for command in commands))
        for opened in (storage, await settled(self.open(name))):
            async with LoneNode(opened) as lone:
                await lone.recover()
                lone.check(commands, 'a node stopped and started again')
                await lone.keep(opened is storage)
                commands.append(opened is storage)

    async def test_node_finds_after_a_crash_what_it_acknowledged(self) -> None:
        """What a caller was told is done is done, once, though the process was killed."""
        name = new_name()
        storage = await settled(self.open(name))
        acknowledged: list[Any] = []
        async with LoneNode(storage, is_doomed=True) as doomed:
            assert await doomed.node.solo() is None
            for command in range(10):
                await doomed.keep(command)
                acknowledged.append(command)
            pending = asyncio.ensure_future(doomed.keep('pending'))
            await asyncio.sleep(0)
            try:
                await settled(self.crash(storage, name))
            finally:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
            async with LoneNode(await settled(self.open(name))) as lone:
                await lone.recover()
                if 'pending' in lone.kept:
                    acknowledged.append('pending')
                lone.check(acknowledged, 'a node on what a crash left of its acknowledged commands')
