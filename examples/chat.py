"""A chat room without a server: python chat.py NAME MY_URL [URL_OF_SOMEBODY_THERE].

Everybody is a node; what anybody says goes through the log, so all see the same lines in the
same order, newcomers what was said before them, too. Without a third argument, opens a room.
"""

import asyncio
import sys
from typing import Any, Optional

from aiohttp import ClientSession
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.raft import Node


async def enter(node: Node, member: Optional[URL]) -> None:
    """Open a room, or have somebody in it attach this node."""
    if member is None:
        error = await node.solo()
    else:
        async with ClientSession() as session:
            answer = await session.post(member, json=[str(node.url)])
            error = (await answer.json())['error']
    if error is not None:
        sys.exit(error)


def show(line: Any) -> None:
    """Be the processor: called on every node, once for each line, in the same order."""
    print(f'{line["name"]}: {line["text"]}', flush=True)


async def main(name: str, url: URL, member: Optional[URL] = None) -> None:
    node = Node.from_url(url, sender=Sender(url), processors={'say': show})
    async with Receiver(node), node:
        await enter(node, member)
        while text := await asyncio.to_thread(sys.stdin.readline):
            error = await node.enqueue('say', {'name': name, 'text': text.strip()})
            if error is not None:
                print(f'-- {error}', flush=True)
        error = await node.detach()  # whoever just vanished would count among those needed
        if error is not None:
            print(f'-- left without being let go: {error}')


asyncio.run(main(sys.argv[1], *map(URL, sys.argv[2:])))
