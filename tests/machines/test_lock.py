"""Lock: who holds what, for how long, and by which token (docs/machines.md)."""

from typing import Any

import pytest

from consensual.machines import Lock
from consensual.raft import StateMachine
from consensual.raft.errors import InvalidParameters
from tests.machines.driven import Driven


@pytest.fixture(name='locks')
def make_locks() -> Driven:
    locks = Driven(Lock())
    locks.wait(1000.0)
    return locks


def answer(acquired: bool, owner: str, token: int, remaining: float) -> Any:
    return {'acquired': acquired, 'owner': owner, 'token': token, 'remaining': remaining}


def test_is_a_state_machine() -> None:
    """What a node asks of one, and what compaction needs."""
    lock = Lock()
    assert isinstance(lock, StateMachine)
    assert callable(lock.snapshot)
    assert callable(lock.restore)
    assert set(lock.processors) == {'acquire', 'renew', 'release'}
    assert set(lock.queries) == {'holder'}


def test_first_to_ask_has_it_and_others_are_told_who(locks: Driven) -> None:
    """And for how long, by the time of their command."""
    assert locks.acquire(name='a', owner='x', ttl=10) == answer(True, 'x', 1, 10.0)
    locks.wait(4)
    assert locks.acquire(name='a', owner='y', ttl=10) == answer(False, 'x', 1, 6.0)
    assert locks.acquire(name='b', owner='y', ttl=10) == answer(True, 'y', 3, 10.0)
    assert locks.holder(name='a') == {'owner': 'x', 'token': 1}
    assert locks.holder(name='c') is None


def test_lock_is_free_once_it_is_released(locks: Driven) -> None:
    """The next holder has a greater token."""
    locks.acquire(name='a', owner='x', ttl=10)
    assert locks.release(name='a', token=1) == {'released': True}
    assert locks.holder(name='a') is None
    assert locks.release(name='a', token=1) == {'released': False}
    assert locks.acquire(name='a', owner='y', ttl=10) == answer(True, 'y', 4, 10.0)


def test_lock_is_free_once_its_lease_is_over(locks: Driven) -> None:
    """At the very instant; who had it can neither renew nor release it."""
    locks.acquire(name='a', owner='x', ttl=10)
    locks.wait(9.5)
    assert locks.acquire(name='a', owner='y', ttl=10)['acquired'] is False
    locks.wait(0.5)
    assert locks.renew(name='a', token=1, ttl=10) == {'renewed': False}
    assert locks.release(name='a', token=1) == {'released': False}
    assert locks.acquire(name='a', owner='y', ttl=10) == answer(True, 'y', 5, 10.0)
    assert locks.renew(name='a', token=1, ttl=10) == {'renewed': False}
    assert locks.release(name='a', token=1) == {'released': False}
    assert locks.holder(name='a') == {'owner': 'y', 'token': 5}


def test_renewed_lock_is_held_from_then_on(locks: Driven) -> None:
    """By the same token."""
    locks.acquire(name='a', owner='x', ttl=10)
    locks.wait(9)
    assert locks.renew(name='a', token=1, ttl=5) == {'renewed': True}
    locks.wait(4)
    assert locks.acquire(name='a', owner='y', ttl=10) == answer(False, 'x', 1, 1.0)
    locks.wait(1)
    assert locks.acquire(name='a', owner='y', ttl=10)['acquired'] is True


def test_holder_who_asks_again_keeps_his_token(locks: Driven) -> None:
    """So that whoever does not know what became of his command may repeat it."""
    locks.acquire(name='a', owner='x', ttl=10)
    locks.wait(5)
    assert locks.acquire(name='a', owner='x', ttl=10) == answer(True, 'x', 1, 10.0)
    locks.wait(10)
    assert locks.acquire(name='a', owner='x', ttl=10) == answer(True, 'x', 3, 10.0)


def test_restored_locks_are_held_as_before(locks: Driven) -> None:
    """Owners, tokens and leases."""
    locks.acquire(name='a', owner='x', ttl=10)
    locks.acquire(name='b', owner='x', ttl=20)
    copy = locks.copy(Lock())
    for each in locks, copy:
        each.wait(10)
        assert each.acquire(name='a', owner='y', ttl=1) == answer(True, 'y', 3, 1.0)
        assert each.acquire(name='b', owner='y', ttl=1) == answer(False, 'x', 2, 10.0)
    assert copy.machine.snapshot() == locks.machine.snapshot()
    copy.machine.reset()
    assert copy.machine.snapshot() == Lock().snapshot()


@pytest.mark.parametrize(
    ('name', 'parameters', 'text'),
    [
        ('acquire', None, r'acquire takes \{name, owner, ttl\}: Expected `object`, got `null`'),
        ('acquire', {'name': 'a', 'owner': 'x'}, 'missing required field `ttl`'),
        ('acquire', {'name': 'a', 'owner': 'x', 'ttl': None}, 'Expected `float`, got `null`'),
        ('acquire', {'name': '', 'owner': 'x', 'ttl': 1}, '`name` takes 1 to 1024 bytes'),
        ('acquire', {'name': 'a', 'owner': '', 'ttl': 1}, '`owner` takes 1 to 1024 bytes'),
        ('acquire', {'name': 'a', 'owner': 'x', 'ttl': 0}, 'Expected `float` > 0.0'),
        ('renew', {'name': 'a', 'ttl': 1}, 'missing required field `token`'),
        ('renew', {'name': 'a', 'token': 0, 'ttl': 1}, 'Expected `int` >= 1'),
        ('renew', {'name': 'a', 'owner': 'x', 'token': 1, 'ttl': 1}, 'unknown field `owner`'),
        ('release', {'name': 'a'}, r'release takes \{name, token\}: .* field `token`'),
        ('release', {'name': 'x' * 1025, 'token': 1}, '`name` takes 1 to 1024 bytes'),
        ('holder', 'a', r'holder takes \{name\}: Expected `object`, got `str`'),
    ],
)
def test_malformed_parameters_are_refused_and_change_nothing(
    locks: Driven, name: str, parameters: Any, text: str
) -> None:
    """Not even time passes."""
    locks.acquire(name='a', owner='x', ttl=10)
    locks.wait(20)
    before = locks.machine.snapshot()
    call = locks.machine.queries.get(name) or (lambda given: locks.do(name, given))
    with pytest.raises(InvalidParameters, match=text):
        call(parameters)
    assert locks.machine.snapshot() == before
