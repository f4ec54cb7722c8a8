"""What a node is given: its functions, its times and its callers' timeouts, checked."""

from collections.abc import Mapping
from typing import Optional

from consensual.raft.core.state import Settings
from consensual.raft.driver.ports import Processor, StateMachine
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


def actions_of(
    processors: Optional[Mapping[str, Processor]], state_machine: Optional[StateMachine]
) -> dict[str, Processor]:
    """Return all actions by name. Raises `InvalidParameters` for what is none."""
    actions = {} if processors is None else dict(processors)
    of_machine = {} if state_machine is None else state_machine.processors
    for name, processor in of_machine.items():
        if name in actions:
            raise InvalidParameters(
                f'{name!r} is among the processors and the state machine has it, too'
            )
        actions[name] = processor
    for name, processor in actions.items():
        if not isinstance(name, str) or not callable(processor):
            raise InvalidParameters(
                f'processors are functions by name, not {processor!r} by {name!r}'
            )
    return actions


def checked(timeout: float) -> float:
    """Return a caller's timeout, in seconds. Raises `InvalidParameters`."""
    if not 0 < timeout < float('inf'):
        raise InvalidParameters(f'timeout is a positive number of seconds, not {timeout!r}')
    return timeout
