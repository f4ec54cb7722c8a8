"""Parameters of the machines: checked strictly, refused with a text that teaches.

Changes nothing; knows no machine.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from consensual.raft.errors import InvalidParameters

KEY_LIMIT = 1024
"""Bytes of UTF-8 that a key may take."""

TTL_LIMIT = 1e9
"""Seconds that an entry may be set to live: some 31 years."""

Seconds = Annotated[float, Meta(gt=0, le=TTL_LIMIT)]
Index = Annotated[int, Meta(ge=1)]

Parameters = TypeVar('Parameters', bound=Struct)


def decode(name: str, parameters: Any, into: type[Parameters]) -> Parameters:
    """Return what an action or a query of that name was given, as a record.

    Raises `InvalidParameters`, whose text shows what it takes.
    """
    try:
        return msgspec.convert(parameters, into)
    except msgspec.ValidationError as error:
        raise InvalidParameters(f'{name} takes {_form(into)}: {error}') from error


def _form(of: type[Struct]) -> str:
    """Return the fields as the documentation writes them: {key, value, ttl?}."""
    fields = msgspec.structs.fields(of)
    names = [field.name if field.required else f'{field.name}?' for field in fields]
    return f'{{{", ".join(names)}}}'


def check_key(key: str, what: str = 'key') -> None:
    """Raise `ValueError` for what cannot be a key; a record's `__post_init__` may."""
    size = len(key.encode())
    if not 0 < size <= KEY_LIMIT:
        raise ValueError(f'`{what}` takes 1 to {KEY_LIMIT} bytes of UTF-8, not {size}')
