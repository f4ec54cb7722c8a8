"""`python -m benchmarks memory`: three nodes in one process, beside consensual 0.2.3."""

import argparse
import platform
import statistics
import subprocess
import tempfile
import venv
from pathlib import Path

from benchmarks import workers
from benchmarks.durable import runs_in_words

NUMBERS = 1_000, 20_000, 100_000
PEER = 'consensual==0.2.3', 'yarl<2'


def main(arguments: list[str]) -> int:
    """Measure, and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks memory', description=__doc__)
    parser.add_argument('--runs', type=int, default=3, help='of each measurement; default 3')
    parser.add_argument('--numbers', type=int, nargs='+', default=NUMBERS, metavar='N')
    parser.add_argument(
        '--modes', nargs='+', default=['sequential', 'closed64', 'burst'], metavar='MODE'
    )
    parser.add_argument('--alone', action='store_true', help='without consensual 0.2.3')
    options = parser.parse_args(arguments)
    runs = runs_in_words(options.runs)
    print(f'Python {platform.python_version()}, {platform.machine()}; {runs}')
    print(f'{"mode":12}{"commands":>9}{"per second":>12}{"p50 us":>11}{"p99 us":>11}', end='')
    print(f'{"0.2.3":>10}{"ratio":>8}', flush=True)
    with tempfile.TemporaryDirectory() as directory:
        peer = None if options.alone else install_peer(Path(directory))
        for mode in options.modes:
            for number in options.numbers:
                ours, theirs = [], []
                for _ in range(options.runs):
                    ours.append(workers.run('worker_consensual.py', mode, number))
                    if peer is not None:
                        theirs.append(workers.run('worker_upstream.py', mode, number, python=peer))
                print_row(mode, number, ours, theirs)
    return 0


def install_peer(directory: Path) -> str:
    """Install consensual 0.2.3 into an environment of its own; return its interpreter."""
    venv.create(directory, with_pip=True)
    python = str(directory / 'bin' / 'python')
    subprocess.run([python, '-m', 'pip', '--quiet', 'install', *PEER], check=True)
    return python


def print_row(mode: str, number: int, ours: list[dict], theirs: list[dict]) -> None:
    """Print medians, and the median of the ratios run by run."""
    if any('error' in figures or not figures['applied_everywhere'] for figures in ours):
        raise SystemExit(f'{mode} {number}: {ours}')

    def median(name: str, runs: list[dict]) -> float:
        return statistics.median(figures[name] for figures in runs)

    row = f'{mode:12}{number:9,}{median("per_second", ours):12,.0f}'
    row += f'{median("p50_us", ours):11,.0f}{median("p99_us", ours):11,.0f}'
    pairs = [
        (mine['per_second'], other['per_second'])
        for mine, other in zip(ours, theirs, strict=False)
        if 'error' not in other
    ]
    if pairs:
        ratio = statistics.median(mine / other for mine, other in pairs)
        row += f'{statistics.median(other for _, other in pairs):10,.0f}{ratio:7.1f}x'
        row += f' ({len(pairs)} of {len(theirs)} runs finished)' if len(pairs) < len(theirs) else ''
    elif theirs:
        row += f'{"-":>10}  not finished within 60 s'
    print(row, flush=True)
