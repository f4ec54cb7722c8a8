"""Calls of the user's functions between two commands, for whoever waits for their result.

When no command is half applied, the applier knows.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from typing import Any

from consensual.raft.driver.applier import Applier
from consensual.raft.errors import ConsensualError


async def call_between_commands(applier: Applier, call: Callable[[], Any]) -> Any:
    """Return what the call returns when no command is half applied, nor a snapshot.

    Raises what the call raises, and why the node stopped.
    """
    future: Future[Any] = get_running_loop().create_future()

    def run() -> None:
        if not future.done():
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - the user's, who is given it
                future.set_exception(error)

    def give_up(error: ConsensualError) -> None:
        if not future.done():
            future.set_exception(error)

    applier.between_commands(run, give_up)
    return await future
