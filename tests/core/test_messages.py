"""Messages as dicts of JSON types: what validates, and what does not."""

import json
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensual.raft.core.log import Entry, NoOp, OpenSession, Reconfiguration
from consensual.raft.core.messages import (
    KINDS,
    PROTOCOL_VERSION,
    REQUEST_TYPES,
    Accepted,
    AppendEntriesReply,
    ChangeMembership,
    Inquire,
    InquireReply,
    InstallSnapshot,
    InstallSnapshotReply,
    MessageKind,
    Propose,
    ReadIndex,
    ReadIndexReply,
    Reason,
    Refused,
    Request,
    TimeoutNow,
    TransferLeadership,
    VoteReply,
    decode_reply,
    decode_request,
    encode,
)
from consensual.raft.errors import InvalidMessage
from tests.cores import (
    REPRODUCIBLE,
    address,
    append_entries,
    command,
    configuration,
    log_of,
    request_pre_vote,
    request_vote,
    route,
)

TO_A, BACK = route('b', 'a'), route('a', 'b')
CHANGE = Reconfiguration(configuration('ab'), 'change')
INSTALL_SNAPSHOT = InstallSnapshot(
    TO_A, 4, 9, 7, 3, 1.5, 5, 2, CHANGE, 10, crc32(b'0123456789'), 4, b'4567', crc32(b'4567')
)
HEARTBEAT = append_entries(term=4, prev=(3, 2))
REQUESTS: list[Request] = [
    append_entries(
        term=4,
        prev=(3, 2),
        entries=[
            Entry(2, 0.5, NoOp()),
            Entry(3, 1.5, OpenSession('me')),
            Entry(4, 2.5, command('é\n')),
            Entry(4, 2.5, Reconfiguration(configuration('ab', 'abc'), 'change', 'failed')),
        ],
        commit=5,
    ),
    request_vote(term=4, last=(3, 2), is_transfer=True),
    request_pre_vote(term=4, last=(3, 2)),
    TimeoutNow(TO_A, 4),
    Inquire(TO_A, 'request'),
    Propose(TO_A, [command('x'), OpenSession('me')]),
    ReadIndex(TO_A),
    ChangeMembership(TO_A, 'change', [address('d')], ['c']),
    TransferLeadership(TO_A, 'c'),
    INSTALL_SNAPSHOT,
]
REPLIES = [
    (HEARTBEAT, AppendEntriesReply(BACK, 4, 1, False, 3, 2)),
    (request_vote(term=4, last=(3, 2)), VoteReply(BACK, 4, True)),
    (request_pre_vote(term=4, last=(3, 2)), VoteReply(BACK, 4, False)),
    (TimeoutNow(TO_A, 4), Accepted(BACK)),
    (Inquire(TO_A, 'request'), InquireReply(BACK, True, 'cluster')),
    (Propose(TO_A, []), Accepted(BACK)),
    (ReadIndex(TO_A), ReadIndexReply(BACK, 7)),
    (ChangeMembership(TO_A, 'change'), Accepted(BACK)),
    (TransferLeadership(TO_A), Accepted(BACK, 'c')),
    (INSTALL_SNAPSHOT, InstallSnapshotReply(BACK, 4, 9, 8, is_installed=False)),
]
by_type = {'ids': lambda item: type(item).__name__}


@pytest.mark.parametrize('request_', REQUESTS, **by_type)
def test_request_survives_json(request_):
    """A message is a dict of JSON types; what comes out is what went in."""
    text = json.dumps(encode(request_))
    assert decode_request(KINDS[type(request_)], json.loads(text)) == request_


def test_every_kind_has_an_example_here():
    """No kind of request goes without its tests."""
    assert {KINDS[type(request)] for request in REQUESTS} == set(MessageKind) == set(REQUEST_TYPES)


@pytest.mark.parametrize(('request_', 'reply'), REPLIES, **by_type)
def test_reply_survives_json(request_, reply):
    """The same for replies, and for a refusal of each request."""
    for item in (reply, Refused(Reason.CLUSTER, 'detail')):
        assert decode_reply(request_, json.loads(json.dumps(encode(item)))) == item


@pytest.mark.parametrize('request_', REQUESTS, **by_type)
@pytest.mark.parametrize('version', [0, 2, None, 'one'])
def test_request_of_another_protocol_version_is_refused(request_, version):
    """The version comes first, whatever else the message holds; the refusal has no term."""
    message = {**encode(request_), 'version': version, 'term': 'none', 'new': 1}
    refusal = decode_request(KINDS[type(request_)], message)
    assert isinstance(refusal, Refused)
    assert (refusal.reason, str(PROTOCOL_VERSION) in refusal.detail) == (Reason.VERSION, True)


def test_request_without_a_version_is_of_another_version():
    """What names no version is not understood."""
    message = encode(HEARTBEAT)
    del message['version']
    assert decode_request(MessageKind.APPEND_ENTRIES, message).reason == Reason.VERSION


def test_reply_of_another_protocol_version_is_invalid():
    """It cannot be understood, so it is no answer."""
    message = {**encode(AppendEntriesReply(BACK, 4, 1, True)), 'version': 2}
    with pytest.raises(InvalidMessage, match='version'):
        decode_reply(HEARTBEAT, message)


