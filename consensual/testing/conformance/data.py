"""A storage under test and what must be in it: every write goes to the storage and to a model.

Machinery of `StorageConformance`; the rules are there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any, Optional, Protocol, Self, TypeVar, Union
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from consensual.raft.core.configuration import Configuration, Member
from consensual.raft.core.effects import HardState, Snapshot
from consensual.raft.core.log import Command, Entry, NoOp, OpenSession, Payload, Reconfiguration
from consensual.raft.driver.ports import MessageKind, Sender, Storage, Stored, Write
from consensual.raft.errors import ConsensualError, ReceiverUnavailable, StorageLocked
from consensual.raft.node import Node

Result = TypeVar('Result')

TEXT = 'naïve «日本語» \U0001f5f3\ufe0f "quoted" \\ back\nslash \u2028 \t end'
"""What a storage that keeps bytes, lines or quoted text might trip over."""

ALICE = Member('alice:1', 'memory://alice:1', 'incarnation of alice')
BOB = Member('[::1]:6000', f'http://[::1]:6000/{TEXT}', TEXT)
FULL = HardState('incarnation', 'cluster', True, 2**53 + 1, BOB.id, BOB.incarnation, ALICE.id)
"""A hard state without a default; its term is beyond what a float can tell."""

JOINT = Configuration((ALICE, BOB), (BOB,), (Member('c', 'memory://c', ''),))
"""A configuration without a default."""

_numbers = count(1)


def new_name() -> str:
    """Return a name that no other data of this process have."""
    return f'data-{next(_numbers)}'


class Hooks(Protocol):
    """What the author of the storage tells; see `StorageConformance`."""

    def open(self, name: str) -> Union[Storage, Awaitable[Storage]]:
        """Return the storage of the data of that name, not loaded yet."""

    def crash(self, storage: Storage, name: str) -> Optional[Awaitable[None]]:
        """Let `open` give from now on what a crash leaves."""


class Model(Struct):
    """What must be loaded: a list, three records, and nothing that could fail."""

    hard_state: Optional[HardState] = None
    entries: list[Entry] = []
    snapshot: Optional[Snapshot] = None
    first_index: int = 1

    @property
    def end(self) -> int:
        """The index after the last entry."""
        return self.first_index + len(self.entries)

    def copy(self) -> 'Model':
        """Return another one that says the same."""
        return replace(self, entries=[*self.entries])

    def take(self, write: Write) -> None:
        """Do what a write does, step by step."""
        self.hard_state = write.hard_state or self.hard_state
        if write.first_index is not None:
            self.cut(write.first_index)
            self.entries.extend(write.entries)
        self.snapshot = write.snapshot or self.snapshot
        if write.log_start is not None:
            del self.entries[: max(0, write.log_start - self.first_index)]
            self.first_index = max(self.first_index, write.log_start)

    def cut(self, first: int) -> None:
        """Cut off from an index on; what is gone from there on includes a snapshot."""
        if first > self.end or first < self.first_index:
            self.entries, self.first_index = [], first
        del self.entries[first - self.first_index :]
        if self.snapshot is not None and first <= self.snapshot.index:
            self.snapshot = None


class Data:
    """The data of one name, in use as by a node; beside them a model, which never fails.

    loaded: what the last load returned.
    model: what must be loaded.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.name = new_name()
        self.loaded: Optional[Stored] = None
        self.model = Model()
        self._hooks = hooks
        self._storage: Optional[Storage] = None
        self._number = 0
        self._ghosts: list[Storage] = []
        self._unended: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        for writing in self._unended:
            writing.cancel()
        if self._unended:
            await asyncio.wait(self._unended)
        for ghost in self._ghosts:
            with suppress(Exception):
                await settled(ghost.close())
        if self._storage is not None:
            await settled(self._storage.close())

    @property
    def in_use(self) -> Storage:
        """The storage that has the data."""
        assert self._storage is not None
        return self._storage

    async def write(
        self,
        hard_state: Optional[HardState] = None,
        first_index: Optional[int] = None,
        entries: Sequence[Entry] = (),
        snapshot: Optional[Snapshot] = None,
        log_start: Optional[int] = None,
    ) -> None:
        """Have it written, and complete."""
        await self.do(Write(0, hard_state, first_index, entries, snapshot, log_start))

    async def append(self, *entries: Entry) -> None:
        """Have them written after the last one, with a hard state if there is none."""
        hard_state = FULL if self.model.hard_state is None else None
        await self.write(hard_state, self.model.end, entries)

    async def do(self, write: Write) -> None:
        """Have it written, and complete; its number is the next one."""
        await settled(self.in_use.write(self._numbered(write)))
        self.model.take(write)

    async def check(self, situation: str) -> None:
        """Close, open and load; it must be what the model says."""
        storage, self._storage = self.in_use, None
        await settled(storage.close())
        await self._begin()
        self.check_same(self.loaded, f'{situation}, closed and opened again')

    async def check_crash(self, situation: str) -> None:
        """Crash, open and load; it must be what the model says."""
        await self._crash()
        self.check_same(self.loaded, situation)

    async def check_crash_amid(self, write: Write, turns: int, situation: str = '') -> None:
        """Crash within a write, after some turns of the loop, unless it is complete by then."""
        writing = self.in_use.write(self._numbered(write))
        is_complete = writing is None
        if writing is not None:
            future = asyncio.ensure_future(writing)
            self._unended.append(future)
            for _ in range(1 + turns):  # a coroutine that never began is no write under way
                await asyncio.sleep(0)
            if is_complete := future.done():
                future.result()
        before = self.model.copy()
        self.model.take(write)
        await self._crash()
        if not is_complete and _is_same(self.loaded, before):
            self.model = before
        was = 'had completed' if is_complete else 'was under way, to be there wholly or not at all,'
        self.check_same(self.loaded, f'{situation}a write that {was} at the crash')

    def check_same(self, stored: Optional[Stored], situation: str) -> None:
        """It must be what the model says."""
        check_same(stored, self.model, situation)

    async def _begin(self) -> None:
        storage = await settled(self._hooks.open(self.name))
        try:
            self.loaded = await settled(storage.load())
        except StorageLocked as error:
            raise AssertionError(
                'what was closed, or had a crash, is in use by nobody: load must not '
                f'raise {error!r}'
            ) from error
        self._storage = storage
        self._number = 0

    async def _crash(self) -> None:
        storage, self._storage = self.in_use, None
        self._ghosts.append(storage)
        await settled(self._hooks.crash(storage, self.name))
        await self._begin()

    def _numbered(self, write: Write) -> Write:
        self._number += 1
        return replace(write, number=self._number)


