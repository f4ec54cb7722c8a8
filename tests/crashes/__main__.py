"""`python -m tests.crashes`: kill a real cluster often, or crash a simulated one everywhere."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.crashes.boundaries import NAMES, all_ways, crash_everywhere
from tests.crashes.killing import Kill, draw_moments, kill_again_and_again


def main(arguments: Sequence[str]) -> int:
    """Print a line for each kill, or each node; return 0 when nothing is lost, else 1."""
    parser = argparse.ArgumentParser(prog='python -m tests.crashes', description=__doc__)
    parser.add_argument('--kills', type=int, default=200, help='how many (200)')
    parser.add_argument('--seed', type=int, default=1, help='of the moments of kills (1)')
    parser.add_argument(
        '--boundaries',
        action='store_true',
        help='instead, crash simulated nodes at every write of the story, in every way',
    )
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    try:
        summary = enumerate_all() if options.boundaries else kill(options.kills, options.seed)
    except AssertionError as error:
        print('BROKEN', error, *getattr(error, '__notes__', ()), sep='\n')
        return 1
    print(f'{summary}; {time.monotonic() - begun:.0f} s')
    return 0


def kill(kills: int, seed: int) -> str:
    """Kill so often, on the same files. Raises `Broken`."""
    number = 0

    def report(kill: Kill) -> None:
        nonlocal number
        number += 1
        print(f'kill {number:3} {kill}', flush=True)

    moments = draw_moments(Random(seed), kills)
    with tempfile.TemporaryDirectory() as directory:
        return str(asyncio.run(kill_again_and_again(Path(directory), moments, report=report)))


def enumerate_all() -> str:
    """Crash at every write of the story, in every way. Raises what does not hold."""
    parts: Counter[str] = Counter()
    stories = 0
    for name in NAMES:
        enumerated = crash_everywhere(name, all_ways)
        parts += enumerated.parts
        stories += enumerated.stories
        writes = ', '.join(f'{count} in life {life}' for life, count in enumerated.writes.items())
        print(f'{name}: writes: {writes}; {enumerated.stories} stories', flush=True)
    by_part = ', '.join(f'{count} as {part}' for part, count in parts.most_common())
    return f'{sum(parts.values())} write boundaries ({by_part}), {stories} stories'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