@pytest.mark.parametrize('kind', [0, 99, -1, None, 'x', [], {}])
def test_unknown_kind_is_invalid(kind):
    """Only the kinds of requests can be received."""
    with pytest.raises(InvalidMessage, match='kind'):
        decode_request(kind, encode(HEARTBEAT))


@pytest.mark.parametrize('message', [None, 1, 'text', [], [1], b'bytes'])
def test_message_that_is_no_dict_is_invalid(message):
    """Neither as a request nor as a reply."""
    with pytest.raises(InvalidMessage):
        decode_request(MessageKind.APPEND_ENTRIES, message)
    with pytest.raises(InvalidMessage):
        decode_reply(HEARTBEAT, message)


@pytest.mark.parametrize(
    'wrong',
    [
        {'term': 'four'},
        {'term': None},
        {'term': 4.5},
        {'term': -1},
        {'prev_log_index': -1},
        {'prev_log_term': -1},
        {'leader_commit': -1},
        {'route': None},
        {'route': ['cluster', 'b']},
        {'route': ['cluster', 'b', 'b1', 'a', 1]},
        {'entries': None},
        {'entries': [[4, 0.0]]},
        {'entries': [[4, 0.0, ['unknown']]]},
        {'entries': [['4', 0.0, ['noop']]]},
        {'entries': [[4, float('nan'), ['noop']]]},
        {'entries': [[4, 0.0, ['command', 1, 0, 0, 'act', {}]]]},
        {'entries': [[1, 0.0, ['noop']]]},
        {'entries': [[5, 0.0, ['noop']]]},
        {'entries': [[4, 0.0, ['noop']], [3, 0.0, ['noop']]]},
    ],
    ids=str,
)
def test_malformed_append_entries_is_invalid(wrong):
    """Types, signs and the order of terms are checked before anything is believed."""
    message = {**encode(HEARTBEAT), **wrong}
    with pytest.raises(InvalidMessage):
        decode_request(MessageKind.APPEND_ENTRIES, message)


@pytest.mark.parametrize('request_', REQUESTS, **by_type)
def test_missing_field_is_invalid(request_):
    """Every field without a default must be there."""
    message = encode(request_)
    for name in ('route', 'term', 'entries', 'payloads', 'request', 'last_log_term'):
        if name in message:
            broken = {key: value for key, value in message.items() if key != name}
            with pytest.raises(InvalidMessage):
                decode_request(KINDS[type(request_)], broken)


def test_configurations_cannot_be_proposed():
    """Commands and sessions only: membership has its own rules."""
    entry = encode(append_entries(term=1, prev=(0, 0), entries=log_of([1])))['entries'][0]
    message = {**encode(Propose(TO_A, [])), 'payloads': [entry[2]]}
    with pytest.raises(InvalidMessage):
        decode_request(MessageKind.PROPOSE, message)


@pytest.mark.parametrize(
    'back',
    [
        route('c', 'b'),
        route('a', 'c'),
        route('b', 'a'),
        type(TO_A)('another', 'a', 'a1', 'b', 'b1'),
        type(TO_A)('cluster', 'a', 'a2', 'b', 'b1'),
        type(TO_A)('cluster', 'a', 'a1', 'b', 'b2'),
    ],
    ids=str,
)
def test_reply_of_somebody_else_is_invalid(back):
    """An answer comes from the node, incarnation and cluster that was asked."""
    with pytest.raises(InvalidMessage):
        decode_reply(HEARTBEAT, encode(AppendEntriesReply(back, 4, 1, True)))


def test_inquiry_may_be_answered_by_any_incarnation_of_the_node():
    """It asks for the incarnation, so it cannot know it; the name must fit."""
    request = Inquire(type(TO_A)('cluster', 'b', 'b1', 'a', ''), 'r')
    reply = InquireReply(type(TO_A)('cluster', 'a', 'any', 'b', 'b1'), True)
    assert decode_reply(request, encode(reply)) == reply
    with pytest.raises(InvalidMessage):
        decode_reply(request, encode(InquireReply(route('c', 'b'), True)))


@pytest.mark.parametrize(
    ('request_', 'reply'),
    [(HEARTBEAT, VoteReply(BACK, 4, True)), (ReadIndex(TO_A), Accepted(BACK))],
    ids=['vote', 'accepted'],
)
def test_reply_of_another_kind_is_invalid(request_, reply):
    """Each request has its own replies."""
    with pytest.raises(InvalidMessage):
        decode_reply(request_, encode(reply))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@REPRODUCIBLE
@given(st.sampled_from(REQUESTS), st.data())
def test_whatever_comes_is_decoded_or_invalid(request_, data):
    """Nothing else is raised, whatever a peer puts into a field."""
    message = encode(request_)
    name = data.draw(st.sampled_from(sorted(message)))
    message[name] = data.draw(json_values)
    try:
        decoded = decode_request(KINDS[type(request_)], message)
    except InvalidMessage:
        return
    assert isinstance(decoded, type(request_) | Refused)
