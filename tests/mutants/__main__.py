"""`python -m tests.mutants`: hunt them, and print how each ended.

With `--tests`: run the test that each of them names, instead.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

from tests.mutants.catalogue import MUTANTS, TESTED
from tests.mutants.hunt import Hunted, hunt, try_tests
from tests.mutants.mutant import Mutant
from tests.mutants.survivors import HARMLESS, OUT_OF_REACH

ALL = *MUTANTS, *TESTED, *HARMLESS, *OUT_OF_REACH


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 0 when all are killed, 1 when one survives, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.mutants',
        description='Break the library, one line at a time, and let the simulator notice.',
    )
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='these; those in `survivors`, too'
    )
    parser.add_argument('--tests', action='store_true', help='those that name a test, by that test')
    parser.add_argument('--seeds', type=int, help='within so many, in place of the stated number')
    parser.add_argument('--jobs', type=int, default=1, help='how many are hunted at a time (1)')
    options = parser.parse_args(arguments)
    by_name = {mutant.name: mutant for mutant in ALL}
    if unknown := sorted({*(options.only or ())} - by_name.keys()):
        parser.error(f'there is no mutant {", ".join(unknown)}')
    named = [by_name[name] for name in options.only or ()]
    if options.tests:
        return show_tests(named or [mutant for mutant in ALL if mutant.killed_by[0]])
    if options.seeds is None and (left := [item.name for item in named if not item.seeds]):
        parser.error(f'a test is to kill {", ".join(left)}: add --tests, or --seeds to try lives')
    return show(named or MUTANTS, options.seeds, options.jobs)


def show(mutants: Sequence[Mutant], seeds: Optional[int] = None, jobs: int = 1) -> int:
    """Hunt the mutants, and over the same seeds none of them, for control; print each."""
    print('| mutant | what is broken | killed within | at seed | by | seconds |')
    print('|---|---|---:|---:|---|---:|')
    survivors, lived = [], 0
    with ThreadPoolExecutor(jobs) as pool:
        hunts = pool.map(lambda mutant: hunt(mutant, seeds or mutant.seeds), mutants)
        for mutant, hunted in zip(mutants, hunts, strict=True):
            _print(mutant.name, mutant.rule, hunted)
            lived = max(lived, hunted.lived)
            if hunted.seed is None:
                survivors.append(mutant.name)
    control = hunt(None, lived)
    _print('(none)', '', control)
    if control.seed is not None:
        print(f'the library itself broke {control.invariant}: {control.text}')
    return _sum_up(mutants, survivors) or int(control.seed is not None)


def show_tests(mutants: Sequence[Mutant]) -> int:
    """Run the test that each mutant names, with it; print each."""
    print('| mutant | what is broken | test | killed |')
    print('|---|---|---|---|')
    survivors = []
    for mutant, is_killed in try_tests(mutants):
        columns = mutant.name, mutant.rule, mutant.killed_by[1], 'yes' if is_killed else 'no'
        print('|', ' | '.join(columns), '|', flush=True)
        if not is_killed:
            survivors.append(mutant.name)
    return _sum_up(mutants, survivors)


def _sum_up(mutants: Sequence[Mutant], survivors: Sequence[str]) -> int:
    if survivors:
        print(f'{len(mutants)} mutants, of which survive: {", ".join(survivors)}')
        return 1
    print(f'{len(mutants)} mutants, all killed')
    return 0


def _print(name: str, rule: str, hunted: Hunted) -> None:
    seed = '-' if hunted.seed is None else hunted.seed
    columns = name, rule, hunted.seeds, seed, hunted.invariant, f'{hunted.wall:.1f}'
    print('|', ' | '.join(map(str, columns)), '|', flush=True)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
