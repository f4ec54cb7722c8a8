"""A mutant: one line of the library, broken on purpose, and how a copy of it is broken so.

Which mutants there are is `catalogue`; how they are killed is `hunt`.
"""

import shutil
from pathlib import Path
from typing import Optional

from msgspec import Struct

import consensual

PACKAGE = Path(consensual.__file__).parent


class Rotten(AssertionError):
    """The text to be replaced is not found exactly once: the catalogue is behind the code."""


class Edit(Struct, frozen=True):
    """One line changed.

    file: from `consensual/raft` on.
    before, after: what is replaced by what; of several lines one is changed, the
        others tell where it stands.
    """

    file: str
    before: str
    after: str

    def applied_to(self, text: str) -> str:
        """Return the source with that line changed. Raises `Rotten`."""
        if (found := text.count(self.before)) != 1:
            raise Rotten(f'{self.file} has {found} times: {self.before!r}')
        before, after = self.before.splitlines(), self.after.splitlines()
        if len(before) != len(after) or sum(map(str.__ne__, before, after)) != 1:
            raise Rotten(f'one line is to be changed, no more and no less: {self.before!r}')
        return text.replace(self.before, self.after)


class Mutant(Struct, frozen=True):
    """A rule broken by one line.

    edit: that line.
    rule: what is broken, with its source.
    seeds: within how many the simulator kills it; 0 where that is left to a test.
    also: the other line, of a rule that two lines keep, each by itself.
    killed_by: file and name of the test that kills it, whether the simulator does or not.
    """

    name: str
    edit: Edit
    rule: str
    seeds: int
    also: Optional[Edit] = None
    killed_by: tuple[str, str] = ('', '')

    @property
    def edits(self) -> list[Edit]:
        """All lines changed."""
        return [self.edit, *([self.also] if self.also is not None else [])]

    def break_package(self, package: Path) -> None:
        """Break a copy of the library. Raises `Rotten`."""
        for edit in self.edits:
            path = package / 'raft' / edit.file
            path.write_text(edit.applied_to(path.read_text('utf-8')), 'utf-8')


def copy_package(folder: Path) -> Path:
    """Copy the library into a folder; return where it is."""
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns('__pycache__'))
    return package
