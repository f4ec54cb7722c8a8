"""Cores whose log is compacted, and a network that harms what it carries.

What is applied is a list of texts, which is what a snapshot holds; no rule of Raft.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Optional
from zlib import crc32

from consensual.raft.core.configuration import Configuration
from consensual.raft.core.effects import HardState, Snapshot, Stored, Write
from consensual.raft.core.events import Failed, Persisted, SnapshotTaken
from consensual.raft.core.log import Command, Entry, Reconfiguration
from consensual.raft.core.messages import (
    AppendEntries,
    InstallSnapshot,
    InstallSnapshotReply,
    Request,
)
from consensual.raft.core.state import Settings
from consensual.storage.contents import Contents
from tests.core_clusters import Cluster
from tests.cores import (
    ATTACH_TIMEOUT,
    HEARTBEAT,
    Core,
    T,
    configuration,
    reject,
    route,
    stored,
)

EVERY, CHUNK, WINDOW = 4, 16, 3
"""Entries kept behind a snapshot, bytes of a piece, and pieces under way to one peer."""

SMALL = Settings(
    HEARTBEAT,
    T,
    ATTACH_TIMEOUT,
    snapshot_every=EVERY,
    chunk_limit=CHUNK,
    chunks_in_flight=WINDOW,
)
"""A log of a few entries is long, and a snapshot of a few bytes takes many pieces."""


def text_of(entry: Entry) -> Optional[str]:
    """Return what applying the entry adds to the state; None where it is no command."""
    return entry.payload.parameters if isinstance(entry.payload, Command) else None


def snapshot_of(
    texts: Sequence[str] = (),
    *,
    index: int,
    term: int = 1,
    time: float = 0.0,
    voters: str = 'abc',
    position: tuple[int, int] = (1, 1),
    change: Optional[Configuration] = None,
) -> Snapshot:
    """Return a snapshot of those texts; `position` is index and term of its configuration."""
    data = json.dumps([*texts]).encode()
    reconfiguration = Reconfiguration(change or configuration(voters), f'change {position[0]}')
    return Snapshot(index, term, time, *position, reconfiguration, data, crc32(data))


def stored_with(
    id_: str,
    snapshot: Snapshot,
    entries: Sequence[Entry] = (),
    *,
    first_index: Optional[int] = None,
    term: int = 0,
) -> Stored:
    """Return what a storage holds that begins with that snapshot."""
    first = snapshot.index + 1 if first_index is None else first_index
    latest = max([snapshot.term, term, *(entry.term for entry in entries)])
    return Stored(HardState(f'{id_}1', 'cluster', True, latest), [*entries], snapshot, first)


def pieces_of(
    snapshot: Snapshot,
    *,
    term: int,
    receiver: str = 'a',
    sender: str = 'b',
    size: int = CHUNK,
    number: int = 1,
) -> list[InstallSnapshot]:
    """Return all pieces of a snapshot, numbered from there on."""
    offsets = range(0, len(snapshot.data), size)
    return [
        InstallSnapshot(
            route(sender, receiver),
            term,
            number + position,
            snapshot.index,
            snapshot.term,
            snapshot.time,
            snapshot.configuration_index,
            snapshot.configuration_term,
            snapshot.configuration,
            len(snapshot.data),
            snapshot.checksum,
            offset,
            snapshot.data[offset : offset + size],
            crc32(snapshot.data[offset : offset + size]),
        )
        for position, offset in enumerate(offsets)
    ]


def answer_piece(
    request: InstallSnapshot, received: int, *, is_installed: bool = False, term: int = 0
) -> InstallSnapshotReply:
    """Return a follower's answer to a piece."""
    return InstallSnapshotReply(
        request.route.back(), term or request.term, request.number, received, is_installed
    )


class SnapshotCore(Core):
    """A core with the state that its snapshots are of.

    texts: what was applied, by way of a snapshot, too.
    restored: the snapshots that took the place of the state.
    writes: all that were asked for.
    """

    def __init__(self, id_: str, disk: Optional[Stored] = None, **options: Any) -> None:
        self.texts: list[str] = []
        self.restored: list[Snapshot] = []
        self.writes: list[Write] = []
        self.applied_index = 0
        self.contents = Contents()
        if disk is not None:
            first = disk.first_index
            self.contents.take(
                Write(0, disk.hard_state, first, disk.entries, disk.snapshot, log_start=first)
            )
        super().__init__(id_, disk, **{'settings': SMALL, **options})

    @property
    def entries(self) -> list[Entry]:
        """The log, as far as it is here."""
        log = self.state.log
        return log.entries(log.first_index, log.last_index)

    def take(self) -> None:
        """Carry out the effects, as a driver would."""
        effects = self.raft.take_effects(self.clock.now)
        self.requests += effects.requests
        self.answers.update(effects.answers)
        self.notices += [notice.text for notice in effects.notices]
        self.deadline = effects.deadline
        if effects.reset:
            self.resets += 1
            self.texts, self.applied_index = [], 0
        if effects.restore is not None:
            self.restored.append(effects.restore)
            self.texts = json.loads(effects.restore.data)
            self.applied_index = effects.restore.index
        if effects.committed:
            assert effects.first_committed == self.applied_index + 1, self
            self.applied += enumerate(effects.committed, effects.first_committed)
            self.texts += [text for entry in effects.committed if (text := text_of(entry))]
            self.applied_index += len(effects.committed)
        if effects.write is not None:
            self.write = effects.write
            self.writes.append(effects.write)
            if not self.is_disk_slow:
                self.persist()

    def persist(self) -> None:
        """Make the write under way durable."""
        write, self.write = self.write, None
        assert write is not None, 'nothing is being written'
        self.contents.take(write)
        self.disk = self.contents.stored()
        self.step(Persisted(write.number))

    def capture(self, padding: int = 0) -> SnapshotTaken:
        """Return what a driver says that encoded the state as it is now."""
        data = json.dumps(self.texts).encode() + b' ' * padding
        return SnapshotTaken(self.state.incarnation, self.applied_index, data, crc32(data))

    def compact(self, padding: int = 0) -> Snapshot:
        """Take a snapshot now, which has so many more bytes; return it."""
        self.step(self.capture(padding))
        assert self.state.snapshot is not None
        return self.state.snapshot


