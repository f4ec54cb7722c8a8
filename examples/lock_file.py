"""Add a line to a file under a lock of the cluster: lock_file.py FILE NODE [--pause-until FILE].

A lease alone protects nothing: a holder that was paused does not know that his lease is over.
So each holder has a token, greater than that of those before, and the file refuses an older one.
"""

import argparse
import fcntl
import time
from pathlib import Path
from uuid import uuid4

from yarl import URL

from consensual.http import BlockingClient

TTL = 1.0  # seconds that the lock is held, unless it is released before, or renewed


def add_line(path: Path, token: int) -> str:
    """Be the guarded resource: compare and write in one step, which `flock` makes of it.

    A database does this by `UPDATE … WHERE token <= :token`, an object store by a condition.
    """
    with path.open('a+') as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of this host, for an instant; until it is closed
        file.seek(0)
        lines = file.read().splitlines()
        latest = int(lines[-1].split()[0]) if lines else 0
        if token < latest:
            raise PermissionError('refused: the lease was over, and somebody else had the lock')
        file.write(f'{token} is the token of line {len(lines) + 1}\n')
    return f'added line {len(lines) + 1}'


def acquire(client: BlockingClient, name: str) -> int:
    """Wait for the lock; return the token."""
    owner = str(uuid4())  # a name of this wish alone: asking again gives the same token
    while True:
        lock = client.execute('acquire', {'name': name, 'owner': owner, 'ttl': TTL})
        if lock['acquired']:
            return int(lock['token'])
        time.sleep(min(lock['remaining'], 0.1))


parser = argparse.ArgumentParser()
parser.add_argument('file', type=Path)
parser.add_argument('node', type=URL)
parser.add_argument('--pause-until', type=Path, default='.', help='such a file is there')
arguments = parser.parse_args()
with BlockingClient([arguments.node]) as client:
    token = acquire(client, arguments.file.name)
    while not arguments.pause_until.exists():
        time.sleep(0.05)
    try:
        print(add_line(arguments.file, token))
    except PermissionError as error:
        print(error)
    client.execute('release', {'name': arguments.file.name, 'token': token})
