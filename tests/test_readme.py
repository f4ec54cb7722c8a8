"""The README is true: its examples run as they stand, its links lead somewhere."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'


def test_examples_run_as_they_stand() -> None:
    """Every `>>>` of the README gives what it says."""
    results = doctest.testfile(str(README), module_relative=False, encoding='utf-8')
    assert results.attempted > 20
    assert results.failed == 0


def test_links_lead_to_files() -> None:
    """Relative links name files of the repository."""
    targets = re.findall(r'\]\((?!http)([^)#]+)\)', README.read_text(encoding='utf-8'))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
