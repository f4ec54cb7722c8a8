"""Turns with snapshots in which all is well, and what breaks each invariant of them.

Data of `test_invariants`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from consensual.raft.core.effects import HardState, Write
from consensual.raft.core.log import Entry, NoOp
from consensual.testing import invariants, snapshot_invariants
from consensual.testing.chronicle import Turn
from tests.simulation.turns import (
    LESS,
    LOG,
    OTHER,
    acknowledges,
    compacted,
    compacts,
    contents_of,
    entry,
    installs,
    leads,
    sets,
    snapshot_of,
    turn_of,
)

Case = tuple[Callable[[Turn], Any], Callable[[], Turn], Callable[[Turn], object], str]


def has(**what: Any) -> Callable[[Turn], None]:
    """Return what makes another snapshot of that of a turn."""

    def change(turn: Turn) -> None:
        assert turn.state.snapshot is not None
        turn.state.snapshot = replace(turn.state.snapshot, **what)

    return change


def has_data(data: bytes) -> Callable[[Turn], None]:
    """Return what gives the snapshot of a turn other data, and their checksum."""
    return has(data=data, checksum=snapshot_of(3, data).checksum)


def acknowledges_what_was_compacted() -> Turn:
    """A turn in which entries are acknowledged that the log has no more, nor the disk."""
    turn = acknowledges(*LOG[3:])
    turn.state.log.compact(5)
    turn.chronicle.commit(5, LOG[4], 2)
    return turn


WELL_WITH_SNAPSHOTS: list[tuple[str, Callable[[], Turn]]] = [
    ('has compacted', compacted),
    ('has compacted all that is covered', partial(compacted, 3)),
    ('compacts', compacts),
    ('installs', installs),
    ('installs over a longer log of another term', partial(installs, [*LOG[:3], *4 * [entry(1)]])),
    ('leads with a compacted log', partial(leads, 2, 3)),
]

BROKEN_WITH_SNAPSHOTS: list[Case] = [
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(index=5),
        'has a snapshot up to 5, of 4 committed',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        installs,
        lambda turn: turn.chronicle.committed.pop(5),
        'has a snapshot up to 5, which nobody committed',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(term=2),
        'has a snapshot up to (3, 2, 1.0), which is',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(time=2.0),
        'has a snapshot up to (3, 1, 2.0), which is',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(configuration=entry(1, LESS).payload),
        'of (1, 1) in its snapshot, where',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(configuration_term=2),
        'of (1, 2) in its snapshot, where',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        lambda turn: (
            turn.chronicle.committed.pop(2),
            turn.chronicle.commit(2, entry(1, LESS), 1),
        ),
        'is, at 2',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has(data=b'{"sessions":[],"state":[2]}'),
        'has a snapshot up to 3 with the checksum',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has_data(b'{"sessions":[],"state":[2]}'),
        'has [2] in its snapshot up to 3, where the state was [1]',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        has_data(b'{"state":[1]}'),
        'has a snapshot up to 3 that nobody can read',
    ),
    (
        snapshot_invariants.snapshot_is_of_what_was_applied,
        compacts,
        lambda turn: turn.chronicle.snapshots.update({3: (0, '[{"id":1}]')}),
        'has [] in its snapshot up to 3, where another one has [{"id":1}]',
    ),
    (
        snapshot_invariants.snapshots_never_go_back,
        compacted,
        sets('seen.snapshot_index', 4),
        'has a snapshot up to 3, after 4',
    ),
    (
        snapshot_invariants.snapshots_never_go_back,
        installs,
        sets('seen.emitted', 5),
        'restores its state as it was at 5, after 5',
    ),
    (
        snapshot_invariants.entries_are_dropped_for_a_snapshot,
        partial(compacted, 3),
        has(index=2),
        'dropped its log up to 3, of 2 covered',
    ),
    (
        snapshot_invariants.entries_are_dropped_for_a_snapshot,
        turn_of,
        lambda turn: turn.disk.contents.take(Write(2, log_start=2)),
        'has a log from 2 on its disk, and 0 covered',
    ),
    (
        snapshot_invariants.entries_are_dropped_for_a_snapshot,
        compacted,
        lambda turn: turn.chronicle.commit(2, Entry(1, 9.0, NoOp()), 1),
        'begins its log after (1, 1.0) at 2, where',
    ),
    (
        snapshot_invariants.entries_are_dropped_for_a_snapshot,
        compacted,
        lambda turn: turn.chronicle.committed.pop(2),
        'begins its log after (1, 1.0) at 2, where None is committed',
    ),
    (
        snapshot_invariants.matching_tail_is_kept,
        partial(installs, LOG),
        lambda _: None,
        'drops its log for a snapshot up to 5, which it has',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        installs,
        sets('disk.contents', contents_of(LOG[:3], HardState('i1', 'c', True, 2))),
        'acknowledges all up to 5 before it is durable',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        acknowledges_what_was_compacted,
        lambda turn: turn.disk.contents.take(Write(2, None, 5)),
        'acknowledges entry 5 before it is durable',
    ),
    (
        invariants.durable_index_is_on_disk,
        partial(compacted, 3),
        lambda turn: (
            setattr(turn.state.durability, 'durable_index', 3),
            setattr(turn.disk, 'contents', contents_of(LOG[:2], turn.disk.hard_state)),
        ),
        'takes its entries up to 3 for durable; they are not',
    ),
    (
        invariants.durable_index_is_on_disk,
        compacted,
        sets('state.durability.durable_index', 6),
        'takes 6 entries for durable, of 5',
    ),
    (
        invariants.match_index_is_on_the_peers_disk,
        partial(leads, 2, 3),
        lambda turn: turn.past.lost.update({'i2': contents_of(LOG[:1])}),
        'takes entry 2 for stored by',
    ),
    (
        invariants.committed_entries_stay,
        installs,
        sets('seen.commit_index', 6),
        'changed its log from 6, of 6 committed',
    ),
    (
        invariants.applied_index_never_goes_back,
        installs,
        lambda turn: (
            sets('effects.first_committed', 4)(turn),
            sets('effects.committed', LOG[3:])(turn),
        ),
        'applies from 4 on, after 5',
    ),
    (
        invariants.committed_is_durable_on_a_quorum,
        installs,
        lambda turn: turn.chronicle.committed.pop(5),
        'takes entry 5 for committed before any leader does',
    ),
    (
        invariants.log_matching,
        compacted,
        lambda turn: (
            setattr(turn, 'is_new_cluster', True),
            turn.chronicle.entries.update({(3, 1): (OTHER, 1)}),
        ),
        'at 3, where',
    ),
]
