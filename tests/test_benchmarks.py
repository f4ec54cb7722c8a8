"""The benchmarks run: in short, and without the systems that are compared."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 120
"""Seconds that it may take."""


def test_network_is_measured() -> None:
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'benchmarks', 'network', '--directory', str(ROOT)),
            *('--runs', '1', '--seconds', '0.1', '--only', 'load'),
            *('--systems', 'Consensual', 'Floor'),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '| 1 writer, p50 ms | ' in done.stdout
    assert '| one writer in the leader, ms |' in done.stdout


def test_benchmarks_need_nothing_of_the_tests() -> None:
    """The README's command comes after its `pip install '.[http]'`, which brings no pytest."""
    program = "import sys; sys.modules['pytest'] = None; import benchmarks.network"
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, '')
