"""What is built and handed out: complete, and of use outside of the repository.

Nothing is fetched: what the package requires is lent to the environments made here by the one
that runs the tests.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from consensual.testing.ports import free_url

ROOT = Path(__file__).parents[1]
NOT_HANDED_OUT = '.git', '.venv', '.hypothesis', '.*_cache', '__pycache__', '*.egg-info', 'dist'
LIMIT = 120
"""Seconds that a command may take."""


def run(*command: object, cwd: Path, status: int = 0) -> str:
    """Run a command as in a new shell; return what it prints."""
    hidden = 'PYTHONPATH', 'CONSENSUAL_NODES'
    kept = {n: v for n, v in os.environ.items() if not n.startswith(('PYTEST', *hidden))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@dataclass(frozen=True)
class Built:
    """Both distributions, and the metadata in the wheel."""

    wheel: Path
    sdist: Path
    metadata: Message

    def required(self, extra: str) -> list[Requirement]:
        """Return what the wheel needs with an extra, '' for none."""
        needed = map(Requirement, self.metadata.get_all('Requires-Dist', []))
        return [r for r in needed if r.marker is None or r.marker.evaluate({'extra': extra})]


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist from a copy, and the wheel from the sdist."""
    folder = tmp_path_factory.mktemp('built')
    ignored = shutil.ignore_patterns(*NOT_HANDED_OUT)
    shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    run(sys.executable, '-m', 'build', '--no-isolation', folder / 'source', cwd=folder)
    (wheel,) = (folder / 'source' / 'dist').glob('*.whl')
    (sdist,) = (folder / 'source' / 'dist').glob('*.tar.gz')
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = message_from_string(opened.read(name).decode())
    return Built(wheel, sdist, metadata)


@dataclass(frozen=True)
class Bare:
    """An environment with nothing in it, and where programs are in it."""

    folder: Path

    @property
    def programs(self) -> Path:
        """Return the folder of programs."""
        return self.folder / 'bin'

    def lend(self, requirements: Iterable[Requirement]) -> None:
        """Let it have what is required, and what that requires."""
        (site,) = (self.folder / 'lib').glob('python*/site-packages')
        for requirement in requirements:
            found = distribution(requirement.name)
            for top in {file.parts[0] for file in found.files or ()} - {'..', '__pycache__'}:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(found.locate_file(top))))
            nested = map(Requirement, found.requires or ())
            self.lend(r for r in nested if r.marker is None or r.marker.evaluate({'extra': ''}))


@pytest.fixture(scope='module')
def bare(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Install the wheel, without extras, where nothing else is."""
    folder = tmp_path_factory.mktemp('bare')
    run(sys.executable, '-m', 'venv', '--without-pip', folder / 'venv', cwd=folder)
    bare = Bare(folder / 'venv')
    bare.lend(built.required(''))
    pip = (sys.executable, '-m', 'pip', '--python', bare.programs / 'python')
    run(*pip, 'install', '--quiet', '--no-deps', '--no-index', built.wheel, cwd=folder)
    run(*pip, 'check', cwd=folder)
    return bare


def tracked(*folders: str) -> set[str]:
    """Return the files of the repository; skip the test where there is none."""
    if not (ROOT / '.git').exists():
        pytest.skip('this is no repository: what should be there is not known')
    return set(run('git', 'ls-files', *folders, cwd=ROOT).splitlines())


def test_wheel_has_the_whole_package_and_nothing_else(built: Built) -> None:
    """Code, `py.typed`, the page and the text of the demo; no tests."""
    with zipfile.ZipFile(built.wheel) as opened:
        names = {name for name in opened.namelist() if '.dist-info/' not in name}
    assert {'consensual/py.typed', 'consensual/cli/demo/web/page/index.html'} <= names
    assert {name.partition('/')[0] for name in names} == {'consensual'}
    assert tracked('consensual') <= names


def test_sdist_has_the_whole_repository(built: Built) -> None:
    """Whoever unpacks it can do what can be done in a checkout."""
    with tarfile.open(built.sdist) as opened:
        names = {name.partition('/')[2] for name in opened.getnames()}
    assert tracked() - names == set()
    assert [name for name in names if '__pycache__' in name or name.startswith('.venv')] == []


def test_index_accepts_both(built: Built) -> None:
    """Nothing is missing that PyPI would ask for."""
    run(sys.executable, '-m', 'twine', 'check', '--strict', built.wheel, built.sdist, cwd=ROOT)


def test_links_of_the_description_are_absolute(built: Built) -> None:
    """On PyPI there are no other files; and what is linked to is in the repository."""
    links = re.findall(r'\]\(([^)]+)\)', str(built.metadata.get_payload()))
    assert len(links) > 5
    assert [link for link in links if not link.startswith(('https://', '#'))] == []
    within = [re.split(r'/(?:blob|raw)/HEAD/', link)[1] for link in links if '/HEAD/' in link]
    assert [path for path in within if not (ROOT / path).exists()] == []


def test_wheel_is_of_use_without_extras(bare: Bare, tmp_path: Path) -> None:
    """Both ways to the command line, the file of the demo; and what needs an extra names it."""
    python, consensual = bare.programs / 'python', bare.programs / 'consensual'
    for command in ((consensual,), (python, '-m', 'consensual')):
        said = run(*command, '--help', cwd=tmp_path)
        assert said.startswith('usage: consensual')
    run(python, '-W', 'error', '-c', 'from consensual.raft import Node', cwd=tmp_path)
    text = 'from consensual.cli.demo.text import *; print(len(read_lines(DEFAULT_INPUT)))'
    assert int(run(python, '-c', text, cwd=tmp_path)) > 10
    for command in (
        ('status', '--node', free_url()),
        ('serve', '--url', free_url(), '--data-dir', tmp_path / 'data'),
        ('demo', '--web'),
    ):
        said = run(consensual, *command, cwd=tmp_path, status=2)
        assert "pip install 'consensual[http]'" in said
        assert len(said.splitlines()) == 1


def test_extra_brings_what_goes_over_http(bare: Bare, built: Built, tmp_path: Path) -> None:
    """With it, a cluster is asked; here, there is none."""
    extended = shutil.copytree(bare.folder, tmp_path / 'venv', symlinks=True)
    Bare(extended).lend(built.required('http'))
    python = extended / bare.programs.name / 'python'
    run(python, '-c', 'import consensual.http, consensual.cli.demo.web.server', cwd=tmp_path)
    command = (python, '-m', 'consensual', 'status', '--node', free_url())
    assert 'cannot be reached' in run(*command, cwd=tmp_path, status=3)


def test_tests_can_be_run_from_the_sdist(built: Built, tmp_path: Path) -> None:
    """Without a checkout; a few of them stand for all."""
    shutil.unpack_archive(built.sdist, tmp_path, filter='data')
    (unpacked,) = tmp_path.iterdir()
    tests = 'tests/test_version.py', 'tests/core/test_quorum.py'
    said = run(sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *tests, cwd=unpacked)
    assert '100%' in said
