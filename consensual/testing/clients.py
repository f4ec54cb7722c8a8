"""Simulated clients: each asks one thing after another, of any node that runs.

What they ask is drawn by the test; what became of it stands in the history.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct

from consensual.testing.call import Call
from consensual.testing.simulation import Simulation


class Ask(Struct, frozen=True):
    """One command, or one query, of a client.

    request: what is asked for, as a model takes it.
    """

    action: str
    parameters: Any = None
    request: Any = None
    is_query: bool = False


class Clients:
    """They ask until `stop`, with pauses of random length in between.

    draw: draws what is asked next.
    count: how many there are.
    pause: seconds between an answer and the next question, on average.
    acknowledged, read: how many commands and queries were answered.
    """

    def __init__(
        self,
        simulation: Simulation,
        draw: Callable[[Random], Ask],
        *,
        count: int = 3,
        pause: float = 0.2,
        timeout: float = 3.0,
    ) -> None:
        self.acknowledged = self.read = 0
        self._simulation = simulation
        self._draw = draw
        self._pause = pause
        self._timeout = timeout
        self._is_stopped = False
        for number in range(count):
            random = simulation.world.random(f'client {number}')
            self._think(f'client {number}', random)

    def __repr__(self) -> str:
        return f'Clients({self.acknowledged} commands and {self.read} queries answered)'

    def stop(self) -> None:
        """Let them ask no more."""
        self._is_stopped = True

    def _think(self, client: str, random: Random) -> None:
        pause = random.expovariate(1 / self._pause)
        self._simulation.timeline.call_later(pause, self._ask, client, random)

    def _ask(self, client: str, random: Random) -> None:
        if self._is_stopped:
            return
        ask, running = self._draw(random), self._simulation.running
        if not running:
            return self._think(client, random)
        node = random.choice(running)
        given = {'client': client, 'request': ask.request, 'timeout': self._timeout}
        call = (node.query if ask.is_query else node.execute)(ask.action, ask.parameters, **given)

        def answered(_: Call[Any]) -> None:
            if call.error is None:
                self.acknowledged += not ask.is_query
                self.read += ask.is_query
            self._think(client, random)

        call.on_end(answered)
