"""One measurement of this library, in a process of its own: MODE NUMBER."""

import asyncio
import sys

import load
from yarl import URL

from consensual.raft import Node, communication


async def main(mode: str, number: int) -> None:
    """Measure on a cluster of three nodes in this process."""
    registry: dict[str, Node] = {}
    urls = [URL.build(scheme='http', host='127.0.0.1', port=6000 + index) for index in range(3)]
    applied = [0, 0, 0]

    def processor(index: int):
        def put(_: object) -> None:
            applied[index] += 1

        return put

    nodes = [
        Node.from_url(
            url,
            sender=communication.Sender([url], registry),
            processors={'put': processor(index)},
        )
        for index, url in enumerate(urls)
    ]
    for node in nodes:
        communication.Receiver(node, registry).start()
    leader = nodes[0]
    for error in (await leader.solo(), await leader.attach_nodes(urls[1:])):
        if error is not None:
            raise SystemExit(error)

    async def submit(index: int) -> None:
        error = await leader.enqueue('put', index, timeout=60)
        if error is not None:
            raise SystemExit(error)

    await load.run('closed64', 500, submit)
    figures = await load.run(mode, number, submit)
    for node in nodes:
        await node.ensure_linearizable()
    figures['applied_everywhere'] = applied == [number + 500] * 3
    for node in nodes:
        await node.stop()
    load.report(figures)


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