class _Nobody(Sender):
    """The way to the other members of a cluster of one."""

    urls = ()

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:  # noqa: ARG002
        raise ReceiverUnavailable(f'{url} is nobody')


class LoneNode:
    """A node on a storage, alone, that keeps its commands in a list.

    is_doomed: its storage was taken from it by a crash: how it ends does not matter.
    """

    def __init__(self, storage: Storage, *, is_doomed: bool = False) -> None:
        self.kept: list[Any] = []
        self._is_doomed = is_doomed
        self.node = Node.from_url(
            URL('memory://lone'),
            sender=_Nobody(),
            storage=storage,
            processors={'keep': self.kept.append},
            heartbeat=0.02,
        )

    async def __aenter__(self) -> Self:
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(*[Exception] if self._is_doomed else []):
            await self.node.stop()

    async def keep(self, command: Any) -> None:
        """Have it applied."""
        await _asserted(self.node.execute('keep', command, timeout=30), 'a command')

    async def recover(self) -> None:
        """Wait until all that was committed is applied."""
        await _asserted(self.node.ensure_linearizable(timeout=30), 'the recovery of a node')

    def check(self, commands: Sequence[Any], situation: str) -> None:
        """It has applied these, once each, in that order."""
        assert self.kept == commands, f'{situation}: applied {self.kept}, not {commands}'


async def settled(value: Union[Result, Awaitable[Result]]) -> Result:
    """Await what may be awaitable, as the node does."""
    return await value if isinstance(value, Awaitable) else value


async def _asserted(call: Awaitable[Any], what: str) -> None:
    try:
        await call
    except ConsensualError as error:
        raise AssertionError(f'{what} failed on this storage: {error!r}') from error


async def check_locked(storage: Storage) -> None:
    """It must refuse to be loaded."""
    try:
        stored = await settled(storage.load())
    except StorageLocked:
        return
    raise AssertionError(
        f'load of data in use must raise StorageLocked, and returned {stored!r:.80}'
    )


def check_same(stored: Optional[Stored], model: Model, situation: str) -> None:
    """What was loaded must be what the model says; the error tells the first difference."""
    if _is_same(stored, model):
        return
    if stored is None or model.hard_state is None:
        raise AssertionError(
            f'{situation}: {model.hard_state} was written, {stored!r:.200} was loaded'
        )
    _check_equal(model.hard_state, stored.hard_state, f'{situation}: in the hard state')
    _check_equal(model.first_index, stored.first_index, f'{situation}: for the first index')
    pairs = zip(model.entries, stored.entries, strict=False)
    for index, (written, loaded) in enumerate(pairs, model.first_index):
        _check_equal(written, loaded, f'{situation}: in the entry of index {index}')
    _check_equal(model.snapshot, stored.snapshot, f'{situation}: in the snapshot')
    raise AssertionError(
        f'{situation}: the log had {len(model.entries)} entries, {len(stored.entries)} were loaded'
    )


def _check_equal(written: Any, loaded: Any, where: str) -> None:
    """Go down to the field that differs, and in a text to the character."""
    if written == loaded:
        return
    if isinstance(written, Struct) and type(written) is type(loaded):
        for field in written.__struct_fields__:
            _check_equal(getattr(written, field), getattr(loaded, field), f'{where}, {field}')
    if isinstance(written, str) and isinstance(loaded, str):
        pairs = enumerate(zip(written, loaded, strict=False))
        start = next(
            (at for at, pair in pairs if pair[0] != pair[1]), min(len(written), len(loaded))
        )
        written, loaded = written[start:], loaded[start:]
        where += f', from character {start} on,'
    raise AssertionError(f'{where} {written!r:.200} was written, {loaded!r:.200} was loaded')


