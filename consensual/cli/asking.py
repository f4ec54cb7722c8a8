"""Asking a cluster over REST: which members to ask, with what token, and what the answer means.

What is asked is each command's own business.
"""

import argparse
import asyncio
import errno
import json
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Self

from yarl import URL

from consensual.cli.config import (
    TOKEN_VARIABLE,
    ConfigError,
    client_context,
    node_url,
    read_token,
)

DONE, FAILED, MISUSED, UNAVAILABLE, UNKNOWN, FORBIDDEN = range(6)
"""Exit statuses; EXIT_STATUSES tells what they mean."""

EXIT_STATUSES = """exit status:
  0  done
  1  refused, with the reason; of `kv get`: no such key; of `kv cas`: not as expected
  2  bad input: nothing was asked
  3  nothing was done: nobody could be reached, or nobody leads; try again
  4  the outcome is unknown: it may be done or not; look before you do it again
  5  not allowed: no token, a wrong one, or a certificate that is not trusted
"""

NODES_VARIABLE = 'CONSENSUAL_NODES'
GRACE = 2.0
"""Seconds that an answer may be late, by its own deadline."""

CONNECT_TIMEOUT = 3.0
"""Seconds after which a node that takes no connection is left for the next one."""

TIMEOUT_LIMIT = 60.0
"""Seconds that a node can be asked to try, at most."""

_STATUSES = {
    401: FORBIDDEN,
    403: FORBIDDEN,
    421: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNKNOWN,
}


class AskingError(Exception):
    """There is no result; the text says why.

    status: the exit status that says the same.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Unreachable(AskingError):
    """No connection was made, so nothing was done."""


class Members:
    """Some members of a cluster, asked one after another until one can be reached.

    urls: of the members.
    token: that of clients, None without one.
    context: how TLS is done, for `https` URLs.

    A context manager, on a running loop.
    """

    def __init__(
        self,
        urls: Sequence[URL],
        *,
        token: Optional[str] = None,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self.urls = tuple(urls)
        self.token = token
        self.context = context
        self._session: Any = None

    def __repr__(self) -> str:
        return f'Members({", ".join(map(str, self.urls))})'

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415 - an extra

        async def once(request: Any, send: Any) -> Any:
            """Let no DELETE be sent twice, as is done where a connection breaks."""
            try:
                return await send(request)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                raise aiohttp.ClientError(reason(error)) from error

        headers = {} if self.token is None else {'Authorization': f'Bearer {self.token}'}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            middlewares=[once],
        )
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self._session.close()

    async def ask(
        self, method: str, path: str, body: Any = None, *, timeout: float = 5.0, **query: str
    ) -> Any:
        """Return the result; from the first member that takes the connection.

        body: sent as JSON, unless None.
        timeout: seconds that the node is to try.

        Raises `AskingError`.
        """
        unreachable = []
        for url in self.urls:
            try:
                return await self.ask_one(url, method, path, body, timeout=timeout, **query)
            except Unreachable as error:
                unreachable.append(str(error))
        raise Unreachable('; '.join(unreachable), UNAVAILABLE)

    async def ask_one(
        self,
        url: URL,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float = 5.0,
        **query: str,
    ) -> Any:
        """Return the result from that node. Raises `AskingError`."""
        import aiohttp  # noqa: PLC0415 - an extra

        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        target = URL(f'{url.origin()}{path}', encoded=True).with_query(
            query | {'timeout': f'{timeout:g}'}
        )
        try:
            async with (
                asyncio.timeout(timeout + GRACE),
                self._session.request(
                    method,
                    target,
                    data=data,
                    ssl=self.context if self.context is not None else True,
                    allow_redirects=False,
                ) as response,
            ):
                return _result(url, method, response.status, await response.read())
        except aiohttp.ClientConnectorCertificateError as error:
            raise AskingError(f'{url}: {error.certificate_error}', FORBIDDEN) from error
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise Unreachable(f'{url} cannot be reached: {reason(error)}', UNAVAILABLE) from error
        except aiohttp.ClientSSLError as error:
            raise AskingError(f'{url} refuses this certificate: {error}', FORBIDDEN) from error
        except TimeoutError:
            text = f'{url} did not answer within {timeout + GRACE:g} s'
            raise AskingError(text, _without_answer(method)) from None
        except (aiohttp.ClientError, OSError) as error:
            text = f'{url} broke the connection off: {reason(error)}'
            raise AskingError(text, _without_answer(method)) from error


def _result(url: URL, method: str, status: int, body: bytes) -> Any:
    """Return the result. Raises `AskingError`; a server that broke down may have done it before."""
    is_open = status >= 500 and method != 'GET'
    try:
        said = json.loads(body)
        error, result = said['error'], said['result']
    except (ValueError, LookupError, TypeError):
        is_open |= status < 300 and method != 'GET'
        text = f'it was no node that answered for {url}, but something between, with {status}'
        raise AskingError(text, UNKNOWN if is_open else FAILED) from None
    if status == 200:
        return result
    raise AskingError(str(error), _STATUSES.get(status, UNKNOWN if is_open else FAILED))


def _without_answer(method: str) -> int:
    return UNAVAILABLE if method == 'GET' else UNKNOWN


def reason(error: Exception) -> str:
    """Return what the system says was wrong, in few words."""
    cause = getattr(error, 'os_error', None) or error
    number = getattr(cause, 'errno', None)
    if isinstance(number, int) and number in errno.errorcode:  # asyncio's own text is long
        return os.strerror(number)
    return getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__


def add_options(
    parser: Any, run: Callable[['Members', argparse.Namespace], Awaitable[int]]
) -> None:
    """Give a command the options that tell whom to ask, and what it does when asked."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXIT_STATUSES
    group = parser.add_argument_group('the cluster')
    group.add_argument(
        '--node',
        dest='nodes',
        action='append',
        type=url_argument,
        metavar='URL',
        help=f'a member to ask; again for others to try when it cannot be reached (default: those '
        f'in {NODES_VARIABLE}, separated by spaces)',
    )
    group.add_argument(
        '--token-file',
        type=Path,
        metavar='FILE',
        help=f'with the token of clients (default: the one in {TOKEN_VARIABLE}, if any)',
    )
    for name, text in (
        ('ca', 'authority that signed the certificates of nodes'),
        ('cert', 'certificate of this client'),
        ('key', 'its key'),
    ):
        group.add_argument(f'--tls-{name}', type=Path, metavar='FILE', help=text)
    group.add_argument(
        '--timeout',
        type=seconds_argument(TIMEOUT_LIMIT),
        metavar='SECONDS',
        help=f'how long to try, up to {TIMEOUT_LIMIT:g}',
    )
    parser.set_defaults(run=lambda options: _run(run, options))


