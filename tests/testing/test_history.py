"""The recorder: instants, outcomes, and what is kept in a file."""

import asyncio
from itertools import count, repeat
from math import inf

import pytest

from consensual.raft import errors
from consensual.testing import (
    Counter,
    History,
    NotDone,
    Operation,
    Raised,
    Register,
    Returned,
    Unknown,
    check,
    outcome_of,
)
from tests.readable import readable

async_test = pytest.mark.asyncio


async def give(result):
    """A call that returns."""
    return result


async def fail(error):
    """A call that raises."""
    raise error


@async_test
async def test_call_is_recorded_with_its_instants_and_result():
    """The recorder reads the clock at the call and at the return, and passes the result on."""
    history = History(count(1).__next__)
    assert await history.record('a', ('get',), give(5)) == 5
    assert list(history) == [Operation('a', ('get',), Returned(5), 1, 2)]


@async_test
async def test_output_is_what_the_model_knows_of_the_result():
    """A result may hold more than the model speaks of."""
    history = History()
    result = await history.record('a', ('get',), give({'total': 5}), output=lambda it: it['total'])
    assert result == {'total': 5}
    assert next(iter(history)).outcome == Returned(5)


@pytest.mark.parametrize(
    ('error', 'outcome'),
    [
        (errors.OutcomeUnknown('who knows'), Unknown('who knows')),
        (errors.ProcessorFailed('add raised'), Raised('add raised')),
        (errors.NoLeader('nobody'), NotDone('nobody')),
        (errors.InvalidParameters('no JSON'), NotDone('no JSON')),
        (TimeoutError(), Unknown('TimeoutError')),
        (asyncio.CancelledError(), Unknown('CancelledError')),
        (RuntimeError('bug'), Unknown('bug')),
    ],
    ids=lambda it: type(it).__name__,
)
@async_test
async def test_error_says_what_became_of_the_operation(error, outcome):
    """Only this library's errors promise that nothing was done; the caller gets each of them."""
    assert outcome_of(error) == outcome
    history = History()
    with pytest.raises(type(error)):
        await history.record('a', ('add', 1), fail(error))
    assert next(iter(history)).outcome == outcome


@async_test
async def test_errors_of_other_clients_can_be_told_apart():
    """Who talks to the cluster through something else knows its errors."""
    history = History(outcome_of=lambda error: NotDone(f'refused: {error}'))
    with pytest.raises(ConnectionRefusedError):
        await history.record('a', ('add', 1), fail(ConnectionRefusedError('port')))
    assert next(iter(history)).outcome == NotDone('refused: port')


@async_test
async def test_task_is_not_recorded():
    """It may have begun before, and its effect would seem to precede its call."""
    task = asyncio.ensure_future(give(1))
    with pytest.raises(TypeError, match='give the coroutine itself'):
        await History().record('a', ('get',), task)
    await task


def test_operation_that_has_not_ended_is_unknown():
    """The system may still do it."""
    history = History(count(1).__next__)
    history.begin('a', ['write', [1, {'b': [2]}]])
    (operation,) = history
    assert isinstance(operation.outcome, Unknown)
    assert operation.returned == inf
    assert operation.request == ('write', (1, {'b': (2,)}))
    assert hash(operation.request)


def test_order_is_kept_when_the_clock_stands_still():
    """Under virtual time much happens at one instant: what ended first is still before."""
    history = History(repeat(7.0).__next__)
    for request, output in ((('write', 1), None), (('read',), None)):
        history.end(history.begin('a', request), Returned(output))
    instants = [instant for each in history for instant in (each.called, each.returned)]
    assert instants == sorted(set(instants))
    assert instants == pytest.approx([7.0] * 4)
    assert not check(history, Register()).is_linearizable


def test_operation_ends_once():
    """Two outcomes of one operation are a mistake of who records."""
    history = History()
    number = history.begin('a', ('get',))
    history.end(number, Returned(0))
    with pytest.raises(ValueError, match='ended before'):
        history.end(number, Returned(1))
    with pytest.raises(ValueError, match='never begun'):
        history.end(9, Returned(1))


def test_operation_does_not_return_before_its_call():
    """Instants of two clocks cannot be compared."""
    with pytest.raises(ValueError, match='one clock'):
        Operation('a', ('get',), Returned(0), 2, 1)


def make_history():
    history = History(count().__next__)
    outcomes = [Returned([1, {'a': None}]), Raised('ValueError'), NotDone('no'), Unknown('hm')]
    for client, outcome in enumerate(outcomes):
        history.end(history.begin(client, ('add', 'ünïcödé', [1.5])), outcome)
    history.begin('last', ('get',))
    return history


def test_history_is_kept_in_a_file(tmp_path):
    """What is loaded is what was saved, each outcome and instant; one line an operation."""
    history, path = make_history(), tmp_path / 'history.jsonl'
    history.save(path)
    loaded = History.load(path)
    assert list(loaded) == list(history)
    assert len(path.read_text().splitlines()) == len(history) == 5
    loaded.save(tmp_path / 'again')
    assert (tmp_path / 'again').read_text() == path.read_text()


@pytest.mark.parametrize('output', [{1: 2}, {1, 2}, float('nan'), object()], ids=readable)
def test_what_json_would_change_is_not_saved(output, tmp_path):
    """A file that does not say what was recorded would give another verdict."""
    history = History()
    history.end(history.begin('a', ('get',)), Returned(output))
    with pytest.raises(ValueError, match='JSON types'):
        history.save(tmp_path / 'history')
    assert not (tmp_path / 'history').exists()


@pytest.mark.parametrize('line', ['{', '[]', '{"client": 1}', '{"outcome": "lost"}'])
def test_line_that_is_no_operation_is_named(line, tmp_path):
    """A damaged file is refused at the line that is damaged."""
    path = tmp_path / 'history'
    make_history().save(path)
    path.write_text(path.read_text() + line + '\n')
    with pytest.raises(ValueError, match='line 6 is no operation'):
        History.load(path)


@async_test
async def test_concurrent_clients_are_recorded_and_checked():
    """The whole way: clients of a counter that loses updates, and one that does not."""
    for is_right in (True, False):
        history, total = History(), 0

        async def add(is_atomic=is_right):
            nonlocal total
            before = total
            await asyncio.sleep(0)
            total = (total if is_atomic else before) + 1
            return total

        await asyncio.gather(*(history.record(name, ('add', 1), add()) for name in 'abc'))
        assert check(history, Counter()).is_linearizable is is_right
