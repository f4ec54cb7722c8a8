"""The text that the demo replicates: where it comes from, and what is no such text."""

import json
from pathlib import Path

LINE_LIMIT = 1_000_000
DEFAULT_INPUT = Path(__file__).with_name('harbour-log.txt')


class BadInputError(Exception):
    """The demo cannot begin; the text says why."""


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that can be replicated. Raises `BadInputError`."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except FileNotFoundError:
        raise BadInputError(f'{path}: there is no such file; name one with --input') from None
    except UnicodeDecodeError as error:
        raise BadInputError(f'{path}: not UTF-8 text (byte {error.start})') from None
    except OSError as error:
        raise BadInputError(f'{path}: {error.strerror}') from None
    _check(path, lines)
    return lines


def _check(path: Path, lines: list[str]) -> None:
    if not lines:
        raise BadInputError(f'{path}: empty; there is nothing to replicate')
    for number, line in enumerate(lines, 1):
        if len(json.dumps(line)) > LINE_LIMIT:
            raise BadInputError(f'{path}: line {number} is longer than {LINE_LIMIT} bytes of JSON')
