"""A replicated counter: three nodes in one process, of which the leader stops."""

import asyncio
from typing import Any

from yarl import URL

from consensual.raft import Node, communication


class Counter:
    """The state that is replicated. Each node has one of its own, and all do the same."""

    def __init__(self) -> None:
        self.total = 0
        self.processors = {'add': self.add}  # commands: go through the log, change the state
        self.queries = {'total': lambda _: self.total}  # read it, and change nothing

    def add(self, amount: int) -> int:
        """Depend on the state and the parameters only: no clock, no random, no I/O."""
        self.total += amount
        return self.total

    def snapshot(self) -> Any:
        """Return the state as JSON types: it takes the place of the log that led to it."""
        return self.total

    def restore(self, value: Any) -> None:
        self.total = value

    def reset(self) -> None:
        self.total = 0


async def main() -> None:
    cluster: dict[str, Any] = {}  # where nodes of one process find each other
    urls = [URL(f'memory://n{number}') for number in (1, 2, 3)]
    nodes = []
    for url in urls:
        sender = communication.Sender([url], cluster)
        nodes.append(Node.from_url(url, sender=sender, state_machine=Counter()))
        communication.Receiver(nodes[-1], cluster).start()
    first, second, third = nodes
    print('founded:', await first.solo())  # None: nothing went wrong
    print('grown to three:', await first.attach_nodes(urls[1:]))
    print('added 40, so it is', await second.execute('add', 40))  # on any node
    await first.stop()  # the leader; two of three are a majority
    print('added 2, so it is', await third.execute('add', 2))
    print('the other one has', await second.query('total'))  # all that was completed before
    await second.stop()
    await third.stop()


asyncio.run(main())
