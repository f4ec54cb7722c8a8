"""The state machine of these tests, and a simulation of nodes that have it.

A ledger remembers what was applied; commands are numbers that no two commands share.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from consensual.testing.call import Call
from consensual.testing.simulation import Simulation

THREE, FIVE = ('n1', 'n2', 'n3'), ('n1', 'n2', 'n3', 'n4', 'n5')
ACTIONS = 'put', 'slow', 'fail'


class Refusal(Exception):
    """What the processor `fail` raises."""


class Ledger:
    """The commands that one node applied since it was made or reset, in order."""

    def __init__(self) -> None:
        self.commands: list[int] = []
        self.processors: Mapping[str, Callable[[int], Any]] = {
            'put': self._put,
            'slow': self._slow,
            'fail': self._fail,
        }

    def reset(self) -> None:
        self.commands.clear()

    def snapshot(self) -> Any:
        return [*self.commands]

    def restore(self, value: list[int]) -> None:
        self.commands = value

    def _put(self, command: int) -> int:
        self.commands.append(command)
        return command

    async def _slow(self, command: int) -> int:
        await asyncio.sleep(0.03)
        return self._put(command)

    def _fail(self, command: int) -> None:
        self._put(command)
        raise Refusal(command)


class Ledgers(Simulation):
    """A simulation of ledgers, which numbers the commands.

    calls: all commands submitted.
    solos: how many nodes were told to go solo.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        snapshot_every: int = 10_000,
        write_time: float = 0.0,
        is_traced: bool = False,
    ) -> None:
        super().__init__(
            Ledger,
            seed=seed,
            snapshot_every=snapshot_every,
            write_time=write_time,
            is_traced=is_traced,
        )
        self.calls: list[Call[Any]] = []
        self.solos = 0

    def submit(self, name: str, action: str = 'put', *, timeout: float = 5.0) -> Call[Any]:
        """Have one more command applied; it goes on in the background."""
        command = len(self.calls) + 1
        call = self[name].execute(action, command, timeout=timeout)
        self.calls.append(call)
        self.world.observer.past.submitted[action, str(command)] += self.solos

        def ended(_: Call[Any]) -> None:
            if call.error is None and call.result() != command:
                self.world.observer.violate('results_are_the_commands_own', repr(call))

        call.on_end(ended)
        return call

    def solo(self, name: str) -> Call[str | None]:
        """Have a node leave for a cluster of its own, with the history that it has.

        What is in its log may be applied in both clusters: once in each.
        """
        self.solos += 1
        past = self.world.observer.past
        past.submitted.update([*past.submitted])
        return self[name].solo()

    def check(self) -> None:
        """Raise if an invariant does not hold, also of one command in one cluster."""
        past = self.world.observer.past
        for chronicle in past.clusters.values():
            for key, indices in chronicle.key_indices.items():
                assert len(indices) <= 1 - past.refused[key], f'{key} is applied at {indices}'
        super().check()

    def finish(self, call: Call[Any]) -> Any:
        """Let time pass until the call ends; return what it returned, or raised."""
        assert self.until(lambda: call.is_done), f'{call.what} does not end'
        return call.result() if call.error is None else call.error

    def leader_of(self, names: Iterable[str]) -> str | None:
        """Return who of them leads, in the latest term."""
        statuses = [(self[name].status, name) for name in names if self[name].is_running]
        leaders = [(status.term, name) for status, name in statuses if status.role == 'leader']
        return max(leaders)[1] if leaders else None

    def pause_all(self, seconds: float) -> None:
        """Let every process stand still at once."""
        for node in self:
            if node.is_up:
                node.pause(seconds)
