"""One measurement of this library, in a process of its own: MODE NUMBER."""

import asyncio
import sys

import cluster
import load


async def main(mode: str, number: int) -> None:
    """Measure on a cluster of three nodes in this process."""
    applied = [0] * cluster.SIZE

    def processor(index: int):
        def put(_: object) -> None:
            applied[index] += 1

        return put

    nodes = await cluster.found(
        [{'processors': {'put': processor(index)}} for index in range(cluster.SIZE)]
    )

    async def submit(index: int) -> None:
        error = await nodes[0].enqueue('put', index, timeout=60)
        if error is not None:
            raise SystemExit(error)

    await load.run('closed64', 500, submit)
    figures = await load.run(mode, number, submit)
    for node in nodes:
        await node.ensure_linearizable()
    figures['applied_everywhere'] = applied == [number + 500] * cluster.SIZE
    await cluster.stop(nodes)
    load.report(figures)


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
