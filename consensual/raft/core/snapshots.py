"""Snapshots: the log's past in short, and how it gets to a follower that lacks it (§7).

What is in a snapshot's data is the driver's business; entries are sent by `replication`.
"""

from typing import Optional
from zlib import crc32

from consensual.raft.core import replication, terms
from consensual.raft.core.effects import INFO, Snapshot
from consensual.raft.core.events import CallId, SnapshotTaken
from consensual.raft.core.messages import InstallSnapshot, InstallSnapshotReply, Refused
from consensual.raft.core.pieces import Incoming, Outgoing
from consensual.raft.core.progress import Progress
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State

LARGE = 1 << 26
"""Bytes of the log after which a snapshot is due however few entries they are, and that are
kept for a peer that is slow."""

TAIL = 1 << 24
"""Bytes that the log keeps at most behind a snapshot, for whoever is a little behind."""

# Taking one.


def is_due(state: State, applied_index: int) -> bool:
    """Tell whether the log since the last snapshot has grown enough for another one (§7).

    Half as large as that snapshot, too: so writing snapshots never costs more than
    a few times what writing the log does.
    """
    log, last, covered = state.log, state.snapshot, state.snapshot_index
    if applied_index > state.commit_index:
        return False  # the node was reset, and the state machine is about to be
    if applied_index - covered < state.settings.snapshot_every:
        size = log.size(covered + 1, applied_index)
        return size >= LARGE and size >= _size(last) // 2
    return last is None or log.size(covered + 1, applied_index) >= _size(last) // 2


def _size(snapshot: Optional[Snapshot]) -> int:
    return len(snapshot.data) if snapshot is not None else 0


def take(state: State, event: SnapshotTaken) -> None:
    """Let a snapshot stand for the entries that it covers; keep a tail of them (§7).

    One that was overtaken, by a leader's or by a reset, is dropped.
    """
    if event.incarnation != state.incarnation or event.index <= state.snapshot_index:
        return
    configured = next(
        configured for configured in reversed(state.history) if configured.index <= event.index
    )
    snapshot = Snapshot(
        event.index,
        state.log.term_at(event.index),
        state.log.time_at(event.index),
        configured.index,
        configured.term,
        configured.change,
        event.data,
        event.checksum,
    )
    state.compact(snapshot, _new_base(state, snapshot))
    state.notice(INFO, f'{state.id} took a snapshot of the entries up to {snapshot.index}')


def _new_base(state: State, snapshot: Snapshot) -> int:
    """Return up to where the log can be dropped: not what others still need, within bounds.

    What is not durable is kept, so that the log on the disk never has a gap.
    """
    log = state.log
    tail = max(
        snapshot.index - state.settings.snapshot_every,
        log.first_within(snapshot.index, TAIL) - 1,
    )
    bound = log.first_within(snapshot.index, max(LARGE, 2 * len(snapshot.data))) - 1
    needed = min(_needed_by_peers(state), default=tail)
    base = min(max(min(tail, needed), bound), snapshot.index, state.durability.durable_index)
    return max(base, log.base_index)


def _needed_by_peers(state: State) -> list[int]:
    """Return what the peers that answer have, or will have by the snapshot that they are sent.

    What follows is kept for them: otherwise a slow one would be sent one snapshot after another.
    """
    if not isinstance(state.role, Leader):
        return []
    return [
        progress.outgoing.snapshot.index if progress.outgoing else progress.match_index
        for progress in state.role.peers.values()
        if not replication.is_away(state, progress)
    ]


# The leader's side.


def send_pieces(state: State, leader: Leader) -> None:
    """Send every peer that lacks what was compacted away the next pieces, within a window."""
    for progress in leader.peers.values():
        outgoing = progress.outgoing
        if outgoing is None or outgoing.is_paused or replication.is_away(state, progress):
            continue
        while len(outgoing.in_flight) < state.settings.chunks_in_flight and (
            outgoing.offset < len(outgoing.snapshot.data) or not outgoing.in_flight
        ):
            _send_piece(state, leader, progress, outgoing)


def _send_piece(state: State, leader: Leader, progress: Progress, outgoing: Outgoing) -> None:
    snapshot, offset = outgoing.snapshot, outgoing.offset
    data = snapshot.data[offset : offset + state.settings.chunk_limit]
    leader.last_number += 1
    state.durability.send_in_parallel(
        InstallSnapshot(
            progress.route,
            state.current_term,
            leader.last_number,
            snapshot.index,
            snapshot.term,
            snapshot.time,
            snapshot.configuration_index,
            snapshot.configuration_term,
            snapshot.configuration,
            len(snapshot.data),
            snapshot.checksum,
            offset,
            data,
            crc32(data),
        )
    )
    outgoing.in_flight.add(leader.last_number)
    outgoing.offset = offset + len(data)


def take_reply(
    state: State, request: InstallSnapshot, reply: InstallSnapshotReply | Refused | None
) -> None:
    """Go on from what the peer has; None is a failed call."""
    if (found := replication.addressee(state, request)) is None:
        return
    leader, progress = found
    outgoing = progress.outgoing
    if outgoing is None or request.number not in outgoing.in_flight:
        return
    if not isinstance(reply, InstallSnapshotReply) or reply.number != request.number:
        outgoing.is_paused = True
        outgoing.answered(request.number)
        if isinstance(reply, Refused):
            replication.heed_refusal(state, leader, progress, reply)
        return
    if reply.term > state.current_term:
        return terms.observe(state, reply.term)
    progress.answered(request.number, state.now)
    if reply.is_installed:
        progress.told_commit = max(progress.told_commit, request.last_index)
        return progress.matched(request.last_index)
    outgoing.received = min(reply.received, len(outgoing.snapshot.data))
    outgoing.offset = max(outgoing.offset, outgoing.received)
    return outgoing.answered(request.number)


# The follower's side.


def receive(state: State, call: CallId, request: InstallSnapshot) -> None:
    """Take a piece; with the last one, install the snapshot, as a whole or not at all (§7)."""
    if request.term < state.current_term:
        return _answer(state, call, request, 0, is_installed=False)
    terms.observe(state, request.term)
    replication.recognise_leader(state, request.route.sender)
    received = 0
    if request.last_index > state.commit_index:
        received = _gather(state, request)
    is_installed = request.last_index <= state.commit_index
    return _answer(state, call, request, received, is_installed=is_installed)


def _answer(
    state: State, call: CallId, request: InstallSnapshot, received: int, *, is_installed: bool
) -> None:
    reply = InstallSnapshotReply(
        request.route.back(), state.current_term, request.number, received, is_installed
    )
    state.durability.withhold_answer(call, reply)


def _gather(state: State, request: InstallSnapshot) -> int:
    """Return how much of the snapshot is there; a later leader's goes on where it is the same."""
    incoming = state.incoming
    if incoming is None or not incoming.is_of(request):
        if incoming is not None and incoming.is_newer(request):
            return 0
        incoming = state.incoming = Incoming(request)
    incoming.take(request)
    if incoming.is_complete:
        state.incoming = None
        if not incoming.is_sound:
            state.warn(f'{state.id} received a damaged snapshot and asks for it again')
            return 0
        install(state, incoming.snapshot())
    return incoming.received


def install(state: State, snapshot: Snapshot) -> None:
    """Replace the log by the snapshot, unless its last entry is in the log (§7).

    Then everything that the snapshot covers is, and what follows it is kept.
    """
    if state.log.matches(snapshot.index, snapshot.term):
        return state.commit(snapshot.index)
    state.notice(INFO, f'{state.id} installs a snapshot of the entries up to {snapshot.index}')
    return state.install(snapshot)
