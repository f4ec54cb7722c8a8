"""Docstrings as the reference shows them: what is explained by `name: text` becomes a list.

An extension of griffe, which reads the code; only the docstrings' form is changed.
"""

import re
from typing import Any

import griffe

NAMED = re.compile(r'^( *)([\w*]+(?:, [\w*]+)*(?: \{[\w, ?]*\})?): (.+)$')
TREE = re.compile(r'^[│├└ ]*[├└]── ', re.MULTILINE)


def formed(text: str) -> str:
    """Return a docstring as Markdown, paragraph by paragraph."""
    return '\n\n'.join(map(_formed_paragraph, text.split('\n\n')))


def _formed_paragraph(text: str) -> str:
    if TREE.search(text):
        return f'```text\n{text}\n```'
    lines = text.split('\n')
    if NAMED.match(lines[0]) and not lines[0].startswith(' '):
        return _listed(lines)
    if lines[0].endswith(':') and len(lines) > 1 and all(map(NAMED.match, lines[1:])):
        return f'{lines[0]}\n\n{_listed(lines[1:])}'
    return text


def _listed(lines: list[str]) -> str:
    """Return a list; a line that names nothing, or is indented further, goes on with the last."""
    items: list[str] = []
    depth = len(lines[0]) - len(lines[0].lstrip())
    for line in lines:
        found = NAMED.match(line)
        if found is not None and len(found[1]) == depth:
            items.append(f'- `{found[2]}`: {found[3]}')
        else:
            items.append(f'    {line.strip()}')
    return '\n'.join(items)


class Docstrings(griffe.Extension):
    """Forms each docstring when the object that has it is found."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Form this one's."""
        if obj.docstring is not None:
            obj.docstring.value = formed(obj.docstring.value)