def snapshot_leader(
    texts: Sequence[str], *, voters: str = 'abc', settings: Settings = SMALL, padding: int = 0
) -> SnapshotCore:
    """Return core a, which leads term 2, had those texts committed, and compacted its log.

    Its log: 1 the configuration, 2 a no-op, then the texts. All others acknowledged it,
    but for the last voter, which has been silent for more than an election timeout.
    """
    core = SnapshotCore('a', stored('a', voters=voters), settings=settings)
    core.win(*voters[1:-1])
    core.acknowledge_all(*voters[1:-1])
    core.propose(*texts)
    pass_time(core, voters[1:-1], silent=voters[-1])
    core.compact(padding)
    return core


def pass_time(core: Core, present: str, *, silent: str = '', seconds: float = 1.5 * T) -> None:
    """Let a leader beat for a while; those present acknowledge, calls to the silent one fail."""
    end = core.clock.now + seconds
    core.acknowledge_all(*present)
    while core.clock.now < end:
        core.time_out()
        core.acknowledge_all(*present)
        for request in core.drain(to=silent) if silent else ():
            core.step(Failed(request))


def hear(core: SnapshotCore, id_: str) -> None:
    """Let a peer answer again that has none but the first entry, until it is sent a snapshot."""
    for _ in range(10):
        for request in core.drain(AppendEntries, id_):
            core.reply(request, reject(request, (1, 1)))
        if core.leader.peers[id_].outgoing is not None:
            return
        core.time_out()
    raise AssertionError('no snapshot is sent')


class SnapshotCluster(Cluster):
    """Cores with state, and what befalls the requests between them.

    mail: rearranges what a core sends at a time, or keeps some of it; that has failed
        once `give_up` is called.
    is_echoed: tells which requests arrive twice; the second answer is lost.
    """

    def __init__(self, logs: Any, **options: Any) -> None:
        self.mail: Callable[[list[Request]], list[Request]] = list
        self.is_echoed: Callable[[Request], bool] = lambda _: False
        self._kept: list[tuple[Core, Request]] = []
        super().__init__(logs, **{'settings': SMALL, **options})

    def __getitem__(self, id_: str) -> SnapshotCore:
        core = self.cores[id_]
        assert isinstance(core, SnapshotCore)
        return core

    def _core(self, id_: str, disk: Optional[Stored], commit_index: int = 0) -> SnapshotCore:
        return SnapshotCore(
            id_, disk, settings=self.settings, commit_index=commit_index, clock=self.clock
        )

    def crash(self, id_: str) -> None:
        """Let a node come back with what is durable; what it was asked is never answered."""
        self.restart(id_)
        self._forget_calls(id_)

    def lose(self, id_: str, life: int = 2) -> None:
        """Let a node come back empty, in its n-th life."""
        self.cores[id_] = self._core(id_, Stored(HardState(f'{id_}{life}')))
        self._forget_calls(id_)

    def _forget_calls(self, receiver: str) -> None:
        for key in [key for key in self._waiting if key[0] == receiver]:
            self._kept.append(self._waiting.pop(key))

    def _exchange(self) -> bool:
        for core in self.cores.values():
            sent, core.requests = core.requests, self.mail(core.requests)
            self._kept += [(core, item) for item in sent if item not in core.requests]
        return super()._exchange()

    def run_until(self, is_reached: Callable[[], bool], beating: str = 'a') -> None:
        """Carry messages round by round, and let that leader beat, until it holds."""
        for _ in range(1000):
            if is_reached():
                return
            if not self._exchange():
                self[beating].time_out()
        raise AssertionError(f'not reached: {self.cores}')

    def give_up(self) -> None:
        """Let the calls fail that were kept back."""
        kept, self._kept = self._kept, []
        for core, request in kept:
            if self.cores[core.id] is core:
                core.step(Failed(request))
        self.settle()

    def _carry(self, sender: Core, request: Request) -> None:
        super()._carry(sender, request)
        receiver = request.route.receiver
        if self.is_echoed(request) and (sender.id, receiver) not in self.cut:
            self[receiver].call(request)

    def sent(self, type_: Any, to: str) -> list[Any]:
        """Return the requests of that type that went to that node."""
        return [
            request
            for request in self.trace
            if isinstance(request, type_) and request.route.receiver == to
        ]
