"""The examples run, and print what examples/README.md shows; each fits on a screen."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Self

import pytest
from yarl import URL

from consensual.testing.ports import free_url
from tests.pages import LIMIT, ROOT, environment, follow, processes_ended

EXAMPLES = ROOT / 'examples'
PROGRAMS = sorted(EXAMPLES.glob('*.py'))
README = (EXAMPLES / 'README.md').read_text(encoding='utf-8')
SECTIONS = dict(re.findall(r'^## ([^\n]*)\n(.*?)(?=^## |\Z)', README, re.MULTILINE | re.DOTALL))
SHOWN = {title: text for title, text in SECTIONS.items() if '```console' in text}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with the examples in it."""
    for program in PROGRAMS:
        shutil.copy(program, tmp_path)
    with processes_ended(tmp_path):
        yield tmp_path


@pytest.mark.parametrize('title', SHOWN)
def test_example_prints_what_its_section_shows(title: str, folder: Path) -> None:
    """Whoever types the commands of a section sees what it shows."""
    follow(SHOWN[title], folder)


def test_all_examples_are_in_the_index() -> None:
    """Each program is linked once, and the index names no other one."""
    linked = re.findall(r'\]\(([\w.]+)\)', README)
    assert sorted(linked) == [program.name for program in PROGRAMS]


@pytest.mark.parametrize('program', PROGRAMS, ids=lambda program: program.stem)
def test_example_fits_on_a_screen(program: Path) -> None:
    """Below 60 lines, an example is read before it is run."""
    assert len(program.read_text(encoding='utf-8').splitlines()) < 60


class Talker:
    """Somebody in the chat room: a process, and what is typed and seen there."""

    def __init__(self, name: str, url: URL, *member: URL) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, EXAMPLES / 'chat.py', name, str(url), *map(str, member)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding='utf-8',
            env=environment(),
        )
        self._watchdog = Timer(LIMIT, self._process.kill)

    def __enter__(self) -> Self:
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()

    def say(self, text: str) -> str:
        """Type a line; return what all will see of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{text}\n')
        self._process.stdin.flush()
        return f'{self.name}: {text}'

    def see(self) -> str:
        """Return the next line that there is to be seen; '' after too long."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip('\n')

    def leave(self) -> tuple[int, str]:
        """End the input; return the exit status, and what was not seen."""
        rest, _ = self._process.communicate(timeout=LIMIT)
        return self._process.returncode, rest


def test_all_in_the_chat_room_see_the_same_lines() -> None:
    """Also a newcomer; and whoever is left goes on when the founder leaves."""
    urls = [free_url(), free_url()]
    with ExitStack() as talkers:
        ann = talkers.enter_context(Talker('ann', urls[0]))
        hello = ann.say('is anybody there?')
        assert ann.see() == hello
        bob = talkers.enter_context(Talker('bob', urls[1], urls[0]))
        assert bob.see() == hello
        answer = bob.say('I am')
        assert [ann.see(), bob.see()] == [answer, answer]
        assert ann.leave() == (0, '')
        assert bob.say('are you?') == bob.see()
        assert bob.leave() == (0, '')
