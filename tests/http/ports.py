"""Free ports of this host."""

import socket

from yarl import URL


def free_url(scheme: str = 'http') -> URL:
    """Return a URL of this host that nobody listens at."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        return URL.build(scheme=scheme, host='127.0.0.1', port=server.getsockname()[1])
