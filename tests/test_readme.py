"""The README is true: its examples run as they stand, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'


def test_examples_run_as_they_stand() -> None:
    """Every `>>>` of the README gives what it says."""
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-m', 'doctest', '-v', str(README)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert 'est passed.' in done.stdout


def test_links_lead_to_files() -> None:
    """Relative links name files of the repository."""
    targets = re.findall(r'\]\((?!http)([^)#]+)\)', README.read_text(encoding='utf-8'))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
