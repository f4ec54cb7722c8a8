"""What a request says: its body, its deadline, the cluster that it means; checked and bounded.

What is done with it is `rest`.
"""

from asyncio import timeout as time_limit
from math import isfinite
from typing import Any

import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from consensual.raft import Node
from consensual.raft.errors import InvalidAddress, InvalidParameters, NotMember, TooLarge

BODY_LIMIT = 1 << 20
"""Bytes of a request's body."""

URL_LIMIT = 64
"""Nodes that one request may name."""

TIMEOUT_LIMIT = 60.0
"""Seconds that a request may ask for."""

BODY_TIMEOUT = 10.0
"""Seconds within which a body has to arrive."""

TIMEOUT_HEADER = 'Request-Timeout'
CLUSTER_HEADER = 'Consensual-Cluster'

_decode = msgspec.json.Decoder().decode
NOTHING = object()
"""The body of a request that has none."""


async def read_json(request: web.Request) -> Any:
    """Return the value of the body; `NOTHING` where there is none.

    Raises `TooLarge`, `InvalidParameters` for what is no JSON, is nested too deep or was broken
    off, and `HTTPRequestTimeout` for a sender that takes too long.
    """
    body = await _read(request)
    if not body:
        return NOTHING
    try:
        return _decode(body)
    except RecursionError:
        raise InvalidParameters('the body is nested too deep') from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidParameters(f'the body is no JSON: {error}') from error


async def _read(request: web.Request) -> bytes:
    if request.headers.get('Content-Encoding', 'identity') != 'identity':
        raise web.HTTPUnsupportedMediaType(reason='send the body as it is, without compression')
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    try:
        async with time_limit(BODY_TIMEOUT):
            while not request.content.at_eof():
                chunk = await request.content.readany()
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise _too_large()
                chunks.append(chunk)
    except TimeoutError:
        raise web.HTTPRequestTimeout(
            reason=f'the body did not arrive within {BODY_TIMEOUT:g} s'
        ) from None
    except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError, OSError) as error:
        raise InvalidParameters(f'the body was broken off: {error}') from error
    return b''.join(chunks)


def _too_large() -> TooLarge:
    return TooLarge(
        f'the body is larger than {BODY_LIMIT} bytes: store large values elsewhere and '
        'replicate their names'
    )


def urls_in(value: Any) -> list[URL]:
    """Return the addresses in a JSON list of URLs. Raises `InvalidParameters`, `InvalidAddress`."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidParameters(
            'the body is to be a JSON list of URLs, like ["http://host:8000"], or to be left out'
        )
    if len(value) > URL_LIMIT:
        raise InvalidParameters(f'{len(value)} nodes are too many: {URL_LIMIT} at a time')
    return [url_in(item) for item in value]


def url_in(value: Any) -> URL:
    """Return the address in a JSON string. Raises `InvalidParameters`, `InvalidAddress`."""
    if not isinstance(value, str):
        raise InvalidParameters('the body is to be a JSON string with a URL, or to be left out')
    try:
        return URL(value)
    except ValueError as error:
        raise InvalidAddress(f'{value!r} is no URL: {error}') from error


def timeout_of(request: web.Request, default: float) -> float:
    """Return the seconds that a request gives, by parameter or header, or the default.

    Raises `InvalidParameters` for what is no number, or out of bounds.
    """
    text = request.query.get('timeout') or request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = float('nan')
    if not isfinite(seconds) or not 0 < seconds <= TIMEOUT_LIMIT:
        raise InvalidParameters(
            f'timeout is a number of seconds above 0, up to {TIMEOUT_LIMIT:g}, not {text!r}'
        )
    return seconds


def flag_of(request: web.Request, name: str) -> bool:
    """Return whether a parameter is `true`. Raises `InvalidParameters` for other texts."""
    text = request.query.get(name, 'false')
    if text not in ('true', 'false'):
        raise InvalidParameters(f'{name} is true or false, not {text!r}')
    return text == 'true'


def check_cluster(request: web.Request, node: Node) -> None:
    """Refuse a request that means another cluster. Raises `NotMember`."""
    meant = request.query.get('cluster') or request.headers.get(CLUSTER_HEADER)
    if meant is None:
        return
    cluster_id = node.status.cluster_id
    if meant != cluster_id:
        raise NotMember(
            f'the request is for the cluster {meant!r}, and this node is in '
            f'{cluster_id or "none"}: ask another node'
        )
