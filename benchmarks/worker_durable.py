"""One measurement with files, in a process of its own: MODE NUMBER DIRECTORY."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cluster
import limits
import load
from counted import Counted


def main(mode: str, number: int, directory: Path) -> None:
    """Measure on a cluster of three nodes in this process, and the disk before and after."""
    before = limits.measure(directory)
    with TemporaryDirectory(dir=directory) as scratch:
        figures = asyncio.run(measure(mode, number, Path(scratch)))
    after = limits.measure(directory)
    load.report(figures | {name: (before[name] + after[name]) / 2 for name in before})


async def measure(mode: str, number: int, directory: Path) -> dict:
    applied = [0] * cluster.SIZE

    def processor(index: int):
        def put(_: object) -> None:
            applied[index] += 1

        return put

    storages = [Counted(directory / f'{each}.db') for each in range(cluster.SIZE)]
    nodes = await cluster.found(
        [
            {'processors': {'put': processor(index)}, 'storage': storage}
            for index, storage in enumerate(storages)
        ]
    )

    async def submit(index: int) -> None:
        error = await nodes[0].enqueue('put', index, timeout=60)
        if error is not None:
            raise SystemExit(error)

    await load.run('closed64', 500, submit)
    counted = [(storage.writes, storage.entries) for storage in storages]
    figures = await load.run(mode, number, submit)
    for node in nodes:
        await node.ensure_linearizable()
    figures['applied_everywhere'] = applied == [number + 500] * cluster.SIZE
    figures['syncs'] = [
        storage.writes - writes for storage, (writes, _) in zip(storages, counted, strict=True)
    ]
    figures['entries'] = [
        storage.entries - entries for storage, (_, entries) in zip(storages, counted, strict=True)
    ]
    await cluster.stop(nodes)
    return figures


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