def url_argument(text: str) -> URL:
    """Return the URL of a node, for argparse."""
    try:
        return node_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds_argument(limit: float) -> Callable[[str], float]:
    """Return what reads seconds above 0, up to the limit, for argparse."""

    def seconds(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number <= limit:
            raise argparse.ArgumentTypeError(
                f'{text!r} is no number of seconds above 0, up to {limit:g}'
            )
        return number

    return seconds


def _run(
    command: Callable[[Members, argparse.Namespace], Awaitable[int]], options: argparse.Namespace
) -> int:
    try:
        members = members_of(options)
        return asyncio.run(_with(members, command, options))
    except (AskingError, ConfigError) as error:
        status = error.status if isinstance(error, AskingError) else MISUSED
        hint = '; is a node running there? Name others by --node'
        text = f'{error}{hint}' if isinstance(error, Unreachable) else str(error)
        sys.stdout.flush()
        print(f'consensual: {plain(text)}', file=sys.stderr)
        return status
    except ImportError as error:
        print(f"consensual: {error}: pip install 'consensual[http]'", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return 130


async def _with(
    members: Members,
    command: Callable[[Members, argparse.Namespace], Awaitable[int]],
    options: argparse.Namespace,
) -> int:
    async with members:
        return await command(members, options)


def members_of(options: argparse.Namespace) -> Members:
    """Return those whom the options tell to ask. Raises `ConfigError`."""
    try:
        urls = options.nodes or [node_url(t) for t in os.environ.get(NODES_VARIABLE, '').split()]
    except ValueError as error:
        raise ConfigError(f'{NODES_VARIABLE}: {error}') from error
    if not urls:
        raise ConfigError(f'whom to ask? Name a member with --node URL, or in {NODES_VARIABLE}')
    context = None
    if any(url.scheme == 'https' for url in urls):
        context = client_context(options.tls_cert, options.tls_key, options.tls_ca)
    return Members(urls, token=read_token(options.token_file, TOKEN_VARIABLE), context=context)


def plain(text: str) -> str:
    """Return the text as one line that any terminal can show: nodes may say anything."""
    text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
    encoding = sys.stdout.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)
