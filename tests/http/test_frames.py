"""Frames: messages come out as they went in, whatever else is sent; anything else is no frame."""

import tracemalloc
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consensual.http.frames import (
    FRAME,
    FRAME_LIMIT,
    MESSAGE_LIMIT,
    UNFINISHED_COUNT,
    BadFrame,
    Inbox,
    Outbox,
)
from tests.cores import REPRODUCIBLE

messages = st.tuples(
    st.integers(-(2**63), 2**63 - 1), st.integers(-5, 20), st.binary(max_size=3 * FRAME)
)


def arrived(outbox: Outbox, inbox: Inbox) -> list[tuple[int, int, bytes]]:
    """Send all that waits; return what arrives, in its order."""
    got = []
    while outbox:
        frame = outbox.frame()
        assert len(frame) < FRAME_LIMIT
        got += [(message.number, message.kind, message.data) for message in inbox.take(frame)]
    return got


@REPRODUCIBLE
@given(st.lists(messages, unique_by=lambda message: message[0]))
def test_messages_come_out_as_they_went_in(sent):
    outbox, inbox = Outbox(), Inbox()
    for message in sent:
        outbox.put(*message)
    assert sorted(arrived(outbox, inbox)) == sorted(sent)


def test_small_message_overtakes_a_large_one():
    """A heartbeat does not wait for the snapshot before it."""
    outbox = Outbox()
    outbox.put(1, 1, b'x' * 10 * FRAME)
    outbox.put(2, 1, b'y')
    got = arrived(outbox, Inbox())
    assert [number for number, _, _ in got] == [2, 1]


def test_many_small_messages_share_a_frame():
    outbox, inbox = Outbox(), Inbox()
    for number in range(100):
        outbox.put(number, 1, b'x' * 100)
    assert len(list(inbox.take(outbox.frame()))) == 100
    assert not outbox


@REPRODUCIBLE
@given(st.binary())
@example(b'')
@example(b'\xdd\xff\xff\xff\xff')
@example(b'\x91' * 10_000)
def test_any_bytes_are_frames_or_are_refused(data):
    """And nothing else happens."""
    inbox = Inbox()
    for _ in range(2):
        with suppress(BadFrame):
            list(inbox.take(data))


def frame_of(*parts: tuple[int, int, int, bytes]) -> bytes:
    return msgspec.msgpack.encode(parts)


@pytest.mark.parametrize(
    'frames',
    [
        [frame_of((1, 1, MESSAGE_LIMIT, b'x'))],
        [frame_of((1, 1, -1, b'x'))],
        [frame_of((1, 1, 2**62, b'x'))],
        [frame_of((1, 1, 5, b'x')), frame_of((1, 1, 5, b'x'))],
        [frame_of((1, 1, 5, b'x')), frame_of((1, 2, 4, b'x'))],
        [frame_of((1, 1, 5, b'x')), frame_of((1, 1, 5, b''))],
        [frame_of((1, 1, 0, 'text'))],
        [frame_of(*((number, 1, 5, b'') for number in range(2 * UNFINISHED_COUNT)))],
        [frame_of((n, 1, 1, b'x' * (MESSAGE_LIMIT - 1))) for n in range(5)],
    ],
    ids=range(9),
)
def test_more_than_a_peer_may_send_is_refused(frames):
    """So memory stays bounded."""
    inbox = Inbox()
    *before, last = frames
    for frame in before:
        list(inbox.take(frame))
    with pytest.raises(BadFrame):
        list(inbox.take(last))


def test_tiny_parts_take_no_more_memory_than_their_bytes():
    """A message of which each part has one byte is kept as one, not as thousands."""
    count, step = 1 << 16, 1 << 12
    inbox = Inbox()
    tracemalloc.start()
    try:
        for begin in range(count, 0, -step):
            parts = [(1, 1, rest, b'x') for rest in range(begin, begin - step, -1)]
            assert list(inbox.take(msgspec.msgpack.encode(parts))) == []
        del parts
        assert tracemalloc.get_traced_memory()[0] < 8 * count
    finally:
        tracemalloc.stop()
    parts = [(1, 1, 0, b'x')]
    (whole,) = inbox.take(msgspec.msgpack.encode(parts))
    assert whole.data == b'x' * (count + 1)
