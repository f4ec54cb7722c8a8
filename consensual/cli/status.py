"""`status`: what every member of a cluster says of itself, side by side.

Only what is printed; how members are asked is `asking`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any, Optional

from yarl import URL

from consensual.cli.asking import DONE, UNAVAILABLE, AskingError, Members, add_options, plain

HEAD = ('node', 'role', 'term', 'leader', 'last', 'commit', 'applied', 'snapshot', '')
NUMBERS = ('last_index', 'commit_index', 'applied_index', 'snapshot_index')
TIMEOUT = 3.0
"""Seconds within which a member answers, or is shown as one that doesn't."""

WAIT_TIMEOUT, WAIT_INTERVAL = 30.0, 0.2
"""Seconds for which --wait waits, and from one look to the next."""

LAG_LIMIT = 1000
"""Entries that a member may have still to apply and count as caught up, as for `GET /ready`."""

INTERVAL = 2.0
"""Seconds from one table to the next."""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser('status', help='show all members of the cluster')
    parser.add_argument('--json', action='store_true', help='print one JSON object, in one line')
    parser.add_argument(
        '--watch', action='store_true', help=f'again every {INTERVAL:g} s, until interrupted'
    )
    parser.add_argument(
        '--wait',
        type=int,
        metavar='N',
        help='first wait until N members vote, all of them answer, follow the leader and have '
        f'caught up; for {WAIT_TIMEOUT:g} s, or as --timeout says',
    )
    add_options(parser, show)


async def show(members: Members, options: argparse.Namespace) -> int:
    """Print the cluster; tell by the exit status whether it has a leader."""
    if options.wait is not None:
        await wait_for(members, options.wait, options.timeout or WAIT_TIMEOUT)
    while True:
        leader = None
        try:
            cluster = await look(members, options.timeout or TIMEOUT)
            leader = cluster['leader']
            text = json.dumps(cluster) if options.json else table(cluster)
        except AskingError as error:
            if not options.watch:
                raise
            text = plain(str(error))
        if options.watch and sys.stdout.isatty():
            print('\x1b[H\x1b[2J', end='')
        print(text, flush=True)
        if not options.watch:
            return DONE if leader is not None else UNAVAILABLE
        await asyncio.sleep(INTERVAL)


async def wait_for(members: Members, voters: int, timeout: float) -> None:
    """Wait until so many vote and all is well. Raises `AskingError` when it does not come to it."""
    reason = ''
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    reason = why_not_well(await look(members, TIMEOUT), voters)
                except AskingError as error:
                    reason = str(error)
                if not reason:
                    return
                await asyncio.sleep(WAIT_INTERVAL)
    except TimeoutError:
        raise AskingError(f'not after {timeout:g} s: {reason}', UNAVAILABLE) from None


def why_not_well(cluster: dict[str, Any], voters: int) -> str:
    """Return what is still missing; nothing when all is well."""
    if cluster['leader'] is None:
        return 'nobody leads'
    if not cluster['stable']:
        return 'membership is being changed'
    if cluster['voters'] != voters:
        return f'{cluster["voters"]} vote, not {voters}'
    committed = max(status.get('commit_index', 0) for status in cluster['members'])
    for status in cluster['members']:
        if 'error' in status:
            return str(status['error'])
        if status['failure'] is not None:
            return f'{status["url"]} has failed: {status["failure"]}'
        if not is_same(status['leader'], cluster['leader']):
            return f'{status["url"]} does not follow {cluster["leader"]}'
        if committed - status['applied_index'] > LAG_LIMIT:
            return f'{status["url"]} has {committed - status["applied_index"]} entries to apply'
    return ''


async def look(members: Members, timeout: float) -> dict[str, Any]:
    """Return what the first member that answers knows of the cluster, and what each one says.

    Raises `AskingError` when none of those given answers.
    """
    seen = await members.ask('GET', '/status', timeout=timeout)
    names = [*seen['voters'], *seen['learners']] or [seen['url']]
    statuses = await asyncio.gather(*(_status_of(members, name, seen, timeout) for name in names))
    said = [status for status in statuses if 'error' not in status]
    inside = [status for status in said if status['cluster_id'] == seen['cluster_id']] or [seen]
    newest = max(inside, key=lambda status: (status['term'], status['role'] == 'leader'))
    return {
        'cluster_id': seen['cluster_id'],
        'leader': newest['leader'],
        'stable': newest['stable'],
        'voters': len(newest['voters']),
        'members': statuses,
    }


async def _status_of(
    members: Members, name: str, seen: dict[str, Any], timeout: float
) -> dict[str, Any]:
    if is_same(name, seen['url']):
        return seen
    try:
        status: dict[str, Any] = await members.ask_one(URL(name), 'GET', '/status', timeout=timeout)
    except AskingError as error:
        return {'url': name, 'error': str(error)}
    return status


def table(cluster: dict[str, Any]) -> str:
    """Return the cluster as lines with columns."""
    rows = [HEAD, *(_row(status, cluster) for status in cluster['members'])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_summary(cluster)]
    lines += [_line(row, widths).rstrip() for row in rows]
    return '\n'.join(lines)


def _summary(cluster: dict[str, Any]) -> str:
    if cluster['cluster_id'] is None:
        return 'no cluster'
    change = '' if cluster['stable'] else ', membership is being changed'
    leader = 'no leader' if cluster['leader'] is None else f'led by {_name(cluster["leader"])}'
    return plain(f'cluster {cluster["cluster_id"]}, {leader}{change}')


def _row(status: dict[str, Any], cluster: dict[str, Any]) -> tuple[str, ...]:
    if 'error' in status:
        return (_name(status['url']), '?', *[''] * 6, plain(status['error']))
    numbers = (str(status[name]) for name in NUMBERS)
    return (
        _name(status['url']),
        status['role'],
        str(status['term']),
        _name(status['leader']),
        *numbers,
        plain(_note(status, cluster)),
    )


def _note(status: dict[str, Any], cluster: dict[str, Any]) -> str:
    if status['failure'] is not None:
        return str(status['failure'])
    if status['cluster_id'] != cluster['cluster_id']:
        return 'not in this cluster'
    is_learner = any(is_same(url, status['url']) for url in status['learners'])
    return 'learner' if is_learner else ''


def is_same(one: Optional[str], other: Optional[str]) -> bool:
    """Compare as URLs: with and without the slash at the end they name the same node."""
    return one is not None and other is not None and URL(one) == URL(other)


def _name(url: Optional[str]) -> str:
    return '-' if url is None else plain(URL(url).host_port_subcomponent or url)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if HEAD[column] in ('term', *HEAD[4:8]) else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return '  '.join(cells)
