"""What must hold of snapshots, and of logs that begin after them, after every turn (§7).

Each returns what is wrong, or None; see `invariants`, of which these are a part.
"""

import json
from collections.abc import Callable
from typing import Optional
from zlib import crc32

from consensual.raft.core.effects import Snapshot
from consensual.testing.chronicle import Chronicle, Turn
from consensual.testing.fingerprint import fingerprint


def snapshot_is_of_what_was_applied(turn: Turn) -> Optional[str]:
    """A snapshot is what the committed entries that it covers came to, on every node (§7)."""
    snapshot, chronicle = turn.state.snapshot, turn.chronicle
    if snapshot is None or snapshot.index == turn.seen.snapshot_index:
        return None
    index = snapshot.index
    if index > turn.state.commit_index:
        return f'has a snapshot up to {index}, of {turn.state.commit_index} committed'
    if index not in chronicle.committed:
        return f'has a snapshot up to {index}, which nobody committed'
    entry, _ = chronicle.committed[index]
    if (entry.term, entry.time) != (snapshot.term, snapshot.time):
        return f'has a snapshot up to {(index, snapshot.term, snapshot.time)}, which is {entry}'
    change = chronicle.last_change(index)
    place = snapshot.configuration_index, snapshot.configuration_term
    known = chronicle.committed[change][0] if change else None
    is_same = known is not None and known.payload == snapshot.configuration
    if known is None or not is_same or place != (change, known.term):
        configuration = snapshot.configuration
        return f'has {configuration} of {place} in its snapshot, where {known} is, at {change}'
    return _wrong_data(snapshot, chronicle)


def _wrong_data(snapshot: Snapshot, chronicle: Chronicle) -> Optional[str]:
    """Tell what is wrong with the state machine's state, or the client sessions."""
    index, checksum = snapshot.index, crc32(snapshot.data)
    if snapshot.checksum != checksum:
        return f'has a snapshot up to {index} with the checksum {snapshot.checksum}, not {checksum}'
    if chronicle.snapshots.get(index, (None, None))[0] == checksum:
        return None  # it was looked at on another node
    try:
        image = json.loads(snapshot.data)
        state, sessions = fingerprint(image['state']), fingerprint(image['sessions'])
    except (ValueError, LookupError, TypeError) as error:
        return f'has a snapshot up to {index} that nobody can read: {error!r}'
    applied = chronicle.last_applied(index)
    if applied is not None and applied.state != state:
        return f'has {state} in its snapshot up to {index}, where the state was {applied.state}'
    _, known = chronicle.snapshots.setdefault(index, (checksum, sessions))
    if known != sessions:
        return f'has {sessions} in its snapshot up to {index}, where another one has {known}'
    return None


def snapshots_never_go_back(turn: Turn) -> Optional[str]:
    """A snapshot is replaced by later ones only; nothing that was applied is undone (§7)."""
    state, restore = turn.state, turn.effects.restore
    if state.snapshot_index < turn.seen.snapshot_index:
        return f'has a snapshot up to {state.snapshot_index}, after {turn.seen.snapshot_index}'
    if restore is not None and restore.index <= turn.seen.emitted:
        return f'restores its state as it was at {restore.index}, after {turn.seen.emitted}'
    return None


def entries_are_dropped_for_a_snapshot(turn: Turn) -> Optional[str]:
    """What was compacted away is covered by a snapshot, in the log and on the disk (§7)."""
    state, contents = turn.state, turn.disk.contents
    base = state.log.base_index
    if base > state.snapshot_index:
        return f'dropped its log up to {base}, of {state.snapshot_index} covered'
    covered = contents.snapshot.index if contents.snapshot is not None else 0
    if contents.first_index > covered + 1:
        return f'has a log from {contents.first_index} on its disk, and {covered} covered'
    known = turn.chronicle.committed.get(base)
    here = state.log.term_at(base), state.log.time_at(base)
    if base and (known is None or (known[0].term, known[0].time) != here):
        return f'begins its log after {here} at {base}, where {known} is committed'
    return None


def matching_tail_is_kept(turn: Turn) -> Optional[str]:
    """A log that has the last entry that a snapshot covers keeps what follows it (§7)."""
    restore, seen = turn.effects.restore, turn.seen
    if restore is None:
        return None
    position = restore.index - seen.base_index - 1
    if 0 <= position < len(seen.log) and seen.log[position].term == restore.term:
        return f'drops its log for a snapshot up to {restore.index}, which it has'
    return None


AFTER_EVERY_TURN: tuple[Callable[[Turn], Optional[str]], ...] = (
    snapshot_is_of_what_was_applied,
    snapshots_never_go_back,
    entries_are_dropped_for_a_snapshot,
    matching_tail_is_kept,
)
