"""`python -m benchmarks network`: three durable processes on loopback, beside other systems.

In each run the systems take turns; a ratio is that of the medians of all runs. etcd (its binary,
and grpcio) and PySyncObj take part where they are installed.
"""

import argparse
import operator
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

from benchmarks import limits
from benchmarks.durable import file_system, runs_in_words
from benchmarks.systems import Consensual, Etcd, Floor, FloorOfParts, PySyncObj

PARTS = ('load', 'failover', 'sizes')
SIZES = (3, 5, 7)
SYSTEMS = {system.__name__: system for system in (Consensual, Etcd, PySyncObj, Floor, FloorOfParts)}

Figures = dict[tuple[str, str], list[float]]

REACHES = {'≤': operator.le, '≥': operator.ge}


class Target(NamedTuple):
    """A median that should be below or above a limit, or its ratio to that of another column.

    over: that other column.
    goal: a key of `REACHES`, and the limit; without one it is only told.
    """

    what: str
    row: str
    column: str
    over: Optional[str] = None
    goal: Optional[tuple[str, float]] = None

    def cells(self, figures: Figures) -> tuple[str, str, str, str]:
        """Return what it is, what was measured, what is to be reached, and whether it is."""
        value = self.value(figures)
        measured = 'not measured' if value is None else f'{value:.2f}'
        if self.goal is None:
            return self.what, measured, '', ''
        sign, limit = self.goal
        verdict = ''
        if value is not None:
            verdict = 'yes' if REACHES[sign](value, limit) else 'no'
        return self.what, measured, f'{sign} {limit:g}', verdict

    def value(self, figures: Figures) -> Optional[float]:
        """Return the median or the ratio; None where it was not measured."""
        columns = [self.column] if self.over is None else [self.column, self.over]
        medians = [
            statistics.median(values)
            for column in columns
            if (values := figures.get((self.row, column)))
        ]
        if len(medians) < len(columns):
            return None
        return medians[0] if self.over is None else medians[0] / medians[1]


INSIDE, OUTSIDE = 'consensual, in its leader', 'consensual, from outside'
TARGETS = (
    Target('one writer in the leader, ms', '1 writer, p50 ms', INSIDE, goal=('≤', 0.6)),
    Target('256 writers in the leader / etcd by gRPC', '256 writers, /s', INSIDE, 'etcd', ('≥', 2)),
    Target('256 writers by Client / etcd by gRPC', '256 writers, /s', OUTSIDE, 'etcd', ('≥', 1)),
    Target('256 readers by Client / etcd by gRPC', '256 readers, /s', OUTSIDE, 'etcd', ('≥', 1)),
    Target(
        '256 writers by REST / etcd by its gateway',
        '256 writers by REST, /s',
        OUTSIDE,
        'etcd',
        ('≥', 0.7),
    ),
    Target('1 writer in the leader / the floor', '1 writer, p50 ms', INSIDE, 'floor'),
    Target(
        '1 writer in the leader / the floor of its parts',
        '1 writer, p50 ms',
        INSIDE,
        'floor of the same parts',
    ),
    Target('256 writers in the leader / the floor', '256 writers, /s', INSIDE, 'floor'),
)


