"""Turns made by hand, in which all is well: what the invariants' own tests break."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Optional
from zlib import crc32

from consensual.raft.core.configuration import Address, Configuration, Member
from consensual.raft.core.effects import Effects, HardState, Snapshot, Write
from consensual.raft.core.log import Entry, NoOp, Reconfiguration
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    RequestPreVote,
    RequestVote,
    Route,
    VoteReply,
)
from consensual.raft.core.progress import Progress
from consensual.raft.core.roles import Follower, Leader
from consensual.raft.core.state import Settings, State
from consensual.storage.contents import Contents
from consensual.testing.chronicle import Applied, Past, Seen, Turn
from consensual.testing.disk import Disk
from consensual.testing.timeline import Timeline

MEMBERS = tuple(Member(f'n{n}', f'simulation://n{n}', f'i{n}') for n in (1, 2, 3))
N1, N2, N3 = MEMBERS
STABLE = Configuration(MEMBERS)
JOINT = Configuration((N1, N2), MEMBERS)
LESS = Configuration((N1, N2))
LEARNING = Configuration(MEMBERS, (), (Member('n4', 'simulation://n4', 'i4'),))
TO, BACK = Route('c', 'n1', 'i1', 'n2', 'i2'), Route('c', 'n2', 'i2', 'n1', 'i1')


def entry(term: int, *configuration: Configuration) -> Entry:
    payload = Reconfiguration(configuration[0], 'a change') if configuration else NoOp()
    return Entry(term, 1.0, payload)


LOG = [entry(1, STABLE), entry(1), entry(1), entry(2), entry(2)]
OTHER = Entry(2, 9.0, NoOp())


DATA = b'{"sessions":[],"state":[1]}'
APPLIED = Applied(1, 1.0, ('put', '1'), '1', '[1]')


def snapshot_of(index: int = 3, data: bytes = DATA) -> Snapshot:
    """A snapshot of the log up to that index; the configuration is that at 1."""
    last, configuration = LOG[index - 1], LOG[0].payload
    assert isinstance(configuration, Reconfiguration)
    return Snapshot(index, last.term, last.time, 1, 1, configuration, data, crc32(data))


def contents_of(
    log: Sequence[Entry] = LOG,
    hard_state: Optional[HardState] = None,
    *,
    snapshot: Optional[Snapshot] = None,
    first: int = 1,
) -> Contents:
    """What is on a disk: a log from that index on, and what it says of whom it is."""
    contents = Contents()
    hard_state = hard_state or HardState('i2', 'c', True, 2)
    contents.take(Write(1, hard_state, first, [*log[first - 1 :]], snapshot, first))
    return contents


def turn_of(
    log: Sequence[Entry] = LOG,
    *,
    commit_index: int = 4,
    snapshot: Optional[Snapshot] = None,
    base: int = 0,
) -> Turn:
    """A turn in which nothing happens: n1 leads term 2, and all is well.

    base: the last entry that was compacted away.
    """
    hard_state = HardState('i1', 'c', True, 2, 'n1', 'i1', 'n1')
    contents = contents_of(log, hard_state, snapshot=snapshot, first=base or 1)
    state = State(
        Address('n1', 'simulation://n1'),
        settings=Settings(0.1, 0.5),
        random=Random(0),
        stored=contents.stored(),
        commit_index=commit_index,
        now=0.0,
    )
    state.role = Leader(4, 0.0)
    disk = Disk(Timeline(), Random(0))
    disk.contents = contents
    past = Past()
    past.disks['i1'] = disk
    configurations = [n for n, item in enumerate(log, 1) if type(item.payload) is Reconfiguration]
    seen = Seen(
        'i1', 'c', 2, ('n1', 'i1'), True, commit_index, len(log), commit_index, state.electorate
    )
    seen.log, seen.configurations = [*log[base:]], configurations
    seen.base_index, seen.snapshot_index = base, state.snapshot_index
    chronicle = past.clusters['c']
    chronicle.leaders[2] = 'i1'
    for index, item in enumerate(log[:commit_index], 1):
        chronicle.commit(index, item, 1)
    return Turn(
        'n1',
        state,
        Effects(),
        seen,
        disk,
        past,
        chronicle,
        is_first=False,
        is_new_cluster=False,
        is_leader=True,
        changed_from=None,
        configurations=configurations,
        requests={},
    )


def sets(path: str, value: Any) -> Callable[[Turn], None]:
    """Return what sets an attribute of a turn, or of a part of it."""
    *parts, name = path.split('.')

    def set_(turn: Turn) -> None:
        part: Any = turn
        for each in parts:
            part = getattr(part, each)
        setattr(part, name, value)

    return set_


def compacted(base: int = 2) -> Turn:
    """A turn of a leader whose log begins after an entry, with a snapshot up to the third."""
    return turn_of(snapshot=snapshot_of(), base=base)


def compacts() -> Turn:
    """A turn in which a snapshot up to the third entry was taken, and two were dropped."""
    turn = compacted()
    turn.chronicle.apply(2, APPLIED)
    turn.seen.log, turn.seen.base_index, turn.seen.snapshot_index = [*LOG], 0, 0
    return turn


def installs(known: Sequence[Entry] = LOG[:3]) -> Turn:
    """A turn in which n1 installs a snapshot up to the fifth entry, in place of what it has."""
    turn = turn_of(commit_index=5, snapshot=snapshot_of(5), base=5)
    turn.state.log.replace(5, LOG[4].term, LOG[4].time)
    turn.disk.contents.take(Write(2, None, 6, (), snapshot_of(5), 6))
    turn.state.role = Follower(1.0, 0.0)
    turn.is_leader = turn.seen.leads = False
    turn.effects.restore, turn.changed_from = snapshot_of(5), 6
    turn.chronicle.apply(2, APPLIED)
    turn.seen.base_index = turn.seen.snapshot_index = 0
    turn.seen.log, turn.seen.commit_index, turn.seen.emitted = [*known], 2, 2
    turn.seen.durable_index = len(known)
    turn.requests[7] = InstallSnapshot(
        BACK, 2, 1, 5, 2, 1.0, 1, 1, snapshot_of().configuration, len(DATA), crc32(DATA), 0, DATA, 0
    )
    turn.effects.answers = [(7, InstallSnapshotReply(TO, 2, 1, 0, is_installed=True))]
    return turn


def changed(first: int, log: Sequence[Entry], *, commit_index: int = 4) -> Turn:
    """A turn in which the log was changed from that index on."""
    turn = turn_of(log, commit_index=commit_index)
    turn.changed_from = first
    del turn.seen.log[first - 1 :]
    turn.seen.configurations = [index for index in turn.configurations if index < first]
    return turn


def committing(first: int, log: Sequence[Entry] = LOG, *, last: int = 5) -> Turn:
    """A turn in which entries were committed, from that index on."""
    turn = turn_of(log, commit_index=last)
    turn.seen.commit_index = first - 1
    for index in range(first, last + 1):
        del turn.chronicle.committed[index]
    for disk_of in 'i2', 'i3':
        turn.past.lost[disk_of] = contents_of(log)
    return turn


def asks(term: int, kind: str = 'vote', entries: Sequence[Entry] = ()) -> Turn:
    """A turn in which n1 asks n2 for something."""
    turn = turn_of()
    turn.effects.requests = [
        {
            'vote': RequestVote(TO, term, 5, 2, 1, 1),
            'pre-vote': RequestPreVote(TO, term, 1, 5, 2, 1, 1),
            'append': AppendEntries(TO, term, 1, 5, 2, [*entries], 4),
        }[kind]
    ]
    return turn


def votes(term: int = 2) -> Turn:
    """A turn in which n1 votes for n2, and that is durable."""
    turn = follows()
    turn.requests[7] = RequestVote(BACK, term, 5, 2, 1, 1)
    turn.effects.answers = [(7, VoteReply(TO, term, True))]
    turn.disk.contents.hard_state = HardState('i1', 'c', True, 2, 'n2', 'i2')
    turn.state.voted_for = turn.seen.vote = 'n2', 'i2'
    return turn


def acknowledges(*entries: Entry) -> Turn:
    """A turn in which n1 acknowledges entries after the third."""
    turn = follows()
    turn.requests[7] = AppendEntries(BACK, 2, 1, 3, 1, [*entries], 4)
    turn.effects.answers = [(7, AppendEntriesReply(TO, 2, 1, True))]
    return turn


def applies(first: int, last: int, *, emitted: int) -> Turn:
    """A turn in which entries are handed out."""
    turn = turn_of()
    turn.seen.emitted = emitted
    turn.effects.first_committed, turn.effects.committed = first, LOG[first - 1 : last]
    return turn


def follows() -> Turn:
    """A turn of a follower."""
    turn = turn_of()
    turn.state.role = Follower(1.0, 0.0)
    turn.is_leader = turn.seen.leads = False
    return turn


def leads(match_index: int, base: int = 0) -> Turn:
    """A turn of a leader that takes so many entries to be on the disk of n2, which has five."""
    turn = compacted(base) if base else turn_of()
    progress = Progress(N2, TO, 6, 0.0)
    progress.match_index = match_index
    turn.state.role = leader = Leader(4, 0.0)
    leader.peers['n2'] = progress
    turn.past.lost['i2'] = contents_of()
    return turn


def elected(*voters: str) -> Turn:
    """A turn in which n1 comes to lead, by votes of these incarnations."""
    turn = turn_of()
    turn.seen.leads = False
    for voter in voters:
        turn.past.votes[voter, 2] = 'i1'
    return turn
