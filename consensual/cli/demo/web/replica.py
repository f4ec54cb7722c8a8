"""A node of the demo that can be killed and started again: its lives, disk and state machine."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Optional

from consensual.cli.demo.web.disk import Disk
from consensual.cli.demo.web.network import Network, WireReceiver, WireSender, url_of
from consensual.cli.demo.web.news import news
from consensual.raft import Node, NodeStatus, Processor
from consensual.storage import MemoryStorage

TEXTS_KEPT = 64


class Texts:
    """The replicated state: how many commands were applied, and the last ones of them."""

    def __init__(self) -> None:
        self._count = 0
        self._last: list[str] = []

    @property
    def processors(self) -> Mapping[str, Processor]:
        """The one action."""
        return {'append': self._append}

    def snapshot(self) -> Any:
        """Return the state as a copy."""
        return [self._count, self._last[:]]

    def restore(self, value: Any) -> None:
        """Replace the state by a snapshot."""
        self._count, self._last = value

    def reset(self) -> None:
        """Return to the state before any command."""
        self._count, self._last = 0, []

    def _append(self, text: str) -> int:
        self._count += 1
        self._last = [*self._last, text][-TEXTS_KEPT:]
        return self._count


class Replica:
    """A node by its name, over all its lives.

    heartbeat: seconds.
    tell: is called with what happens, in words.
    """

    def __init__(
        self, name: str, network: Network, heartbeat: float, tell: Callable[[str], None]
    ) -> None:
        self.name = name
        self.url = url_of(name)
        self.disk = Disk(MemoryStorage())
        self.node: Optional[Node] = None
        self._network = network
        self._heartbeat = heartbeat
        self._tell = tell
        self._sender: WireSender
        self._receiver: WireReceiver
        self._watching: asyncio.Task[None]

    def __repr__(self) -> str:
        return f'Replica({self.name}, {self.node!r})'

    @property
    def status(self) -> Optional[NodeStatus]:
        """What the node is; None while it is down."""
        return self.node.status if self.node is not None else None

    async def start(self) -> None:
        """Begin a life, with what is on the disk."""
        self._sender = WireSender(self.name, self._network)
        self.node = node = Node.from_url(
            self.url,
            sender=self._sender,
            state_machine=Texts(),
            storage=self.disk,
            heartbeat=self._heartbeat,
        )
        self._receiver = WireReceiver(self.name, node, self._network)
        self._receiver.start()
        self._watching = asyncio.create_task(self._watch(node))
        await node.start()

    def kill(self, node: Node) -> Coroutine[Any, Any, None]:
        """End the life as a power cut does: nothing leaves the node, only its disk stays.

        Await what is returned, for as long as it takes to clear the rest of that life away.
        """
        self.node = None
        self._receiver.stop()
        self._sender.unplug()
        self.disk = self.disk.survivor()
        self._watching.cancel()
        return _clear_away(node, self._watching)

    async def _watch(self, node: Node) -> None:
        before: Optional[NodeStatus] = None
        async for after in node.watch():
            for text in news(before or after, after):
                self._tell(text)
            before = after
        if self.node is node and node.status.failure is not None:
            self._tell(f'{self.name} has failed: {node.status.failure}')


async def _clear_away(node: Node, watching: 'asyncio.Task[None]') -> None:
    await asyncio.gather(watching, node.stop(), return_exceptions=True)
