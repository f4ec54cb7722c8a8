"""`python -m benchmarks durable`: three nodes with files in one process, beside the disk's limits.

In each run the disk is measured, too, before and after: the ratios are those within one run.
"""

import argparse
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import workers

NUMBERS = {'sequential': 5_000, 'closed64': 50_000, 'burst': 20_000}
"""Commands of one run, by mode."""

LIMITS = 'fdatasync_us', 'commit_us', 'three_us'
"""See `limits.measure`."""


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks durable', description=__doc__)
    parser.add_argument('--runs', type=int, default=5, help='of each measurement; default 5')
    parser.add_argument('--modes', nargs='+', choices=NUMBERS, default=[*NUMBERS], metavar='MODE')
    parser.add_argument('--commands', type=int, help='of one run; default: by mode')
    parser.add_argument(
        '--directory', type=Path, default=Path.cwd(), help='where the files go; default: here'
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        print(f'Python {platform.python_version()}, {platform.machine()}; in {directory},')
        print(f'which is on {file_system(Path(directory))}; {runs_in_words(options.runs)}')
        print(
            '| mode | commands | per second | p50 µs | p99 µs | commands a sync | '
            'syncs a node | fdatasync µs | commit µs | three µs | p50 / fdatasync | p50 / commit '
            '| p50 / three |'
        )
        print('|---|' + '---:|' * 12, flush=True)
        for mode in options.modes:
            number = options.commands or NUMBERS[mode]
            runs = [
                workers.run('worker_durable.py', mode, number, directory)
                for _ in range(options.runs)
            ]
            print_row(mode, number, runs)
    return 0


def runs_in_words(number: int) -> str:
    """Return of how many runs the figures are."""
    return 'one run' if number == 1 else f'medians of {number} runs'


def file_system(directory: Path) -> str:
    """Return the kind of the file system that the directory is on, where that can be told."""
    mounts = Path('/proc/self/mounts')
    if not mounts.exists():
        return 'an unknown file system'
    fields = [line.split() for line in mounts.read_text(encoding='utf-8').splitlines()]
    inside = [field for field in fields if directory.is_relative_to(field[1])]
    kind = max(inside, key=lambda field: len(field[1]))[2]
    if kind in ('tmpfs', 'ramfs'):
        raise SystemExit(f'{directory} is on {kind}, where a sync does nothing: give --directory')
    return kind


def print_row(mode: str, number: int, runs: list[dict]) -> None:
    """Print medians, and the medians of the ratios run by run."""
    if any('error' in figures or not figures['applied_everywhere'] for figures in runs):
        raise SystemExit(f'{mode} {number}: {runs}')

    def median(name: str) -> float:
        return statistics.median(figures[name] for figures in runs)

    def ratio(limit: str) -> float:
        return statistics.median(figures['p50_us'] / figures[limit] for figures in runs)

    ratios = '- | - | -'
    if mode != 'burst':  # there a latency is that of all commands before it
        ratios = ' | '.join(f'{ratio(limit):.1f}' for limit in LIMITS)
    syncs = statistics.median(sync for figures in runs for sync in figures['syncs'])
    commands = statistics.median(
        entries / sync
        for figures in runs
        for entries, sync in zip(figures['entries'], figures['syncs'], strict=True)
    )
    print(
        f'| {mode} | {number:,} | {median("per_second"):,.0f} | {median("p50_us"):,.0f} '
        f'| {median("p99_us"):,.0f} | {commands:,.1f} | {syncs:,.0f} '
        f'| {" | ".join(f"{median(limit):.0f}" for limit in LIMITS)} | {ratios} |',
        flush=True,
    )
