"""The hunt for one mutant: its lives, in a process of their own, until an invariant is broken.

Knows no mutant by name.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from msgspec import Struct

from tests.mutants.mutant import Mutant, copy_package

SECONDS = 20.0
"""Virtual seconds of one life."""

LONGEST_LIFE = 20.0
"""Seconds of real time that one life may take, of many."""


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
