"""Snapshots in simulated clusters: what is wrong with one is found, on nodes broken on purpose.

Each scenario is also played on the nodes as they are, and there breaks nothing. Turns made by
hand, one for each way to break an invariant, are in `broken_snapshots`.
"""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from consensual.raft.core import snapshots
from consensual.raft.core.effects import Snapshot
from consensual.raft.core.events import SnapshotTaken
from consensual.raft.core.log import Log
from consensual.raft.core.state import State
from consensual.testing import Blow, Simulation, play, settle
from consensual.testing.faults import TakeSnapshot

Patch = pytest.MonkeyPatch
EVERY = 10


class Tally:
    """A total that amounts are added to; it can be put down and restored."""

    def __init__(self) -> None:
        self.total = 0
        self.processors = {'add': self._add}
        self.queries: dict[str, Callable[[Any], Any]] = {}

    def reset(self) -> None:
        self.total = 0

    def snapshot(self) -> Any:
        return self.total

    def restore(self, value: Any) -> None:
        self.total = value

    def _add(self, amount: int) -> int:
        self.total += amount
        return self.total


class HalfRestored(Tally):
    """Takes over something else than what was put down."""

    def restore(self, value: Any) -> None:
        self.total = value // 2


class Lasting:
    """Has no snapshots: its log is kept."""

    def __init__(self) -> None:
        self.total = 0
        self.processors = {'add': lambda amount: amount}

    def reset(self) -> None:
        self.total = 0


def add(simulation: Simulation, count: int) -> None:
    for _ in range(count):
        assert simulation.leader is not None
        simulation.leader.execute('add', 1).result()


# What happens.


def many_are_added(simulation: Simulation) -> None:
    add(simulation, 3 * EVERY)
    simulation.run(1.0)


def one_is_away(simulation: Simulation) -> None:
    """It lacks what was dropped meanwhile, and is sent a snapshot."""
    simulation['n3'].crash()
    simulation.run(2.0)
    many_are_added(simulation)
    assert simulation.leader is not None
    had = simulation['n3'].disk.contents.last_index
    assert simulation.leader.disk.contents.first_index > had + 1
    simulation['n3'].restart()
    simulation.run(3.0)
    add(simulation, 1)
    simulation.run(1.0)


def one_comes_back_under_another_leader(simulation: Simulation) -> None:
    """Its log has the last entry of the leader's snapshot, and is shorter than the leader's."""
    add(simulation, EVERY + 4)
    for node in simulation:
        if node.name != 'n3':
            node.take_snapshot().result()
    simulation['n3'].crash()
    add(simulation, 2)
    assert simulation.leader is not None
    (other,) = (name for name in ('n1', 'n2') if name != simulation.leader.name)
    simulation.leader.transfer_leadership(other).result()
    simulation['n3'].restart()
    simulation.run(3.0)


# What is broken.


def snapshots_are_dated_back(patch: Patch) -> None:
    original = snapshots.take

    def take(state: State, event: SnapshotTaken) -> None:
        original(state, replace(event, index=event.index - 1))

    patch.setattr(snapshots, 'take', take)


def first_snapshots_stay(patch: Patch) -> None:
    original, first = State.compact, dict[str, Snapshot]()

    def compact(state: State, snapshot: Snapshot, base_index: int) -> None:
        original(state, snapshot, base_index)
        if snapshot.index > 2 * EVERY:
            state.snapshot = first.setdefault(state.incarnation, snapshot)
        else:
            first.setdefault(state.incarnation, snapshot)

    patch.setattr(State, 'compact', compact)


def log_is_dropped_behind_the_snapshot(patch: Patch) -> None:
    original = State.compact

    def compact(state: State, snapshot: Snapshot, _: int) -> None:
        original(state, replace(snapshot, index=snapshot.index - 1), snapshot.index)

    patch.setattr(State, 'compact', compact)


def whole_log_is_dropped(patch: Patch) -> None:
    """Whoever is behind is sent a snapshot, and installs it whatever is in the log."""
    patch.setattr(Log, 'last_of_term_at_most', lambda *_: 0)
    patch.setattr(snapshots, 'install', State.install)


CASES = [
    (snapshots_are_dated_back, many_are_added, 'snapshot_is_of_what_was_applied'),
    (first_snapshots_stay, many_are_added, 'snapshots_never_go_back'),
    (
        log_is_dropped_behind_the_snapshot,
        many_are_added,
        'entries_are_dropped_for_a_snapshot',
    ),
    (whole_log_is_dropped, one_comes_back_under_another_leader, 'matching_tail_is_kept'),
]


def found_in(
    make: Callable[[], Any], scenario: Callable[[Simulation], None], seed: int = 0
) -> set[str]:
    """Return the names of the invariants that are broken; what ends early is no matter."""
    simulation = Simulation(make, seed=seed, snapshot_every=EVERY, is_traced=False)
    try:
        simulation.found(3)
        try:
            scenario(simulation)
        except Exception:
            if not simulation.broken:
                raise
        return {broken.invariant for broken in simulation.broken}
    finally:
        simulation.close()


@pytest.mark.parametrize(
    ('breaks', 'scenario', 'invariant'), CASES, ids=[invariant for *_, invariant in CASES]
)
def test_broken_snapshots_are_found(
    breaks: Callable[[Patch], None],
    scenario: Callable[[Simulation], None],
    invariant: str,
    monkeypatch: Patch,
) -> None:
    breaks(monkeypatch)
    assert invariant in found_in(Tally, scenario)


@pytest.mark.parametrize(
    'scenario', [many_are_added, one_is_away, one_comes_back_under_another_leader]
)
def test_nothing_is_found_where_nothing_is_broken(
    scenario: Callable[[Simulation], None],
) -> None:
    assert found_in(Tally, scenario) == set()


def test_state_that_is_restored_wrongly_is_found() -> None:
    """It is the user's fault, and shows in the state after the next command."""
    assert 'applied_is_the_same_everywhere' in found_in(HalfRestored, one_is_away)


def test_nodes_take_snapshots_every_so_many_entries() -> None:
    with Simulation(Tally, snapshot_every=EVERY) as simulation:
        simulation.found(3)
        many_are_added(simulation)
        for node in simulation:
            contents = node.disk.contents
            assert contents.snapshot is not None
            assert contents.snapshot.index == node.status.snapshot_index > EVERY
            assert 1 < contents.first_index <= contents.snapshot.index
            assert contents.first_index + len(contents.entries) - 1 == contents.last_index
        settle(simulation)


def test_snapshot_is_taken_when_a_schedule_says_so() -> None:
    with Simulation(Tally) as simulation:
        simulation.found(3)
        add(simulation, 3)
        play(simulation, [Blow(0.0, TakeSnapshot('n2'))])
        simulation.run(1.0)
        taken = [node.status.snapshot_index for node in simulation]
        assert taken[1] > 0
        assert (taken[0], taken[2]) == (0, 0)


def test_machine_without_snapshots_is_let_alone() -> None:
    with Simulation(Lasting, snapshot_every=EVERY) as simulation:
        simulation.found(3)
        play(simulation, [Blow(0.0, TakeSnapshot('n2'))])
        many_are_added(simulation)
        assert [node.status.snapshot_index for node in simulation] == [0, 0, 0]
        assert simulation['n1'].disk.contents.first_index == 1
