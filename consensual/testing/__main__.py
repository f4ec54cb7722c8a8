"""The kit's command line: `python -m consensual.testing soak`."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional

from consensual.testing.soak import Plan, Report, draw_plan, live

PROGRESS = 5.0
"""Seconds of real time between two lines of progress."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command; return the exit status: 0, 1 for a violation, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m consensual.testing', description='Torment simulated clusters.'
    )
    commands = parser.add_subparsers(title='commands', required=True, metavar='COMMAND')
    soak = commands.add_parser(
        'soak',
        help='live through many lives of clusters, each with its own faults',
        description='Each seed is one life of a cluster of three or five real nodes in virtual '
        'time, with clients, faults and membership changes. All invariants are checked after '
        'every turn, and the history for linearizability. Ends with `violations: 0`, or with '
        'the command that replays the life in which something broke.',
    )
    soak.add_argument('--seeds', type=_positive(int), default=60, help='how many lives (60)')
    soak.add_argument(
        '--seconds', type=_positive(float), default=20.0, help='virtual seconds of faults (20)'
    )
    soak.add_argument('--from-seed', type=int, default=0, metavar='SEED', help='the first one (0)')
    soak.add_argument(
        '--traces', type=Path, default=Path(), metavar='FOLDER', help='where a trace is left (.)'
    )
    options = parser.parse_args(arguments)
    if not options.traces.is_dir():
        parser.error(f'--traces: {options.traces} is no folder')
    return _soak(options.from_seed, options.seeds, options.seconds, options.traces)


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = kind(text)
        if not 0 < number < float('inf'):
            raise argparse.ArgumentTypeError(f'{text} is no positive number')
        return number

    parse.__name__ = f'positive {kind.__name__}'
    return parse


def _soak(first: int, count: int, seconds: float, traces: Path) -> int:
    total, begun = Report(), time.monotonic()
    shown, seed = begun, first
    try:
        for seed in range(first, first + count):
            plan = draw_plan(seed, seconds)
            report = live(plan)
            total.add(report)
            if report.broken:
                return _show_broken(plan, total, traces)
            if time.monotonic() > shown + PROGRESS:
                shown = time.monotonic()
                print(f'… {seed + 1 - first} of {count}: {total}', file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        left = first + count - seed
        print(f'{total}\ngo on: {_command(seed, left, seconds)}', flush=True)
        return 130
    except Exception:
        print(f'seed {seed} fell over; replay: {_command(seed, 1, seconds)}', flush=True)
        raise
    spent = time.monotonic() - begun
    print(total)
    print(f'{total.node_seconds / spent:.0f} node-seconds a second of real time')
    print('violations: 0')
    return 0


def _show_broken(plan: Plan, total: Report, traces: Path) -> int:
    """Show what broke, and live that life again, for its trace."""
    print(total)
    for broken in total.broken:
        print(broken)
    path = traces / f'soak-{plan.seed}.trace'
    simulation = plan.simulate(is_traced=True)
    live(plan, simulation=simulation)
    simulation.save_trace(path)
    print(f'violations: {len(total.broken)}')
    print(f'its trace: python -m consensual replay {path}')
    print(f'replay: {_command(plan.seed, 1, plan.seconds)}')
    return 1


def _command(seed: int, seeds: int, seconds: float) -> str:
    return (
        f'python -m consensual.testing soak --from-seed {seed} --seeds {seeds} '
        f'--seconds {seconds:g}'
    )


if __name__ == '__main__':
    sys.exit(main())
