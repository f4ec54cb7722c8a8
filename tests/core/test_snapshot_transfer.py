"""A snapshot on its way: within a window, resumed, never in circles (§7, design §4)."""

from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consensual.raft.core.events import Failed
from consensual.raft.core.messages import (
    AppendEntries,
    InstallSnapshot,
    ReadIndexReply,
    Reason,
    Refused,
    Request,
)
from consensual.raft.core.progress import Flow
from tests.core_snapshots import (
    CHUNK,
    WINDOW,
    SnapshotCluster,
    SnapshotCore,
    answer_piece,
    hear,
    pass_time,
    snapshot_leader,
)
from tests.cores import HEARTBEAT, REPRODUCIBLE, T, acknowledge, reject, stored

TEN = [f'{number}' for number in range(10)]
PADDING = 20 * CHUNK


def sending_leader(padding: int = PADDING) -> SnapshotCore:
    """Return core a, a leader that began to send c a snapshot of many pieces."""
    core = snapshot_leader(TEN, padding=padding)
    hear(core, 'c')
    return core


def lagging_cluster(padding: int = PADDING) -> SnapshotCluster:
    """Return a cluster whose leader a has compacted what c lacks, with c about to be back."""
    cluster = SnapshotCluster({'a': [1], 'b': [1], 'c': [1]})
    leader = cluster.elect('a')
    cluster.isolate('c')
    cluster.run(2 * T)
    leader.propose(*TEN)
    cluster.settle()
    cluster.run(2 * HEARTBEAT)
    for id_ in 'ab':
        cluster[id_].compact(padding)
    cluster.heal()
    return cluster


