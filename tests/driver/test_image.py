"""What is in a snapshot's data: any JSON comes back as it was, nothing else gets in (design §2)."""

import datetime as dt
import decimal
import json
import math
import uuid
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consensual.raft.core.log import Command
from consensual.raft.core.sessions import Session, Sessions
from consensual.raft.driver import image
from consensual.raft.driver.image import BATCH, Capture, decode, pieces, store
from consensual.raft.driver.outcome import Outcome
from consensual.raft.errors import OutcomeUnknown, ProcessorFailed, SnapshotFailed
from tests.cores import REPRODUCIBLE
from tests.readable import readable

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40
)


class Point(NamedTuple):
    x: int
    y: int


def encoded(state: Any, sessions: Any = ()) -> bytes:
    """Return the data of a snapshot with that state."""
    data, checksum = Capture(1, state, [*sessions]).encode()
    assert checksum == crc32(data)
    return data


def came_back(state: Any) -> Any:
    """Return what another node makes of that state."""
    return decode(encoded(state)).state


def grown(value: Any, size: int) -> Any:
    """Return the value among so many others, at each level that is encoded in pieces."""
    filler = [value] * size
    return {'list': [filler, value], **{f'{key}': {'': filler} for key in range(3)}, 'x': value}


class Colour(StrEnum):
    RED = 'red'


class Number(IntEnum):
    ONE = 1


@dataclass
class Strict:
    """Compares as many do: with another one of its kind or not at all."""

    x: int

    def __eq__(self, other: object) -> bool:
        return self.x == other.x  # type: ignore[attr-defined]

    __hash__ = None


@REPRODUCIBLE
@given(values)
@example(-0.0)
@example('\u2028\x00\U0001f600')
@example(10**400)
def test_any_json_value_comes_back_equal(value):
    """In type, too: an int is no float, and true is no number."""
    back = came_back(value)
    assert back == value
    assert json.dumps(back) == json.dumps(value)


@hypothesis_settings(REPRODUCIBLE, max_examples=25)
@given(values, st.sampled_from([1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH]))
def test_pieces_make_the_text_that_is_made_at_once(value, size):
    """However it is cut, it is one JSON text, that of the whole but for the ends of lines."""
    state = grown(value, size)
    plain = b'{"sessions":[],"state":' + msgspec.json.encode(state) + b'}'
    assert encoded(state).replace(b'\n', b'') == plain
    assert came_back(state) == state


@pytest.mark.parametrize('count', [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 5 * BATCH + 7])
@pytest.mark.parametrize('large', [0, 2 * BATCH])
def test_batches_meet_at_their_ends(count, large):
    """Objects and arrays, with and without an item that is cut itself, at any place."""
    for place in {0, count // 2, count - 1} if count else {0}:
        items = [[*range(large if at == place else 1)] for at in range(count)]
        assert came_back(items) == items
        keyed = {f'{at}"\\': item for at, item in enumerate(items)}
        assert came_back(keyed) == keyed
        assert [*came_back(keyed)] == [*keyed], 'in their order'


def test_deep_and_wide_is_cut_at_every_level():
    state: Any = 'leaf'
    for level in range(8):
        state = {'level': level, 'others': [[*range(BATCH + 1)], {}, []], 'next': [state, state]}
    assert came_back(state) == state


def test_pieces_are_short():
    """So that the loop gets its turn: none has more than a batch of small items."""
    state = {
        'keys': {f'{key}': key for key in range(10 * BATCH)},
        'lists': [[*range(4 * BATCH)], [*range(4 * BATCH)]],
    }
    assert max(map(len, pieces(state))) < 16 * BATCH
    assert b''.join(pieces(state)) == msgspec.json.encode(state)


@pytest.mark.parametrize(
    ('state', 'expected'),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        ({'a': (1,) * (BATCH + 1)}, {'a': [1] * (BATCH + 1)}),
        (OrderedDict(b=1, a=2), {'b': 1, 'a': 2}),
        (defaultdict(int, {'a': 1}), {'a': 1}),
        (Counter('aab'), {'a': 2, 'b': 1}),
        (Colour.RED, 'red'),
        (Number.ONE, 1),
        ([Colour.RED] * (BATCH + 1), ['red'] * (BATCH + 1)),
    ],
    ids=readable,
)
def test_what_is_as_good_as_json_comes_as_json(state, expected):
    """Tuples come as lists, subclasses as what they are."""
    back = came_back(state)
    assert (back, type(back)) == (expected, type(expected))


NOT_JSON = [
    math.nan,
    math.inf,
    -math.inf,
    {1, 2},
    frozenset(),
    b'bytes',
    bytearray(b'bytes'),
    memoryview(b'bytes'),
    {1: 'int key'},
    {None: 1},
    {True: 1},
    {1.5: 1},
    {(1, 2): 1},
    {'1': 1, 1: 2},
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.date(2026, 1, 1),
    dt.timedelta(1),
    uuid.UUID(int=1),
    decimal.Decimal('1.5'),
    object(),
    type,
    len,
    (item for item in ()),
    1 + 2j,
    '\ud800',
    {'\ud800': 1},
    Strict(1),
    ProcessorFailed('no'),
]


