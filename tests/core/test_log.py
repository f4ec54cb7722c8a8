"""The log against a plain list; compacted, against the list and the place where it begins."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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


class CompactedLog(RuleBasedStateMachine):
    """A log under all that can happen to one, beside a list of what it still holds.

    base: index, term and stamp of the entry before the first one.
    """

    @initialize(base=st.tuples(st.integers(0, 9), st.integers(1, 3)), terms=terms)
    def begin(self, base, terms):
        index, term = base
        self.base = (index, term if index else 0, float(index))
        self.model = []
        self.log = Log((), *self.base)
        self.append(terms)

    @rule(more=st.lists(st.integers(0, 2), max_size=6).map(sorted))
    def append(self, more):
        least = self.model[-1].term if self.model else self.base[1]
        added = [
            Entry(max(1, least + term), float(self.last + place), command('x' * (7 * place % 50)))
            for place, term in enumerate(more, 1)
        ]
        self.log.append(added)
        self.model += added

    @rule(data=st.data())
    def truncate(self, data):
        first = data.draw(st.integers(self.base[0] + 1, self.last + 1))
        self.log.truncate(first)
        del self.model[first - self.base[0] - 1 :]

    @rule(data=st.data())
    def compact(self, data):
        index = data.draw(st.integers(self.base[0], self.last))
        dropped = index - self.base[0]
        if dropped:
            entry = self.model[dropped - 1]
            self.base = index, entry.term, entry.time
        self.log.compact(index)
        del self.model[:dropped]

    @rule(further=st.integers(0, 5), later=st.integers(0, 2))
    def replace(self, further, later):
        term = max(1, self.log.last_term + later)
        self.base = self.last + further, term if self.last + further else 0, 0.5
        self.model = []
        self.log.replace(*self.base)

    @rule()
    def erase(self):
        self.base, self.model = (0, 0, 0.0), []
        self.log.replace(*self.base)

    @property
    def last(self):
        return self.base[0] + len(self.model)

    @property
    def indexes(self):
        """Those of which the term is known."""
        return range(self.base[0], self.last + 1)

    @property
    def known_terms(self):
        return [self.base[1], *(entry.term for entry in self.model)]

    @invariant()
    def entries_are_those_of_the_list(self):
        first = self.base[0] + 1
        assert (self.log.base_index, self.log.first_index) == (self.base[0], first)
        assert (self.log.last_index, self.log.last_term) == (self.last, self.known_terms[-1])
        assert [*self.log.entries(first, self.last)] == self.model
        assert [self.log.entry_at(index) for index in self.indexes[1:]] == self.model

    @invariant()
    def terms_and_stamps_are_known_from_the_base_on(self):
        assert [self.log.term_at(index) for index in self.indexes] == self.known_terms
        stamps = [self.base[2], *(entry.time for entry in self.model)]
        assert [self.log.time_at(index) for index in self.indexes] == stamps

    @rule(index=st.integers(0, 40), term=st.integers(0, 12))
    def matches_only_what_is_known(self, index, term):
        known = dict(zip(self.indexes, self.known_terms, strict=True))
        assert self.log.matches(index, term) is (known.get(index) == term)

    @rule(term=st.integers(0, 12), data=st.data())
    def last_of_term_at_most(self, term, data):
        index = data.draw(st.sampled_from(self.indexes))
        known = [
            place
            for place, known in zip(self.indexes, self.known_terms, strict=True)
            if place <= index and known <= term
        ]
        expected = max(known, default=self.base[0] - 1)
        assert self.log.last_of_term_at_most(term, index) == expected

    @rule(data=st.data())
    def sizes_add_up(self, data):
        first = data.draw(st.integers(self.base[0] + 1, self.last + 1))
        last = data.draw(st.integers(self.base[0], self.last))
        chosen = self.model[first - self.base[0] - 1 : last - self.base[0]]
        assert self.log.size(first, last) == sum(payload_size(item.payload) for item in chosen)

    @rule(size=st.integers(0, 900), data=st.data())
    def what_fits_forward(self, size, data):
        if self.model:
            first = data.draw(st.sampled_from(self.indexes[1:]))
            fitting = [
                last for last in range(first, self.last + 1) if self.size(first, last) <= size
            ]
            assert min(self.log.last_within(first, size), self.last) == max(fitting, default=first)

    @rule(size=st.integers(0, 900), data=st.data())
    def what_fits_backward(self, size, data):
        last = data.draw(st.sampled_from(self.indexes))
        fitting = [
            first for first in range(self.base[0] + 1, last + 1) if self.size(first, last) <= size
        ]
        assert self.log.first_within(last, size) == min(fitting, default=last + 1)

    def size(self, first, last):
        chosen = self.model[first - self.base[0] - 1 : last - self.base[0]]
        return sum(payload_size(entry.payload) for entry in chosen)

    @rule(data=st.data())
    def what_was_compacted_away_is_not_made_up(self, data):
        if self.base[0]:
            index = data.draw(st.integers(1, self.base[0]))
            for ask in (self.log.entry_at, self.log.truncate, lambda at: self.log.entries(at, at)):
                with pytest.raises(InvariantViolated, match='compacted'):
                    ask(index)
        if self.base[0] > 1:
            index = data.draw(st.integers(1, self.base[0] - 1))
            for ask in (self.log.term_at, self.log.time_at, self.log.compact):
                with pytest.raises(InvariantViolated, match='compacted'):
                    ask(index)


TestCompactedLog = CompactedLog.TestCase
TestCompactedLog.settings = hypothesis_settings(REPRODUCIBLE, stateful_step_count=30)


@REPRODUCIBLE
@given(terms.filter(len), st.data())
def test_compaction_forgets_nothing_that_is_left(own_terms, data):
    """What follows the base is as it was; of the base itself, term and stamp are kept (§7)."""
    entries = [
        Entry(entry.term, float(index), entry.payload)
        for index, entry in enumerate(log_of(own_terms), 1)
    ]
    whole, log = Log(entries), Log(entries)
    base = data.draw(st.integers(0, len(entries)))
    log.compact(base)
    for index in range(base, len(entries) + 1):
        assert (log.term_at(index), log.time_at(index)) == (
            whole.term_at(index),
            whole.time_at(index),
        )
        assert log.size(index + 1, len(entries)) == whole.size(index + 1, len(entries))
    assert (log.last_index, log.last_term) == (whole.last_index, whole.last_term)
