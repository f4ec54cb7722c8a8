"""The judge finds everything that may be wrong with a cluster that is back."""

from typing import Any

from tests.crashes.judge import Judge
from tests.crashes.ledger import Ledger


def state_of(*numbers: int, **changed: Any) -> Any:
    ledger = Ledger()
    for number in numbers:
        ledger.processors['put'](number)
    return ledger.snapshot() | changed


def judge_of(submitted: int, *acknowledged: int) -> Judge:
    judge = Judge()
    for number in range(1, submitted + 1):
        judge.submit(number)
    for number in acknowledged:
        judge.acknowledge(number)
    return judge


def test_what_was_acknowledged_and_some_of_the_rest_is_right() -> None:
    state = state_of(1, 2, 4)
    assert judge_of(5, 1, 2).look_at({'alice': state, 'bob': state}) == []


def test_lost_command_is_found() -> None:
    lost = judge_of(3, 1, 2).look_at({'alice': state_of(1, 3)})
    assert lost == ['alice: 1 commands were acknowledged and are not applied: 2, …']


def test_command_that_is_there_once_and_then_no_more_is_found() -> None:
    """Somebody read it, though its caller was not told."""
    judge = judge_of(2)
    assert judge.look_at({'alice': state_of(1, 2)}) == []
    (gone,) = judge.look_at({'alice': state_of(1)})
    assert gone == 'alice: 1 commands had been applied and are so no more: 2, …'


def test_command_that_is_applied_twice_is_found() -> None:
    twice = judge_of(2, 1).look_at({'alice': state_of(1, 2, 1)})
    assert twice[0] == 'alice: 1 commands are applied more than once: 1, …'
    assert twice[1] == 'alice: it counts 3 commands, and tells of 2'


def test_command_that_nobody_submitted_is_found() -> None:
    (invented,) = judge_of(2, 1).look_at({'alice': state_of(1, 3)})
    assert invented == 'alice: 1 commands were never submitted and are applied: 3, …'


def test_states_that_differ_are_found() -> None:
    """Here only by the order."""
    (differing,) = judge_of(2, 1, 2).look_at({'alice': state_of(1, 2), 'bob': state_of(2, 1)})
    assert differing.startswith('the state of bob is not that of alice: {')
