"""The version is raised by `bump2version`, in the two places where it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consensual import __version__

ROOT = Path(__file__).parents[1]
SETTINGS, CODE = '.bumpversion.cfg', 'consensual/__init__.py'


def versions(folder: Path) -> tuple[str, ...]:
    """Return what the settings and the code say."""
    said = re.search(r'current_version = (\S+)', (folder / SETTINGS).read_text(encoding='utf-8'))
    done = re.search(r"__version__ = '(\S+)'", (folder / CODE).read_text(encoding='utf-8'))
    assert said is not None
    assert done is not None
    return said[1], done[1]


def test_settings_know_the_version_of_the_code() -> None:
    """Else nothing could be raised."""
    assert versions(ROOT) == (__version__, __version__)


@pytest.mark.parametrize(
    ('part', 'before', 'after'),
    [
        ('release', '0.3.0-alpha', '0.3.0'),
        ('patch', '0.3.0', '0.3.1-alpha'),
        ('minor', '0.3.1', '0.4.0-alpha'),
        ('major', '0.3.1-alpha', '1.0.0-alpha'),
    ],
)
def test_each_part_can_be_raised(part: str, before: str, after: str, tmp_path: Path) -> None:
    """Whatever the version is now: patch, minor and major begin a pre-release, release ends it."""
    (tmp_path / 'consensual').mkdir()
    for name in (SETTINGS, CODE):
        shutil.copy(ROOT / name, tmp_path / name)
        text = (tmp_path / name).read_text(encoding='utf-8')
        (tmp_path / name).write_text(text.replace(__version__, before), encoding='utf-8')
    assert versions(tmp_path) == (before, before)
    subprocess.run(
        [sys.executable, '-m', 'bumpversion', '--no-commit', part], cwd=tmp_path, check=True
    )
    assert versions(tmp_path) == (after, after)
