"""The hunt for one mutant, in a process of its own: its lives, until an invariant is broken.

Or one test of the suite, which it is to fail.

Knows no mutant by name.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from msgspec import Struct

from tests.mutants.mutant import PACKAGE, Mutant, copy_package

SECONDS = 20.0
"""Virtual seconds of one life."""

LONGEST_LIFE = 20.0
"""Seconds of real time that one life may take, of many."""

LONGEST_TEST = 60.0
"""Seconds that a test may take; what makes it take longer is found by it, too."""

SETTINGS = 'conftest.py', 'pyproject.toml'
"""Files that tests are run with."""


class Hunted(Struct, frozen=True):
    """What a hunt came to.

    seeds: how many were to be lived. wall: seconds that it took.
    seed, invariant, text: where it was killed, by what, and how that was told; 'crash'
        where the simulation itself fell over it. None and nothing for a survivor.
    """

    seeds: int
    wall: float
    seed: Optional[int] = None
    invariant: str = ''
    text: str = ''

    @property
    def lived(self) -> int:
        """How many seeds were lived, the last one perhaps to its violation."""
        return self.seeds if self.seed is None else self.seed + 1


def hunt(mutant: Optional[Mutant], seeds: int) -> Hunted:
    """Live the first seeds with that line broken, or with none; end when it is noticed.

    Raises `Rotten`, and `RuntimeError` where nothing can be lived at all.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = copy_package(folder)
        if mutant is not None:
            mutant.break_package(package)
        found = _live(folder, seeds)
    return Hunted(seeds, time.monotonic() - begun, **found)


def _live(folder: Path, seeds: int) -> dict[str, Any]:
    script = Path(__file__).with_name('lives.py')
    ended = subprocess.run(
        [sys.executable, '-P', str(script), str(seeds), str(SECONDS)],
        cwd=folder,
        env=os.environ | {'PYTHONPATH': str(folder), 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
        timeout=60.0 + LONGEST_LIFE * seeds,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f'no lives in {folder}:\n{ended.stderr}')
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def try_tests(mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant, and whether the test that it names fails where that line is broken.

    For control they all pass where nothing is. Raises `Rotten`, and `RuntimeError` where
    they do not, or cannot be run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PACKAGE.parent / 'tests', folder / 'tests')
        for item in SETTINGS:
            shutil.copy(PACKAGE.parent / item, folder)
        package = copy_package(folder)
        if _fail(folder, [mutant.killed_by for mutant in mutants]):
            raise RuntimeError('the tests fail where nothing is broken')
        for mutant in mutants:
            shutil.rmtree(package)
            mutant.break_package(copy_package(folder))
            yield mutant, _fail(folder, [mutant.killed_by])


def _fail(folder: Path, tests: Sequence[tuple[str, str]]) -> bool:
    command = [sys.executable, '-m', 'pytest', '-x', '-p', 'no:cacheprovider']
    try:
        ended = subprocess.run(
            [*command, *dict.fromkeys('::'.join(test) for test in tests)],
            cwd=folder,
            env=os.environ | {'PYTHONPATH': str(folder), 'PYTHONDONTWRITEBYTECODE': '1'},
            capture_output=True,
            text=True,
            timeout=LONGEST_TEST * len(tests),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    if ended.returncode not in (0, 1):
        raise RuntimeError(f'{tests} cannot be run:\n{ended.stdout}{ended.stderr}')
    return ended.returncode == 1
