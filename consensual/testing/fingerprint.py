"""Fingerprints of values: of results and states of the user's, to be compared later."""

import json
from hashlib import sha256
from typing import Any

LONG = 2000
"""Characters of a fingerprint; of a longer one the end is told by its SHA-256."""


def fingerprint(value: Any) -> object:
    """Return something equal for equal values, however they are changed later. Never raises.

    Of what is no JSON type only the type counts.
    """
    if isinstance(value, BaseException):
        return f'{type(value).__name__}: {_text_of(value)}'
    try:
        text = json.dumps(value, sort_keys=True, separators=(',', ':'), default=_by_type)
    except (TypeError, ValueError, RecursionError):  # keys of other types, or a cycle
        text = _by_leaf(value, set())
    return text if len(text) <= LONG else _abridged(text)


def _abridged(text: str) -> str:
    digest = sha256(text.encode(errors='backslashreplace')).hexdigest()
    return f'{text[:LONG]}… {len(text)} characters, {digest}'


def _by_type(value: object) -> str:
    return f'<{type(value).__name__}>'


def _by_leaf(value: Any, above: set[int]) -> str:
    if id(value) in above:
        return '<a cycle>'
    if isinstance(value, dict):
        inside = above | {id(value)}
        items = [f'{_by_leaf(k, inside)}: {_by_leaf(v, inside)}' for k, v in value.items()]
        return '{' + ', '.join(sorted(items)) + '}'
    if isinstance(value, (list, tuple)):
        return '[' + ', '.join(_by_leaf(item, above | {id(value)}) for item in value) + ']'
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)
    return _by_type(value)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's
        return 'its text cannot be had'
