"""Who cancelled? The user's code may raise CancelledError by itself, as any other error."""

from asyncio import current_task


def is_being_cancelled() -> bool:
    """The task that runs was told to end, so a CancelledError in it is meant for it."""
    task = current_task()
    return task is not None and task.cancelling() > 0
