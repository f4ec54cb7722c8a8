"""The benchmarks run: in short, and without the systems that are compared."""

import subprocess
import sys
from pathlib import Path

from benchmarks.network import SYSTEMS, TARGETS

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
    assert '; one run of 0.1 s\n' in done.stdout
    assert '| one writer in the leader, ms |' in done.stdout
    assert '| 256 writers by Client / etcd by gRPC | not measured | ≥ 1 |  |\n' in done.stdout


def test_targets_are_of_what_is_measured() -> None:
    measured = {
        (row, column)
        for system in SYSTEMS.values()
        for loaded in system.loads
        for row, column, *_ in loaded.measurements
    }
    needed = {
        (target.row, column)
        for target in TARGETS
        for column in (target.column, target.over)
        if column is not None
    }
    assert needed <= measured


def test_targets_tell_what_was_reached_and_what_was_not_measured() -> None:
    limit, over_etcd, *_, over_floor = TARGETS
    figures = {
        (limit.row, 'consensual, in its leader'): [0.7, 0.5, 0.6],
        (over_etcd.row, 'consensual, in its leader'): [30.0],
        (over_etcd.row, 'etcd'): [20.0],
    }
    cells = {target.what: target.cells(figures)[1:] for target in TARGETS}
    assert cells[limit.what] == ('0.60', '≤ 0.6', 'yes')
    assert cells[over_etcd.what] == ('1.50', '≥ 2', 'no')
    assert cells[over_floor.what] == ('not measured', '', '')
    assert over_etcd.cells({})[1:] == ('not measured', '≥ 2', '')
    figures[over_floor.row, 'floor'] = [60.0]
    assert over_floor.cells(figures)[1:] == ('0.50', '', '')


def test_benchmarks_need_nothing_of_the_tests() -> None:
    """The README's command comes after its `pip install '.[http]'`, which brings no pytest."""
    program = "import sys; sys.modules['pytest'] = None; import benchmarks.network"
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, '')
