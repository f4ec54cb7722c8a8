"""The table of rules in the core's docstring leads where it says."""

import re
from importlib import import_module

import pytest

import consensual.raft.core

ROWS = [
    (rule.strip(), place, source)
    for rule, place, source in re.findall(
        r'^(\S.*?) {2,}(\w+(?:\.\w+)+) {2,}(\S.*)$', consensual.raft.core.__doc__, re.MULTILINE
    )
]


def test_table_has_rows():
    """Every line between the rules of the table is a row."""
    table = re.split(r'^=+ +=+ +=+$', consensual.raft.core.__doc__, flags=re.MULTILINE)[2]
    assert len(ROWS) == len(table.strip().splitlines())
    assert len(ROWS) >= 30


@pytest.mark.parametrize(('rule', 'place', 'source'), ROWS, ids=[row[0] for row in ROWS])
def test_row_resolves(rule, place, source):
    """The function exists, says what it does, and the source is a section."""
    module, *names = place.split('.')
    target = import_module(f'consensual.raft.core.{module}')
    for name in names:
        target = getattr(target, name)
    assert callable(target), rule
    assert target.__doc__, rule
    assert re.search(r'§\d|Figure \d|design §\d', source), rule
