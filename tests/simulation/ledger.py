"""The state machine of the simulated nodes: it remembers what was applied, in order.

Commands are numbers that no two commands share.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from consensual.raft import Context


class Refusal(Exception):
    """What the processor `fail` raises."""


class Ledger:
    """What one node applied since it was made or reset.

    on_applied: called with the cluster id, the context and the command.
    cluster_id: returns the id of the cluster that the node is in.
    """

    def __init__(
        self, cluster_id: Callable[[], str], on_applied: Callable[[str, Context, int], None]
    ) -> None:
        self.commands: set[int] = set()
        self.last: tuple[int, float] = (0, 0.0)
        self.ever: dict[int, str] = {}
        self._cluster_id = cluster_id
        self._on_applied = on_applied

    @property
    def processors(self) -> Mapping[str, Any]:
        return {'put': self._put, 'fail': self._fail, 'slow': self._slow}

    def reset(self) -> None:
        self.commands.clear()
        self.last = 0, 0.0

    def _put(self, command: int, *, context: Context) -> int:
        self._apply(self._cluster_id(), context, command)
        return command

    def _fail(self, command: int, *, context: Context) -> None:
        self._apply(self._cluster_id(), context, command)
        raise Refusal(command)

    async def _slow(self, command: int, *, context: Context) -> int:
        cluster_id = self._cluster_id()
        await asyncio.sleep(0.03)
        self._apply(cluster_id, context, command)
        return command

    def _apply(self, cluster_id: str, context: Context, command: int) -> None:
        self._on_applied(cluster_id, context, command)
        self.commands.add(command)
        self.last = context.index, context.time
        self.ever[command] = cluster_id
