"""The example of a user's own test does what it says, and what it guards against is found."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / 'examples' / 'test_my_counter.py'


ALONE = {
    'PYTHONPATH': str(ROOT),
    'PYTEST_ADDOPTS': '-W error',
    'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
}
"""The environment of somebody with neither a configuration nor plugins."""


def run_tests(path: Path, folder: Path, **environment: str) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', str(path)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_example_passes(tmp_path: Path) -> None:
    """As its first lines say: pytest examples/test_my_counter.py."""
    done = run_tests(EXAMPLE, ROOT, CONSENSUAL_TRACES=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert '2 passed' in done.stdout


def test_example_passes_elsewhere(tmp_path: Path) -> None:
    example = tmp_path / EXAMPLE.name
    example.write_text(EXAMPLE.read_text(encoding='utf-8'), encoding='utf-8')
    done = run_tests(example, tmp_path, CONSENSUAL_TRACES=str(tmp_path), **ALONE)
    assert done.returncode == 0, done.stdout
    assert ' 2 passed' in done.stdout


def test_careless_counter_fails_its_test_with_the_reason_and_a_trace(tmp_path: Path) -> None:
    """Without the `pytest.raises` of the example, as its author met it first."""
    text = EXAMPLE.read_text(encoding='utf-8')
    careless, count = re.subn(r'with pytest\.raises\(.*\):', 'if True:', text)
    assert count == 1
    example = tmp_path / EXAMPLE.name
    example.write_text(careless, encoding='utf-8')
    traces = tmp_path / 'traces'
    done = run_tests(example, tmp_path, CONSENSUAL_TRACES=str(traces), **ALONE)
    assert done.returncode == 1
    assert ' 1 failed, 1 passed' in done.stdout
    assert re.search(
        r'applied_is_the_same_everywhere: n\d is not deterministic: add\(1\) at \d+ '
        r'gives \[\d+,[\d.]+\], and gave \[\d+,[\d.]+\]',
        done.stdout,
    )
    told = f'seed 1; replay it: python -m consensual replay {traces / "seed-1.trace"}'
    assert told in done.stdout
    assert [path.name for path in traces.iterdir()] == ['seed-1.trace']
