"""`python -m tests.mutants`: hunt them, and print how each ended."""

import argparse
import sys
from collections.abc import Sequence

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import hunt
from tests.mutants.mutant import Mutant

CONTROL_SEEDS = 20


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 0 when all are killed, 1 when one survives, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.mutants',
        description='Break the library, one line at a time, and let the simulator notice.',
    )
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these mutants')
    parser.add_argument('--seeds', type=int, help='within so many, in place of the stated number')
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.only or ()) - {mutant.name for mutant in MUTANTS})
    if unknown:
        parser.error(f'there is no mutant {", ".join(unknown)}')
    chosen = [mutant for mutant in MUTANTS if mutant.name in (options.only or [mutant.name])]
    return show(chosen, options.seeds)


def show(mutants: Sequence[Mutant], seeds: int | None = None) -> int:
    """Hunt the mutants, and none of them for control; print a line for each."""
    print('| mutant | what is broken | killed within | at seed | by | seconds |')
    print('|---|---|---:|---:|---|---:|')
    control = hunt(None, seeds or CONTROL_SEEDS)
    print(f'| (none) | | {control.seeds} | {_seed(control.seed)} | {control.invariant} | |')
    survivors = []
    for mutant in mutants:
        hunted = hunt(mutant, seeds or mutant.seeds)
        if not hunted.is_killed:
            survivors.append(mutant.name)
        print(
            f'| {mutant.name} | {mutant.rule} | {hunted.seeds} | {_seed(hunted.seed)} '
            f'| {hunted.invariant} | {hunted.wall:.1f} |',
            flush=True,
        )
    if control.is_killed:
        print(f'the library itself broke {control.invariant}: {control.text}')
    if survivors:
        print(f'{len(mutants)} mutants, of which survive: {", ".join(survivors)}')
    else:
        print(f'{len(mutants)} mutants, all killed')
    return 1 if survivors or control.is_killed else 0


def _seed(seed: int | None) -> str:
    return '-' if seed is None else str(seed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
