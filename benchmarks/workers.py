"""Workers: measurements in processes of their own, which print their figures as a line of JSON."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


class Worker:
    """A process that is told by lines of JSON what to do, and answers each by one.

    limit: seconds that an answer may take, beside those that it is asked for.
    """

    limit = 60.0

    def __init__(self, worker: str, *arguments: object) -> None:
        self.name = f'{worker} {" ".join(map(str, arguments))}'
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / worker), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={'PYTHONPATH': str(HERE.parent)},
            cwd=HERE,
        )

    def tell(self, do: str, **what: object) -> None:
        """Tell it what to do; `answer` returns what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({'do': do, **what}) + '\n')

    def answer(self, seconds: float = 0) -> Any:
        """Return its answer. Raises `SystemExit` when it gives none."""
        assert self.process.stdout is not None
        watch = threading.Timer(seconds + self.limit, self.process.kill)
        watch.start()
        try:
            line = self.process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            raise SystemExit(f'{self.name} gives no answer')
        return json.loads(line)

    def ask(self, do: str, **what: Any) -> Any:
        """Tell it what to do, and return its answer."""
        self.tell(do, **what)
        return self.answer(what.get('seconds', 0))

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
