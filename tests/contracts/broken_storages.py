"""A storage that keeps the contract, and mutants of it: each breaks one rule.

Nothing is tested here.
"""

import asyncio
import copy
from collections.abc import Sequence
from typing import Any, Optional

from msgspec.structs import replace

from consensual.raft.core.effects import HardState, Snapshot, Stored, Write
from consensual.raft.core.log import Command, Entry, Reconfiguration
from consensual.raft.errors import StorageLocked


class Sound:
    """A storage that keeps the contract; each mutant breaks one of its methods."""

    def __init__(self) -> None:
        self.hard_state: Optional[HardState] = None
        self.entries: list[Entry] = []
        self.first = 1
        self.snapshot: Optional[Snapshot] = None
        self.is_in_use = False

    def load(self) -> Any:
        if self.is_in_use:
            raise StorageLocked('in use')
        self.is_in_use = True
        return self.stored()

    def stored(self) -> Optional[Stored]:
        if self.hard_state is None:
            return None
        return Stored(self.hard_state, [*self.entries], self.snapshot, self.first)

    def write(self, write: Write) -> Any:
        self.take_hard_state(write)
        self.take_entries(write)
        self.take_snapshot(write)
        self.take_log_start(write)

    def take_hard_state(self, write: Write) -> None:
        self.hard_state = write.hard_state or self.hard_state

    def take_entries(self, write: Write) -> None:
        if write.first_index is not None:
            self.cut(write.first_index, write.entries)
            self.append(write.entries)

    def take_snapshot(self, write: Write) -> None:
        self.snapshot = write.snapshot or self.snapshot

    def take_log_start(self, write: Write) -> None:
        if write.log_start is not None:
            self.drop_before(write.log_start)

    def drop_before(self, start: int) -> None:
        if start > self.first:
            del self.entries[: start - self.first]
            self.first = start

    def cut(self, first: int, _: Sequence[Entry]) -> None:
        if not self.first <= first <= self.first + len(self.entries):
            self.entries, self.first = [], first
        del self.entries[first - self.first :]
        self.cut_snapshot(first)

    def cut_snapshot(self, first: int) -> None:
        if self.snapshot is not None and first <= self.snapshot.index:
            self.snapshot = None

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(map(self.kept, entries))

    def kept(self, entry: Entry) -> Entry:
        return entry

    def close(self) -> None:
        self.is_in_use = False

    def survivor(self) -> 'Sound':
        survivor = copy.copy(self)
        survivor.entries = [*self.entries]
        survivor.is_in_use = False
        return survivor


class TakesNewForEmpty(Sound):
    def stored(self) -> Optional[Stored]:
        return super().stored() or Stored(HardState(''))


class ForgetsTheVote(Sound):
    def take_hard_state(self, write: Write) -> None:
        super().take_hard_state(write)
        if self.hard_state is not None:
            self.hard_state = replace(self.hard_state, voted_for='')


class RoundsTheTerm(Sound):
    def take_hard_state(self, write: Write) -> None:
        super().take_hard_state(write)
        if self.hard_state is not None:
            term = int(float(self.hard_state.current_term))
            self.hard_state = replace(self.hard_state, current_term=term)


class NeverEmptiesTheVote(Sound):
    def take_hard_state(self, write: Write) -> None:
        old = self.hard_state
        super().take_hard_state(write)
        if old and self.hard_state and not self.hard_state.voted_for:
            self.hard_state = replace(self.hard_state, voted_for=old.voted_for)


class ErasesTheHardState(Sound):
    def take_hard_state(self, write: Write) -> None:
        self.hard_state = write.hard_state or HardState('')


class KeepsTheIncarnation(Sound):
    def take_hard_state(self, write: Write) -> None:
        old = self.hard_state
        super().take_hard_state(write)
        if old and self.hard_state:
            self.hard_state = replace(self.hard_state, incarnation=old.incarnation)


class ForgetsWhoseTheDataAre(Sound):
    def take_hard_state(self, write: Write) -> None:
        super().take_hard_state(write)
        if self.hard_state is not None:
            self.hard_state = replace(self.hard_state, node_id='')


class KeepsTheFirstOwner(Sound):
    def take_hard_state(self, write: Write) -> None:
        old = self.hard_state
        super().take_hard_state(write)
        if old and self.hard_state:
            self.hard_state = replace(self.hard_state, node_id=old.node_id)


class LosesUnicode(Sound):
    def kept(self, entry: Entry) -> Entry:
        if isinstance(entry.payload, Command):
            text = entry.payload.parameters.encode('latin-1', 'replace').decode('latin-1')
            return replace(entry, payload=replace(entry.payload, parameters=text))
        return entry


class RoundsStamps(Sound):
    def kept(self, entry: Entry) -> Entry:
        return replace(entry, time=round(entry.time, 6))


class ForgetsWhoLeaves(Sound):
    def kept(self, entry: Entry) -> Entry:
        if isinstance(entry.payload, Reconfiguration):
            configuration = replace(entry.payload.configuration, outgoing=())
            return replace(entry, payload=replace(entry.payload, configuration=configuration))
        return entry


class CutsLongTexts(Sound):
    def kept(self, entry: Entry) -> Entry:
        if isinstance(entry.payload, Command):
            text = entry.payload.parameters[: 1 << 16]
            return replace(entry, payload=replace(entry.payload, parameters=text))
        return entry


