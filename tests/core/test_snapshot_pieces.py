"""The pieces of a snapshot, as a follower takes them (§7, design §4)."""

from itertools import permutations

import pytest
from msgspec.structs import replace

from consensual.raft.core.messages import (
    MessageKind,
    Reason,
    Refused,
    decode_request,
    encode,
)
from consensual.raft.errors import InvalidMessage
from tests.core_snapshots import (
    CHUNK,
    SnapshotCore,
    pieces_of,
    snapshot_of,
)
from tests.cores import T, stored

TEN = [f'{number}' for number in range(10)]
SNAPSHOT = snapshot_of(['a long enough text', 'another long text', 'the last one'], index=9)
PIECES = pieces_of(SNAPSHOT, term=1)


def receiver(**options) -> SnapshotCore:
    """Return core a, a follower of b in term 1 that lacks everything."""
    return SnapshotCore('a', stored('a', **options))


@pytest.mark.parametrize('order', [*permutations(range(3))])
def test_pieces_may_overtake_each_other(order):
    """Each tells where it belongs; what is early is not thrown away."""
    core = receiver()
    pieces = pieces_of(SNAPSHOT, term=1, size=len(SNAPSHOT.data) // 3 + 1)
    answers = [core.ask(pieces[place]) for place in order]
    assert answers[-1].is_installed
    assert core.restored == [SNAPSHOT]


def test_answer_tells_how_much_is_there_without_a_gap():
    """So the leader knows where to go on, whatever was lost."""
    core = receiver()
    pieces = pieces_of(SNAPSHOT, term=1, size=8)
    assert [core.ask(pieces[place]).received for place in (1, 3, 0, 0, 2)] == [0, 0, 16, 16, 32]


def test_repeated_pieces_are_taken_once():
    """Duplicates, of single pieces and of all, change nothing."""
    core = receiver()
    for piece in PIECES[:-1]:
        assert core.ask(piece) == core.ask(piece)
    assert core.ask(PIECES[-1]).is_installed
    assert all(core.ask(piece).is_installed for piece in PIECES)
    assert core.restored == [SNAPSHOT]


@pytest.mark.parametrize('place', range(len(PIECES)))
@pytest.mark.parametrize(
    'change',
    [
        {'data': b'?' * CHUNK},
        {'data': b''},
        {'data_checksum': 1},
        {'offset': len(SNAPSHOT.data)},
        {'size': CHUNK - 1},
        {'size': 1 << 40},
        {'last_time': float('nan')},
        {'last_index': 0},
        {'configuration_index': 10},
        {'configuration_term': 2},
        {'last_term': 2},
    ],
    ids=str,
)
def test_damaged_piece_does_not_validate(place, change):
    """A message that does not validate gets a clear error and changes nothing (design §5)."""
    damaged = replace(PIECES[place], **change)
    if damaged.offset == len(SNAPSHOT.data) and not damaged.data:
        return
    with pytest.raises(InvalidMessage):
        decode_request(MessageKind.INSTALL_SNAPSHOT, encode(damaged))


def test_piece_survives_the_wire():
    """As a dict of JSON types, bytes as text."""
    for piece in PIECES:
        assert decode_request(MessageKind.INSTALL_SNAPSHOT, encode(piece)) == piece


def test_snapshot_that_is_not_what_it_was_is_asked_for_again():
    """Each piece was sound, the whole is not: nothing of it is installed."""
    core = receiver()
    other = snapshot_of(['a Long enough text', 'another long text', 'the last one'], index=9)
    assert len(other.data) == len(SNAPSHOT.data)
    wrong = [replace(piece, checksum=SNAPSHOT.checksum) for piece in pieces_of(other, term=1)]
    answers = [core.ask(piece) for piece in wrong]
    assert (answers[-1].received, answers[-1].is_installed) == (0, False)
    assert (core.restored, core.state.log.last_index) == ([], 1)
    assert len([text for text in core.notices if 'damaged' in text]) == 1
    for piece in PIECES:
        answer = core.ask(piece)
    assert answer.is_installed
    assert core.restored == [SNAPSHOT]


def test_stale_snapshot_takes_nothing_away():
    """A late piece of an earlier one does not undo what was received since."""
    core = receiver()
    later = snapshot_of([*TEN, 'a text'], index=20)
    pieces = pieces_of(later, term=1, number=10)
    core.ask(pieces[0])
    core.ask(pieces[1])
    assert not core.ask(PIECES[0]).is_installed
    assert core.ask(pieces[2]).received == 3 * CHUNK
    answer = [core.ask(piece) for piece in pieces[3:]][-1]
    assert answer.is_installed
    assert core.restored == [later]


def test_later_leader_goes_on_with_the_same_snapshot():
    """Both took it at the same index of the same log: what is there need not come again."""
    core = receiver()
    for piece in PIECES[:2]:
        core.ask(piece)
    others = pieces_of(SNAPSHOT, term=2, sender='c')
    assert core.ask(others[0]).received == 2 * CHUNK
    for piece in others[2:]:
        answer = core.ask(piece)
    assert answer.is_installed
    assert core.restored == [SNAPSHOT]


@pytest.mark.parametrize('index', [7, 9, 12])
def test_later_leader_may_begin_with_another_snapshot(index):
    """Earlier, later or of other bytes: that of the leader of the day counts."""
    core = receiver()
    for piece in PIECES[:2]:
        core.ask(piece)
    other = snapshot_of(['what the other leader has put down'], index=index)
    for piece in pieces_of(other, term=2, sender='c'):
        answer = core.ask(piece)
    assert answer.is_installed
    assert core.restored == [other]


def test_follower_that_receives_a_snapshot_does_not_stand():
    """Pieces are words of the leader's, as good as heartbeats (§5.2)."""
    core = receiver()
    begun = core.clock.now
    pieces = pieces_of(SNAPSHOT, term=1, size=4)
    for piece in pieces[:-1]:
        core.clock.now += 0.9 * T
        core.ask(piece)
        assert core.state.leader == 'b'
        assert core.deadline >= core.clock.now + T
    assert core.clock.now > begun + 4 * T


def test_member_without_a_cluster_gets_no_snapshot():
    """An empty node is welcomed by AppendEntries; a detached one has its own history."""
    for disk in (None, stored('a')):
        core = SnapshotCore('a', disk)
        core.raft.state.is_attached = False
        piece = PIECES[0]
        way = replace(piece.route, receiver_incarnation=core.state.incarnation)
        assert core.ask(replace(piece, route=way)) == Refused(Reason.DETACHED)
        assert core.state.incoming is None
