"""A mutant: one line of the library, broken on purpose, and how it is put into a copy of it.

Which there are is `catalogue`; how they are killed is `hunt`.
"""

import shutil
from pathlib import Path

from msgspec import Struct

import consensual

PACKAGE = Path(consensual.__file__).parent


class Rotten(AssertionError):
    """The text to be replaced is not found exactly once: the catalogue is behind the code."""


class Mutant(Struct, frozen=True):
    """One line broken.

    file: under `consensual/raft`.
    before, after: what is replaced by what; of several lines one is changed, the
        others tell where it stands.
    rule: what that breaks, with its source.
    seeds: within how many the simulator kills it.
    """

    name: str
    file: str
    before: str
    after: str
    rule: str
    seeds: int

    def apply(self, package: Path) -> None:
        """Break that copy of the package. Raises `Rotten`."""
        path = package / 'raft' / self.file
        text = path.read_text(encoding='utf-8')
        self.check(text)
        path.write_text(text.replace(self.before, self.after), encoding='utf-8')

    def check(self, text: str) -> None:
        """Raise `Rotten` unless one line of that source is changed."""
        if (found := text.count(self.before)) != 1:
            raise Rotten(f'{self.name}: found {found} times in {self.file}: {self.before!r}')
        before, after = self.before.splitlines(), self.after.splitlines()
        if len(before) != len(after) or sum(map(str.__ne__, before, after)) != 1:
            raise Rotten(f'{self.name}: one line is to be changed, no more and no less')

    def source(self) -> str:
        """Return the source as it is."""
        return (PACKAGE / 'raft' / self.file).read_text(encoding='utf-8')


def copy_package(folder: Path) -> Path:
    """Copy the library into a folder; return where it is."""
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns('__pycache__'))
    return package
