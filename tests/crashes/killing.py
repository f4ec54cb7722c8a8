"""Kills a cluster of a real process again and again, on the same files, and judges what is left.

The process is `worker`; what must hold is `judge`.
"""

import asyncio
import json
import os
import sys
import time
from asyncio import Event, StreamReader
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

from msgspec import Struct, field

from tests.crashes.judge import Judge

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which a cluster that is not back never will be."""

LINE_LIMIT = 1 << 26
MOMENTS = {'started': 0.3, 'begun': 0.4, 'ready': 0.4}
"""From when on the moment of a kill is drawn, and seconds within which: from the start of the
process, from when it opens its files, or under load."""


class Broken(AssertionError):
    """Something was lost, was applied twice, or did not come back."""


class Moment(Struct, frozen=True):
    """When to kill: so many seconds after the process tells that."""

    since: str
    seconds: float


class Kill(Struct):
    """One life of the process, and its end.

    back_after: seconds from its start until every node had everything; None where it was
        killed before.
    applied: how many commands were applied by then.
    acknowledged, unanswered: commands of this life, when it was killed.
    """

    moment: Moment
    back_after: float | None
    applied: int
    acknowledged: int
    unanswered: int

    def __str__(self) -> str:
        back = 'not yet back' if self.back_after is None else f'back after {self.back_after:.2f} s'
        return (
            f'{self.moment.seconds:.3f} s after it was {self.moment.since}: {back}, '
            f'{self.applied} applied; {self.acknowledged} more acknowledged, '
            f'{self.unanswered} unanswered'
        )


class Summary(Struct):
    """What all kills came to.

    judge: knows the commands.
    looks: how often the cluster was back, and was looked at.
    failed: calls that told of an error.
    compacted: the index up to which every node had a snapshot at last.
    """

    judge: Judge
    kills: list[Kill] = field(default_factory=list)
    looks: int = 0
    failed: int = 0
    compacted: int = 0

    def __str__(self) -> str:
        counts = Counter(kill.moment.since for kill in self.kills)
        by_moment = ', '.join(f'{counts[since]} {since}' for since in MOMENTS)
        judge = self.judge
        unknown = judge.submitted - judge.acknowledged
        return (
            f'{len(self.kills)} kills ({by_moment}), looked at {self.looks} times: '
            f'{len(judge.submitted)} commands submitted, {len(judge.acknowledged)} acknowledged '
            f'and all applied once on each node, {self.failed} failed; of {len(unknown)} that were '
            f'not acknowledged {len(unknown & judge.seen)} are applied, once; '
            f'at last every node has a snapshot up to entry {self.compacted}'
        )


def draw_moments(random: Random, count: int) -> list[Moment]:
    """Draw when to kill: mostly under load, sometimes very early."""
    drawn = random.choices([*MOMENTS], (2, 3, 8), k=count)
    return [Moment(since, random.uniform(0.0, MOMENTS[since])) for since in drawn]


async def kill_again_and_again(
    directory: Path,
    moments: Iterable[Moment],
    *,
    storage: str = 'sqlite',
    report: Callable[[Kill], None] = lambda _: None,
) -> Summary:
    """Live and kill, each time on the files that were left; look at what is there at last.

    Raises `Broken`.
    """
    summary = Summary(Judge())
    for moment in moments:
        life = Life(summary, directory, storage)
        await life.live(moment)
        kill = life.told(moment)
        summary.kills.append(kill)
        report(kill)
    await Life(summary, directory, storage).live(Moment('ready', 0.0))
    return summary


class Life:
    """One life of the process: what it tells goes to the judge.

    reached: what it told of its own beginning.
    """

    def __init__(self, summary: Summary, directory: Path, storage: str) -> None:
        self._summary, self._judge = summary, summary.judge
        self._command = [
            *(sys.executable, '-m', 'tests.crashes.worker', os.fspath(directory)),
            *('--first', str(self._judge.last + 1), '--storage', storage),
            *(() if summary.looks else ('--founding',)),
        ]
        self._log = directory / 'worker.log'
        self._reached = {since: Event() for since in MOMENTS}
        self._is_over = False
        self._begun_at = time.monotonic()
        self._back_after: float | None = None
        self._states: dict[str, Any] = {}
        self._wrong: list[str] = []
        self._counts: Counter[str] = Counter()

    def told(self, moment: Moment) -> Kill:
        """Return what became of it."""
        counts = self._counts
        return Kill(
            moment,
            self._back_after,
            len(self._judge.seen),
            counts['acknowledged'],
            counts['submitted'] - counts['acknowledged'] - counts['failed'],
        )

    async def live(self, moment: Moment) -> None:
        """Start the process, and kill it at that moment. Raises `Broken`."""
        with self._log.open('wb') as log:
            process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, stdout=PIPE, stderr=log, limit=LINE_LIMIT
            )
        await self._follow(process, moment)
        if self._wrong:
            raise Broken('\n'.join(self._wrong))
        if process.returncode != -SIGKILL:
            raise Broken(f'it ended by itself, with {process.returncode}')
        if errors := self._log.read_text('utf-8'):
            raise Broken(f'it told of errors:\n{errors}')

    async def _follow(self, process: Process, moment: Moment) -> None:
        assert process.stdout is not None
        reading = asyncio.create_task(self._read(process.stdout))
        self._reached['started'].set()
        try:
            await asyncio.wait_for(self._reached[moment.since].wait(), PATIENCE)
            await asyncio.sleep(moment.seconds)  # that is the moment, not a wait for anything
        except TimeoutError:
            self._wrong.append(f'it is not {moment.since} after {PATIENCE:g} s')
        finally:
            if process.returncode is None:
                os.kill(process.pid, SIGKILL)
            try:
                await reading
            finally:
                await process.wait()

    async def _read(self, lines: StreamReader) -> None:
        """Take what it tells until its end, also what was still in the pipe."""
        async for line in lines:
            if line.endswith(b'\n'):
                self._take(*line.decode().rstrip('\n').split(' ', 2))
        for event in self._reached.values():
            event.set()

    def _take(self, kind: str, *words: str) -> None:
        self._counts[kind] += 1
        match kind, *words:
            case 'submitted', number:
                self._judge.submit(int(number))
            case 'acknowledged', number:
                self._judge.acknowledge(int(number))
            case 'failed', _, _:
                self._summary.failed += 1
            case 'state', name, state:
                self._states[name] = json.loads(state)
            case 'snapshots', index:
                self._summary.compacted = int(index)
            case ('ready',):
                self._back_after = time.monotonic() - self._begun_at
                self._summary.looks += 1
                self._wrong += self._judge.look_at(self._states)
        if kind in self._reached:
            self._reached[kind].set()
