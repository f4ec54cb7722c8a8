"""The command line: `python -m consensual COMMAND`."""

import argparse
import os
import sys
from collections.abc import Sequence

from consensual import __version__
from consensual.cli import demo, replay, storage


def main(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status: 0, 1 when it failed, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m consensual', description='Raft for asyncio programs.'
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(title='commands', required=True, metavar='COMMAND')
    demo.add_to(commands)
    replay.add_to(commands)
    storage.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