def main(arguments: Sequence[str]) -> int:
    """Measure, and print tables; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks network', description=__doc__)
    parser.add_argument('--runs', type=int, default=3, help='of each measurement; default 3')
    parser.add_argument('--seconds', type=float, default=3.0, help='of one; default 3')
    parser.add_argument('--trials', type=int, default=10, help='of a failover; default 10')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS, metavar='PART')
    parser.add_argument(
        '--systems', nargs='+', choices=SYSTEMS, default=[*SYSTEMS], metavar='SYSTEM'
    )
    parser.add_argument(
        '--directory', type=Path, default=Path.cwd(), help='where the files go; default: here'
    )
    options = parser.parse_args(arguments)
    systems = [system for name, system in SYSTEMS.items() if name in options.systems]
    systems = [system for system in systems if is_there(system)]
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        print(f'Python {platform.python_version()}, {platform.machine()}; {options.directory} is')
        runs = runs_in_words(options.runs)
        print(f'on {file_system(directory)}; {runs} of {options.seconds:g} s')
        measure = Measure(directory, options.seconds)
        if 'load' in options.only:
            measure.loads(systems, options.runs)
        if 'failover' in options.only:
            measure.failovers(systems, options.trials)
        if 'sizes' in options.only:
            measure.sizes(options.runs)
    return 0


def is_there(system: Any) -> bool:
    """Tell whether a system can take part; say why not."""
    if missing := system.missing():
        print(f'{system.__name__} takes no part: {missing}')
    return not missing


class Measure:
    """Runs systems in a directory, and prints what was measured."""

    def __init__(self, directory: Path, seconds: float) -> None:
        self.directory = directory
        self.seconds = seconds

    @contextmanager
    def running(self, system: Any, size: int = 3, **options: Any) -> Iterator[Any]:
        """Have a cluster of a system, new and empty."""
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            cluster = system(Path(name), size, **options)
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.close()

    def loads(self, systems: Sequence[Any], runs: int) -> None:
        """Measure latency and throughput of all; print them, and how far the targets are."""
        figures: Figures = defaultdict(list)
        for _ in range(runs):
            for name, value in limits.measure(self.directory).items():
                figures['limits', name].append(value / 1e3)
            for system in systems:
                for loaded in system.loads:
                    with self.running(system, **loaded.options) as cluster:
                        for row, column, deed, callers, figure in loaded.measurements:
                            done = cluster.ask(deed, callers=callers, seconds=self.seconds)
                            figures[row, column].append(done[figure])
        print_table(figures)
        print_targets(figures)

    def failovers(self, systems: Sequence[Any], trials: int) -> None:
        """Kill leaders; print how long it took until a write was acknowledged again."""
        print('\n| failover, s | median | slowest | all |\n|---|---:|---:|---|')
        taken = {system: [] for system in systems if system.can_fail_over}
        for _ in range(trials):
            for system, seconds in taken.items():
                with self.running(system) as cluster:
                    cluster.ask('write', callers=16, seconds=1.0)
                    killed_at = cluster.kill_leader()
                    seconds.append(cluster.acknowledged_at() - killed_at)
        for system, seconds in taken.items():
            trials_of_it = ' '.join(f'{each:.2f}' for each in sorted(seconds))
            print(
                f'| {system.__name__} | {statistics.median(seconds):.2f} | {max(seconds):.2f} '
                f'| {trials_of_it} |'
            )

    def sizes(self, runs: int) -> None:
        """Print how throughput falls with the number of nodes."""
        print('\n| nodes | 256 writers in the leader, /s | 256 writers by Client, /s |')
        print('|---:|---:|---:|')
        for size in SIZES:
            figures: Figures = defaultdict(list)
            for _ in range(runs):
                with self.running(Consensual, size) as cluster:
                    for deed in ('write', 'client write'):
                        done = cluster.ask(deed, callers=256, seconds=self.seconds)
                        figures[deed, ''].append(done['per_second'])
            inside, outside = (statistics.median(values) for values in figures.values())
            print(f'| {size} | {inside:,.0f} | {outside:,.0f} |', flush=True)


def shown(values: list[float]) -> str:
    """Return the median, and between which values it is."""
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 2
    return f'{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})'


def print_table(figures: Figures) -> None:
    """Print a row for each measurement, a column for each system."""
    columns = list(dict.fromkeys(column for row, column in figures if row != 'limits'))
    print('\n| |' + '|'.join(columns) + '|\n|---|' + '---:|' * len(columns))
    for row in dict.fromkeys(row for row, _ in figures if row != 'limits'):
        cells = [figures.get((row, column)) for column in columns]
        print(f'| {row} | ' + ' | '.join(shown(cell) if cell else '' for cell in cells) + ' |')
    disk = ', '.join(
        f'{name.removesuffix("_us")} {statistics.median(values):.3f} ms'
        for (row, name), values in figures.items()
        if row == 'limits'
    )
    print(f'\nThe disk: {disk}.')


def print_targets(figures: Figures) -> None:
    """Print how what was measured is to what should be reached."""
    print('\n| | measured | to reach | |\n|---|---:|---:|---|')
    for target in TARGETS:
        print(f'| {" | ".join(target.cells(figures))} |')
    print(flush=True)
