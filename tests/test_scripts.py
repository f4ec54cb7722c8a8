"""`run-tests.sh` and its twin for PowerShell run the same steps, in the same order.

What they run is replaced by programs that only note how they were called. The twin is run
where there is a PowerShell; its text is compared everywhere.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = {'run-tests.sh': ('bash',), 'run-tests.ps1': ('pwsh', '-NoProfile', '-File')}
PROGRAMS = 'python', 'ruff', 'mypy', 'lint-imports'
NOTING = """#!/bin/sh
{ printf '%s' "${0##*/}"; printf ' <%s>' "$@"; echo; } >> "$NOTES"
[ "${0##*/}" != "$FAILING" ] || exit 3
"""
STEP = re.compile(
    r'environment\.py \S+|docker compose .*? test\b|== [\w ]+|ruff [^\n]+|mypy|lint-imports|'
    r'--long|not long|-m pytest|--numprocesses auto --dist loadfile|tests/\w+'
)
CHECKS = [
    'any-python <.ci/environment.py> <requirements-tests.txt>',
    'ruff <check> <.>',
    'ruff <format> <--check> <.>',
    'mypy <>',
    'lint-imports <>',
]
PYTEST = 'python <-m> <pytest>'
SHORT = f'{PYTEST} <-m> <not long>'
MANY = '<--numprocesses> <auto> <--dist> <loadfile>'
ALONE = '<--ignore=tests/processes> <--ignore=tests/crashes>'


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Return how to run the script, in a folder where all programs only note their calls."""
    name: str = request.param
    interpreter = SCRIPTS[name]
    if shutil.which(interpreter[0]) is None:
        pytest.skip(f'there is no {interpreter[0]} here')
    shutil.copy(ROOT / name, tmp_path)
    folders = {tmp_path / '.venv' / 'bin': PROGRAMS, tmp_path / 'path': ('docker', 'any-python')}
    for folder, programs in folders.items():
        folder.mkdir(parents=True)
        for program in programs:
            (folder / program).write_text(NOTING, encoding='utf-8')
            (folder / program).chmod(0o755)
    return [*interpreter, str(tmp_path / name)]


def noted(script: list[str], *arguments: str, failing: str = '') -> tuple[int, list[str]]:
    """Return the exit status of the script, and what it ran."""
    folder = Path(script[-1]).parent
    told = {'PYTHON': 'any-python', 'NOTES': str(folder / 'notes'), 'FAILING': failing}
    path = f'{folder / "path"}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        [*script, *arguments],
        env=os.environ | told | {'PATH': path},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (folder / 'notes').read_text(encoding='utf-8').splitlines()


@pytest.mark.parametrize(
    ('arguments', 'tests'),
    [
        ([], [f'{SHORT} {MANY} {ALONE}', f'{SHORT} <tests/processes> <tests/crashes>']),
        (['--long'], [f'{PYTEST} {MANY} {ALONE}', f'{PYTEST} <tests/processes> <tests/crashes>']),
        (['tests/api', '-k', 'a or b'], [f'{SHORT} <tests/api> <-k> <a or b>']),
        (['--long', '-x'], [f'{PYTEST} <-x>']),
    ],
)
def test_everything_is_checked_before_the_tests(
    script: list[str], arguments: list[str], tests: list[str]
) -> None:
    """Whichever tests are asked for."""
    assert noted(script, *arguments) == (0, [*CHECKS, *tests])


def test_step_that_fails_is_the_last_one(script: list[str]) -> None:
    """Its exit status is that of the script."""
    assert noted(script, failing='mypy') == (3, CHECKS[:4])


def test_docker_runs_the_test_service_and_nothing_here(script: list[str]) -> None:
    """What else is given goes to the script inside."""
    run = 'docker <compose> <--file> <docker-compose.yml> <run> <--build> <--rm> <test>'
    assert noted(script, '--docker', '--long', '-x') == (0, [f'{run} <--long> <-x>'])
    assert noted(script, '--docker', failing='docker')[0] == 3


def test_twins_name_the_same_steps_in_the_same_order() -> None:
    """A step that is added to one of them is missed in the other one."""
    both = [
        STEP.findall(re.sub(r'^#.*', '', (ROOT / name).read_text(), flags=re.MULTILINE))
        for name in SCRIPTS
    ]
    assert len(both[0]) > 12
    assert both[0] == both[1]
