"""Names of cases that are the same in every run."""

import re

ADDRESS = re.compile(r' at 0x[0-9a-f]+')


def readable(value: object) -> str:
    """Return what `repr` returns, without the addresses that differ from run to run."""
    return ADDRESS.sub('', repr(value))
