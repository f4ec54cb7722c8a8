"""Workers: measurements in processes of their own, which print their figures as a line of JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


def run(worker: str, *arguments: object, python: str = sys.executable) -> dict:
    """Run one measurement; return its figures, or the end of what it complained about.

    python: of an interpreter that has the library to be measured; default: this library.
    """
    environment = {'PYTHONPATH': str(HERE.parent)} if python == sys.executable else {}
    done = subprocess.run(
        [python, str(HERE / worker), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
        cwd=HERE,
        check=False,
    )
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else {'error': done.stderr[-200:]}


@contextmanager
def follow(worker: str, *arguments: object) -> 'Iterator[Iterator[dict]]':
    """Run this library's worker; go through the lines of JSON that it prints, as they come.

    What it complains about is shown; the process is ended when the context is left.
    """
    process = subprocess.Popen(
        [sys.executable, str(HERE / worker), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={'PYTHONPATH': str(HERE.parent)},
        cwd=HERE,
    )
    with process:
        try:
            yield map(json.loads, process.stdout or ())
        finally:
            process.kill()
