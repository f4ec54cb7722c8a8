"""The command line: `consensual COMMAND`, or `python -m consensual COMMAND`."""

import argparse
import os
import sys
from collections.abc import Sequence

from consensual import __version__
from consensual.cli import bench, demo, kv, operate, replay, serve, status, storage


def main(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status: 0, 1 when it failed, 2 for bad input.

    Commands that ask a cluster tell more by it: see `asking.EXIT_STATUSES`.
    """
    parser = argparse.ArgumentParser(prog='consensual', description='Raft for asyncio programs.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(title='commands', required=True, metavar='COMMAND')
    serve.add_to(commands)
    status.add_to(commands)
    operate.add_to(commands)
    kv.add_to(commands)
    bench.add_to(commands)
    demo.add_to(commands)
    replay.add_to(commands)
    storage.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ends: it may have been done
    return result


def script() -> int:
    """Run the command that the process was given; the entry point of the console script."""
    return main(sys.argv[1:])
