"""The pages of docs that can be followed are true: their files are made, their commands run.

What is printed is compared. A block whose first line is `# name.py` is that file; a
`diff` changes one; `console` blocks are run in their order. In expected output `…` stands
for anything within a line, and a line of nothing else for any lines; a number with a
point, or of three digits or more, for any number; spaces for any number of them.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from consensual.testing import (
    Network,
    SimulatedNode,
    Simulation,
    command_invariants,
    invariants,
)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'testing.md'
NAMES = 'machines', 'rest', 'client', 'http', 'operations', 'demo'
PAGES = PAGE, *(ROOT / 'docs' / f'{name}.md' for name in NAMES)
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
OPTIONS = '-p no:cacheprovider', '-W error', '-o asyncio_default_fixture_loop_scope=function'
KINDS = Simulation, SimulatedNode, Network
LIMIT = 60
"""Seconds that a command may take."""


def environment() -> dict[str, str]:
    """Return that of a user who installed the package, and pytest with two plugins."""
    plugins = ['-p pytest_asyncio.plugin']
    if not entry_points(group='pytest11', name='consensual'):
        plugins.append('-p consensual.testing.plugin')
    kept = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
    return kept | {
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'PYTHONIOENCODING': 'utf-8',
        'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
        'PYTEST_ADDOPTS': ' '.join([*plugins, *OPTIONS]),
    }


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return all blocks of a page: what they are of, and their text."""
    return BLOCK.findall(page.read_text(encoding='utf-8'))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, and what they print."""
    for part in re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition('\n')
        yield command, output


def pattern_of(output: str) -> re.Pattern[str]:
    """Return what a real output must match to be as the page says."""
    return re.compile(''.join(map(pattern_of_line, output.splitlines())))


def pattern_of_line(line: str) -> str:
    if line == '…':
        return '(?:.*\n)*?'
    pattern = ''
    for part in re.findall(r'…| +|\d+\.\d+|\d{3,}|[^… \d]+|\d+', line):
        match part:
            case '…':
                pattern += '.*'
            case _ if part.isspace():
                pattern += ' +'
            case _ if re.fullmatch(r'\d+\.\d+|\d{3,}', part):
                pattern += r'\d+(?:\.\d+)?'
            case _:
                pattern += re.escape(part)
    return pattern + ' *\n'


def run(command: str, folder: Path) -> str:
    """Run it as a shell does; return all that it prints."""
    done = subprocess.run(  # noqa: S602 - the page's own commands
        command,
        shell=True,
        cwd=folder,
        env=environment() | {'PATH': f'{installed(folder)}{os.pathsep}{environment()["PATH"]}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        timeout=LIMIT,
        check=False,
    )
    return done.stdout


def installed(folder: Path) -> Path:
    """Return where the console script is, as if the package had been installed."""
    path = folder / '.bin' / 'consensual'
    if not path.exists():
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m consensual "$@"\n')
        path.chmod(0o755)
    return path.parent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder to follow a page in; end the processes whose ids are left in `*.pid` there."""
    yield tmp_path
    for path in tmp_path.glob('*.pid'):
        with suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def change(folder: Path, diff: str) -> None:
    """Change a file as the diff says; what it takes away is there exactly once."""
    head, *lines = diff.splitlines()
    path = folder / head.removeprefix('--- ')
    before = '\n'.join(line[1:] for line in lines if not line.startswith('+'))
    after = '\n'.join(line[1:] for line in lines if not line.startswith('-'))
    text = path.read_text(encoding='utf-8')
    assert text.count(before) == 1, diff
    path.write_text(text.replace(before, after), encoding='utf-8')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_page_can_be_followed_from_its_beginning_to_its_end(page: Path, folder: Path) -> None:
    """Whoever makes the files and types the commands sees what the page shows."""
    ran: list[str] = []
    for language, text in blocks(page):
        match language:
            case 'python':
                name = re.match(r'# ([\w.]+)\n', text)
                assert name is not None, f'an example has no name: {text}'
                (folder / name[1]).write_text(text, encoding='utf-8')
            case 'diff':
                change(folder, text)
            case 'console':
                for command, expected in commands(text):
                    ran.append(command)
                    output = run(command, folder)
                    assert pattern_of(expected).fullmatch(output), f'$ {command}\n{output}'
            case _:
                pytest.fail(f'nobody runs what is {language}: {text}')
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


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    """Relative links name files of the repository."""
    targets = re.findall(r'\]\((?!http)([^)#]+)\)', page.read_text(encoding='utf-8'))
    assert targets
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_alerts_ask_for_figures_that_there_are() -> None:
    """Each figure in the example alerts is in the table of metrics."""
    rules = (ROOT / 'deploy' / 'alerts.yml').read_text(encoding='utf-8')
    asked = set(re.findall(r'\bconsensual_[a-z_]+', rules))
    page = (ROOT / 'docs' / 'rest.md').read_text(encoding='utf-8')
    known = set(re.findall(r'\bconsensual_[a-z_]+', page))
    assert {name.removesuffix('_bucket') for name in asked} - known == set()
    assert asked
