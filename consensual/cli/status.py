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

INTERVAL = 2.0
"""Seconds from one table to the next."""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser('status', help='show all members of the cluster')
    parser.add_argument('--json', action='store_true', help='print one JSON object, in one line')
    parser.add_argument(
        '--watch', action='store_true', help=f'again every {INTERVAL:g} s, until interrupted'
    )
    add_options(parser, show)


async def show(members: Members, options: argparse.Namespace) -> int:
    """Print the cluster; tell by the exit status whether it has a leader."""
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


async def look(members: Members, timeout: float) -> dict[str, Any]:
    """Return what the first member that answers knows of the cluster, and what each one says.

    Raises `AskingError` when none of those given answers.
    """
    seen = await members.ask('GET', '/status', timeout=timeout)
    names = dict.fromkeys([*seen['voters'], *seen['learners']]) or {seen['url']: None}
    statuses = await asyncio.gather(*(_status_of(members, name, seen, timeout) for name in names))
    said = [status for status in statuses if 'error' not in status]
    inside = [status for status in said if status['cluster_id'] == seen['cluster_id']] or [seen]
    newest = max(inside, key=lambda status: (status['term'], status['role'] == 'leader'))
    return {
        'cluster_id': seen['cluster_id'],
        'leader': newest['leader'],
        'stable': newest['stable'],
        'members': statuses,
    }


async def _status_of(
    members: Members, name: str, seen: dict[str, Any], timeout: float
) -> dict[str, Any]:
    if name == seen['url']:
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
    return 'learner' if status['url'] in status['learners'] else ''


def _name(url: Optional[str]) -> str:
    return '-' if url is None else plain(URL(url).host_port_subcomponent or url)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if HEAD[column] in ('term', *HEAD[4:8]) else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return '  '.join(cells)
