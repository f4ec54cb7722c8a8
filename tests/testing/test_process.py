"""A simulated process: asyncio works in it, and its clock and its life are the test's."""

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any, TypeVar

import pytest

from consensual.testing.process import THREAD_TIME, Process
from consensual.testing.timeline import Timeline

Result = TypeVar('Result')


class Machine:
    """A timeline with processes on it.

    failures: what they reported.
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.failures: list[dict[str, Any]] = []

    def boot(self, name: str = 'process', *, origin: float = 0.0) -> Process:
        return Process(self.timeline, name, origin=origin, on_error=self.failures.append)

    def finish(self, process: Process, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Let time pass until it is done, at most a minute; return its result."""
        task = process.create_task(coroutine)
        assert self.timeline.run_until(task.done, 60.0)
        return task.result()


@pytest.fixture(name='machine')
def make_machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    gc.collect()  # what nobody awaited or retrieved is reported now


async def beat(process: Process, seen: list[float], seconds: float = 1.0) -> None:
    """Note what the clock shows, for ever."""
    while True:
        seen.append(process.time())
        await asyncio.sleep(seconds)


# asyncio in it


def test_sleep_takes_virtual_time(machine: Machine) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen = [loop.time()]
        for seconds in 0.0, 0.25, 10.0:
            await asyncio.sleep(seconds)
            seen.append(loop.time())
        return seen

    assert machine.finish(machine.boot(), main()) == [0.0, 0.0, 0.25, 10.25]
    assert machine.timeline.now == 10.25


def test_wait_for_and_timeout_end_what_takes_too_long(machine: Machine) -> None:
    async def main() -> list[object]:
        loop, seen = asyncio.get_running_loop(), list[object]()
        seen.append(await asyncio.wait_for(asyncio.sleep(1.0, 'in time'), 2.0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10.0), 2.0)
        seen.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.sleep(10.0)
        return [*seen, loop.time()]

    assert machine.finish(machine.boot(), main()) == ['in time', 3.0, 5.0]


def test_gather_wait_and_shield_work(machine: Machine) -> None:
    async def main() -> list[object]:
        gathered = await asyncio.gather(*(asyncio.sleep(3 - n, n) for n in range(3)))
        shielded = asyncio.ensure_future(asyncio.sleep(1.0, 'shielded'))
        waiting = asyncio.ensure_future(asyncio.shield(shielded))
        await asyncio.sleep(0.5)
        waiting.cancel()
        done, pending = await asyncio.wait([shielded, waiting], timeout=0.1)
        return [gathered, done == {waiting}, pending == {shielded}, await shielded]

    assert machine.finish(machine.boot(), main()) == [[0, 1, 2], True, True, 'shielded']


def test_locks_events_and_queues_work(machine: Machine) -> None:
    async def main() -> list[int]:
        queue, lock, event = asyncio.Queue[int](1), asyncio.Lock(), asyncio.Event()

        async def produce() -> None:
            await event.wait()
            for number in range(3):
                async with lock:
                    await queue.put(number)

        producing = asyncio.create_task(produce())
        event.set()
        got = [await queue.get() for _ in range(3)]
        await producing
        return got

    assert machine.finish(machine.boot(), main()) == [0, 1, 2]


def test_task_group_cancels_the_others_when_one_fails(machine: Machine) -> None:
    async def fail() -> None:
        await asyncio.sleep(1.0)
        raise ValueError('on purpose')

    async def main() -> list[float]:
        seen = list[float]()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(beat(process, seen, 0.4))

        with pytest.raises(ExceptionGroup, match='unhandled errors'):
            await both()
        return seen

    process = machine.boot()
    assert machine.finish(process, main()) == pytest.approx([0.0, 0.4, 0.8])
    assert machine.failures == []


def test_executor_makes_the_call_in_a_while_and_answers_then(machine: Machine) -> None:
    async def main() -> list[object]:
        loop, called = asyncio.get_running_loop(), list[object]()
        future = loop.run_in_executor(None, called.append, 1)
        called.append(future.done())
        await future
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return [*called, await asyncio.to_thread(pow, 2, 3)]

    assert machine.finish(machine.boot(), main()) == [False, 1, 8]


async def call_in_threads(count: int) -> list[tuple[int, float]]:
    """Return in which order they were made, and after how many seconds."""
    loop, made = asyncio.get_running_loop(), list[tuple[int, float]]()
    begun = loop.time()

    def call(number: int) -> None:
        made.append((number, loop.time() - begun))

    await asyncio.gather(*(asyncio.to_thread(call, number) for number in range(count)))
    return made


def test_calls_in_threads_overtake_each_other_and_some_take_long(machine: Machine) -> None:
    made = machine.finish(machine.boot(), call_in_threads(200))
    seconds = [at for _, at in made]
    assert [number for number, _ in made] != [*range(200)]
    assert 0.2 < max(seconds) <= THREAD_TIME
    assert 50 < sum(at < 0.02 for at in seconds) < 150


