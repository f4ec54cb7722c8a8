"""Answers in JSON: `{"error": null | text, "result": …}`, with the status that an error calls for.

What the requests are is not known here.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Optional

import msgspec
from aiohttp import web
from yarl import URL

from consensual.raft import Node, errors
from consensual.raft.driver.outcome import sendable
from consensual.raft.errors import ConsensualError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUSES: Mapping[type[ConsensualError], int] = {
    ConsensualError: 500,
    errors.CallerError: 400,
    errors.TooLarge: 413,
    errors.UnknownAction: 404,
    errors.UnknownQuery: 404,
    errors.AlreadyMember: 409,
    errors.WaitingInsideProcessor: 500,
    errors.SnapshotUnsupported: 501,
    errors.NodeStopped: 503,
    errors.WrongLoop: 500,
    errors.ProcessorFailed: 422,
    errors.ClusterError: 503,
    errors.NotMember: 421,
    errors.NodeUnreachable: 502,
    errors.NodeNotEmpty: 409,
    errors.AttachFailed: 502,
    errors.MembershipChangeInProgress: 409,
    errors.OutcomeUnknown: 504,
    errors.StorageFull: 507,
}
"""The status of each error; of one that is not here, that of the nearest class above it."""

_OF_A_NODE = errors.InvariantViolated, errors.StorageError, errors.UnknownAction
"""Errors that, on a node which has failed by one, say nothing about what was asked of it."""

RETRY_AFTER = 1
"""Seconds that whoever got 503 is told to wait: an election is over by then, as a rule."""


def status_of(error: ConsensualError) -> int:
    """Return the status with which an error is answered."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def told_by(node: Node, error: ConsensualError) -> ConsensualError:
    """Return what to tell of an error: by what a node has failed is no outcome of a call.

    Nothing was done of a call that gets it; of one that was under way the outcome is unknown.
    """
    if isinstance(error, _OF_A_NODE) and node.status.failure is not None:
        return errors.NodeStopped(f'the node has failed: {error}')
    return error


def _to_json(value: Any) -> str:
    if isinstance(value, URL):
        return str(value)
    raise TypeError(f'a {type(value).__name__}')


_encode = msgspec.json.Encoder(enc_hook=_to_json).encode


class NotJSON(Exception):
    """A result that JSON cannot carry."""


def encode_result(result: Any) -> bytes:
    """Return what a user's function returned as JSON. Raises `NotJSON`."""
    try:
        return _encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotJSON(f'it was done, with a result that JSON cannot carry: {error}') from error


def answer(result: Any, *, status: int = 200) -> web.Response:
    """Return the answer to what succeeded; one that JSON cannot carry is an error by itself."""
    try:
        body = encode_result({'error': None, 'result': result})
    except NotJSON as error:
        return refuse(500, str(error))
    return web.Response(body=body, status=status, content_type='application/json')


def refuse(
    status: int, text: str, *, result: Any = None, headers: Optional[Mapping[str, str]] = None
) -> web.Response:
    """Return the answer to what failed; of a 503, with the time after which to try again."""
    kept = {**headers} if headers else {}
    if status == 503:
        kept['Retry-After'] = str(RETRY_AFTER)
    body = _encode({'error': sendable(text), 'result': result})
    return web.Response(body=body, status=status, content_type='application/json', headers=kept)


def refuse_error(error: ConsensualError) -> web.Response:
    """Return the answer to what failed by a typed error."""
    return refuse(status_of(error), str(error) or type(error).__name__)


def refuse_exception(error: web.HTTPException) -> web.Response:
    """Return aiohttp's own refusal as JSON, with its headers."""
    kept = {
        name: value
        for name, value in error.headers.items()
        if name.lower() not in ('content-type', 'content-length')
    }
    return refuse(error.status, error.reason, headers=kept)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have routes that are not there, and methods that they lack, answered as JSON, too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.content_type == 'application/json' or error.status < 400:
            raise
        return refuse_exception(error)
    except ConnectionResetError:  # who asked is gone, so whatever this is, nobody gets it
        return refuse(499, 'the connection was closed before it was answered')
