"""The pump: sends what waits on one WebSocket, frame by frame."""

from asyncio import Event
from collections.abc import Awaitable, Callable

from consensual.http.frames import WAITING_LIMIT, Outbox


class Pump:
    """One task for each connection sends; what was put in one turn of the loop shares frames."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._has_something = Event()
        self._has_room = Event()
        self._has_room.set()

    @property
    def is_full(self) -> bool:
        """So much waits to be sent that no more should be put."""
        return not self._has_room.is_set()

    async def room(self) -> None:
        """Wait until there is room, or until nothing is sent any more."""
        await self._has_room.wait()

    def put(self, number: int, kind: int, data: bytes) -> None:
        """Have a message sent."""
        self._outbox.put(number, kind, data)
        self._has_something.set()
        if self._outbox.size > WAITING_LIMIT:
            self._has_room.clear()

    def drop(self, number: int) -> None:
        """Take a message back, unless it is on its way."""
        self._outbox.drop(number)
        self._show_room()

    def clear(self) -> None:
        """Send nothing of what waits."""
        self._outbox.clear()
        self._has_something.clear()
        self._has_room.set()

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send for ever; the WebSocket makes this wait when the peer does not keep up.

        Raises what sending raises.
        """
        try:
            while True:
                await self._has_something.wait()
                while self._outbox:
                    await send(self._outbox.frame())
                    self._show_room()
                self._has_something.clear()
        finally:
            self._has_room.set()

    def _show_room(self) -> None:
        if self._outbox.size <= WAITING_LIMIT:
            self._has_room.set()
