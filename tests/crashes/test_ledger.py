"""The ledger tells what was applied: numbers in runs, what came twice, and the order."""

from itertools import permutations

from tests.crashes.ledger import Ledger, add, numbers_of


def test_numbers_come_to_the_same_runs_in_any_order() -> None:
    for numbers in permutations([1, 2, 3, 5, 6]):
        runs: list[list[int]] = []
        assert [add(runs, number) for number in numbers] == 5 * [True]
        assert runs == [[1, 3], [5, 6]]
        assert numbers_of(runs) == {1, 2, 3, 5, 6}
        assert [add(runs, number) for number in numbers] == 5 * [False]


def ledger_of(*numbers: int) -> Ledger:
    ledger = Ledger()
    for number in numbers:
        ledger.processors['put'](number)
    return ledger


def test_what_comes_twice_is_noted() -> None:
    ledger = ledger_of(1, 2, 1)
    assert (ledger.twice, ledger.count, ledger.runs) == ([1], 3, [[1, 2]])


def test_order_shows() -> None:
    assert ledger_of(1, 2).order != ledger_of(2, 1).order


def test_what_is_restored_goes_on_alike() -> None:
    """And nothing is shared: the snapshot stays as it was."""
    ledger, restored = ledger_of(1, 2, 9), ledger_of(4)
    snapshot = ledger.snapshot()
    restored.restore(snapshot)
    assert restored.snapshot() == snapshot
    for each in ledger, restored:
        each.processors['put'](3)
        each.processors['put'](1)
    assert restored.snapshot() == ledger.snapshot()
    assert snapshot == ledger_of(1, 2, 9).snapshot()
    ledger.reset()
    assert ledger.snapshot() == Ledger().snapshot()
