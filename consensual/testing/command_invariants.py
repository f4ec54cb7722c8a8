"""What must hold after every command that a node applies: one function for each invariant.

Each returns what is wrong, or None. They read records and change those of the past only.
"""

from collections.abc import Callable
from typing import Optional

from consensual.raft.core.log import Command
from consensual.testing.chronicle import Application


def applied_in_order(application: Application) -> Optional[str]:
    """Commands are applied in log order, in a time that never goes back (§5.3)."""
    index, time = application.index, application.applied.time
    if index > application.last_index and time >= application.last_time:
        return None
    return (
        f'applies {_text(application)} at {index} and {time}, '
        f'after {application.last_index} at {application.last_time}'
    )


def applied_is_complete(application: Application) -> Optional[str]:
    """A node applies every command that another one applied before (§5.3)."""
    for index in range(application.last_index + 1, application.index):
        if index in application.chronicle.applied:
            skipped = application.chronicle.applied[index]
            return f'skips {skipped.key} at {index} and applies {application.index}'
    return None


def applied_is_committed(application: Application) -> Optional[str]:
    """What is applied is the committed entry of that index (§5.3)."""
    index, committed = application.index, application.chronicle.committed
    if index not in committed:
        return f'applies {_text(application)} at {index}, which is not committed'
    payload = committed[index][0].payload
    if type(payload) is Command and (payload.action, payload.parameters) == application.applied.key:
        return None
    return f'applies {_text(application)} at {index}, where {payload} is committed'


def applied_once(application: Application) -> Optional[str]:
    """A session's command is applied once, however often it is in the log (thesis §6.3)."""
    chronicle, index = application.chronicle, application.index
    entry, _ = chronicle.committed.get(index, (None, 0))
    if entry is None or type(entry.payload) is not Command:
        return None
    command = entry.payload.session, entry.payload.sequence
    known = chronicle.commands.setdefault(command, index)
    if known != index:
        return f'applies {_text(application)} at {index}, after {known}'
    return None


def applied_is_the_same_everywhere(application: Application) -> Optional[str]:
    """All state machines do the same with the same entry: they are deterministic (§2, §5.4.3)."""
    index, applied = application.index, application.applied
    known = application.chronicle.apply(index, applied)
    if (known.term, known.time, known.key) != (applied.term, applied.time, applied.key):
        return f'applies {applied} at {index}, where {known} was applied'
    if known.outcome != applied.outcome:
        return (
            f'is not deterministic: {_text(application)} at {index} gives {applied.outcome}, '
            f'and gave {known.outcome}'
        )
    if known.state != applied.state:
        return (
            f'is not deterministic: after {_text(application)} at {index} its state is '
            f'{applied.state}, and was {known.state}'
        )
    return None


def _text(application: Application) -> str:
    action, parameters = application.applied.key
    return f'{action}({parameters})'


AFTER_EVERY_COMMAND: tuple[Callable[[Application], Optional[str]], ...] = (
    applied_in_order,
    applied_is_complete,
    applied_is_committed,
    applied_once,
    applied_is_the_same_everywhere,
)
