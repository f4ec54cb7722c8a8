"""Parameters as JSON text: encoded once by the caller, decoded by each node for itself."""

from typing import Any

import msgspec

from consensual.raft.errors import InvalidParameters, TooLarge

SIZE_LIMIT = 1 << 20
"""Bytes that a command's action and parameters may take."""

DEPTH_LIMIT = 100
"""Arrays and objects that may stand in one another."""

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def encode(action: str, parameters: Any) -> str:
    """Return the parameters as JSON text that every node decodes to equal values.

    Tuples are arrays. Raises `InvalidParameters` for what JSON cannot carry
    (NaN and infinities, keys that are no strings, sets, bytes, dates, …) and
    for commands above `DEPTH_LIMIT`, `TooLarge` for those above `SIZE_LIMIT`.
    """
    try:
        data = _encode(parameters)
        decoded = decode(data)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidParameters(
            f'parameters of {action!r} cannot be carried as JSON: {error}'
        ) from error
    if decoded != parameters:
        check_equal(parameters, decoded, f'the parameters of {action!r}: value')
    _check_bounds(action, data, decoded)
    return data.decode()


def check(action: str, text: str) -> None:
    """Check parameters that come as JSON text. Raises as `encode` does."""
    try:
        data = text.encode()
        decoded = decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidParameters(f'parameters of {action!r} are no JSON: {error}') from error
    _check_bounds(action, data, decoded)


def _check_bounds(action: str, data: bytes, decoded: Any) -> None:
    if len(data) + len(action) > SIZE_LIMIT:
        raise TooLarge(
            f'parameters of {action!r} take {len(data)} bytes; a command may take {SIZE_LIMIT}: '
            'store large values elsewhere and replicate their names'
        )
    if data.count(b'[') + data.count(b'{') > DEPTH_LIMIT:
        _check_depth(action, decoded)


def check_equal(value: Any, decoded: Any, path: str) -> None:
    """Raise `InvalidParameters` for what does not come back as it went; tuples may be lists."""
    if isinstance(value, (list, tuple)) and isinstance(decoded, list):
        for position, pair in enumerate(zip(value, decoded, strict=True)):
            check_equal(*pair, f'{path}[{position}]')
    elif isinstance(value, dict) and isinstance(decoded, dict):
        for key, item in value.items():
            if not isinstance(key, str) or key not in decoded:
                raise InvalidParameters(f'{path} has the key {key!r}: JSON has only str keys')
            check_equal(item, decoded[key], f'{path}[{key!r}]')
    elif value != decoded:
        raise InvalidParameters(
            f'{path} is {value!r}, a {type(value).__name__}, which JSON cannot carry: '
            f'it would arrive as {decoded!r}'
        )


def _check_depth(action: str, value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            item
            for container in level
            if isinstance(container, (list, dict))
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return
    raise InvalidParameters(f'parameters of {action!r} are nested deeper than {DEPTH_LIMIT}')
