"""`python -m benchmarks growth`: whether a cluster that runs for long stays bounded.

Three nodes with files in one process; their state machines hold some keys of about 110 bytes.
"""

import argparse
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import workers

TOLERANCE = 1.1
"""What the last quarter of a run may need of what its second quarter needed."""


def main(arguments: Sequence[str]) -> int:
    """Run, print a line for each sample, and the verdict; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks growth', description=__doc__)
    parser.add_argument('--commands', type=int, default=1_000_000, metavar='N')
    parser.add_argument('--keys', type=int, default=1_000, metavar='N', help='default: 1000')
    parser.add_argument(
        '--directory', type=Path, default=Path.cwd(), help='where the files go; default: here'
    )
    options = parser.parse_args(arguments)
    print(f'Python {platform.python_version()}, {platform.machine()}')
    print('| commands | per second | p50 ms | p99 ms | longest ms ', end='')
    print('| files, MB | memory, MB | entries kept | snapshots |')
    print('|---:|---:|---:|---:|---:|---|---:|---|---|', flush=True)
    samples, end = [], {}
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        workers.follow('worker_growth.py', options.commands, options.keys, directory) as lines,
    ):
        for line in lines:
            if 'done' in line:
                samples.append(line)
                print_row(line)
            else:
                end = line
    if not end.get('is_equal'):
        raise SystemExit('the run did not end, or the nodes do not hold the same')
    is_bounded = [
        judge('files', [max(sample['files']) for sample in samples]),
        judge('memory', [sample['resident'] for sample in samples]),
    ]
    return 0 if all(is_bounded) else 1


def print_row(sample: dict) -> None:
    """Print a sample: of what differs between the nodes, one figure for each."""
    times = (sample[name] / 1e3 for name in ('p50_us', 'p99_us', 'max_us'))
    p50, p99, longest = (f'{time:.1f}' for time in times)
    files = ' '.join(f'{size / 1e6:.1f}' for size in sample['files'])
    kept = ' '.join(f'{number:,}' for number in sample['kept'])
    snapshots = ' '.join(map(str, sample['snapshots']))
    print(
        f'| {sample["done"]:,} | {sample["per_second"]:,.0f} | {p50} | {p99} | {longest} '
        f'| {files} | {sample["resident"] / 1e6:.1f} | {kept} | {snapshots} |',
        flush=True,
    )


def judge(name: str, sizes: list[int]) -> bool:
    """Print and return whether sizes do not grow any more, once the run is under way."""
    quarter = len(sizes) // 4
    early, late = max(sizes[quarter : 2 * quarter]), max(sizes[-quarter:])
    is_bounded = late <= TOLERANCE * early
    verdict = 'bounded' if is_bounded else 'NOT bounded'
    print(
        f'{name}: {verdict}, at most {early / 1e6:.1f} MB in the second quarter of the run '
        f'and {late / 1e6:.1f} MB in the last'
    )
    return is_bounded