class ClearsTheLog(Sound):
    def take_entries(self, write: Write) -> None:
        super().take_entries(replace(write, first_index=write.first_index or 1))


class IgnoresTruncation(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        pass


class IgnoresTruncationAlone(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        if entries:
            super().cut(first, entries)


class CountsFromZero(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        super().cut(first + 1, entries)


class CutsOneTooMany(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        super().cut(max(1, first - 1), entries)


class OnlyOverwrites(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        del self.entries[first - 1 : first - 1 + (len(entries) or len(self.entries))]


class CutsAtMostSeven(Sound):
    def cut(self, first: int, _: Sequence[Entry]) -> None:
        del self.entries[first - 1 : first + 6]


class WritesAtMost999(Sound):
    def append(self, entries: Sequence[Entry]) -> None:
        super().append(entries[:999])


class KeepsTheLast256(Sound):
    def append(self, entries: Sequence[Entry]) -> None:
        super().append(entries)
        if len(entries) < 256:
            del self.entries[:-256]


class TakesSnapshotsForText(Sound):
    def take_snapshot(self, write: Write) -> None:
        super().take_snapshot(write)
        if self.snapshot is not None:
            text = self.snapshot.data.decode(errors='replace')
            self.snapshot = replace(self.snapshot, data=text.encode())


class ReplacesByLongerSnapshotsOnly(Sound):
    def take_snapshot(self, write: Write) -> None:
        old = self.snapshot
        if old is None or write.snapshot is None or write.snapshot.index > old.index:
            super().take_snapshot(write)


class CompactsUnasked(Sound):
    def take_log_start(self, write: Write) -> None:
        if write.snapshot is not None:
            self.drop_before(write.snapshot.index + 1)


class IgnoresLogStart(Sound):
    def drop_before(self, start: int) -> None:
        pass


class BeginsAnewWhenEmpty(Sound):
    def take_log_start(self, write: Write) -> None:
        super().take_log_start(write)
        self.first = self.first if self.entries else 1


class CountsFromTheFirstThatIsLeft(Sound):
    def cut(self, first: int, entries: Sequence[Entry]) -> None:
        if self.first > 1 and first < self.first + len(self.entries):
            del self.entries[first - 1 :]
        else:
            super().cut(first, entries)


class DropsNoMoreThanThereIs(Sound):
    def drop_before(self, start: int) -> None:
        super().drop_before(min(start, self.first + len(self.entries)))


class CompactsUpToTheSnapshot(Sound):
    def take_log_start(self, write: Write) -> None:
        if write.log_start is not None and write.snapshot is not None:
            self.drop_before(write.snapshot.index + 1)


class KeepsTheSnapshotInAReset(Sound):
    def cut_snapshot(self, first: int) -> None:
        pass


class CompactsBeforeTheSnapshotIsThere(Sound):
    async def write(self, write: Write) -> None:
        self.take_hard_state(write)
        self.take_entries(write)
        self.take_log_start(write)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.take_snapshot(write)


class SaysTrue(Sound):
    def write(self, write: Write) -> Any:
        super().write(write)
        return True


class WritesBehind(Sound):
    """Durable with the next write, or when the node stops."""

    behind: Optional[Write] = None

    def write(self, write: Write) -> None:
        self.flush()
        self.behind = write

    def flush(self) -> None:
        if self.behind is not None:
            super().write(self.behind)
            self.behind = None

    def close(self) -> None:
        self.flush()
        super().close()

    def survivor(self) -> Sound:
        survivor = super().survivor()
        assert isinstance(survivor, WritesBehind)
        survivor.behind = None
        return survivor


class DropsTheLastWriteAtClose(WritesBehind):
    def close(self) -> None:
        self.behind = None
        Sound.close(self)


class LeavesHalfAWrite(Sound):
    """The log first, and the hard state a little later."""

    async def write(self, write: Write) -> None:
        self.take_entries(write)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.take_hard_state(write)


class LeavesACutOnly(Sound):
    async def write(self, write: Write) -> None:
        self.take_hard_state(write)
        if write.first_index is not None:
            self.cut(write.first_index, ())
            for entry in write.entries:
                await asyncio.sleep(0)
                self.append([entry])


class NeverLocks(Sound):
    def load(self) -> Any:
        return self.stored()


class NeverUnlocks(Sound):
    def close(self) -> None:
        pass


class UnlocksWhenAsked(Sound):
    def load(self) -> Any:
        try:
            return super().load()
        except StorageLocked:
            self.is_in_use = False
            raise


class StaysLockedAfterACrash(Sound):
    def survivor(self) -> Sound:
        survivor = super().survivor()
        survivor.is_in_use = True
        return survivor


class SharesItsList(Sound):
    def stored(self) -> Optional[Stored]:
        stored = super().stored()
        return None if stored is None else replace(stored, entries=self.entries)


class KeepsTheWritersList(Sound):
    def append(self, entries: Sequence[Entry]) -> None:
        if self.entries or not isinstance(entries, list):
            super().append(entries)
        else:
            self.entries = entries


class LosesTheTailInACrash(Sound):
    def survivor(self) -> Sound:
        survivor = super().survivor()
        del survivor.entries[-2:]
        return survivor
