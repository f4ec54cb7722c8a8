"""Makes .venv when it is missing, and installs what a requirements file lists.

`python .ci/environment.py FILE`, on any system, with the standard library alone.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
PYTHON = VENV / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')


def make() -> None:
    """Make the environment with the Python that runs this; an older one is told to go."""
    if sys.version_info < (3, 11):  # noqa: UP036 - any python3 may have been called
        sys.exit('consensual needs Python 3.11 or later; name one in the variable PYTHON')
    subprocess.run([sys.executable, '-m', 'venv', str(VENV)], check=True)


def install(name: str) -> None:
    """Install what the file lists; when that has been done, the registry is asked nothing."""
    stamp = VENV / f'installed-{name}'
    files = sorted(ROOT.glob('requirements*.txt'))
    wanted = ''.join(path.read_text(encoding='utf-8') for path in files)
    if stamp.exists() and stamp.read_text(encoding='utf-8') == wanted:
        return
    pip = [str(PYTHON), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    subprocess.run([*pip, '-r', str(ROOT / name)], check=True)
    stamp.write_text(wanted, encoding='utf-8')


if __name__ == '__main__':
    try:
        if not PYTHON.exists():
            make()
        install(sys.argv[1])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # what failed has said why
