"""The pages of docs that can be followed are true; how they are written is told in `pages`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensual.testing import (
    Network,
    SimulatedNode,
    Simulation,
    command_invariants,
    invariants,
)
from tests.pages import ROOT, follow, processes_ended, run

DOCS = ROOT / 'docs'
PAGE = DOCS / 'testing.md'
UNTRIED = 'storage.md'
"""Its commands want a file that a node has left; what they print is tested with the commands."""

PAGES = [path for path in sorted(DOCS.rglob('*.md')) if '```' in path.read_text('utf-8')]
TRIED = [path for path in PAGES if path.relative_to(DOCS) != Path(UNTRIED)]
KINDS = Simulation, SimulatedNode, Network


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder to follow a page in."""
    with processes_ended(tmp_path):
        yield tmp_path


@pytest.mark.parametrize('page', TRIED, ids=lambda page: page.stem)
def test_page_can_be_followed_from_its_beginning_to_its_end(page: Path, folder: Path) -> None:
    """Whoever makes the files and types the commands sees what the page shows."""
    ran = follow(page.read_text(encoding='utf-8'), folder)
    others = {path.name for path in folder.glob('test_*.py')} - set(' '.join(ran).split())
    if others:
        output = run(f'python -m pytest {" ".join(sorted(others))}', folder)
        assert re.search(r'= \d+ passed(, \d+ skipped)? in ', output), output


def test_commands_outside_of_blocks_install_what_ci_installs() -> None:
    """The indented commands need a registry; what they name is what the suite was run with."""
    lines = re.findall(r'^    python -m pip install (.*)$', PAGE.read_text('utf-8'), re.MULTILINE)
    required = re.findall(r'^[\w-]+', (ROOT / 'requirements-tests.txt').read_text(), re.MULTILINE)
    assert lines[0] == '.'
    assert set(' '.join(lines[1:]).split()) <= set(required)


def test_table_names_all_invariants() -> None:
    """What is checked without asking is on the page, by the name that a failure shows."""
    named = set(re.findall(r'`([a-z]+(?:_[a-z]+)+)`', PAGE.read_text(encoding='utf-8')))
    checked = (*invariants.AFTER_EVERY_TURN, *command_invariants.AFTER_EVERY_COMMAND)
    assert [check.__name__ for check in checked if check.__name__ not in named] == []
    room = ROOT / 'consensual' / 'testing'
    code = '\n'.join(path.read_text(encoding='utf-8') for path in room.rglob('*.py'))
    assert [name for name in named if not re.search(rf'\b{name}\b', code)] == []


def test_table_names_faults_that_there_are() -> None:
    """Each call in the table of faults is one of a simulation, a node or a network."""
    _, _, page = PAGE.read_text(encoding='utf-8').partition('\n## Faults\n')
    rows = re.findall(r'^\| .*`.*$', page, re.MULTILINE)
    calls = {call for row in rows for call in re.findall(r'\b([a-z_]+)\(', row)}
    assert len(calls) > 15
    assert {call for call in calls if not any(hasattr(k, call) for k in KINDS)} == set()


def test_alerts_ask_for_figures_that_there_are() -> None:
    """Each figure in the example alerts is in the table of metrics."""
    rules = (ROOT / 'deploy' / 'alerts.yml').read_text(encoding='utf-8')
    asked = set(re.findall(r'\bconsensual_[a-z_]+', rules))
    page = (ROOT / 'docs' / 'rest.md').read_text(encoding='utf-8')
    known = set(re.findall(r'\bconsensual_[a-z_]+', page))
    assert {name.removesuffix('_bucket') for name in asked} - known == set()
    assert asked