def count_of(cluster: SnapshotCluster) -> int:
    """Return of how many pieces the snapshot of a is."""
    return -(-len(cluster['a'].state.snapshot.data) // CHUNK)


# the leader's window


def test_pieces_are_sent_within_a_window():
    """Flow control: so many are under way, each of so many bytes, in order."""
    core = sending_leader()
    pieces = core.drain(InstallSnapshot, 'c')
    assert [piece.offset for piece in pieces] == [0, CHUNK, 2 * CHUNK]
    assert len(pieces) == WINDOW
    assert all(piece.data_checksum == crc32(piece.data) for piece in pieces)
    core.time_out()
    assert core.drain(InstallSnapshot) == []


def test_every_answer_lets_the_next_piece_go():
    """The window moves on with what the peer has."""
    core = sending_leader()
    first, second, third = core.drain(InstallSnapshot, 'c')
    core.reply(first, answer_piece(first, CHUNK))
    (fourth,) = core.drain(InstallSnapshot, 'c')
    assert fourth.offset == 3 * CHUNK
    core.reply(second, answer_piece(second, 2 * CHUNK))
    core.reply(third, answer_piece(third, 3 * CHUNK))
    assert [piece.offset for piece in core.drain(InstallSnapshot)] == [4 * CHUNK, 5 * CHUNK]


def test_transfer_goes_on_from_what_the_peer_has_already():
    """It resumes: what came before, perhaps from another leader, is not sent again."""
    core = sending_leader()
    first, *others = core.drain(InstallSnapshot, 'c')
    core.reply(first, answer_piece(first, 10 * CHUNK))
    for piece in others:
        core.reply(piece, answer_piece(piece, 10 * CHUNK))
    assert [piece.offset for piece in core.drain(InstallSnapshot)] == [
        (10 + place) * CHUNK for place in range(WINDOW)
    ]


def test_lost_piece_is_sent_again_with_the_next_heartbeat():
    """Not before: a peer that is gone is not asked in a loop."""
    core = sending_leader()
    pieces = core.drain(InstallSnapshot, 'c')
    for piece in pieces:
        core.step(Failed(piece))
    assert core.drain(InstallSnapshot) == []
    core.time_out()
    assert [piece.offset for piece in core.drain(InstallSnapshot)] == [0, CHUNK, 2 * CHUNK]


def test_lost_answer_costs_no_piece():
    """The peer tells with every answer how much it has."""
    core = sending_leader()
    first, second, third = core.drain(InstallSnapshot, 'c')
    core.step(Failed(first))
    core.reply(second, answer_piece(second, 2 * CHUNK))
    core.reply(third, answer_piece(third, 3 * CHUNK))
    core.time_out()
    assert core.drain(InstallSnapshot)[0].offset == 3 * CHUNK


def test_silent_peer_is_sent_no_pieces():
    """After an election timeout of silence it gets heartbeats only, until it answers."""
    core = sending_leader()
    pass_time(core, 'b', silent='c', seconds=3 * T)
    core.time_out()
    assert core.drain(InstallSnapshot) == []
    (beat,) = core.drain(AppendEntries, 'c')
    core.reply(beat, reject(beat, (1, 1)))
    assert [piece.offset for piece in core.drain(InstallSnapshot)] == [0, CHUNK, 2 * CHUNK]


def test_late_answer_of_an_earlier_transfer_counts_nothing():
    """Its piece is none of those under way."""
    core = sending_leader()
    first, *_ = core.drain(InstallSnapshot, 'c')
    core.leader.peers['c'].send(core.state.snapshot)
    core.reply(first, answer_piece(first, 7 * CHUNK))
    assert core.leader.peers['c'].outgoing.received == 0


def test_answer_of_a_later_term_ends_the_leadership():
    """§5.1, as with any other message."""
    core = sending_leader()
    first, *_ = core.drain(InstallSnapshot, 'c')
    core.reply(first, answer_piece(first, 0, term=9))
    assert (core.role, core.state.current_term) == ('follower', 9)


def test_answer_to_an_earlier_leadership_is_ignored():
    """Numbers are those of one term."""
    core = sending_leader()
    first, *_ = core.drain(InstallSnapshot, 'c')
    old = replace(first, term=1)
    core.reply(old, answer_piece(old, 12 * CHUNK, is_installed=True, term=1))
    assert core.leader.peers['c'].match_index == 0


def test_entries_follow_an_installed_snapshot_at_once():
    """What was appended meanwhile was kept for the peer."""
    core = sending_leader()
    core.propose('later')
    core.acknowledge_all('b')
    first, *_ = core.drain(InstallSnapshot, 'c')
    core.drain(AppendEntries)
    core.reply(first, answer_piece(first, 0, is_installed=True))
    progress = core.leader.peers['c']
    assert (progress.match_index, progress.flow, progress.outgoing) == (12, Flow.REPLICATE, None)
    request = core.drain(AppendEntries, 'c')[-1]
    assert (request.prev_log_index, len(request.entries)) == (12, 1)


def test_refused_piece_is_heeded_as_any_refusal():
    """An incarnation that is not there any more is none that gets a snapshot."""
    core = sending_leader()
    for piece in core.drain(InstallSnapshot, 'c'):
        core.reply(piece, Refused(Reason.INCARNATION, 'c2'))
    assert core.leader.peers['c'].returned_as == 'c2'
    assert any('c lost its data' in text for text in core.notices)


# meanwhile


def test_heartbeats_go_on_during_a_transfer():
    """The peer must not stand for election while it receives."""
    core = sending_leader()
    core.drain()
    core.time_out()
    (beat,) = core.drain(AppendEntries, 'c')
    assert (beat.entries, beat.prev_log_index) == ([], 12)


def test_rejected_heartbeat_does_not_begin_the_transfer_anew():
    """It tells nothing new: what the peer lacks is on its way."""
    core = sending_leader()
    first, *_ = core.drain(InstallSnapshot, 'c')
    core.reply(first, answer_piece(first, CHUNK))
    core.drain()
    core.time_out()
    (beat,) = core.drain(AppendEntries, 'c')
    core.reply(beat, reject(beat, (1, 1)))
    assert core.drain(InstallSnapshot) == [], 'the window is full, as it was'


def test_no_entries_are_sent_beside_the_pieces():
    """The peer could not match them before the snapshot is installed."""
    core = sending_leader()
    core.propose('behind the snapshot')
    core.drain()
    core.time_out()
    (beat,) = core.drain(AppendEntries, 'c')
    assert (beat.entries, beat.prev_log_index) == ([], 12)


def test_only_heartbeats_are_sent_beside_the_pieces():
    """Also to a peer that waits for a commit, which it cannot learn of before it has the entry."""
    cluster = lagging_cluster()
    leader = cluster['a']
    leader.leader.peers['c'].awaited_commit = leader.state.log.last_index + 1
    leader.propose('awaited')
    begun = len(cluster.sent(AppendEntries, 'c'))
    cluster.run(HEARTBEAT * 4)
    assert len(cluster.sent(InstallSnapshot, 'c')) >= count_of(cluster)
    assert len(cluster.sent(AppendEntries, 'c')) - begun <= 4 + 4


def test_newcomer_gets_a_snapshot_without_a_storm_of_heartbeats():
    """It is to be told of its own configuration, which is behind the snapshot."""
    cluster = lagging_cluster()
    cluster.run(2 * T)
    cluster['a'].compact(PADDING)
    cluster.add('d')
    cluster['a'].attach('d')
    cluster.settle()
    assert cluster['d'].restored != []
    assert len(cluster.sent(AppendEntries, 'd')) < 12


def test_reads_are_confirmed_during_a_transfer():
    """§6.4 of the thesis: any answer in the term confirms the leader, a piece's, too."""
    core = sending_leader()
    core.drain(AppendEntries)
    pieces = core.drain(InstallSnapshot, 'c')
    core.time_out()
    core.drain(AppendEntries)
    call = core.read()
    (beat,) = core.drain(AppendEntries, 'c')
    assert call not in core.answers
    core.reply(pieces[0], answer_piece(pieces[0], CHUNK))
    assert call not in core.answers, 'that one was sent before the read came'
    (piece,) = core.drain(InstallSnapshot, 'c')
    core.reply(piece, answer_piece(piece, 2 * CHUNK))
    assert isinstance(core.answers[call], ReadIndexReply)
    assert beat.number < piece.number


def test_commands_are_committed_during_a_transfer():
    """One slow peer delays nobody."""
    core = sending_leader()
    core.propose('meanwhile')
    core.acknowledge_all('b')
    assert core.state.commit_index == 13


def test_peer_that_gets_a_snapshot_counts_in_the_quorum_by_its_answers():
    """Check quorum: who answers pieces is heard."""
    core = sending_leader(padding=200 * CHUNK)
    end = core.clock.now + 4 * T
    while core.clock.now < end:
        core.time_out()
        core.drain(AppendEntries)
        piece, *others = core.drain(InstallSnapshot, 'c')
        core.reply(piece, answer_piece(piece, piece.offset + len(piece.data)))
        core.requests += others
    assert core.role == 'leader'


def test_leader_sends_a_damaged_snapshot_anew():
    """The answer that nothing is there, after the last piece, begins it again."""
    core = sending_leader(padding=0)
    received = 0
    for _ in range(100):
        pieces = core.drain(InstallSnapshot, 'c')
        if not pieces:
            break
        for piece in pieces:
            received = piece.offset + len(piece.data)
            is_last = received == piece.size
            core.reply(piece, answer_piece(piece, 0 if is_last else received))
            if is_last:
                assert core.drain(InstallSnapshot)[0].offset == 0
                return
    raise AssertionError('the last piece was never sent')


# whole transfers


def test_transfer_takes_each_piece_once():
    """Nothing is sent in vain where nothing is lost."""
    cluster = lagging_cluster()
    cluster.run(2 * T)
    assert cluster['c'].texts == cluster['a'].texts
    assert len(cluster.sent(InstallSnapshot, 'c')) <= count_of(cluster) + 1


@pytest.mark.parametrize('seed', range(5))
def test_overtaking_costs_few_pieces(seed):
    """A piece that comes before another one does not make the leader send all that follows."""
    random = Random(seed)

    def mail(requests: list[Request]) -> list[Request]:
        return random.sample(requests, len(requests))

    cluster = lagging_cluster(padding=100 * CHUNK)
    cluster.mail = mail
    cluster.run(2 * T)
    assert cluster['c'].texts == cluster['a'].texts
    assert len(cluster.sent(InstallSnapshot, 'c')) <= 2 * count_of(cluster)


@REPRODUCIBLE
@given(st.data())
def test_transfer_arrives_whatever_befalls_its_pieces(data):
    """Lost, repeated, reordered pieces and lost answers: the state is the leader's in the end."""
    random = data.draw(st.randoms(use_true_random=False))

    def mail(requests: list[Request]) -> list[Request]:
        return [
            request
            for request in random.sample(requests, len(requests))
            if not isinstance(request, InstallSnapshot) or random.random() < 0.7
        ]

    cluster = lagging_cluster(padding=random.randrange(0, 20 * CHUNK))
    cluster.mail = mail
    cluster.is_echoed = lambda _: random.random() < 0.3
    for _ in range(20):
        if random.random() < 0.3:
            cluster.cut = {('c', 'a')} if random.random() < 0.5 else {('a', 'c')}
        cluster.run(HEARTBEAT * random.randrange(1, 4))
        cluster.heal()
        cluster.give_up()
    cluster.mail = list
    cluster.run(8 * T)
    assert cluster['c'].texts == cluster['a'].texts
    assert cluster['c'].state.log.last_index == cluster['a'].state.log.last_index


def keep_late_pieces(requests: list[Request]) -> list[Request]:
    """Let the first eight pieces go."""
    return [
        item
        for item in requests
        if not isinstance(item, InstallSnapshot) or item.offset < 8 * CHUNK
    ]


def test_later_leader_with_the_same_snapshot_sends_what_is_missing():
    """The transfer survives the leader."""
    cluster = lagging_cluster()
    cluster.mail = keep_late_pieces
    cluster.run(HEARTBEAT * 2)
    assert cluster['c'].state.incoming.received == 8 * CHUNK
    assert cluster['a'].state.snapshot.data == cluster['b'].state.snapshot.data
    cluster.isolate('a')
    cluster.mail = list
    cluster.run(4 * T)
    begun = [piece for piece in cluster.sent(InstallSnapshot, 'c') if piece.route.sender == 'b']
    assert len(begun) <= WINDOW + count_of(cluster) - 8 + 1
    assert cluster['c'].restored == [cluster['b'].state.snapshot]


def test_slow_follower_under_load_is_not_sent_in_circles():
    """Each heartbeat one piece gets through, ten commands come, and a snapshot is taken.

    What follows the snapshot that is on its way is kept, so one transfer suffices.
    """
    leader = sending_leader(padding=10 * CHUNK)
    follower = SnapshotCore('c', stored('c', [1], term=2), clock=leader.clock)
    transfers = set()
    for _ in range(60):
        leader.time_out()
        leader.propose(*TEN)
        leader.acknowledge_all('b')
        leader.compact(padding=10 * CHUNK)
        pieces = [item for item in leader.requests if isinstance(item, InstallSnapshot)]
        if pieces:
            leader.requests.remove(pieces[0])
            transfers.add(pieces[0].last_index)
            leader.reply(pieces[0], follower.ask(pieces[0]))
        elif follower.restored:
            break
    assert len(transfers) == len(follower.restored) == 1
    for _ in range(20):
        for request in leader.drain(AppendEntries, 'c'):
            leader.reply(request, follower.ask(request))
        leader.acknowledge_all('b')
        leader.time_out()
    assert follower.texts == leader.texts
    assert leader.drain(InstallSnapshot) == []


def test_late_success_does_not_end_the_transfer():
    """An answer to a message from before the log was cut proves no more than it says."""
    core = snapshot_leader(TEN[:2])
    core.time_out()
    late = core.sent(AppendEntries, 'c')
    core.propose(*TEN)
    core.acknowledge_all('b')
    core.compact(PADDING)
    hear(core, 'c')
    assert late.prev_log_index < core.state.log.base_index
    core.reply(late, acknowledge(late))
    progress = core.leader.peers['c']
    assert (progress.match_index, progress.flow) == (late.prev_log_index, Flow.SNAPSHOT)
    assert progress.outgoing is not None


def test_restarted_follower_is_sent_the_snapshot_from_its_beginning():
    """What was received is in memory only."""
    cluster = lagging_cluster()
    cluster.mail = keep_late_pieces
    cluster.run(HEARTBEAT * 2)
    assert cluster['c'].state.incoming is not None
    cluster.mail = list
    cluster.restart('c')
    cluster.give_up()
    cluster.run(2 * T)
    assert cluster['c'].texts == cluster['a'].texts
