"""Pages that can be followed: their files are made, their commands run, as a reader does it.

A block whose first line is `# name.py` is that file, one that includes a file of the
repository is a copy of it; a `diff` changes one; `console` blocks are run in their order,
and what is printed is compared. In expected output `…` stands for anything within a line,
and a line of nothing else for any lines; a number with a point, or of three digits or more,
for any number; spaces for any number of them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(?:\{\.)?(\w+)\}?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
OPTIONS = '-p no:cacheprovider', '-W error', '-o asyncio_default_fixture_loop_scope=function'
LIMIT = 60
"""Seconds that a command may take."""

CARETS = re.compile(r'^(?:E +)? *\^+\n', re.MULTILINE)
"""Later versions of Python show with them which part of a line failed."""


def follow(text: str, folder: Path) -> list[str]:
    """Make the files and run the commands of a page in a folder; return the commands."""
    ran: list[str] = []
    for language, block in blocks(text):
        match language:
            case 'python':
                put_down(block, folder)
            case 'diff':
                change(folder, block)
            case 'console':
                for command, expected in commands(block):
                    ran.append(command)
                    output = run(command, folder)
                    assert pattern_of(expected).fullmatch(output), f'$ {command}\n{output}'
            case _:
                pytest.fail(f'nobody runs what is {language}: {block}')
    return ran


def put_down(block: str, folder: Path) -> None:
    """Make the file that a block shows."""
    included = re.fullmatch(r'--8<-- "(.+)"\n', block)
    if included is not None:
        shutil.copy(ROOT / included[1], folder)
        return
    name = re.match(r'# ([\w.]+)\n', block)
    assert name is not None, f'an example has no name: {block}'
    (folder / name[1]).write_text(block, encoding='utf-8')


def environment() -> dict[str, str]:
    """Return that of a user who installed the package, and pytest with two plugins."""
    plugins = '-p pytest_asyncio.plugin', '-p consensual.testing.plugin'
    kept = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST')}
    return kept | {
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'PYTHONIOENCODING': 'utf-8',
        'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
        'PYTEST_ADDOPTS': ' '.join([*plugins, *OPTIONS]),
    }


def blocks(text: str) -> list[tuple[str, str]]:
    """Return all blocks of a page: what they are of, and their text."""
    return BLOCK.findall(text)


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
    return CARETS.sub('', done.stdout)


def installed(folder: Path) -> Path:
    """Return where the console script is, as if the package had been installed."""
    path = folder / '.bin' / 'consensual'
    if not path.exists():
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m consensual "$@"\n')
        path.chmod(0o755)
    return path.parent


def change(folder: Path, diff: str) -> None:
    """Change a file as the diff says; what it takes away is there exactly once."""
    head, *lines = diff.splitlines()
    path = folder / head.removeprefix('--- ')
    before = '\n'.join(line[1:] for line in lines if not line.startswith('+'))
    after = '\n'.join(line[1:] for line in lines if not line.startswith('-'))
    text = path.read_text(encoding='utf-8')
    assert text.count(before) == 1, diff
    path.write_text(text.replace(before, after), encoding='utf-8')


@contextmanager
def processes_ended(folder: Path) -> Iterator[Path]:
    """Yield the folder; end the processes whose ids are left in `*.pid` there."""
    yield folder
    for path in folder.glob('*.pid'):
        with suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)
