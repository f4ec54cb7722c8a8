"""What a node and its calls are given in seconds and entries, checked."""

from typing import Optional

from consensual.raft.core.state import Settings
from consensual.raft.errors import InvalidParameters

CHANGE_TIMEOUT = 30.0
"""Seconds that attach and detach try, unless told otherwise."""


def settings_of(
    heartbeat: float, election_timeout: Optional[float], snapshot_every: int
) -> Settings:
    """Return the settings of the core; see `Node.from_url`. Raises `InvalidParameters`."""
    timeout = 5 * heartbeat if election_timeout is None else election_timeout
    if not 0 < heartbeat < float('inf'):
        raise InvalidParameters(f'heartbeat is a positive number of seconds, not {heartbeat}')
    if not 2 * heartbeat <= timeout < float('inf'):
        raise InvalidParameters(
            f'election_timeout is at least two heartbeats ({2 * heartbeat:g} s), not {timeout}'
        )
    if not isinstance(snapshot_every, int) or snapshot_every < 1:
        raise InvalidParameters(
            f'snapshot_every is a positive number of entries, not {snapshot_every!r}'
        )
    attach_timeout = max(15.0, CHANGE_TIMEOUT - 4 * timeout)
    return Settings(heartbeat, timeout, attach_timeout, snapshot_every=snapshot_every)


def checked(timeout: float) -> float:
    """Return a caller's timeout, in seconds. Raises `InvalidParameters`."""
    if not 0 < timeout < float('inf'):
        raise InvalidParameters(f'timeout is a positive number of seconds, not {timeout!r}')
    return timeout