@pytest.mark.parametrize('value', NOT_JSON, ids=readable)
@pytest.mark.parametrize('size', [0, 1, BATCH + 1])
def test_what_json_cannot_carry_is_refused(value, size):
    """Wherever it stands, by itself or among many: the log is kept then."""
    for state in (value, [value], {'key': value}, grown(value, size)) if size else (value,):
        with pytest.raises(SnapshotFailed, match='snapshot\\(\\)'):
            encoded(state)


def test_cycle_is_refused():
    state: list[Any] = []
    state.append(state)
    with pytest.raises(SnapshotFailed):
        encoded(state)
    with pytest.raises(SnapshotFailed):
        encoded({'a': {'b': state}})


def nested(depth: int) -> Any:
    """Return a value so deep."""
    state: Any = 0
    for _ in range(depth):
        state = [state]
    return state


@pytest.mark.parametrize('cut', [False, True])
def test_whatever_is_taken_can_be_restored(cut):
    """A state too deep to be decoded must not take the log's place."""
    for depth in [*range(1, 200, 20), *range(850, 1100)]:
        state = nested(depth)
        if cut:
            state = {'a': [*range(2 * BATCH)], 'b': {'c': [*range(2 * BATCH), {'d': state}]}}
        try:
            data = encoded(state)
        except SnapshotFailed:
            continue
        decode(data)


def test_snapshot_that_is_too_large_is_refused(monkeypatch):
    """No peer would take its pieces, and no storage the whole."""
    monkeypatch.setattr(image, 'SNAPSHOT_LIMIT', 100)
    assert came_back('x' * 70)
    with pytest.raises(SnapshotFailed, match='100'):
        encoded('x' * 100)


@pytest.mark.parametrize(
    'data', [b'', b'null', b'{}', b'{"sessions":[]}', b'{"sessions":[],"state":', b'{"state":1}']
)
def test_what_is_no_snapshot_is_an_error(data):
    """Not an empty state."""
    with pytest.raises(msgspec.MsgspecError):
        decode(data)


@REPRODUCIBLE
@given(values, st.data())
def test_part_of_a_snapshot_is_an_error(value, data):
    """Wherever the data end; and whatever stands behind them."""
    whole = encoded(grown(value, BATCH + 1), store(tables().by_id))
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(msgspec.MsgspecError):
        decode(whole[:end])


# sessions


def tables() -> Sessions[Outcome]:
    """Return a table of sessions, of which one was used again."""
    sessions: Sessions[Outcome] = Sessions()
    for index in (3, 7, 9):
        sessions.open(index)
    sessions.by_id[3].outcomes[0] = Outcome({'a': [1, None]})
    sessions.by_id[3].outcomes[4] = Outcome(
        None, ProcessorFailed("processor 'x' raised ValueError")
    )
    sessions.by_id[7].lowest = 5
    return sessions


def restored(sessions: Sessions[Outcome]) -> Sessions[Outcome]:
    """Return the table that another node makes of it."""
    return decode(encoded(None, store(sessions.by_id))).sessions


def test_sessions_come_back_with_marks_and_outcomes():
    """Part of the replicated state (thesis §6.3)."""
    by_id = restored(tables()).by_id
    assert [*by_id] == [3, 7, 9]
    assert by_id[7].lowest == 5
    assert by_id[3].outcomes[0].value == {'a': [1, None]}
    failed = by_id[3].outcomes[4]
    assert isinstance(failed.error, ProcessorFailed)
    assert str(failed.error) == "processor 'x' raised ValueError"


@REPRODUCIBLE
@given(values)
def test_results_come_back_equal(value):
    """Any that JSON can carry."""
    sessions = tables()
    sessions.by_id[9].outcomes[1] = Outcome(value)
    outcome = restored(sessions).by_id[9].outcomes[1]
    assert (outcome.value, outcome.error) == (value, None)


@pytest.mark.parametrize('value', NOT_JSON, ids=readable)
def test_result_that_json_cannot_carry_is_known_to_be_lost(value):
    """The command is never applied again; its caller is told that the result is not known."""
    sessions = tables()
    sessions.by_id[9].outcomes[1] = Outcome(value)
    outcome = restored(sessions).by_id[9].outcomes[1]
    assert isinstance(outcome.error, OutcomeUnknown)
    assert 'was applied' in str(outcome.error)
    again = restored(restored(sessions)).by_id[9].outcomes[1]
    assert isinstance(again.error, OutcomeUnknown)


def test_results_are_kept_as_they_are_now():
    """Their callers may change them while the snapshot is being encoded."""
    sessions = tables()
    result = [1]
    sessions.by_id[9].outcomes[1] = Outcome(result)
    stored = store(sessions.by_id)
    result.append(2)
    assert decode(encoded(None, stored)).sessions.by_id[9].outcomes[1].value == [1]


def test_order_of_eviction_is_restored():
    """The same session goes first on every node, also on one that took over a snapshot."""
    sessions: Sessions[Outcome] = Sessions(3)
    for index in (3, 7, 9):
        sessions.open(index)
    assert sessions.find(Command(3, 0, 0, 'x', '0')) is not None
    assert [*restored(sessions).by_id] == [*sessions.by_id] == [7, 9, 3]


def test_many_sessions_are_stored():
    sessions: Sessions[Outcome] = Sessions()
    for index in range(1024):
        sessions.open(index)
        sessions.by_id[index].outcomes[0] = Outcome(index)
    by_id = restored(sessions).by_id
    assert {index: session.outcomes[0].value for index, session in by_id.items()} == {
        index: index for index in range(1024)
    }
    assert isinstance(by_id[0], Session)
