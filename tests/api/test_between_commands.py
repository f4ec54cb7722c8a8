"""The applier between two commands, and while it restores: what may happen then, and what not."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from consensual.raft import Entry, Snapshot
from consensual.raft.core.configuration import Configuration
from consensual.raft.core.log import Command, OpenSession, Reconfiguration
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.image import Capture, StoredSession
from consensual.raft.errors import ConsensualError


class Words:
    """A state machine whose processor begins at once, and ends when it is told to."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.processors: dict[str, Callable[[str], Any]] = {'say': self.say}

    def say(self, word: str) -> 'asyncio.Future[None]':
        self.words.append(word)
        return self.end

    def snapshot(self) -> list[str]:
        return [*self.words]

    def restore(self, value: list[str]) -> None:
        self.words = value

    def reset(self) -> None:
        self.words.clear()


def make_applier(machine: Words) -> Applier:
    failures: list[ConsensualError] = []
    applier = Applier(machine.processors, machine, logging.getLogger(__name__), failures.append)
    applier.start(asyncio.get_running_loop())
    return applier


def say(sequence: int, word: str) -> Entry:
    return Entry(1, 0.0, Command(1, sequence, 0, 'say', f'"{word}"'))


def snapshot_of(index: int, *words: str) -> Snapshot:
    data, checksum = Capture(index, [*words], [StoredSession(1, 0, [])]).encode()
    return Snapshot(index, 1, 0.0, 1, 1, Reconfiguration(Configuration()), data, checksum)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError('it does not come about')


@pytest.mark.asyncio
async def test_command_is_under_way_as_soon_as_its_processor_was_called() -> None:
    """Not only when the task that awaits it has begun: its effect may be there by halves."""
    machine = Words()
    applier = make_applier(machine)
    applier.feed(1, [Entry(1, 0.0, OpenSession('me')), say(0, 'hello')])
    seen: list[tuple[int, list[str]]] = []
    applier.run()
    applier.between_commands(
        lambda: seen.append((applier.applied_index, machine.snapshot())), seen.append
    )
    assert (seen, machine.words) == ([], ['hello'])
    machine.end.set_result(None)
    await until(lambda: bool(seen))
    assert seen == [(2, ['hello'])]
    await applier.stop()


@pytest.mark.asyncio
async def test_state_is_emptied_and_restored_after_the_command_under_way() -> None:
    """Design §2: once the processor that runs has ended, however little of it has run."""
    loop, machine = asyncio.get_running_loop(), Words()
    loop.set_default_executor(ThreadPoolExecutor(1))
    applier = make_applier(machine)
    applier.feed(1, [Entry(1, 0.0, OpenSession('me')), say(0, 'hello')])
    applier.run()
    applier.restore(snapshot_of(5, 'other'))
    await loop.run_in_executor(None, int)  # whatever was given to the only thread is done
    for _ in range(5):
        await asyncio.sleep(0)
    assert (applier.applied_index, machine.words) == (1, ['hello'])
    machine.end.set_result(None)
    await until(lambda: not applier.is_restoring)
    assert (applier.applied_index, machine.words) == (5, ['other'])
    machine.end = asyncio.get_running_loop().create_future()
    applier.feed(6, [say(1, 'again')])
    applier.run()
    applier.reset()
    assert machine.words == ['other', 'again']
    machine.end.set_result(None)
    await until(lambda: not machine.words)
    await asyncio.sleep(0)
    assert applier.applied_index == 0
    await applier.stop()


@pytest.mark.asyncio
async def test_loop_is_not_kept_busy_while_a_snapshot_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is fed meanwhile waits for the end; nobody asks again and again whether it has come."""
    loop, may_decode = asyncio.get_running_loop(), Event()
    with ThreadPoolExecutor(1) as pool:
        loop.set_default_executor(pool)
        pool.submit(may_decode.wait, 30)
        machine = Words()
        machine.end.set_result(None)
        applier = make_applier(machine)
        applier.restore(snapshot_of(5, 'other'))
        applier.feed(6, [say(1, 'again')])
        turns: list[object] = []
        with monkeypatch.context() as patch:
            patch.setattr(loop, 'call_soon', lambda *what, **_: turns.append(what))
            applier.run()
        assert turns == []
        may_decode.set()
        await until(lambda: applier.applied_index == 6)
        assert machine.words == ['other', 'again']
        await applier.stop()
