"""What newcomers to the code are told is true: names, commands, forms, and what the forge runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mutants.__main__ import ALL

ROOT = Path(__file__).parents[1]
PAGES = 'CONTRIBUTING.md', 'SECURITY.md', 'CODE_OF_CONDUCT.md'
CONTRIBUTING = (ROOT / PAGES[0]).read_text(encoding='utf-8')
COMMANDS = re.findall(r'^    (\S.*)$', CONTRIBUTING, re.MULTILINE)
FORMS = sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('[!c]*.yml'))
TOP = (
    'consensual',
    'tests',
    'README.md',
    'setup.py',
    'requirements.txt',
    'requirements-tests.txt',
    'docker-compose.yml',
    'run-tests.sh',
    'run-tests.ps1',
    '.bumpversion.cfg',
)
"""What others look for by name, as of 0.2.3."""


def loaded(path: Path) -> Any:
    """Return what a YAML file says."""
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def git(folder: Path, *arguments: str) -> str:
    """Run git, as somebody."""
    somebody = ('-c', 'user.name=somebody', '-c', 'user.email=somebody@example.org')
    return subprocess.run(
        ['git', *somebody, *arguments],  # noqa: S607 - the one that people use
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize('name', TOP)
def test_top_level_has_its_names(name: str) -> None:
    """Scripts and people find what they found before."""
    assert (ROOT / name).exists()


@pytest.mark.parametrize('page', PAGES)
def test_links_and_paths_lead_to_files(page: str) -> None:
    """Links, and what looks like a path or a file."""
    text = (ROOT / page).read_text(encoding='utf-8')
    links = re.findall(r'\]\((?!http)([^)#]+)\)', text)
    paths = re.findall(r'`([.\w/-]+/[\w/.-]+|[\w-]+\.(?:py|sh|txt|md|yml))`', text)
    assert [path for path in (*links, *paths) if not (ROOT / path).exists()] == []


def test_commands_name_what_there_is() -> None:
    """Files of requirements, mutants, and the service that runs the tests."""
    text = '\n'.join(COMMANDS)
    files = re.findall(r'requirements[\w-]*\.txt', text)
    mutants = re.findall(r'--only (\w+)', text)
    assert {name for name in files if not (ROOT / name).exists()} == set()
    assert set(mutants) <= {mutant.name for mutant in ALL}
    assert files
    assert mutants
    (docker,) = (command for command in COMMANDS if command.startswith('docker'))
    assert docker in (ROOT / 'run-tests.sh').read_text(encoding='utf-8')
    assert 'test' in loaded(ROOT / 'docker-compose.yml')['services']


@pytest.mark.skipif(shutil.which('git') is None, reason='it commits')
def test_version_is_raised_by_the_commands(tmp_path: Path) -> None:
    """In their order, for a patch: two commits, and the release has a tag."""
    for name in ('.bumpversion.cfg', 'consensual/__init__.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, 'init', '--quiet')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '--quiet', '--message', 'Before')
    commands = [command for command in COMMANDS if command.startswith('bump2version')]
    assert len(commands) == 4
    somebody = {
        f'GIT_{role}_{what}': 'somebody'
        for role in ('AUTHOR', 'COMMITTER')
        for what in ('NAME', 'EMAIL')
    }
    for command in commands:
        _, *arguments = command.replace('$CATEGORY', 'patch').split()
        subprocess.run(
            [sys.executable, '-m', 'bumpversion', *arguments],
            cwd=tmp_path,
            env=os.environ | somebody,
            capture_output=True,
            check=True,
        )
    release, before, _ = git(tmp_path, 'log', '--format=%s').splitlines()
    version = release.removeprefix('Version ')
    assert before == f'Version {version}-alpha'
    assert git(tmp_path, 'tag', '--points-at', 'HEAD').split() == [f'v{version}']
    code = (tmp_path / 'consensual' / '__init__.py').read_text(encoding='utf-8')
    assert f"__version__ = '{version}'" in code


def test_forge_runs_what_everybody_runs() -> None:
    """On each Python that is supported, from the oldest one on."""
    (job,) = loaded(ROOT / '.github' / 'workflows' / 'ci.yml')['jobs'].values()
    assert './run-tests.sh' in [step.get('run') for step in job['steps']]
    versions = job['strategy']['matrix']['python']
    setup = (ROOT / 'setup.py').read_text(encoding='utf-8')
    assert f"python_requires='>={versions[0]}'" in setup
    assert f'range({versions[0][2:]}, {int(versions[-1][2:]) + 1})' in setup


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_form_asks_for_something(path: Path) -> None:
    """Each question has a name of its own and a label; one of them must be answered."""
    form = loaded(path)
    assert {'name', 'description', 'body'} <= set(form)
    names = [question['id'] for question in form['body']]
    assert len(names) == len(set(names))
    assert all(question['attributes']['label'] for question in form['body'])
    assert any(question.get('validations') for question in form['body'])


def test_other_yaml_can_be_read() -> None:
    """What is not looked at elsewhere."""
    assert loaded(ROOT / '.github' / 'ISSUE_TEMPLATE' / 'config.yml')['contact_links']
    assert loaded(ROOT / 'deploy' / 'alerts.yml')['groups']