def test_times_of_threads_are_drawn_from_what_the_process_is_given(machine: Machine) -> None:
    def life(seed: int) -> list[tuple[int, float]]:
        process = Process(machine.timeline, random=Random(seed))
        return [
            (number, round(at, 6)) for number, at in machine.finish(process, call_in_threads(9))
        ]

    assert life(1) == life(1) != life(2)


def test_threads_stand_still_and_end_with_their_process(machine: Machine) -> None:
    process, called = machine.boot(), list[int]()
    process.run_in_executor(None, called.append, 1)
    process.pause()
    machine.timeline.run(1.0)
    assert called == []
    process.resume()
    machine.timeline.run(1.0)
    process.run_in_executor(None, called.append, 2)
    process.kill()
    machine.timeline.run(1.0)
    assert called == [1]


def test_call_in_a_thread_goes_on_although_nobody_waits(machine: Machine) -> None:
    process, called = machine.boot(), list[int]()
    process.run_in_executor(None, called.append, 1).cancel()
    machine.timeline.run(1.0)
    assert (called, machine.failures) == ([1], [])


def test_context_variables_are_kept_as_elsewhere(machine: Machine) -> None:
    """`asyncio.timeout` and others find the task that runs; a task has its own context."""

    async def main() -> tuple[bool, bool]:
        task = asyncio.current_task()
        return task in asyncio.all_tasks(), asyncio.get_running_loop() is process

    process = machine.boot()
    assert machine.finish(process, main()) == (True, True)


