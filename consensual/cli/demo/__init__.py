"""`demo`: a cluster in this process, to look at.

What is asked for on the command line, and nothing else: the run over a text is `paces`, on a
terminal shown by `live`; the page is `web`.
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from consensual.cli.demo.paces import Demo, Display, plain_lines
from consensual.cli.demo.text import DEFAULT_INPUT, BadInputError, read_lines

PORT = 8765
"""Of the page, unless told otherwise."""

INTERRUPTED = 130
"""The exit status of what Ctrl+C ended, as shells have it."""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        'demo',
        help='replicate a file while leaders are cut off, nodes attached and detached',
        description='Start a cluster in this process, replicate every line of a file, and while '
        'lines flow cut off the leader, heal, attach a node, detach the leader and transfer '
        'leadership. Succeeds when all replicas applied exactly the acknowledged lines, once, '
        'in one order. With --web, serve a page instead, on which you do that by hand.',
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument(
        '--input', type=Path, default=DEFAULT_INPUT, metavar='FILE', help='UTF-8 text'
    )
    subject.add_argument(
        '--web',
        action='store_true',
        help='serve a page, to this machine only, that shows the cluster and lets you disturb it',
    )
    parser.add_argument(
        '--port',
        type=_port,
        default=PORT,
        metavar='PORT',
        help=f'of the page, 0 for a free one (default: {PORT})',
    )
    parser.add_argument(
        '--nodes',
        type=int,
        default=5,
        choices=range(3, 10),
        metavar='N',
        help='members at the start, 3 to 9 (default: 5)',
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f'{text!r} is no port, which is 0 to 65535')
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run the demo; return the exit status."""
    logging.getLogger('consensual').setLevel(logging.ERROR)
    try:
        if options.web:
            return _serve(options.nodes, options.port)
        return _replicate(options.input, options.nodes)
    except KeyboardInterrupt:
        return INTERRUPTED


def _replicate(path: Path, size: int) -> int:
    try:
        lines = read_lines(path)
    except BadInputError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 2
    return asyncio.run(Demo(lines, size, _display()).run())


def _serve(size: int, port: int) -> int:
    try:
        from consensual.cli.demo.web.server import serve  # noqa: PLC0415 - aiohttp is an extra
    except ImportError as error:
        print(f"demo: --web: {error}: pip install 'consensual[http]'", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(size, port))
    except OSError as error:
        print(f'demo: --web: {error.strerror}; name another --port, or 0', file=sys.stderr)
        return 2
    return 0


def _display() -> Display:
    """Return the live view, on a terminal that can show one where rich is installed."""
    if not sys.stdout.isatty():
        return plain_lines
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra

        from consensual.cli.demo.live import LiveView  # noqa: PLC0415 - needs rich
    except ImportError:
        return plain_lines
    console = Console()
    return plain_lines if console.is_dumb_terminal else LiveView(console).show
