"""The pump: sends what waits on one WebSocket, frame by frame."""

from asyncio import Event
from collections.abc import Awaitable, Callable

from consensual.http.frames import Outbox


class Pump:
    """One task for each connection sends; what was put in one turn of the loop shares frames."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._has_something = Event()

    def put(self, number: int, kind: int, data: bytes) -> None:
        """Have a message sent."""
        self._outbox.put(number, kind, data)
        self._has_something.set()

    def clear(self) -> None:
        """Send nothing of what waits."""
        self._outbox.clear()
        self._has_something.clear()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send for ever; the WebSocket makes this wait when the peer does not keep up.

        Raises what sending raises.
        """
        while True:
            await self._has_something.wait()
            while self._outbox:
                await send(self._outbox.frame())
            self._has_something.clear()