def test_exception_that_nobody_handles_is_reported(machine: Machine) -> None:
    process = machine.boot()
    process.call_soon(lambda: 1 // 0)
    future = process.create_future()
    future.set_exception(KeyError('never retrieved'))
    del future
    machine.timeline.run(1.0)
    gc.collect()
    errors = [type(failure['exception']) for failure in machine.failures]
    assert sorted(errors, key=str) == [KeyError, ZeroDivisionError]


def test_processes_take_turns_and_see_only_themselves(machine: Machine) -> None:
    seen = list[str]()

    async def main(process: Process) -> None:
        for _ in range(3):
            assert asyncio.get_running_loop() is process
            seen.append(process.name)
            await asyncio.sleep(0)

    for process in machine.boot('a'), machine.boot('b'):
        process.create_task(main(process))
    machine.timeline.run(0.0)
    assert ''.join(seen) == 'ababab'


@pytest.mark.asyncio
async def test_it_runs_inside_a_loop_that_runs(machine: Machine) -> None:
    """A test of pytest-asyncio lets a simulation go on; its own loop is there again after."""
    outer = asyncio.get_running_loop()

    async def main() -> object:
        await asyncio.sleep(10.0)
        return asyncio.get_running_loop()

    process = machine.boot()
    assert machine.finish(process, main()) is process
    assert asyncio.get_running_loop() is outer
    await asyncio.sleep(0)


# its clock


def test_clock_begins_anywhere_and_goes_at_its_rate(machine: Machine) -> None:
    process = machine.boot(origin=5000.0)
    process.set_clock_rate(2.0)
    machine.timeline.run(10.0)
    assert process.time() == 5020.0
    process.set_clock_rate(0.5)
    machine.timeline.run(10.0)
    assert process.time() == 5025.0


@pytest.mark.parametrize(('rate', 'instant'), [(2.0, 2.0), (1.0, 4.0), (0.5, 8.0)])
def test_timers_follow_the_clock(machine: Machine, rate: float, instant: float) -> None:
    process, rung = machine.boot(origin=77.0), list[float]()
    process.set_clock_rate(rate)
    process.call_later(4.0, lambda: rung.append(machine.timeline.now))
    machine.timeline.run(100.0)
    assert rung == pytest.approx([instant])


def test_pending_timers_follow_every_change_of_the_rate(machine: Machine) -> None:
    """8 s of its clock: 2 at the rate of 1, 4 at that of 4, and 2 at that of 0.5."""
    process, rung = machine.boot(origin=1.0), list[tuple[float, float]]()
    process.call_later(8.0, lambda: rung.append((machine.timeline.now, process.time())))
    for rate, seconds in (1.0, 2.0), (4.0, 1.0), (0.5, 100.0):
        process.set_clock_rate(rate)
        machine.timeline.run(seconds)
    assert rung == [pytest.approx((7.0, 9.0))]


def test_changing_the_rate_keeps_the_order_of_timers_and_revives_no_cancelled_one(
    machine: Machine,
) -> None:
    process, rung = machine.boot(), list[int]()
    timers = [process.call_later(10 - number, rung.append, number) for number in range(10)]
    timers[4].cancel()
    machine.timeline.run(0.5)
    process.set_clock_rate(3.0)
    timers[6].cancel()
    machine.timeline.run(0.1)
    process.set_clock_rate(1.0)
    machine.timeline.run(100.0)
    assert rung == [9, 8, 7, 5, 3, 2, 1, 0]


@pytest.mark.parametrize('rate', [1.0, 1.1, 0.7])
def test_timer_never_rings_before_its_time_is_shown(machine: Machine, rate: float) -> None:
    """However clocks are computed: whoever is called back must not have to wait again."""
    process, early = machine.boot(origin=98765.4321), list[float]()
    process.set_clock_rate(rate)

    def ring(when: float) -> None:
        if process.time() < when:
            early.append(when)

    for number in range(1, 1000):
        when = process.time() + number / 7
        process.call_at(when, ring, when)
    machine.timeline.run(1000.0)
    assert early == []


# its life


def test_paused_process_keeps_its_callbacks_and_runs_them_in_order(machine: Machine) -> None:
    process, rung = machine.boot(), list[tuple[str, float]]()

    def note(name: str) -> None:
        rung.append((name, machine.timeline.now))

    process.call_soon(note, 'soon')
    process.pause()
    process.call_later(2.0, note, 'in two')
    process.call_later(1.0, note, 'in one')
    machine.timeline.run(10.0)
    assert (rung, process.time()) == ([], 10.0)
    process.call_soon(note, 'late')
    process.resume()
    machine.timeline.run(0.0)
    assert rung == [(name, 10.0) for name in ('soon', 'in one', 'in two', 'late')]


def test_process_that_pauses_itself_stops_within_its_turn(machine: Machine) -> None:
    process, rung = machine.boot(), list[int]()
    for what in (lambda: rung.append(1)), process.pause, (lambda: rung.append(2)):
        process.call_soon(what)
    machine.timeline.run(1.0)
    assert rung == [1]
    process.resume()
    machine.timeline.run(0.0)
    assert rung == [1, 2]


def test_slow_process_takes_its_time_for_each_turn(machine: Machine) -> None:
    process, rung = machine.boot(), list[float]()

    async def main() -> None:
        for _ in range(3):
            rung.append(machine.timeline.now)
            await asyncio.sleep(0)
        await asyncio.sleep(10.0)
        rung.append(machine.timeline.now)

    process.slow_down(0.5)
    process.create_task(main())
    machine.timeline.run(20.0)
    assert rung == [0.0, 0.5, 1.0, 12.0]  # two turns after 1.5: the timer's, and the task's
    process.slow_down(0.0)
    rung.clear()
    process.create_task(main())
    machine.timeline.run(20.0)
    assert rung == [20.0, 20.0, 20.0, 30.0]


def test_killed_process_runs_nothing_more(machine: Machine) -> None:
    process, seen = machine.boot(), list[float]()
    process.create_task(beat(process, seen))
    machine.timeline.run(2.5)
    process.call_soon(seen.append, -1.0)
    process.call_later(1.0, seen.append, -2.0)
    process.kill()
    before = [*seen]
    process.call_soon(seen.append, -3.0)
    process.call_later(1.0, seen.append, -4.0)
    machine.timeline.run(10.0)
    assert before == seen == [0.0, 1.0, 2.0]
    assert (process.is_alive, process.is_closed(), machine.failures) == (False, True, [])


def test_killing_leaves_no_warning_behind(
    machine: Machine, recwarn: pytest.WarningsRecorder
) -> None:
    """No coroutine that was never awaited, no exception that was never retrieved."""

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            await asyncio.sleep(0)
            raise ValueError('while it is unwound')

    process = machine.boot()
    process.create_task(stubborn())
    machine.timeline.run(1.0)
    process.create_task(stubborn())
    future = process.create_future()
    future.set_exception(ValueError('nobody asked'))
    process.kill()
    del future
    machine.timeline.run(10.0)
    gc.collect()
    assert ([*recwarn], machine.failures) == ([], [])


def test_paused_or_slow_process_can_be_killed(machine: Machine) -> None:
    seen = list[float]()
    for process in machine.boot('paused'), machine.boot('slow'):
        process.create_task(beat(process, seen))
        machine.timeline.run(0.5)
        if process.name == 'paused':
            process.pause()
        process.slow_down(2.0)
        process.kill()
        process.resume()
    machine.timeline.run(10.0)
    assert seen == [0.0, 0.5]


def test_process_that_is_killed_by_its_own_code_ends_after_that_step(machine: Machine) -> None:
    process, seen = machine.boot(), list[str]()

    async def main() -> None:
        process.kill()
        seen.append('what follows at once still runs')
        await asyncio.sleep(0)
        seen.append('nothing after that does')

    process.create_task(main())
    process.call_soon(seen.append, 'nor what was ready')
    machine.timeline.run(10.0)
    assert seen == ['what follows at once still runs']
