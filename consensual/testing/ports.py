"""Ports of this host for servers under test."""

import os
import socket
from itertools import count

from yarl import URL

FIRST, LAST = 20_000, 32_767
"""Below what systems give to outgoing connections: one of those could take a port between two
servers that use it."""

_numbers = count(os.getpid() * 37)


def free_url(scheme: str = 'http') -> URL:
    """Return a URL of this host at which nobody listens; each time another one.

    Raises `OSError` when there is none.
    """
    for _ in range(FIRST, LAST + 1):
        port = FIRST + next(_numbers) % (LAST + 1 - FIRST)
        try:
            socket.create_server(('127.0.0.1', port)).close()
        except OSError:
            continue
        return URL.build(scheme=scheme, host='127.0.0.1', port=port)
    raise OSError(f'all ports from {FIRST} to {LAST} are in use')
