"""The operator's commands: each asks a member, over REST, and prints what it answers.

How members are asked is `asking`; `status` and `kv` have rooms of their own.
"""

import argparse
import json
import sys
from typing import Any, Optional
from urllib.parse import quote

from consensual.cli.asking import (
    DONE,
    FAILED,
    MISUSED,
    AskingError,
    Members,
    add_options,
    plain,
    url_argument,
)
from consensual.cli.status import is_same

TIMEOUT, CHANGE_TIMEOUT = 5.0, 30.0
"""Seconds to try: a command or a query, and an operation on the cluster."""


def add_to(commands: Any) -> None:
    """Add the commands to a parser."""
    parser = commands.add_parser('attach', help='make members of nodes that are new, or were reset')
    parser.add_argument('urls', nargs='+', type=url_argument, metavar='URL', help='of a newcomer')
    add_options(parser, attach)

    parser = commands.add_parser('detach', help='remove members; without URLs, the node asked')
    parser.add_argument('urls', nargs='*', type=url_argument, metavar='URL', help='of a member')
    parser.add_argument(
        '--reset',
        action='store_true',
        help='erase the node that is asked, which is detached already: then any cluster takes it',
    )
    _add_yes(parser)
    add_options(parser, detach)

    parser = commands.add_parser('transfer', help='hand the leadership over; print who leads then')
    parser.add_argument(
        'url', nargs='?', type=url_argument, metavar='URL', help='of a voter (default: the best)'
    )
    add_options(parser, transfer)

    parser = commands.add_parser('snapshot', help='compact the log of the node that is asked')
    add_options(parser, snapshot)

    parser = commands.add_parser('solo', help='have the node that is asked lead a cluster, alone')
    _add_yes(parser)
    add_options(parser, solo)

    parser = commands.add_parser('call', help='run an action or a query; print its result')
    parser.add_argument('name', metavar='ACTION', help='or query')
    parser.add_argument(
        'parameters',
        nargs='?',
        type=json_argument,
        metavar='JSON',
        help='parameters; - reads them from the standard input (default: null)',
    )
    parser.add_argument(
        '--local', action='store_true', help='answer a query at once, from a state that may be old'
    )
    add_options(parser, call)


def _add_yes(parser: Any) -> None:
    parser.add_argument('--yes', action='store_true', help='do it without asking')


def json_argument(text: str) -> Any:
    """Return the value of JSON text, for argparse."""
    try:
        return json.loads(sys.stdin.read() if text == '-' else text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON: {error}') from error


def _refuse(constant: str) -> Any:
    raise ValueError(f'{constant} is not in JSON')


def print_json(value: Any) -> None:
    """Print a value as one line."""
    print(plain(json.dumps(value, ensure_ascii=False)))


async def attach(members: Members, options: argparse.Namespace) -> int:
    """Attach nodes."""
    urls = [str(url) for url in options.urls]
    await members.ask('POST', '/', urls, timeout=_timeout(options, CHANGE_TIMEOUT))
    print(f'attached {" ".join(urls)}')
    return DONE


async def detach(members: Members, options: argparse.Namespace) -> int:
    """Detach nodes, or the node that is asked; or erase that."""
    timeout = _timeout(options, CHANGE_TIMEOUT)
    urls = [str(url) for url in options.urls]
    if options.reset:
        if urls or len(members.urls) != 1:
            raise AskingError('a reset is of one node: name it by --node, and no others', MISUSED)
        (node,) = members.urls
        if not options.yes and not confirm(f'All data of {node} will be erased.'):
            return FAILED
        await members.ask('DELETE', '/', timeout=timeout, reset='true')
        print(f'reset {node}')
        return DONE
    if not urls and len(members.urls) != 1:
        raise AskingError('name the members to detach, or one --node that is to leave', MISUSED)
    await members.ask('DELETE', '/', urls or None, timeout=timeout)
    print(f'detached {" ".join(urls) or members.urls[0]}')
    return DONE


async def transfer(members: Members, options: argparse.Namespace) -> int:
    """Hand the leadership over."""
    url = None if options.url is None else str(options.url)
    timeout = _timeout(options, CHANGE_TIMEOUT)
    result = await members.ask('POST', '/leadership', url, timeout=timeout)
    print(plain(str(result['leader'])).removesuffix('/'))
    return DONE


async def snapshot(members: Members, options: argparse.Namespace) -> int:
    """Have a snapshot taken."""
    timeout = _timeout(options, CHANGE_TIMEOUT)
    result = await members.ask('POST', '/snapshot', timeout=timeout)
    print(f'snapshot up to entry {result["snapshot_index"]}')
    return DONE


async def solo(members: Members, options: argparse.Namespace) -> int:
    """Found a cluster; ask before another one is split."""
    if len(members.urls) != 1:
        raise AskingError('one node founds a cluster: name it by one --node', MISUSED)
    (node,) = members.urls
    timeout = _timeout(options, CHANGE_TIMEOUT)
    status = await members.ask('GET', '/status')
    others = [
        url for url in [*status['voters'], *status['learners']] if not is_same(url, status['url'])
    ]
    if others and not options.yes:
        warning = (
            f'{node} is in a cluster with {plain(" ".join(others))}. After solo it is in another '
            'one, with its own copy of the state; the others may go on without it. That is right '
            'only when a majority of them is lost for good, and on one survivor only.'
        )
        if not confirm(warning):
            return FAILED
    await members.ask('POST', '/', timeout=timeout)
    print(f'{node} leads a cluster of one')
    return DONE


async def call(members: Members, options: argparse.Namespace) -> int:
    """Run an action or a query."""
    await print_result(members, options, options.name, options.parameters)
    return DONE


async def print_result(
    members: Members, options: argparse.Namespace, name: str, parameters: Any
) -> None:
    """Run an action or a query and print the result as JSON."""
    print_json(await run(members, options, name, parameters))


async def run(members: Members, options: argparse.Namespace, name: str, parameters: Any) -> Any:
    """Return the result of an action or a query. Raises `AskingError`."""
    query = {'consistency': 'local'} if getattr(options, 'local', False) else {}
    path = f'/{quote(name, safe="")}'
    return await members.ask('POST', path, parameters, timeout=_timeout(options, TIMEOUT), **query)


def confirm(warning: str) -> bool:
    """Ask a person, and say so when there is none. Raises `AskingError`."""
    print(warning, file=sys.stderr)
    if not sys.stdin.isatty():
        raise AskingError('nobody is there to be asked: give --yes', MISUSED)
    print('Type yes to go on: ', end='', file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() == 'yes':
        return True
    print('nothing was done', file=sys.stderr)
    return False


def _timeout(options: argparse.Namespace, default: float) -> float:
    given: Optional[float] = options.timeout
    return default if given is None else given
