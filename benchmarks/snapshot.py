"""`python -m benchmarks snapshot`: what the event loop waits for while snapshots are about.

Three nodes with files in one process, so in one loop, hold a `KeyValueStore` of many keys. The
leader takes a snapshot; another node restarts with its file; then it is wiped, restarted, and taken
in again by itself, which takes a snapshot sent and restored. A probe that wants to run every 5 ms
tells how late the loop let it run, while one caller submits a command every 10 ms.
"""

import argparse
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import workers

LIMIT_MS = 50
"""No step may hold the loop up for longer."""


def main(arguments: Sequence[str]) -> int:
    """Run, print a line for each step, and the verdict; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks snapshot', description=__doc__)
    parser.add_argument('--keys', type=int, default=100_000, metavar='N', help='default: 100000')
    parser.add_argument(
        '--directory', type=Path, default=Path.cwd(), help='where the files go; default: here'
    )
    options = parser.parse_args(arguments)
    print(f'Python {platform.python_version()}, {platform.machine()}; {options.keys:,} keys')
    print('| step | seconds | loop late at most, ms | p99 ms | commands meanwhile | slowest ms |')
    print('|---|---:|---:|---:|---:|---:|', flush=True)
    longest, end = 0.0, {}
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        workers.follow('worker_snapshot.py', options.keys, directory) as lines,
    ):
        for line in lines:
            if 'step' not in line:
                end = line
                continue
            longest = max(longest, line['late_ms'])
            print(
                f'| {line["step"]} | {line["seconds"]:.2f} | {line["late_ms"]:.1f} '
                f'| {line["p99_ms"]:.1f} | {line["commands"]:,} | {line["slowest_ms"]:.1f} |',
                flush=True,
            )
    if not end.get('is_equal'):
        raise SystemExit('the run did not end, or the nodes do not hold the same')
    voter = 'a voter again' if end['is_voter'] else 'NO voter'
    print(f'the wiped node: {voter}, with files of {end["bytes"] / 1e6:.1f} MB')
    print(f'the loop was held up for {longest:.1f} ms at most; the limit is {LIMIT_MS} ms')
    return 0 if longest <= LIMIT_MS and end['is_voter'] else 1
