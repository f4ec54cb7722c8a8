"""`kv`: the key-value store that `serve` replicates by default, from a shell.

A value is JSON, on the way in and out, unless `--text` says that it is a string as it stands.
"""

import argparse
from typing import Any, Optional

from consensual.cli.asking import (
    DONE,
    FAILED,
    MISUSED,
    AskingError,
    Members,
    add_options,
    plain,
)
from consensual.cli.operate import json_argument, print_json, print_result, run


def add_to(commands: Any) -> None:
    """Add the commands to a parser."""
    kv = commands.add_parser('kv', help='read and write keys of a KeyValueStore')
    actions = kv.add_subparsers(title='actions', required=True, metavar='ACTION')

    parser = actions.add_parser('get', help='print the value of a key')
    _add_key(parser)
    _add_text(parser)
    parser.add_argument('--version', action='store_true', help='print its version, too, as JSON')
    _add_local(parser)
    add_options(parser, get)

    parser = actions.add_parser('put', help='give a key a value; print the version')
    _add_key(parser)
    _add_value(parser)
    _add_ttl(parser)
    _add_text(parser)
    add_options(parser, put)

    parser = actions.add_parser('delete', help='delete a key; print whether it was there')
    _add_key(parser)
    add_options(parser, delete)

    parser = actions.add_parser('cas', help='give a key a value if it is as expected')
    _add_key(parser)
    _add_value(parser)
    expected = parser.add_mutually_exclusive_group(required=True)
    expected.add_argument(
        '--expected', metavar='VALUE', help='the value that it has; null: it must not exist'
    )
    expected.add_argument('--version', type=int, metavar='N', help='the version that it has')
    expected.add_argument('--absent', action='store_true', help='it must not exist')
    _add_ttl(parser)
    _add_text(parser)
    add_options(parser, cas)

    parser = actions.add_parser('range', help='print keys and values, a JSON object in each line')
    parser.add_argument('prefix', nargs='?', default='', metavar='PREFIX', help='of the keys')
    parser.add_argument('--limit', type=_limit, metavar='N', help='print so many at most')
    parser.add_argument('--after', default='', metavar='KEY', help='begin behind that key')
    _add_local(parser)
    add_options(parser, range_)


def _add_key(parser: Any) -> None:
    parser.add_argument('key', metavar='KEY', help='1 to 1024 bytes of UTF-8')


def _add_value(parser: Any) -> None:
    parser.add_argument('value', metavar='VALUE', help='JSON; with --text, a string as it stands')


def _add_ttl(parser: Any) -> None:
    parser.add_argument('--ttl', type=float, metavar='SECONDS', help='after which it is deleted')


def _add_text(parser: Any) -> None:
    parser.add_argument('--text', action='store_true', help='values are strings as they stand')


def _add_local(parser: Any) -> None:
    parser.add_argument(
        '--local', action='store_true', help='read at once, from a state that may be old'
    )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of keys, which is 1 or more')
    return int(text)


async def get(members: Members, options: argparse.Namespace) -> int:
    """Print a value; tell by the exit status whether there is one."""
    found = await run(members, options, 'get', {'key': options.key})
    if found is None:
        return FAILED
    if options.version:
        print_json(found)
    elif options.text and isinstance(found['value'], str):
        print(found['value'])
    else:
        print_json(found['value'])
    return DONE


async def put(members: Members, options: argparse.Namespace) -> int:
    """Write a value."""
    value = _value(options.value, options)
    written = {'key': options.key, 'value': value} | _ttl(options)
    done = await run(members, options, 'put', written)
    print_json(done['version'] if isinstance(done, dict) and 'version' in done else done)
    return DONE


async def delete(members: Members, options: argparse.Namespace) -> int:
    """Delete a key."""
    await print_result(members, options, 'delete', {'key': options.key})
    return DONE


async def cas(members: Members, options: argparse.Namespace) -> int:
    """Write a value if the key is as expected; tell by the exit status whether it was."""
    wanted = {'key': options.key, 'value': _value(options.value, options)} | _ttl(options)
    if options.version is not None:
        wanted['version'] = options.version
    else:
        wanted['expected'] = None if options.absent else _value(options.expected, options)
    result = await run(members, options, 'cas', wanted)
    print_json(result)
    return DONE if result['succeeded'] else FAILED


async def range_(members: Members, options: argparse.Namespace) -> int:
    """Print items, page by page."""
    after: str = options.after
    left: Optional[int] = options.limit
    while left is None or left > 0:
        asked: dict[str, Any] = {'prefix': options.prefix, 'after': after}
        if left is not None:
            asked['limit'] = min(left, 1000)
        page = await run(members, options, 'range', asked)
        for item in page['items']:
            print_json(item)
        if not page['more'] or not page['items']:
            break
        after = page['items'][-1]['key']
        left = None if left is None else left - len(page['items'])
    return DONE


def _value(text: str, options: argparse.Namespace) -> Any:
    if options.text:
        return text
    try:
        return json_argument(text)
    except argparse.ArgumentTypeError as error:
        hint = plain(f'{error}; a string is put in double quotes, or marked by --text')
        raise AskingError(hint, MISUSED) from error


def _ttl(options: argparse.Namespace) -> dict[str, float]:
    return {} if options.ttl is None else {'ttl': options.ttl}
