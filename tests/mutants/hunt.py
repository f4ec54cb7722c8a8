"""The hunt: lives of a mutant, in a process of its own, until an invariant is broken.

Knows no mutant by name.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from msgspec import Struct

from tests.mutants.mutant import Mutant, copy_package

SECONDS = 20.0
"""Virtual seconds of one life."""

LONGEST_LIFE = 60.0
"""Seconds that one life may take; a mutant that lives longer hangs."""


class Hunted(Struct, frozen=True):
    """What a hunt came to.

    seed: at which something was found broken; None when nothing was.
    invariant: which; 'crash' or 'hang' where the simulation itself fell over it.
    wall: seconds that it took.
    """

    seeds: int
    wall: float
    seed: Optional[int] = None
    invariant: str = ''
    text: str = ''

    @property
    def is_killed(self) -> bool:
        """Something was found broken."""
        return self.seed is not None


def hunt(mutant: Optional[Mutant], seeds: int) -> Hunted:
    """Live the first seeds with that line broken, or with none; stop when it is noticed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        package = copy_package(Path(folder))
        if mutant is not None:
            mutant.apply(package)
        found = _live(Path(folder), seeds)
    return Hunted(seeds, time.monotonic() - begun, **found)


def _live(folder: Path, seeds: int) -> dict[str, object]:
    script = Path(__file__).with_name('lives.py')
    command = [sys.executable, '-P', str(script), '0', str(seeds), str(SECONDS)]
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {'PYTHONPATH': str(folder), 'PYTHONDONTWRITEBYTECODE': '1'},
            capture_output=True,
            text=True,
            timeout=LONGEST_LIFE + seeds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {'seed': seeds - 1, 'invariant': 'hang'}
    if ended.returncode != 0:
        raise RuntimeError(f'the hunt itself failed: {ended.stderr}')
    found: dict[str, object] = json.loads(ended.stdout)
    return found
