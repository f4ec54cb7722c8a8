"""The log against a plain list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensual.raft.core.log import Entry, Log, NoOp, payload_size
from consensual.raft.errors import InvariantViolated
from tests.cores import REPRODUCIBLE, command, log_of

terms = st.lists(st.integers(1, 5), max_size=12).map(sorted)
texts = st.integers(0, 60).map('x'.__mul__)


@st.composite
def histories(draw):
    """Draw a log and its list after some appends and truncations."""
    log, model = Log(), []
    for _ in range(draw(st.integers(1, 5))):
        least = model[-1].term if model else 1
        added = [
            Entry(least + more, 0.0, command(draw(texts)))
            for more in sorted(draw(st.lists(st.integers(0, 3), max_size=6)))
        ]
        log.append(added)
        model += added
        first = draw(st.integers(1, len(model) + 1))
        log.truncate(first)
        del model[first - 1 :]
    return log, model


@REPRODUCIBLE
@given(histories())
def test_log_is_the_list_of_its_entries(history):
    """Appending and truncating leave what they leave of a list."""
    log, model = history
    assert log.last_index == len(model)
    assert log.last_term == (model[-1].term if model else 0)
    assert log.entries(1, log.last_index) == model
    assert [log.entry_at(index) for index in range(1, len(model) + 1)] == model


@REPRODUCIBLE
@given(histories())
def test_terms_of_all_indexes(history):
    """Index 0 has term 0 in every log; others have their entry's."""
    log, model = history
    assert [log.term_at(index) for index in range(len(model) + 1)] == [
        0,
        *(entry.term for entry in model),
    ]


@REPRODUCIBLE
@given(histories(), st.integers(0, 25), st.integers(0, 20))
def test_matches_only_an_entry_that_is_there(history, index, term):
    """The consistency check compares index and term (§5.3)."""
    log, model = history
    have = {0: 0, **{place: entry.term for place, entry in enumerate(model, 1)}}
    assert log.matches(index, term) is (have.get(index) == term)


@REPRODUCIBLE
@given(histories(), st.integers(0, 20), st.data())
def test_last_of_term_at_most(history, term, data):
    """The largest index up to the given one whose term is not above the given one."""
    log, model = history
    index = data.draw(st.integers(0, len(model)))
    expected = max(
        (place for place in range(index + 1) if log.term_at(place) <= term),
    )
    assert log.last_of_term_at_most(term, index) == expected


@REPRODUCIBLE
@given(histories(), st.data())
def test_size_of_a_range(history, data):
    """Sizes add up, of any range, the empty one included."""
    log, model = history
    first = data.draw(st.integers(1, len(model) + 1))
    last = data.draw(st.integers(0, len(model)))
    expected = sum(payload_size(entry.payload) for entry in model[first - 1 : last])
    assert log.size(first, last) == expected


@REPRODUCIBLE
@given(histories(), st.integers(0, 1500), st.data())
def test_last_within_a_size(history, size, data):
    """As many entries as fit, but at least one."""
    log, model = history
    if not model:
        return
    first = data.draw(st.integers(1, len(model)))
    fitting = [last for last in range(first, len(model) + 1) if log.size(first, last) <= size]
    assert log.last_within(first, size) == max(fitting, default=first)


@REPRODUCIBLE
@given(terms, st.data())
def test_entries_are_a_slice(own_terms, data):
    """Both ends are included."""
    entries = log_of(own_terms)
    first = data.draw(st.integers(1, len(entries) + 1))
    last = data.draw(st.integers(0, len(entries)))
    assert Log(entries).entries(first, last) == entries[first - 1 : max(last, first - 1)]


def test_terms_never_decrease_along_a_log():
    """An entry of an earlier term after a later one breaks log matching (§5.3)."""
    log = Log([Entry(3, 0.0, NoOp())])
    with pytest.raises(InvariantViolated):
        log.append([Entry(2, 0.0, NoOp())])
