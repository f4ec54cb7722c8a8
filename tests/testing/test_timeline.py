"""Virtual time: what is planned happens in order, and nothing else ever does."""

import pytest

from consensual.testing.timeline import Stuck, Timeline


class Ready:
    """Notes its runs; each asks for another one, as often as it is told."""

    def __init__(self, timeline: Timeline, name: str, happened: list[object], runs: int) -> None:
        self._timeline, self._name = timeline, name
        self._happened, self._runs = happened, runs
        timeline.make_ready(self)

    def run(self) -> None:
        self._happened.append((self._timeline.now, self._name))
        self._runs -= 1
        if self._runs:
            self._timeline.make_ready(self)


def test_what_is_planned_happens_in_the_order_of_its_instants() -> None:
    timeline, happened = Timeline(), list[str]()
    for instant, name in (3.0, 'third'), (1.0, 'first'), (2.0, 'second'):
        timeline.call_at(instant, happened.append, name)
    timeline.run(10.0)
    assert happened == ['first', 'second', 'third']


def test_what_is_planned_for_one_instant_happens_in_the_order_of_planning() -> None:
    timeline, happened = Timeline(), list[int]()
    for number in range(20):
        timeline.call_at(1.0, happened.append, number)
    timeline.run(1.0)
    assert happened == [*range(20)]


def test_time_jumps_to_the_next_instant_and_stops_at_the_end() -> None:
    timeline, seen = Timeline(), list[float]()
    for instant in 0.5, 3600.0, 3600.5:
        timeline.call_at(instant, lambda: seen.append(timeline.now))
    timeline.run(3600.0)
    assert (seen, timeline.now, timeline.steps) == ([0.5, 3600.0], 3600.0, 2)
    timeline.run(1.0)
    assert (seen[2:], timeline.now) == ([3600.5], 3601.0)


def test_what_is_planned_for_the_past_happens_now() -> None:
    timeline, seen = Timeline(), list[float]()
    timeline.run(5.0)
    timeline.call_at(1.0, lambda: seen.append(timeline.now))
    timeline.call_later(-2.0, lambda: seen.append(timeline.now))
    timeline.run(0.0)
    assert seen == [5.0, 5.0]


def test_a_callback_may_plan_another_for_the_same_instant() -> None:
    timeline, seen = Timeline(), list[str]()

    def first() -> None:
        seen.append('first')
        timeline.call_later(0.0, seen.append, 'last')

    timeline.call_at(1.0, first)
    timeline.call_at(1.0, seen.append, 'second')
    timeline.run(1.0)
    assert seen == ['first', 'second', 'last']


def test_whoever_is_ready_runs_in_turn_before_time_goes_on() -> None:
    timeline, happened = Timeline(), list[object]()
    timeline.call_at(0.0, happened.append, 'planned')
    Ready(timeline, 'a', happened, runs=2)
    Ready(timeline, 'b', happened, runs=3)
    timeline.run(1.0)
    assert happened == [*[(0.0, name) for name in 'ababb'], 'planned']


def test_run_until_stops_as_soon_as_it_is_true() -> None:
    timeline, happened = Timeline(), list[int]()
    for number in range(5):
        timeline.call_at(number, happened.append, number)
    assert timeline.run_until(lambda: 2 in happened, 100.0)
    assert (happened, timeline.now) == ([0, 1, 2], 2.0)
    assert timeline.run_until(lambda: True, 0.0)
    assert timeline.steps == 3


def test_run_until_gives_up_at_its_limit() -> None:
    timeline = Timeline()
    timeline.call_at(7.0, lambda: None)
    assert not timeline.run_until(lambda: False, 3.0)
    assert (timeline.now, timeline.steps) == (3.0, 0)


def test_waiting_for_what_never_comes_is_an_error() -> None:
    timeline = Timeline()
    timeline.call_at(1.0, lambda: None)
    with pytest.raises(Stuck, match='nothing is planned any more'):
        timeline.run_until(lambda: False, 100.0)
    assert timeline.now == 1.0


def test_a_run_within_a_run_does_not_turn_time_back() -> None:
    """A callback that lets time pass itself may pass the end of the run that called it."""
    timeline, seen = Timeline(), list[float]()
    timeline.call_at(1.0, timeline.run, 5.0)
    timeline.call_at(3.0, lambda: seen.append(timeline.now))
    timeline.run(2.0)
    assert (seen, timeline.now) == ([3.0], 6.0)