def _is_same(stored: Optional[Stored], model: Model) -> bool:
    if stored is None or model.hard_state is None:
        return stored is None and model.hard_state is None
    return (
        stored.hard_state == model.hard_state
        and stored.first_index == model.first_index
        and [*stored.entries] == model.entries
        and stored.snapshot == model.snapshot
    )


def entry_of(text: str, number: int = 1) -> Entry:
    """Return a command with that text for parameters."""
    return Entry(1, number / 7, Command(1, number, 1, 'act', text))


def entries_of(size: int, text: str = '') -> list[Entry]:
    """Return so many commands, numbered from 1."""
    return [entry_of(f'{text} {number}', number) for number in range(1, size + 1)]


def entries_of_every_kind() -> list[Entry]:
    """Return entries with each payload, and with numbers and texts that are easily lost."""
    payloads: list[Payload] = [
        NoOp(),
        OpenSession(TEXT),
        Command(2**53 + 1, 2**53 + 3, 0, 'act \x00 ion', '{"a": [1, null]}'),
        Command(0, 0, 0, '', ''),
        Command(1, 2, 1, TEXT, TEXT),
        Reconfiguration(Configuration()),
        Reconfiguration(JOINT, TEXT, 'failure'),
        Reconfiguration(Configuration((ALICE,)), 'request', TEXT),
    ]
    stamps = 0.0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e9 + 1e-7, 2.0, 123456789.123456789
    terms = 0, 1, 1, 2, 2**31, 2**32, 2**53 + 1, 2**62
    return [Entry(*each) for each in zip(terms, stamps, payloads, strict=True)]


def snapshot_of(index: int, data: bytes = b'state', number: int = 1) -> Snapshot:
    """Return a snapshot of the entries up to that index; another number, other contents."""
    configuration = Reconfiguration(JOINT, TEXT, f'{number}')
    term, time, checksum = 2**53 + number, number / 7, crc32(data)
    return Snapshot(index, term, time, index, 2**40, configuration, data, checksum)


def random_write(random: Random, model: Model) -> Write:
    """Return what a node might write next; the first write names an incarnation."""
    hard_state, snapshot, log_start = model.hard_state, None, None
    if hard_state is None or random.random() < 0.05:
        return Write(0, HardState(f'{random.getrandbits(64):x}'), 1, _random_entries(random))
    if random.random() < 0.1:
        return _random_installation(random, model)
    if random.random() < 0.5:
        hard_state = replace(
            hard_state,
            current_term=hard_state.current_term + random.randint(0, 2),
            voted_for=random.choice(('', ALICE.id, BOB.id)),
            is_attached=random.random() < 0.8,
            node_id=random.choice((ALICE.id, BOB.id)),
        )
    else:
        hard_state = None
    if random.random() < 0.2:
        covered = 0 if model.snapshot is None else model.snapshot.index
        if model.end - 1 > covered:
            index = random.randint(covered + 1, model.end - 1)
            snapshot = _random_snapshot(random, index)
            log_start = random.choice((None, index + 1, random.randint(1, index + 1)))
    if random.random() < 0.3:
        return Write(0, hard_state, snapshot=snapshot, log_start=log_start)
    lowest = model.first_index  # what a snapshot covers is committed, so it is not cut off
    for kept in (model.snapshot, snapshot):
        lowest = max(lowest, 1 + kept.index) if kept is not None else lowest
    first_index = model.end
    if lowest < model.end and random.random() < 0.4:
        first_index = random.randint(lowest, model.end)
    return Write(0, hard_state, first_index, _random_entries(random), snapshot, log_start)


def _random_installation(random: Random, model: Model) -> Write:
    """Return what a follower writes that was sent a snapshot beyond its log, or another log."""
    index = model.end - 1 + random.randint(1, 50)
    snapshot = _random_snapshot(random, index)
    return Write(0, None, index + 1, _random_entries(random), snapshot, index + 1)


def _random_snapshot(random: Random, index: int) -> Snapshot:
    size = random.choice((0, 1, 100, 10_000))
    return snapshot_of(index, random.randbytes(size), random.getrandbits(20))


def _random_entries(random: Random) -> list[Entry]:
    return [_random_entry(random) for _ in range(random.choice((0, 1, 1, 2, 5, 20)))]


def _random_entry(random: Random) -> Entry:
    make: Callable[[], Payload] = random.choice(
        (
            NoOp,
            lambda: OpenSession(f'{random.getrandbits(64)}'),
            lambda: Command(1, random.getrandbits(40), 1, 'act', TEXT * random.randrange(20)),
            lambda: Reconfiguration(Configuration(random.choice(((ALICE,), (ALICE, BOB))))),
        )
    )
    return Entry(random.randrange(10), random.uniform(0, 1e6), make())
